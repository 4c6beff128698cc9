"""Where a request takes place: one organisation, and who the visitor is in it. Every route below /o/ starts here.

Whoever is not a member finds nothing there: another's organisation is 404, never 403.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Db, as_id
from lifelearn.workspace.errors import ForbiddenError, NotFoundError, SignedOutError
from lifelearn.workspace.pages import SignedIn, pages_of, sign_in_of
from lifelearn.workspace.tables.accounts import SignIn, User
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.organizations import Membership, Organization, Role


@dataclass(frozen=True)
class Place:
    """An organisation, its visitor, and what they may do there."""

    organization: Organization
    user: User
    role: Role
    memberships: tuple[Membership, ...] = ()  # all of the user's, for the switcher
    reviews: int = 0  # corrections that wait for an admin, where the visitor is one
    alone: bool = False  # an admin, and there is no other
    decides: bool = True  # False for a program whose key lacks the scope for what admins do

    @property
    def url(self) -> str:
        return f"/o/{self.organization.id}"

    def may(self, role: Role) -> bool:
        """Whether the visitor has at least that role here."""
        return self.role.rank >= role.rank

    @property
    def may_admin(self) -> bool:
        return self.may(Role.ADMIN)

    @property
    def may_decide(self) -> bool:
        """Whether the visitor decides about what others wrote."""
        return self.may_admin and self.decides

    def may_approve(self, *author_ids: uuid.UUID | None) -> bool:
        """Whether the visitor's word approves what some wrote: one's own only where there is no other admin."""
        return self.may_decide and (self.alone or self.user.id not in author_ids)

    @property
    def may_own(self) -> bool:
        return self.may(Role.OWNER)

    def need(self, role: Role) -> None:
        """Raises ForbiddenError if not."""
        if not self.may(role):
            raise ForbiddenError(f"Only {'an owner' if role is Role.OWNER else 'an admin or owner'} may do that.")


def memberships_of(db: Session, user_id: uuid.UUID) -> tuple[Membership, ...]:
    """A user's memberships, by the organisations' names."""
    found = db.scalars(select(Membership).where(Membership.user_id == user_id)).all()
    return tuple(sorted(found, key=lambda membership: (membership.organization.name.lower(), membership.created_at)))


def _place(request: Request, organization_id: uuid.UUID, sign_in: SignedIn, db: Db) -> Place:
    memberships = memberships_of(db, sign_in.user_id)
    here = next((each for each in memberships if each.organization_id == organization_id), None)
    if here is None:
        raise NotFoundError
    place = place_of(db, here, memberships)
    if place.may_admin and request.method == "GET":
        place = replace(place, reviews=_reviews(db, organization_id))
    request.state.place = place
    return place


def place_of(db: Session, membership: Membership, memberships: tuple[Membership, ...] = ()) -> Place:
    place = Place(membership.organization, membership.user, Role(membership.role), memberships)
    return replace(place, alone=place.may_admin and not _has_other_admin(db, place))


def _has_other_admin(db: Session, place: Place) -> bool:
    others = select(Membership.user_id).where(
        Membership.organization_id == place.organization.id,
        Membership.user_id != place.user.id,
        Membership.role.in_([role for role in Role if role.rank >= Role.ADMIN.rank]),
    )
    return db.scalar(others.limit(1)) is not None


def _reviews(db: Session, organization_id: uuid.UUID) -> int:
    waiting = (Correction.organization_id == organization_id, Correction.state == State.REVIEW)
    return db.scalar(select(func.count()).select_from(Correction).where(*waiting)) or 0


def check_uploader(request: Request) -> uuid.UUID:
    """Whose large body for an organisation it is. Raises SignedOutError, and NotFoundError for who is no member there.

    Before the request's own session, which comes once the body is there.
    """
    pages, organization_id = pages_of(request), as_id(request.url.path.split("/")[2])
    with pages.database.read() as db:
        sign_in = sign_in_of(request, db)
        if sign_in is None or sign_in.waits_for_code:
            raise SignedOutError("Sign in, and send the file again.")
        if organization_id is None or db.get(Membership, (organization_id, sign_in.user_id)) is None:
            raise NotFoundError
        return sign_in.user_id


def is_still_here(db: Session, organization_id: uuid.UUID, user_id: uuid.UUID, sign_in_id: uuid.UUID) -> bool:
    """Whether who reads a stream is still signed in, and a member."""
    member = select(Membership.user_id).where(
        Membership.organization_id == organization_id, Membership.user_id == user_id
    )
    return db.get(SignIn, sign_in_id) is not None and db.scalar(member) is not None


Here = Annotated[Place, Depends(_place)]


def _at_least(role: Role) -> Callable[[Place], Awaitable[Place]]:
    async def check(place: Here) -> Place:  # async: needs no thread
        place.need(role)
        return place

    return check


HereAsAdmin = Annotated[Place, Depends(_at_least(Role.ADMIN))]
HereAsOwner = Annotated[Place, Depends(_at_least(Role.OWNER))]
