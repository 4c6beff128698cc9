"""All settings, in one frozen value; what there is stands in its groups."""

from __future__ import annotations

from lifelearn.settings.learning import LearningSettings
from lifelearn.settings.resources import ResourceSettings
from lifelearn.settings.workspace import WorkspaceSettings


class Settings(LearningSettings, WorkspaceSettings, ResourceSettings):  # pydantic takes the last one's fields first
    """Use `load_settings()`, whose errors are clear. In code, fields are passed by name or alias."""
