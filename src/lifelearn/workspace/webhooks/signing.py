"""A webhook's secret, and the signature that a receiver checks with it, as Standard Webhooks has them.

Kept sealed. After a rotation the former secret signs along for a day, so that a receiver can change over in its time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from cryptography.fernet import InvalidToken

from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import ahead, now

PREFIX = "whsec_"
BYTES = 32
OVERLAP_HOURS = 24


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def seal(keys: Keys, secret: str, former: str = "") -> str:
    """What is kept. former: what was kept before, whose secret goes on for a while."""
    parts = [secret]
    if former and (known := unseal(keys, former)):
        parts += [known[0], ahead(hours=OVERLAP_HOURS).isoformat()]
    return keys.seal(" ".join(parts))


def unseal(keys: Keys, sealed: str) -> list[str]:
    """The secrets that sign now, the latest first; none where the installation's key was changed."""
    try:
        secret, *former = keys.unseal(sealed).split(" ")
    except InvalidToken:
        return []
    return [secret, former[0]] if former and datetime.fromisoformat(former[1]) > now() else [secret]


def signature(known: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_sign(secret, signed)}" for secret in known)


def _sign(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
