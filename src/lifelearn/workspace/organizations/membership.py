"""Members: who may do what to whom, that there is always an owner, and what goes when somebody goes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fastapi import Request
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, joinedload

from lifelearn.workspace.database import now
from lifelearn.workspace.errors import ConflictError, ForbiddenError, InvalidError
from lifelearn.workspace.organizations.audit import record
from lifelearn.workspace.organizations.ending import delete_organization
from lifelearn.workspace.organizations.inviting import revoke_invites_of
from lifelearn.workspace.organizations.locks import (
    lock,
    lock_user,
    member_among,
    members_locked,
    owners_among,
    role_now,
)
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Thread
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.organizations import Membership, Role
from lifelearn.workspace.tables.programs import ApiKey


class OwnerNeededError(ConflictError):
    title = "An organisation needs an owner"


def role_of(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise InvalidError("There is no such role.", {"role": "Choose member, admin or owner."}) from None


def members_of(db: Session, organization_id: uuid.UUID) -> list[Membership]:
    """All members: owners first, then by name."""
    found = db.scalars(
        select(Membership).where(Membership.organization_id == organization_id).options(joinedload(Membership.user))
    )
    return sorted(found, key=lambda each: (-Role(each.role).rank, each.user.name.lower(), each.created_at))


def is_member(db: Session, organization_id: uuid.UUID, user_id: uuid.UUID) -> bool:
    return db.get(Membership, (organization_id, user_id)) is not None


def change_role(db: Session, request: Request, place: Place, user_id: uuid.UUID, role: Role) -> Membership:
    """Gives a member another role; owners may, and the last owner stays one."""
    members = members_locked(db, place, Role.OWNER)
    member = member_among(members, user_id)
    before = Role(member.role)
    if before is role:
        return member
    if before is Role.OWNER and owners_among(members) == [member]:
        raise OwnerNeededError(
            "The only owner cannot have a lower role. Make somebody else an owner first, then change this role."
        )
    member.role = role
    revoke_invites_of(db, place.organization.id, user_id, above=role)
    record(
        db,
        request,
        place.organization.id,
        place.user,
        "member.role_changed",
        _email(db, user_id),
        before=before.value,
        after=role.value,
    )
    return member


def remove(db: Session, request: Request, place: Place, user_id: uuid.UUID) -> None:
    """Takes a member out: owners may take anybody but themselves, admins may take members."""
    members = members_locked(db, place, Role.ADMIN)
    member = member_among(members, user_id)
    need_to_remove(replace(place, role=role_now(members, place)), member)
    email = _email(db, user_id)
    _end(db, place.organization.id, member, heir=place.user.id)
    record(db, request, place.organization.id, place.user, "member.removed", email, role=member.role)


def may_remove(place: Place, member: Membership) -> bool:
    """Whether the visitor may take that member out."""
    return member.user_id != place.user.id and (place.may_own or (place.may_admin and member.role == Role.MEMBER))


def need_to_remove(place: Place, member: Membership) -> None:
    """Raises ForbiddenError if not."""
    if member.user_id == place.user.id:
        raise ForbiddenError("You cannot remove yourself. Leave the organisation instead.")
    if not may_remove(place, member):
        raise ForbiddenError("Admins may remove members only. Ask an owner.")


def leave(db: Session, request: Request, place: Place) -> None:
    """Takes the visitor out; the last owner cannot go."""
    members = members_locked(db, place, Role.MEMBER)
    _leave(db, request, place.organization.id, place.user, members)


def leave_all(db: Session, request: Request, user: User) -> None:
    """Takes a user out of everything, before the account is deleted. Organisations of the user alone are deleted.

    Raises OwnerNeededError, which names the organisations that would be left without an owner.
    """
    ids = sorted(_organizations_of(db, user.id))
    every = {each: lock(db, each) for each in ids}
    lock_user(db, user.id, wholly=True)  # nobody can make this user a member from here on
    if sorted(_organizations_of(db, user.id)) != ids:
        raise ConflictError("Your organisations changed meanwhile. Try again.")
    needed = [
        organization.name
        for organization, members in every.values()
        if len(members) > 1 and [each.user_id for each in owners_among(members)] == [user.id]
    ]
    if needed:
        raise OwnerNeededError(
            f"You are the only owner of {_listed(needed)}. There, make somebody else an owner or remove the others, "
            "then delete your account."
        )
    for organization, members in every.values():
        if len(members) == 1:
            delete_organization(db, request.app.state.settings, organization)
        else:
            _leave(db, request, organization.id, user, members)


def _leave(
    db: Session, request: Request, organization_id: uuid.UUID, user: User, members: dict[uuid.UUID, Membership]
) -> None:
    member = members[user.id]
    owners = [each for each in owners_among(members) if each is not member]
    if not owners:
        raise OwnerNeededError(
            "You are the only owner. Make somebody else an owner first, or delete the organisation."
            if len(members) > 1
            else "You are the only member. Delete the organisation instead."
        )
    heir = min(owners, key=lambda each: each.created_at)
    _end(db, organization_id, member, heir=heir.user_id)
    record(db, request, organization_id, user, "member.left", user.email, role=member.role)


def _end(db: Session, organization_id: uuid.UUID, member: Membership, heir: uuid.UUID) -> None:
    """Ends a membership and what hangs on it: keys and invites end, private chats go, shared ones the heir's, and
    what waits for its author's word is no correction."""
    user_id = member.user_id
    db.execute(
        update(ApiKey)
        .where(ApiKey.organization_id == organization_id, ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now())
    )
    db.execute(
        update(Correction)
        .where(Correction.organization_id == organization_id, Correction.author_id == user_id)
        .where(Correction.state == State.ASKED)
        .values(state=State.DISMISSED, settled_at=now(), reason="Its author left the organisation.")
        .execution_options(synchronize_session=False)
    )
    revoke_invites_of(db, organization_id, user_id)
    theirs = (Thread.organization_id == organization_id, Thread.owner_id == user_id)
    db.execute(delete(Thread).where(*theirs, Thread.shared.is_(False)))
    db.execute(update(Thread).where(*theirs).values(owner_id=heir))
    db.execute(
        delete(Membership).where(Membership.organization_id == organization_id, Membership.user_id == user_id),
        execution_options={"synchronize_session": False},
    )
    db.expunge(member)


def _organizations_of(db: Session, user_id: uuid.UUID) -> Sequence[uuid.UUID]:
    return db.scalars(select(Membership.organization_id).where(Membership.user_id == user_id)).all()


def _email(db: Session, user_id: uuid.UUID) -> str:
    return db.scalar(select(User.email).where(User.id == user_id)) or ""


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
