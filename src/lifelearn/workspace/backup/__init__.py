"""Backups: one archive with the database and every version that it names, made while everything runs; and the way back.

`backup` and `restore` are the commands; the others are their parts.
"""
