"""Keys by which programs act for a user in one organisation."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lifelearn.workspace.database import Base, Identified
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import Organization


class Scope(StrEnum):
    """What a key may do, within what its user may."""

    CHAT = "chat"  # /v1: completions and the list of models
    READ = "read"  # /api: read threads, members, settings
    WRITE = "write"  # /api: make and change threads
    ADMIN = "admin"  # /api: members, invites, audit log, and what others wrote; needs a user who may


class ApiKey(Identified, Base):
    """A key. start: its first characters, by which its owner knows it again; of the rest only a hash is kept."""

    __tablename__ = "api_keys"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    start: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)
    organization: Mapped[Organization] = relationship(lazy="joined", innerjoin=True)
