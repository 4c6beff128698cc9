"""Corrections: noticed, stated or sent in; asked about, reviewed, taught, forgotten; and what people see of that.

What is taught becomes a job (jobs/). Until a version has learned it, answers are told of it (context.py). Knows threads
and versions, and not how answers are written.
"""
