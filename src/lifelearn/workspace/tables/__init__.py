"""The rows that are kept, a module for each feature: tables, what their columns mean, and the words that stand in them.

They refer to one another, so whoever imports one has all. They know no rules: those are the features'.
"""

from lifelearn.workspace.tables import (  # noqa: F401  # all of them are known from here on
    accounts,
    chats,
    corrections,
    jobs,
    organizations,
    programs,
    throttles,
    versions,
    webhooks,
)
