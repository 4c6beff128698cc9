"""Prints the table of docs/settings.md."""

import sys

from lifelearn.settings.table import settings_table

sys.stdout.write(settings_table() + "\n")
