"""Users, how they sign in, and where they are signed in. Of every secret only a hash is kept, or a sealed form."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lifelearn.workspace.database import Base, Identified


class User(Identified, Base):
    """A person. email: in lower case. password_hash: None for who signs in elsewhere only."""

    __tablename__ = "users"

    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str | None]
    totp_secret: Mapped[str | None]  # sealed with the secret key
    totp_last_step: Mapped[int] = mapped_column(default=0)  # a code counts once
    theme: Mapped[str] = mapped_column(default="auto")


class SignIn(Identified, Base):
    """A browser in which a user is signed in; deleting the row signs it out at once.

    waits_for_code: the password was right, the second factor is still to come; until then it signs in to nothing.
    """

    __tablename__ = "sign_ins"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    confirmed_at: Mapped[datetime]  # when the password was last given: dangerous things ask for it again
    browser: Mapped[str] = mapped_column(default="")
    address: Mapped[str] = mapped_column(default="")
    waits_for_code: Mapped[bool] = mapped_column(default=False)
    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)


class Identity(Identified, Base):
    """A user at an OpenID Connect provider."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    issuer: Mapped[str]
    subject: Mapped[str]


class RecoveryCode(Identified, Base):
    """A code for who lost the second factor; used once."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    code_hash: Mapped[str]


class PasswordReset(Identified, Base):
    """A link by which a forgotten password is replaced; used once."""

    __tablename__ = "password_resets"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
