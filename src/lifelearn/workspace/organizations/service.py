"""The rules of organisations: who may do what to whom, that there is always an owner, what goes when somebody goes.

Used by the pages and by the API for programs. Each change locks its organisation first and then looks again: what a
request saw before may be outdated. Where several things are locked, organisations come before users, by their ids.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace

import structlog
from fastapi import Request
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session, joinedload

from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings
from lifelearn.workspace import mail
from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import Database, after_commit, ago, ahead, now
from lifelearn.workspace.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    SignedOutError,
    TooManyError,
)
from lifelearn.workspace.names import clean_email, clean_name, forms_of_email, same_address
from lifelearn.workspace.organizations.audit import record
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.corrections import Policy
from lifelearn.workspace.tables.organizations import Invite, Membership, Organization, Role

log = structlog.get_logger("lifelearn.organizations")

INSTRUCTIONS_LENGTH = 4000
MOST_TOKENS = 4096
MOST_OWNED = 50  # organisations, by one user
INVITE_DAYS = 7
INVITES_AN_HOUR = 30  # by one organisation, and by one user in all organisations
_UNKEEPABLE = re.compile(r"[\x00\ud800-\udfff]")  # what a database refuses


class OwnerNeededError(ConflictError):
    title = "An organisation needs an owner"


# What people enter


def name_of(text: str) -> str:
    """An organisation's name: one line, without what hides or turns text. Raises InvalidError."""
    try:
        return clean_name(text)
    except ValueError as error:
        raise InvalidError(str(error), {"name": str(error)}) from None


def email_of(text: str) -> str:
    """An address in the form that is kept. Raises InvalidError."""
    try:
        return clean_email(text)
    except ValueError as error:
        raise InvalidError(str(error), {"email": str(error)}) from None


