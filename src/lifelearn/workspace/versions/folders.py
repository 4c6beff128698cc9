"""Where the versions of an organisation are kept, and which of them answers. Knows no database and imports no torch."""

from __future__ import annotations

from pathlib import Path

from lifelearn.learning.version import VersionStore
from lifelearn.settings import Settings
from lifelearn.workspace.organizations.tables import Organization


def store_of(settings: Settings, organization: Organization) -> VersionStore:
    """The organisation's versions."""
    return VersionStore(settings.model_storage_dir / "organizations" / str(organization.id))


def weights_of(settings: Settings, organization: Organization) -> Path | None:
    """The folder of its active version; None for the base. Raises VersionError where the version is not there."""
    return store_of(settings, organization).weights(organization.active_version)
