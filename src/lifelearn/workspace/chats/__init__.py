"""Chats as people and programs have them: pages, the JSON API, answers while they are written, import and export.

What a thread is and who may do what to it are in threads/. Here a message gets its answer, which may be told what is
not learned yet, and is looked at for a correction, whose card stands below it.
"""
