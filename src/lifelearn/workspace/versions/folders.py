"""Which folder answers: that of an organisation's version. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings
from lifelearn.workspace.organizations.tables import Organization
from lifelearn.workspace.versions.storage import Storage
from lifelearn.workspace.versions.tables import Version


def weights_of(db: Session, settings: Settings, organization: Organization, number: int | None = None) -> Path | None:
    """The folder of its active version, or of another; None for the base. Raises VersionError if it is not there."""
    wanted = organization.active_version if number is None else number
    if wanted == 0:
        return None
    version = db.scalar(select(Version).where(Version.organization_id == organization.id, Version.number == wanted))
    if version is None:
        raise VersionError(f"There is no version {wanted}.")
    return Storage(settings).fetch(version)
