"""The rules of accounts: who is the first, how a browser is signed in, when a dangerous thing may be done.

Hashing a password takes long on purpose, so it is never done while a changing session holds the database: routes
commit what they counted, hash, and then write in a session of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import structlog
from fastapi import Request
from sqlalchemy import delete, exists, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lifelearn.workspace import throttle
from lifelearn.workspace.crypto import hash_token, new_token, password_is
from lifelearn.workspace.database import Database, ago, ahead, commit, now
from lifelearn.workspace.names import clean_email, forms_of_email
from lifelearn.workspace.pages import IDLE_DAYS, address_of, pages_of
from lifelearn.workspace.tables.accounts import Identity, PasswordReset, SignIn, User
from lifelearn.workspace.throttle import Limit

log = structlog.get_logger("lifelearn.accounts")

CODE_MINUTES = 10  # from the password to the second factor
RECENT_MINUTES = 10  # how long a confirmation serves those who have no password

# By network: an office with many people shares an address, so only failures stay counted there. By account and
# network: what one attacker can do to one account. By account: what many networks can do to it, loose enough that one
# attacker cannot keep its owner out.
SIGN_IN_NETWORK = Limit("sign-in network", 100, 900)
SIGN_IN_PAIR = Limit("sign-in pair", 10, 900)
SIGN_IN_ACCOUNT = Limit("sign-in account", 100, 3600)
REGISTER_NETWORK = Limit("register network", 60, 3600)
REGISTER_EMAIL = Limit("register email", 5, 3600)
CONFIRM_USER = Limit("confirm", 10, 900)
CODE_USER = Limit("code", 10, 900)
CODE_USER_DAY = Limit("code day", 50, 86_400)
RESET_NETWORK = Limit("reset network", 30, 3600)
RESET_EMAIL = Limit("reset email", 3, 3600)
OIDC_NETWORK = Limit("oidc network", 100, 900)


# Users


def has_users(db: Session) -> bool:
    return bool(db.scalar(select(exists(select(User.id)))))


def is_first(db: Session) -> bool:
    """Whether there are no users yet. If so, nobody else becomes one before this transaction ends."""
    if has_users(db):
        return False
    if db.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        db.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
    return not has_users(db)


def find(db: Session, email: str) -> User | None:
    """Whose address it is, however it is spelled, and whichever release has kept it."""
    forms = forms_of_email(email)
    found = {user.email: user for user in db.scalars(select(User).where(User.email.in_(forms)))}
    return next((found[form] for form in forms if form in found), None)


def add_user(db: Session, email: str, name: str, password_hash: str | None) -> User | None:
    """A new user; None where the address has an account, even one that is made at the same moment."""
    user = User(email=email, name=name, password_hash=password_hash)
    try:
        with db.begin_nested():
            db.add(user)
    except IntegrityError:
        return None
    log.info("registered", user=str(user.id))
    return user


# Sign-ins


def sign_in_limits(request: Request, email: str) -> list[tuple[Limit, str]]:
    """In this order for everybody, so that no two requests wait for each other.

    All spellings of an address count as one. What is no address counts too, but for a network alone: it is nobody's.
    """
    network = throttle.network(address_of(request))
    try:
        who = clean_email(email)
    except ValueError:
        return [(SIGN_IN_NETWORK, network), (SIGN_IN_PAIR, f"{network} ")]
    return [(SIGN_IN_NETWORK, network), (SIGN_IN_PAIR, f"{network} {who}"), (SIGN_IN_ACCOUNT, who)]


def begin(db: Session, request: Request, user: User, replaces: SignIn | None) -> tuple[str, SignIn]:
    """Signs a browser in, by a token that nobody had before; one with a second factor has yet to give its code.

    replaces: the browser's sign-in until now, which ends.
    """
    if replaces is not None:
        end(db, replaces.id)
    token, waits = new_token(), user.totp_secret is not None
    sign_in = SignIn(
        user_id=user.id,
        token_hash=hash_token(token),
        last_seen_at=now(),
        expires_at=ahead(minutes=CODE_MINUTES) if waits else ahead(days=IDLE_DAYS),
        confirmed_at=now(),
        browser=browser_name(request.headers.get("user-agent", "")),
        address=address_of(request),
        waits_for_code=waits,
    )
    db.add(sign_in)
    db.flush()
    log.info("signed in", user=str(user.id), waits_for_code=waits, address=sign_in.address)
    return token, sign_in


def renew(sign_in: SignIn) -> str:
    """A new token for a sign-in that may do more from now on; the old one is dead."""
    token = new_token()
    sign_in.token_hash = hash_token(token)
    sign_in.waits_for_code = False
    sign_in.last_seen_at, sign_in.expires_at, sign_in.confirmed_at = now(), ahead(days=IDLE_DAYS), now()
    return token


def end(db: Session, sign_in_id: uuid.UUID) -> None:
    db.execute(delete(SignIn).where(SignIn.id == sign_in_id).execution_options(synchronize_session=False))


def end_all(db: Session, user_id: uuid.UUID, but: uuid.UUID | None = None) -> None:
    """Signs a user out everywhere, but for one sign-in."""
    which = delete(SignIn).where(SignIn.user_id == user_id, *([SignIn.id != but] if but else []))
    db.execute(which.execution_options(synchronize_session=False))


def sign_ins_of(db: Session, user_id: uuid.UUID) -> Sequence[SignIn]:
    return db.scalars(
        select(SignIn)
        .where(SignIn.user_id == user_id, SignIn.expires_at > now())
        .order_by(SignIn.last_seen_at.desc(), SignIn.id)
    ).all()


def identities_of(db: Session, user_id: uuid.UUID) -> Sequence[Identity]:
    return db.scalars(select(Identity).where(Identity.user_id == user_id).order_by(Identity.created_at)).all()


# Dangerous things


def recently_confirmed(sign_in: SignIn) -> bool:
    return sign_in.confirmed_at > ago(minutes=RECENT_MINUTES)


def confirm(request: Request, db: Session, sign_in: SignIn, password: str) -> str:
    """Why a dangerous thing may not be done now; "" where it may: the password was right.

    Those who have none sign in again for it. Commits: nothing can be asked of the session afterwards.
    """
    user = sign_in.user
    if user.password_hash is None:
        commit(db)
        return "" if recently_confirmed(sign_in) else "Confirm first that it is you."
    CONFIRM_USER.count(db, str(user.id))
    commit(db)
    if not password_is(password, user.password_hash):
        log.info("confirmation failed", user=str(user.id))
        return "This is not your password."
    with pages_of(request).database.write() as writing:
        CONFIRM_USER.forgive(writing, str(user.id))
    return ""


def sweep(database: Database) -> None:
    """Removes what has expired: sign-ins, links for forgotten passwords, counted attempts."""
    with database.write() as db:
        for table in (SignIn, PasswordReset):
            db.execute(delete(table).where(table.expires_at < now()).execution_options(synchronize_session=False))
    throttle.sweep(database)


# What a browser calls itself, in the order in which the names exclude one another: all of them claim to be others.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi", "Vivaldi"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python", "Python"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def browser_name(agent: str) -> str:
    """A browser as its owner knows it, such as "Firefox on Linux"; nothing of what the agent says is kept as it is."""
    browser = next((name for sign, name in _BROWSERS if sign in agent), "Unknown browser")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    return f"{browser} on {system}" if system else browser
