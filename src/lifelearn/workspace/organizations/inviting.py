"""Invites: who may be asked to join by whom, and the link that lets one person in once."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from fastapi import Request
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session, joinedload

from lifelearn.settings import Settings
from lifelearn.workspace import mail
from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import ago, ahead, now
from lifelearn.workspace.errors import ForbiddenError, InvalidError, NotFoundError, TooManyError
from lifelearn.workspace.names import email_of, forms_of_email, same_address
from lifelearn.workspace.organizations.audit import record
from lifelearn.workspace.organizations.locks import count_of, lock, lock_user, members_locked, role_now
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import Invite, Membership, Role

INVITE_DAYS = 7
INVITES_AN_HOUR = 30  # by one organisation, and by one user in all organisations


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
    mine = role_now(members_locked(db, place, Role.ADMIN), place)
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
    _organization, members = lock(db, seen.organization_id)
    lock_user(db, user.id)
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
        if count_of(db, whose, Invite.created_at > ago(hours=1)) >= INVITES_AN_HOUR:
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
    mine = role_now(members_locked(db, place, Role.ADMIN), place)
    found = db.scalar(
        select(Invite).where(Invite.id == invite_id, Invite.organization_id == place.organization.id, *_open())
    )
    if found is None:
        raise NotFoundError
    if Role(found.role).rank > mine.rank:
        raise ForbiddenError("That invite is for a role above your own. Ask an owner.")
    return found


def revoke_invites_of(db: Session, organization_id: uuid.UUID, user_id: uuid.UUID, above: Role | None = None) -> None:
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
