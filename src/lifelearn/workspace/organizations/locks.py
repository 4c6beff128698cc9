"""An organisation and its members as they are at this moment, locked, and who the visitor is among them now.

What a request saw before may be outdated: each change locks its organisation first and then looks again. Where several
things are locked, organisations come before users, by their ids.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from lifelearn.workspace.errors import NotFoundError, SignedOutError
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import Membership, Organization, Role


def lock(db: Session, organization_id: uuid.UUID) -> tuple[Organization, dict[uuid.UUID, Membership]]:
    """The organisation and its members as they are now; nobody else changes them before this transaction ends.

    SQLite has one writer at a time anyway. key_share: chats go on being written meanwhile.
    """
    fresh = {"populate_existing": True}
    organization = db.scalar(
        select(Organization).where(Organization.id == organization_id).with_for_update(key_share=True),
        execution_options=fresh,
    )
    if organization is None:
        raise NotFoundError
    found = db.scalars(select(Membership).where(Membership.organization_id == organization_id), execution_options=fresh)
    return organization, {each.user_id: each for each in found}


def members_locked(db: Session, place: Place, role: Role) -> dict[uuid.UUID, Membership]:
    """The members of a place, in which the visitor must still have at least that role."""
    _organization, members = lock(db, place.organization.id)
    replace(place, role=role_now(members, place)).need(role)
    return members


def lock_user(db: Session, user_id: uuid.UUID, wholly: bool = False) -> None:
    """Keeps a user from being deleted; wholly: from becoming a member anywhere too."""
    asked = select(User.id).where(User.id == user_id)
    if db.scalar(asked.with_for_update() if wholly else asked.with_for_update(read=True, key_share=True)) is None:
        raise SignedOutError


def role_now(members: dict[uuid.UUID, Membership], place: Place) -> Role:
    return Role(member_among(members, place.user.id).role)


def member_among(members: dict[uuid.UUID, Membership], user_id: uuid.UUID) -> Membership:
    if user_id not in members:
        raise NotFoundError
    return members[user_id]


def owners_among(members: dict[uuid.UUID, Membership]) -> list[Membership]:
    return [each for each in members.values() if Role(each.role) is Role.OWNER]


def count_of(db: Session, *where: ColumnElement[bool]) -> int:
    return db.scalar(select(func.count()).where(*where)) or 0
