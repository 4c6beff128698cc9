"""Secrets: the key of this installation, tokens of which only a hash is kept, values that are kept sealed.

Passwords by argon2 (pwdlib), sealing by Fernet (cryptography): nothing of it is written here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from lifelearn.settings import Settings

TOKEN_BYTES = 32
KEY_FILE = "secret_key"
KEY_CHARACTERS = 32  # at least, as LL_SECRET_KEY has it
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL

# OWASP's smallest recommended argon2id: 19 MiB, two passes.
_PASSWORDS = PasswordHash((Argon2Hasher(memory_cost=19_456, time_cost=2, parallelism=1),))
_NOBODYS = _PASSWORDS.hash(secrets.token_urlsafe())
_AT_ONCE = threading.BoundedSemaphore(4)  # many sign-ins at the same moment do not take all memory


def hash_password(password: str) -> str:
    with _AT_ONCE:
        return _PASSWORDS.hash(password)


def password_is(password: str, hashed: str | None) -> bool:
    """Whether it is; takes as long for an account that does not exist or has no password."""
    with _AT_ONCE:
        right = _PASSWORDS.verify(password, hashed or _NOBODYS)
    return right and hashed is not None


def new_token(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What is kept of a token. It is random and long, so that a plain hash cannot be turned back."""
    return hashlib.sha256(token.encode()).hexdigest()


class KeyFileError(Exception):
    """The file with the secret key cannot be used. The text says why and what to do."""


class Keys:
    """What this installation signs and seals with, each use by a key of its own."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        """The configured key, or the one that is generated once and kept in the data folder. Raises KeyFileError."""
        if settings.secret_key is not None:
            return cls(settings.secret_key.get_secret_value())
        file = (settings.folder / KEY_FILE).absolute()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), os.fdopen(os.open(file, _NEW, 0o600), "w") as stream:
                stream.write(secrets.token_urlsafe(48))
            return cls(_kept(file))
        except OSError as error:
            raise KeyFileError(
                f"The secret key cannot be kept in {file.parent}: {error.strerror}. Begin in a folder that this user "
                "may write to, or set LL_MODEL_STORAGE_DIR to such a folder."
            ) from error

    def sign(self, purpose: str, text: str) -> str:
        """A signature of `text`, of no use for another purpose."""
        return hmac.new(self._derived(purpose), text.encode(), hashlib.sha256).hexdigest()

    def signed(self, purpose: str, text: str, signature: str) -> bool:
        return hmac.compare_digest(self.sign(purpose, text).encode(), signature.encode())

    def seal(self, text: str) -> str:
        return self._fernet().encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Raises cryptography's InvalidToken where it was sealed with another key."""
        return self._fernet().decrypt(sealed.encode()).decode()

    def _fernet(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(self._derived("seal")))

    def _derived(self, purpose: str) -> bytes:
        return hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()


def _kept(file: Path) -> str:
    """The key in the file. Another process may have made the file a moment ago and not filled it yet."""
    import time

    for _ in range(50):
        if len(text := file.read_text(errors="replace").strip()) >= KEY_CHARACTERS:
            return text
        time.sleep(0.02)
    raise KeyFileError(
        f"The secret key in {file} is too short: it needs {KEY_CHARACTERS} characters at least. Put the right one back "
        "from a backup, or set LL_SECRET_KEY. If there is none, remove the file to have a new one: second factors and "
        "webhooks are then to be set up anew."
    )
