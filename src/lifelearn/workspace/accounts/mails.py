"""What accounts send by mail, after the answer has been given: nobody can tell by waiting whether an address is known.

Knows no requests. A mail that cannot be sent is logged; whoever waits for it asks again.
"""

from __future__ import annotations

import uuid

import structlog
from sqlalchemy import select

from lifelearn.workspace import mail
from lifelearn.workspace.accounts import sealed, service
from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import ahead
from lifelearn.workspace.errors import UnavailableError
from lifelearn.workspace.pages import Pages
from lifelearn.workspace.tables.accounts import PasswordReset, User

log = structlog.get_logger("lifelearn.accounts")

RESET_MINUTES = 60
CONFIRM_HOURS = 24
REGISTRATION = "registration"  # purpose of what is sealed


def registration(pages: Pages, email: str, name: str, password_hash: str, where: str) -> None:
    """A link that completes a registration; to somebody who has an account, that there is one."""
    with pages.database.read() as db:
        known = service.find(db, email) is not None
    address = pages.settings.public_url
    if known:
        text = (
            f"Somebody, probably you, tried to register at {address} with this address. It has an account already.\n\n"
            f"Sign in: {address}/sign-in\nForgot the password? {address}/forgotten-password\n"
        )
        _send(pages, email, "You have an account already", text)
        return
    # The name that somebody else may have entered is not in the mail: it could be words of theirs.
    values = {"email": email, "name": name, "password_hash": password_hash, "next": where}
    link = f"{address}/register/{sealed.seal(pages.keys, REGISTRATION, CONFIRM_HOURS * 3600, **values)}"
    text = (
        f"Somebody, probably you, registered at {address} with this address. To complete it, open this link within "
        f"{CONFIRM_HOURS} hours and enter the password that you chose:\n\n{link}\n\n"
        "If it was not you, do nothing: without the link there is no account.\n"
    )
    _send(pages, email, "Complete your registration", text)


def reset(pages: Pages, email: str) -> None:
    """A link by which a forgotten password is replaced, if the address, however it is spelled, has an account."""
    address = pages.settings.public_url
    token = new_token()
    with pages.database.write() as db:
        user = service.find(db, email)
        if user is None:
            return
        elsewhere = user.password_hash is None and pages.settings.oidc_issuer is not None
        if not elsewhere:
            values = {"token_hash": hash_token(token), "expires_at": ahead(minutes=RESET_MINUTES)}
            db.add(PasswordReset(user_id=user.id, **values))
    if elsewhere:  # a password would be a way around what the provider asks for
        text = f"Your account has no password. Sign in by {pages.settings.oidc_name}: {address}/sign-in\n"
    else:
        text = (
            f"Somebody, probably you, forgot the password for {address}. Choose a new one within {RESET_MINUTES} "
            f"minutes:\n\n{address}/reset-password/{token}\n\nIf it was not you, do nothing: your password stays.\n"
        )
    _send(pages, user.email, "Your password", text)  # never to another spelling, which may be another's mailbox


def changed(pages: Pages, user_id: uuid.UUID, what: str) -> None:
    """Tells somebody that the way into the account has changed. what: a sentence."""
    if pages.settings.smtp_url is None:
        return
    with pages.database.read() as db:
        email = db.scalar(select(User.email).where(User.id == user_id))
    if email is None:
        return
    text = f"{what}\n\nIf it was not you, look at your account: {pages.settings.public_url}/account\n"
    _send(pages, email, "Your account has changed", text)


def _send(pages: Pages, to: str, subject: str, text: str) -> None:
    try:
        mail.send(pages.settings, to=to, subject=subject, text=text)
    except UnavailableError as error:
        log.warning("mail not sent", why=error.message)
