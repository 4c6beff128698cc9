"""Which folder answers: that of an organisation's version. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Version


def answering(db: Session, organization: Organization, number: int | None = None) -> Version | None:
    """Its active version, or another; None for the base. Raises VersionError if there is none of that number."""
    wanted = organization.active_version if number is None else number
    if wanted == 0:
        return None
    version = db.scalar(select(Version).where(Version.organization_id == organization.id, Version.number == wanted))
    if version is None:
        raise VersionError(f"There is no version {wanted}.")
    return version


def weights_of(settings: Settings, version: Version | None) -> Path | None:
    """The folder of a version's files, which may have to be downloaded: not within a session. None for the base.

    Raises VersionError where one is missing or damaged, and OSError where they cannot be had now.
    """
    return None if version is None else Storage(settings).fetch(version)
