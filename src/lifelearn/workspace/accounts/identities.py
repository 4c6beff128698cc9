"""Who somebody from an OpenID Connect provider is here. The rules against taking over another's account.

An account is known by issuer and subject. An address alone opens no account that has a password: whoever registered it
first need not be whom the provider means, and the other way round. Nor one that is linked to another subject there:
providers give addresses of who left to somebody else. Knows no requests.
"""

from __future__ import annotations

import re
import uuid

import structlog
from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lifelearn.settings import Settings
from lifelearn.workspace.accounts import service
from lifelearn.workspace.accounts.oidc import Claims, OidcRefusedError
from lifelearn.workspace.errors import ConflictError
from lifelearn.workspace.names import NAME_CHARACTERS, clean_email, clean_name, same_address
from lifelearn.workspace.organizations.inviting import open_invite
from lifelearn.workspace.tables.accounts import Identity, User
from lifelearn.workspace.tables.organizations import Invite

log = structlog.get_logger("lifelearn.accounts")

INVITE = re.compile(r"/invites/([A-Za-z0-9_-]{16,200})")


def invite_of(db: Session, where: str) -> Invite | None:
    """The open invite that an address such as /invites/TOKEN leads to."""
    found = INVITE.fullmatch(where)
    return open_invite(db, found[1]) if found else None


def owner_of(db: Session, claims: Claims) -> uuid.UUID | None:
    return db.scalar(
        select(Identity.user_id).where(Identity.issuer == claims.issuer, Identity.subject == claims.subject)
    )


def user_of(db: Session, settings: Settings, claims: Claims, where: str) -> User:
    """The user with these claims, made or linked where that is safe. Raises OidcRefusedError where it is not.

    where: the path that the visitor wants, an invite's for one who is invited.
    """
    owner = owner_of(db, claims)
    if owner is not None:
        return db.get_one(User, owner)
    email = _address(settings, claims)
    first = service.is_first(db)
    user = service.find(db, claims.email)
    if user is not None:
        if user.password_hash is not None:
            raise OidcRefusedError(
                f"There is an account with the address {email}. Sign in with its password, then link "
                f"{settings.oidc_name} on your account page."
            )
        if db.scalar(select(exists().where(Identity.user_id == user.id, Identity.issuer == claims.issuer))):
            raise OidcRefusedError(
                f"The account with the address {email} belongs to another identity at {settings.oidc_name}."
            )
    else:
        if settings.registration == "invited" and not first:
            invite = invite_of(db, where)
            if invite is None or not same_address(invite.email, email):
                raise OidcRefusedError("New accounts need an invite here, sent to the address that you sign in with.")
        user = service.add_user(db, email, _name(claims.name, email), None)
    if user is None:
        raise _meanwhile()
    link(db, user.id, claims)
    return user


def link(db: Session, user_id: uuid.UUID, claims: Claims) -> None:
    """Lets a user sign in as that identity. Raises OidcRefusedError where it is somebody else's."""
    owner = owner_of(db, claims)
    if owner == user_id:
        return
    if owner is not None:
        raise OidcRefusedError("That identity belongs to another account here. Sign in with it, and unlink it there.")
    try:
        with db.begin_nested():
            db.add(Identity(user_id=user_id, issuer=claims.issuer, subject=claims.subject))
    except IntegrityError:
        raise _meanwhile() from None
    log.info("identity linked", user=str(user_id), issuer=claims.issuer)


def _address(settings: Settings, claims: Claims) -> str:
    """The address that the provider vouches for. Raises OidcRefusedError, which says what is missing and who can help.

    What it calls unverified is refused even where it is trusted; trust counts where it says nothing.
    """
    name = settings.oidc_name
    if not claims.email:
        raise OidcRefusedError(f"{name} did not give an e-mail address for you, and an account here needs one.")
    try:
        email = clean_email(claims.email)
    except ValueError:
        raise OidcRefusedError(f"{name} gave an e-mail address for you that cannot be used here.") from None
    if claims.verified is False:
        raise OidcRefusedError(
            f"{name} says that your e-mail address is not verified. Verify it there, then try again."
        )
    if claims.verified is None and not settings.oidc_trust_emails:
        raise OidcRefusedError(
            f"{name} did not say whether your e-mail address is verified. Ask who runs this server to have {name} say "
            "so (email_verified), or, where its administrators give out the addresses, to set LL_OIDC_TRUST_EMAILS."
        )
    return email


def _name(name: str, email: str) -> str:
    """What the provider calls somebody, as far as it is a name."""
    for each in (name, email.partition("@")[0]):
        try:
            return clean_name(each[:NAME_CHARACTERS])
        except ValueError:
            continue
    return "Somebody"


def _meanwhile() -> ConflictError:
    return ConflictError("You signed in twice at the same moment. Try again.")
