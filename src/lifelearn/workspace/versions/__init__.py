"""Versions: which there are, which answers, what each holds and what it said: timeline, report, compare, retention.

Where their files are is storage.py's, outside. Knows the rows of corrections; who made a version, jobs/, is above.
"""
