"""A new organisation, and its first owner."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy.orm import Session

from lifelearn.settings import Settings
from lifelearn.workspace.errors import ForbiddenError
from lifelearn.workspace.names import name_of
from lifelearn.workspace.organizations.audit import record
from lifelearn.workspace.organizations.locks import count_of, lock_user
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import Membership, Organization, Role

MOST_OWNED = 50  # organisations, by one user


def create(db: Session, request: Request, user: User, name: str) -> Organization:
    """A new organisation, owned by `user`."""
    name = name_of(name)
    lock_user(db, user.id)
    if count_of(db, Membership.user_id == user.id, Membership.role == Role.OWNER) >= MOST_OWNED:
        raise ForbiddenError(f"You own {MOST_OWNED} organisations, and more are not possible. Delete one first.")
    settings: Settings = request.app.state.settings
    organization = Organization(name=name, base_model=settings.base_model_name)
    db.add(organization)
    db.flush()
    db.add(Membership(organization_id=organization.id, user_id=user.id, role=Role.OWNER))
    record(db, request, organization.id, user, "organization.created", organization.name)
    return organization