def role_of(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise InvalidError("There is no such role.", {"role": "Choose member, admin or owner."}) from None


# Members


def members_of(db: Session, organization_id: uuid.UUID) -> list[Membership]:
    """All members: owners first, then by name."""
    found = db.scalars(
        select(Membership).where(Membership.organization_id == organization_id).options(joinedload(Membership.user))
    )
    return sorted(found, key=lambda each: (-Role(each.role).rank, each.user.name.lower(), each.created_at))


def is_member(db: Session, organization_id: uuid.UUID, user_id: uuid.UUID) -> bool:
    return db.get(Membership, (organization_id, user_id)) is not None


def create(db: Session, request: Request, user: User, name: str) -> Organization:
    """A new organisation, owned by `user`."""
    name = name_of(name)
    _lock_user(db, user.id)
    if _count(db, Membership.user_id == user.id, Membership.role == Role.OWNER) >= MOST_OWNED:
        raise ForbiddenError(f"You own {MOST_OWNED} organisations, and more are not possible. Delete one first.")
    settings: Settings = request.app.state.settings
    organization = Organization(name=name, base_model=settings.base_model_name)
    db.add(organization)
    db.flush()
    db.add(Membership(organization_id=organization.id, user_id=user.id, role=Role.OWNER))
    record(db, request, organization.id, user, "organization.created", organization.name)
    return organization


def change_role(db: Session, request: Request, place: Place, user_id: uuid.UUID, role: Role) -> Membership:
    """Gives a member another role; owners may, and the last owner stays one."""
    members = _locked(db, place, Role.OWNER)
    member = _member(members, user_id)
    before = Role(member.role)
    if before is role:
        return member
    if before is Role.OWNER and _owners(members) == [member]:
        raise OwnerNeededError(
            "The only owner cannot have a lower role. Make somebody else an owner first, then change this role."
        )
    member.role = role
    _revoke_invites_of(db, place.organization.id, user_id, above=role)
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
    members = _locked(db, place, Role.ADMIN)
    member = _member(members, user_id)
    need_to_remove(replace(place, role=_role_now(members, place)), member)
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
    members = _locked(db, place, Role.MEMBER)
    _leave(db, request, place.organization.id, place.user, members)


def leave_all(db: Session, request: Request, user: User) -> None:
    """Takes a user out of everything, before the account is deleted. Organisations of the user alone are deleted.

    Raises OwnerNeededError, which names the organisations that would be left without an owner.
    """
    ids = sorted(_organizations_of(db, user.id))
    every = {each: _lock(db, each) for each in ids}
    _lock_user(db, user.id, wholly=True)  # nobody can make this user a member from here on
    if sorted(_organizations_of(db, user.id)) != ids:
        raise ConflictError("Your organisations changed meanwhile. Try again.")
    needed = [
        organization.name
        for organization, members in every.values()
        if len(members) > 1 and [each.user_id for each in _owners(members)] == [user.id]
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
    owners = [each for each in _owners(members) if each is not member]
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
    from lifelearn.workspace.tables.chats import Thread  # their packages import this module
    from lifelearn.workspace.tables.corrections import Correction, State
    from lifelearn.workspace.tables.programs import ApiKey

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
    _revoke_invites_of(db, organization_id, user_id)
    theirs = (Thread.organization_id == organization_id, Thread.owner_id == user_id)
    db.execute(delete(Thread).where(*theirs, Thread.shared.is_(False)))
    db.execute(update(Thread).where(*theirs).values(owner_id=heir))
    db.execute(
        delete(Membership).where(Membership.organization_id == organization_id, Membership.user_id == user_id),
        execution_options={"synchronize_session": False},
    )
    db.expunge(member)


# Invites


def invite_gone() -> NotFoundError:
    """The same whatever is wrong with a link: nobody learns from it which invites there are."""
    return NotFoundError("This invite does not work. It was used or withdrawn, or it has expired. Ask for a new one.")


def open_invite(db: Session, token: str) -> Invite | None:
    """The invite behind a link, if it can still be accepted."""
    return db.scalar(
        select(Invite)
        .where(Invite.token_hash == hash_token(token), *_open())
        .options(joinedload(Invite.organization, innerjoin=True))
    )


def open_invites(db: Session, organization_id: uuid.UUID) -> Sequence[Invite]:
    """An organisation's, newest first."""
    return db.scalars(
        select(Invite).where(Invite.organization_id == organization_id, *_open()).order_by(Invite.created_at.desc())
    ).all()


def invite(db: Session, request: Request, place: Place, email: str, role: Role) -> tuple[Invite, str]:
    """Invites an address, with a role that is not above the inviter's. The token is known here and never again."""
    forms = forms_of_email(email)
    email = email_of(email)
    mine = _role_now(_locked(db, place, Role.ADMIN), place)
    if role.rank > mine.rank:
        raise ForbiddenError("You cannot invite somebody with a role above your own.")
    here = select(Membership.user_id).join(User).where(Membership.organization_id == place.organization.id)
    if db.scalar(here.where(User.email.in_(forms))) is not None:
        raise InvalidError("That person is a member already.", {"email": "This person is a member already."})
    already = select(Invite.id).where(
        Invite.organization_id == place.organization.id, Invite.email.in_(forms), *_open()
    )
    if db.scalar(already) is not None:
        said = "There is an open invite for this address. Send it again, or revoke it."
        raise InvalidError(said, {"email": said})
    made = _new_invite(db, place, email, role)
    record(db, request, place.organization.id, place.user, "invite.created", email, role=role.value)
    return made


def resend_invite(db: Session, request: Request, place: Place, invite_id: uuid.UUID) -> tuple[Invite, str]:
    """The same invite with a new link; the old link is dead."""
    old = _invite_of(db, place, invite_id)
    old.revoked_at = now()
    made = _new_invite(db, place, old.email, Role(old.role))
    record(db, request, place.organization.id, place.user, "invite.resent", old.email, role=old.role)
    return made


def revoke_invite(db: Session, request: Request, place: Place, invite_id: uuid.UUID) -> None:
    found = _invite_of(db, place, invite_id)
    found.revoked_at = now()
    record(db, request, place.organization.id, place.user, "invite.revoked", found.email, role=found.role)


def accept_invite(db: Session, request: Request, user: User, token: str) -> Invite:
    """Makes `user` a member, once, if the invite is for this account's address. A member stays what they are."""
    seen = open_invite(db, token)
    if seen is None:
        raise invite_gone()
    if not same_address(seen.email, user.email):
        raise ForbiddenError("This invite is for another address. Sign in with the account that it was sent to.")
    _organization, members = _lock(db, seen.organization_id)
    _lock_user(db, user.id)
    db.refresh(seen)
    if seen.accepted_at is not None or seen.revoked_at is not None:
        raise invite_gone()
    seen.accepted_at = now()
    if user.id not in members:
        db.add(Membership(organization_id=seen.organization_id, user_id=user.id, role=seen.role))
        record(db, request, seen.organization_id, user, "member.joined", user.email, role=seen.role)
    return seen


def link_of(settings: Settings, token: str) -> str:
    return f"{settings.public_url}/invites/{token}"


def mail_invite(settings: Settings, place: Place, invite: Invite, token: str) -> None:
    """Sends the link. Raises UnavailableError. Takes its time: call it when the invite is committed."""
    mail.send(
        settings,
        to=invite.email,
        subject=f"{place.user.name} invites you to {place.organization.name}",
        text=(
            f"{place.user.name} ({place.user.email}) invites you to join {place.organization.name} on Life-Learn, a "
            "chat with a model that learns from your team.\n\n"
            f"{link_of(settings, token)}\n\n"
            f"The link works once, for {invite.email} only, until {invite.expires_at:%d %B %Y, %H:%M} UTC.\n"
            "If you do not know the sender, ignore this mail.\n"
        ),
    )


def _open() -> tuple[ColumnElement[bool], ...]:
    return (Invite.accepted_at.is_(None), Invite.revoked_at.is_(None), Invite.expires_at > now())


def _new_invite(db: Session, place: Place, email: str, role: Role) -> tuple[Invite, str]:
    for whose in (Invite.organization_id == place.organization.id, Invite.invited_by == place.user.id):
        if _count(db, whose, Invite.created_at > ago(hours=1)) >= INVITES_AN_HOUR:
            raise TooManyError(f"At most {INVITES_AN_HOUR} invites an hour are possible. Try again later.", 3600)
    token = new_token()
    made = Invite(
        organization_id=place.organization.id,
        email=email,
        role=role,
        token_hash=hash_token(token),
        invited_by=place.user.id,
        expires_at=ahead(days=INVITE_DAYS),
    )
    db.add(made)
    db.flush()
    return made, token


def _invite_of(db: Session, place: Place, invite_id: uuid.UUID) -> Invite:
    """An open invite which the visitor may handle: whoever has its link could have its role."""
    mine = _role_now(_locked(db, place, Role.ADMIN), place)
    found = db.scalar(
        select(Invite).where(Invite.id == invite_id, Invite.organization_id == place.organization.id, *_open())
    )
    if found is None:
        raise NotFoundError
    if Role(found.role).rank > mine.rank:
        raise ForbiddenError("That invite is for a role above your own. Ask an owner.")
    return found


def _revoke_invites_of(db: Session, organization_id: uuid.UUID, user_id: uuid.UUID, above: Role | None = None) -> None:
    """Ends the open invites that a user made and could not make any more. above: the role that the user has now."""
    allowed = [] if above is None or above is Role.MEMBER else [role for role in Role if role.rank <= above.rank]
    db.execute(
        update(Invite)
        .where(
            Invite.organization_id == organization_id,
            Invite.invited_by == user_id,
            Invite.role.not_in(allowed),
            *_open(),
        )
        .values(revoked_at=now())
    )


# Settings and deletion


def change_settings(
    db: Session,
    request: Request,
    place: Place,
    *,
    revision: int,
    name: str,
    instructions: str,
    temperature: float,
    max_tokens: int,
    correction_policy: str,
) -> None:
    """Changes the settings. revision: of those that the visitor saw; ConflictError where they are others by now.

    Raises InvalidError with what is wrong with each field, before anything is changed.
    """
    _locked(db, place, Role.ADMIN)
    organization = place.organization
    wrong: dict[str, str] = {}
    try:
        name = name_of(name)
    except InvalidError as error:
        wrong |= error.fields
    instructions = instructions.replace("\r\n", "\n").strip()
    if len(instructions) > INSTRUCTIONS_LENGTH or _UNKEEPABLE.search(instructions):
        wrong["instructions"] = f"Use at most {INSTRUCTIONS_LENGTH} characters of plain text."
    if not 0 <= temperature <= 2:
        wrong["temperature"] = "Choose a number from 0 to 2."
    if not 1 <= max_tokens <= MOST_TOKENS:
        wrong["max_tokens"] = f"Choose a whole number from 1 to {MOST_TOKENS}."
    if correction_policy not in list(Policy):
        wrong["correction_policy"] = "Choose one of these."
    if wrong:
        raise InvalidError("; ".join(wrong.values()), wrong)
    if organization.revision != revision:
        raise ConflictError(
            "Somebody else changed these settings meanwhile. Compare yours with theirs, then save again."
        )
    new = {"name": name, "instructions": instructions, "temperature": temperature, "max_tokens": max_tokens}
    new["correction_policy"] = correction_policy
    changed = {key: value for key, value in new.items() if getattr(organization, key) != value}
    if not changed:
        return
    told = {key: [getattr(organization, key), value] for key, value in changed.items() if key != "instructions"}
    for key, value in changed.items():
        setattr(organization, key, value)
    record(
        db,
        request,
        organization.id,
        place.user,
        "settings.changed",
        organization.name,
        **told,
        **({"instructions": "changed"} if "instructions" in changed else {}),
    )


def delete_here(db: Session, request: Request, place: Place, name: str) -> None:
    """Deletes the visitor's organisation. name: as the visitor typed it, to be sure."""
    _locked(db, place, Role.OWNER)
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


# Locks, and what is looked up behind them


def _lock(db: Session, organization_id: uuid.UUID) -> tuple[Organization, dict[uuid.UUID, Membership]]:
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


def _locked(db: Session, place: Place, role: Role) -> dict[uuid.UUID, Membership]:
    """The members of a place, in which the visitor must still have at least that role."""
    _organization, members = _lock(db, place.organization.id)
    replace(place, role=_role_now(members, place)).need(role)
    return members


def _lock_user(db: Session, user_id: uuid.UUID, wholly: bool = False) -> None:
    """Keeps a user from being deleted; wholly: from becoming a member anywhere too."""
    asked = select(User.id).where(User.id == user_id)
    if db.scalar(asked.with_for_update() if wholly else asked.with_for_update(read=True, key_share=True)) is None:
        raise SignedOutError


def _organizations_of(db: Session, user_id: uuid.UUID) -> Sequence[uuid.UUID]:
    return db.scalars(select(Membership.organization_id).where(Membership.user_id == user_id)).all()


def _role_now(members: dict[uuid.UUID, Membership], place: Place) -> Role:
    return Role(_member(members, place.user.id).role)


def _member(members: dict[uuid.UUID, Membership], user_id: uuid.UUID) -> Membership:
    if user_id not in members:
        raise NotFoundError
    return members[user_id]


def _owners(members: dict[uuid.UUID, Membership]) -> list[Membership]:
    return [each for each in members.values() if Role(each.role) is Role.OWNER]


def _count(db: Session, *where: ColumnElement[bool]) -> int:
    return db.scalar(select(func.count()).where(*where)) or 0


def _email(db: Session, user_id: uuid.UUID) -> str:
    return db.scalar(select(User.email).where(User.id == user_id)) or ""


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
