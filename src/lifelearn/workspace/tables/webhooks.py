"""Webhooks: where an organisation wants to be told of what happens, and what was told; and notices in the page."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from lifelearn.workspace.database import Base, Identified

NOBODY = "-"


class Webhook(Identified, Base):
    """An address that is told. secret: sealed; signs each delivery. events: names, such as `version.activated`."""

    __tablename__ = "webhooks"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    author_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    url: Mapped[str]
    secret: Mapped[str]
    events: Mapped[list[str]] = mapped_column(JSON)
    enabled: Mapped[bool] = mapped_column(default=True)
    failures: Mapped[int] = mapped_column(default=0)  # deliveries in a row that were given up


class Happening(Identified, Base):
    """Something that members and webhooks are told of. name: noun.verb. user_id: whom it is for; None is everybody.

    path: where in the organisation it leads, such as /versions/3; NOBODY where it is told to webhooks alone.
    """

    __tablename__ = "happenings"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    title: Mapped[str]  # in a sentence
    path: Mapped[str] = mapped_column(default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    __table_args__ = (Index("ix_happenings_organization_id_created_at", "organization_id", "created_at"),)


class Delivery(Identified, Base):
    """One happening for one webhook: tried until it is taken, or given up. next_at: None once it is over."""

    __tablename__ = "deliveries"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    webhook_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    happening_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("happenings.id", ondelete="CASCADE"), index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime | None] = mapped_column(index=True)
    delivered_at: Mapped[datetime | None]
    status: Mapped[int | None]  # of the last answer
    problem: Mapped[str] = mapped_column(default="")


class Seen(Base):
    """Up to when a member has seen the notices of an organisation."""

    __tablename__ = "seen_notices"

    organization_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    until: Mapped[datetime]
