"""Organisations: who belongs to one and as what, invites, settings, the audit log; an organisation owns all it has.

Every route below /o begins with a `Place` (place.py), and every look at chats and corrections with what its visitor
may see (access.py). Knows the rows of other features, since they go when it goes, and none of their rules.
"""
