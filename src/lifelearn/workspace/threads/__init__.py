"""Threads and their messages: who sees them, how they go on, branch, are marked and found. Pages and programs use it.

Each function takes the session of the request and the place where it happens; what is not there, or not the
visitor's, is NotFoundError. Knows no model and no corrections: who has an answer written, or learns from a mark, is
above (chats/, corrections/).
"""
