"""Versions: which is active, and how another becomes it. Each change of it is an activation, and is recorded."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.workspace.errors import NotFoundError
from lifelearn.workspace.organizations.tables import Organization
from lifelearn.workspace.versions.tables import Activation, Reason, Version
from lifelearn.workspace.webhooks.service import tell


def version_of(db: Session, organization_id: uuid.UUID, number: int) -> Version:
    """A version by its number, from 1. Raises NotFoundError."""
    found = db.scalar(select(Version).where(Version.organization_id == organization_id, Version.number == number))
    if found is None:
        raise NotFoundError
    return found


def activate(
    db: Session, organization: Organization, number: int, reason: Reason, author_id: uuid.UUID | None = None
) -> Activation | None:
    """Makes a version the active one; 0 is the base. None where it is that already.

    The organisation's row is locked by the update, so that of two activations one comes after the other.
    """
    previous = organization.active_version
    if number == previous:
        return None
    if number:
        version_of(db, organization.id, number)
    organization.active_version = number
    made = Activation(
        organization_id=organization.id, number=number, previous=previous, reason=reason, author_id=author_id
    )
    db.add(made)
    db.flush()
    name = f"Version {number}" if number else "The base model"
    told: dict[str, Any] = {"number": number, "previous": previous, "reason": str(reason)}
    tell(db, organization.id, "version.activated", f"{name} answers now.", "/versions", **told)
    return made
