"""Values that travel through a browser or a mail unread and unchanged: for one purpose, for a while.

They are not used up by use: what may happen once only needs a row in the database beside.
"""

from __future__ import annotations

import json
import time
from typing import Any

from cryptography.fernet import InvalidToken

from lifelearn.workspace.crypto import Keys

MOST_CHARACTERS = 4096


def seal(keys: Keys, purpose: str, seconds: int, **values: Any) -> str:
    return keys.seal(json.dumps({**values, "purpose": purpose, "until": time.time() + seconds}))


def unseal(keys: Keys, purpose: str, sealed: str) -> dict[str, Any] | None:
    """What was sealed; None where it was not by us, not for this, or too long ago."""
    if not sealed or len(sealed) > MOST_CHARACTERS:
        return None
    try:
        values = json.loads(keys.unseal(sealed))
    except (InvalidToken, ValueError):
        return None
    if not isinstance(values, dict) or values.get("purpose") != purpose or values.get("until", 0) < time.time():
        return None
    return values
