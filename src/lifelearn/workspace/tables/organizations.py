"""Organisations, who belongs to them, who is invited, and what happened. An organisation owns all that it has."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lifelearn.workspace.database import Base, Identified, now
from lifelearn.workspace.tables.accounts import User


class Role(StrEnum):
    """What a member may do; each may what those before it may."""

    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        return list(Role).index(self)


class Organization(Identified, Base):
    """A team with its own model.

    active_version: 0 is the base model. revision: raised by each change of the settings, so that two people who edit
    at once do not undo each other's changes unseen.
    """

    __tablename__ = "organizations"

    name: Mapped[str]
    base_model: Mapped[str]
    active_version: Mapped[int] = mapped_column(default=0)
    instructions: Mapped[str] = mapped_column(default="")  # the system message of its chats
    temperature: Mapped[float] = mapped_column(default=0.0)
    max_tokens: Mapped[int] = mapped_column(default=256)
    correction_policy: Mapped[str] = mapped_column(default="auto")  # a Policy of corrections.py
    revision: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012


class Membership(Base):
    """A user in an organisation."""

    __tablename__ = "memberships"

    organization_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str]  # a Role
    created_at: Mapped[datetime] = mapped_column(default=now)
    organization: Mapped[Organization] = relationship(lazy="joined", innerjoin=True)
    user: Mapped[User] = relationship()


class Invite(Identified, Base):
    """A link by which one person, known by the address, may join once."""

    __tablename__ = "invites"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    email: Mapped[str]
    role: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    invited_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    organization: Mapped[Organization] = relationship()


class AuditEvent(Identified, Base):
    """Something that somebody did. actor: the address then, which outlives the account."""

    __tablename__ = "audit_events"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    actor_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    actor: Mapped[str]
    action: Mapped[str]  # noun.verb: "member.removed"
    target: Mapped[str] = mapped_column(default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    address: Mapped[str] = mapped_column(default="")

    __table_args__ = (Index("ix_audit_events_organization_id_created_at", "organization_id", "created_at"),)
