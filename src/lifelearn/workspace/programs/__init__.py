"""Programs: their API keys and the page of them, who calls by one, what all calls of /api/v1 have in common.

The calls about the organisation itself are here, too (organization.py); each feature above has its own (`api.py`).
"""
