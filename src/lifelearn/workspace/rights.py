"""Who may read what a workspace keeps: its own user alone. For the web process and for workers, before they begin."""

from __future__ import annotations

from pathlib import Path

from lifelearn.learning import private
from lifelearn.settings import Settings
from lifelearn.workspace.database import Database


def tighten(settings: Settings, database: Database) -> None:
    """Takes the database, the versions and what is made of them from everybody else, as far as they are ours.

    Of the cache only what is an organisation's: the base model is no secret, and may be meant for others.
    """
    place, cache = settings.model_storage_dir, settings.cache_dir
    folders = [place] if isinstance(place, Path) else []
    private.tighten(*database.files, *folders, cache / "versions", cache / "work")
