"""The second factor: six digits from an authenticator app (RFC 6238), and recovery codes for who lost it.

Each code counts once, also when it arrives twice at the same moment. Knows no requests.
"""

from __future__ import annotations

import re
import secrets
import time
from hmac import compare_digest

import pyotp
import segno
import structlog
from cryptography.fernet import InvalidToken
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from lifelearn.workspace.crypto import Keys, hash_token
from lifelearn.workspace.tables.accounts import RecoveryCode, User

log = structlog.get_logger("lifelearn.accounts")

ISSUER = "Life-Learn"
SECONDS = 30
CODES, CODE_CHARACTERS, GROUP = 8, 16, 4
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what is mistaken for something else; 79 bits in all


def new_secret() -> str:
    return pyotp.random_base32()


def uri(secret: str, email: str) -> str:
    """What the QR code says to an authenticator app."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def picture(secret: str, email: str) -> str:
    """The QR code as an SVG of attributes alone, dark on light whatever the page's colours are. Safe in a page."""
    code = segno.make(uri(secret, email), error="m")
    return code.svg_inline(scale=4, border=4, dark="#000", light="#fff")


def matching_step(secret: str, code: str, moment: float | None = None) -> int | None:
    """Which half minute the code belongs to: this one, the one before or the one after, as clocks differ."""
    code = re.sub(r"\s", "", code)
    if not re.fullmatch(r"[0-9]{6}", code):
        return None
    now = int((time.time() if moment is None else moment) // SECONDS)
    otp = pyotp.TOTP(secret)
    matching = [step for step in (now - 1, now, now + 1) if compare_digest(otp.generate_otp(step), code)]
    return matching[-1] if matching else None


def turn_on(db: Session, keys: Keys, user: User, secret: str, step: int) -> list[str]:
    """Asks `user` for codes from now on. step: of the code that showed that the app works. Returns recovery codes."""
    user.totp_secret = keys.seal(secret)
    user.totp_last_step = step
    return new_recovery_codes(db, user)


def turn_off(db: Session, user: User) -> None:
    user.totp_secret = None
    user.totp_last_step = 0
    _forget_codes(db, user)


def new_recovery_codes(db: Session, user: User) -> list[str]:
    """Fresh codes; those before are of no use any more. They are known here and never again."""
    _forget_codes(db, user)
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARACTERS)) for _ in range(CODES)]
    db.add_all(RecoveryCode(user_id=user.id, code_hash=hash_token(code)) for code in codes)
    return ["-".join(re.findall(f".{{{GROUP}}}", code)) for code in codes]


def codes_left(db: Session, user: User) -> int:
    return db.scalar(select(func.count()).where(RecoveryCode.user_id == user.id)) or 0


def use(db: Session, keys: Keys, user: User, code: str) -> bool:
    """Whether `code` is right, of either kind; it is used up by that."""
    return _use_digits(db, keys, user, code) or _use_recovery(db, user, code)


def _use_digits(db: Session, keys: Keys, user: User, code: str) -> bool:
    if user.totp_secret is None:
        return False
    try:
        step = matching_step(keys.unseal(user.totp_secret), code)
    except InvalidToken:
        log.error("a second factor cannot be read: LL_SECRET_KEY is not the one it was set up with", user=str(user.id))
        return False
    if step is None:
        return False
    used = db.execute(
        update(User)
        .where(User.id == user.id, User.totp_last_step < step)  # looked at again behind the row's lock
        .values(totp_last_step=step)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    return used.first() is not None


def _use_recovery(db: Session, user: User, code: str) -> bool:
    code = re.sub(r"[\s-]", "", code).lower()
    if len(code) != CODE_CHARACTERS:
        return False
    used = db.execute(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user.id, RecoveryCode.code_hash == hash_token(code))
        .returning(RecoveryCode.id)
        .execution_options(synchronize_session=False)
    )
    return used.first() is not None


def _forget_codes(db: Session, user: User) -> None:
    db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id).execution_options(synchronize_session=False))
