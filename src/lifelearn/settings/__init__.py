"""The settings: the one reader of the environment, for terminal and workspace alike.

Each field of `Settings` is an environment variable, its type and bounds are what is allowed, and its
description is its documentation: the table in docs/settings.md is made from them (`python -m
lifelearn.settings` prints it). Adding or removing a setting is one field of a group. Knows nothing of
what the settings are used for, and reads no file.
"""

from lifelearn.settings.group import SettingsError
from lifelearn.settings.loading import load_settings
from lifelearn.settings.settings import Settings
from lifelearn.settings.table import settings_table

__all__ = ["Settings", "SettingsError", "load_settings", "settings_table"]
