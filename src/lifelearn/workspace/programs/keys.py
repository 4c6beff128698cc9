"""API keys: made, found, listed, revoked. Knows no pages and no requests but for the audit log."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import ahead, now
from lifelearn.workspace.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from lifelearn.workspace.names import name_of
from lifelearn.workspace.organizations.audit import record
from lifelearn.workspace.organizations.place import Place, place_of
from lifelearn.workspace.tables.organizations import Membership, Role
from lifelearn.workspace.tables.programs import ApiKey, Scope

PREFIX = "ll_"  # by which secret scanners and people know a key of ours
START = 8  # characters shown for good, the prefix included
MOST_KEYS = 20  # that work at once, for a user in an organisation
SHOWN = 200


@dataclass(frozen=True)
class Caller:
    """A program: the key that it holds, and the place where it acts for the key's user, as the user's role is now."""

    key: ApiKey
    place: Place


def caller(db: Session, token_hash: str) -> Caller | None:
    """Whose key it is; None where the key does not work, for whatever reason."""
    key = db.scalar(select(ApiKey).where(ApiKey.token_hash == token_hash, *_works()))
    if key is None:
        return None
    # A key goes with a membership: one made before its user was removed stays dead when they come back.
    membership = db.scalar(
        select(Membership).where(
            Membership.organization_id == key.organization_id,
            Membership.user_id == key.user_id,
            Membership.created_at <= key.created_at,
        )
    )
    if membership is None:
        return None
    return Caller(key, place_of(db, membership))


def working(db: Session, key_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of the keys still work."""
    member = and_(Membership.organization_id == ApiKey.organization_id, Membership.user_id == ApiKey.user_id)
    query = select(ApiKey.id).join(Membership, and_(member, Membership.created_at <= ApiKey.created_at))
    return set(db.scalars(query.where(ApiKey.id.in_(key_ids), *_works())))


def grantable(place: Place) -> list[Scope]:
    return [scope for scope in Scope if scope is not Scope.ADMIN or place.may_admin]


def make(
    db: Session, request: Request, place: Place, name: str, scopes: Collection[Scope], days: int | None
) -> tuple[ApiKey, str]:
    """A key and its token, which is known here and now alone. days: until it expires; None is never."""
    name = name_of(name)
    if not scopes:
        raise InvalidError("Choose what the key may do.", {"scopes": "Choose at least one."})
    # The membership is held, so that two requests at once cannot both make the last key; and looked at again.
    role = db.scalar(select(Membership.role).where(*_own(Membership, place)).with_for_update())
    if role is None:
        raise NotFoundError
    if not set(scopes) <= set(grantable(replace(place, role=Role(role)))):
        raise ForbiddenError("Only an admin or owner may make a key with the scope admin.")
    working = db.scalar(select(func.count()).select_from(ApiKey).where(*_own(ApiKey, place), *_works()))
    if (working or 0) >= MOST_KEYS:
        raise ConflictError(f"You have {MOST_KEYS} keys here, and that is the limit. Revoke one that you do not need.")
    token = new_token(PREFIX)
    key = ApiKey(
        organization_id=place.organization.id,
        user_id=place.user.id,
        name=name,
        start=token[:START],
        token_hash=hash_token(token),
        scopes=[scope for scope in Scope if scope in scopes],
        expires_at=None if days is None else ahead(days=days),
    )
    db.add(key)
    record(
        db,
        request,
        place.organization.id,
        place.user,
        "key.created",
        name,
        start=key.start,
        scopes=key.scopes,
        days=days,
    )
    db.flush()
    return key, token


def revoke(db: Session, request: Request, place: Place, key_id: uuid.UUID) -> None:
    """Ends a key at once. One's own; anybody's for an admin. Again does nothing."""
    key = db.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.organization_id == place.organization.id))
    if key is None or not (key.user_id == place.user.id or place.may_admin):
        raise NotFoundError
    if key.revoked_at is None:
        key.revoked_at = now()
        record(
            db,
            request,
            place.organization.id,
            place.user,
            "key.revoked",
            key.name,
            start=key.start,
            user=key.user.email,
        )


def listed(db: Session, place: Place, everybodys: bool = False) -> Sequence[tuple[ApiKey, str]]:
    """Keys with their states, those that were not revoked first, then the newest. everybodys: of all but oneself."""
    whose = ApiKey.user_id != place.user.id if everybodys else ApiKey.user_id == place.user.id
    keys = db.scalars(
        select(ApiKey)
        .where(ApiKey.organization_id == place.organization.id, whose)
        .order_by(ApiKey.revoked_at.is_not(None), ApiKey.created_at.desc(), ApiKey.id)
        .limit(SHOWN)
    ).all()
    members = select(Membership.user_id, Membership.created_at).where(
        Membership.organization_id == place.organization.id
    )
    joined = dict(db.execute(members).all())
    return [(key, _state(key, key.user_id in joined and joined[key.user_id] <= key.created_at)) for key in keys]


def _state(key: ApiKey, belongs: bool) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now():
        return "expired"
    return "active" if belongs else "ended"


def _works() -> tuple[Any, ...]:
    return ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now())


def _own(table: type[ApiKey] | type[Membership], place: Place) -> tuple[Any, ...]:
    return table.organization_id == place.organization.id, table.user_id == place.user.id
