"""The end of an organisation: it goes with all that it owns, its files a moment later."""

from __future__ import annotations

import uuid

import structlog
from fastapi import Request
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings
from lifelearn.workspace.database import Database, after_commit
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.organizations.locks import members_locked
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.organizations import Organization, Role

log = structlog.get_logger("lifelearn.organizations")


def delete_here(db: Session, request: Request, place: Place, name: str) -> None:
    """Deletes the visitor's organisation. name: as the visitor typed it, to be sure."""
    members_locked(db, place, Role.OWNER)
    if " ".join(name.split()) != place.organization.name:
        said = "This is not the organisation's name. Type it as it is shown."
        raise InvalidError(said, {"name": said})
    delete_organization(db, request.app.state.settings, place.organization)


def delete_organization(db: Session, settings: Settings, organization: Organization) -> None:
    """Deletes an organisation with all that it owns; its files go once that is committed."""
    organization_id = organization.id

    def gone() -> None:
        log.info("organization deleted", organization_id=str(organization_id))
        _remove_folder(Storage(settings), organization_id)

    db.execute(
        delete(Organization).where(Organization.id == organization_id),
        execution_options={"synchronize_session": False},
    )
    db.expunge(organization)
    after_commit(db, gone)


def sweep_folders(database: Database, settings: Settings) -> int:
    """Removes folders of organisations that do not exist: the process may have ended before it could. Returns how many.

    The folders are listed before the organisations, so that one that is made meanwhile is not taken for a left-over.
    """
    storage = Storage(settings)
    folders = storage.organizations()
    if not folders:
        return 0
    with database.read() as db:
        living = set(db.scalars(select(Organization.id)))
    gone = folders - living
    for organization_id in gone:
        _remove_folder(storage, organization_id)
    return len(gone)


def _remove_folder(storage: Storage, organization_id: uuid.UUID) -> None:
    try:
        storage.remove(organization_id)
    except (OSError, VersionError) as error:  # the next sweep tries again
        log.warning("folder not removed", organization_id=str(organization_id), error=str(error))
