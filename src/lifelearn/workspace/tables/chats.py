"""Threads and their messages: a tree, since a message can be edited and an answer made again."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lifelearn.workspace.database import Base, Identified, now
from lifelearn.workspace.tables.accounts import User

UNEXAMINED = text("role = 'user' AND examined_at IS NULL")


class Status(StrEnum):
    """How far an answer is. INTERRUPTED: the process that wrote it ended; what it had is kept."""

    STREAMING = "streaming"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Thread(Identified, Base):
    """A chat. shared: all members see it and write in it; else only its owner. leaf_id: the end of the shown branch."""

    __tablename__ = "threads"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    title: Mapped[str]
    shared: Mapped[bool] = mapped_column(default=False)
    leaf_id: Mapped[uuid.UUID | None]
    updated_at: Mapped[datetime] = mapped_column(default=now)
    owner: Mapped[User] = relationship()

    __table_args__ = (Index("ix_threads_organization_id_updated_at", "organization_id", "updated_at"),)


class Message(Identified, Base):
    """One turn. parent_id: the turn before it; None for the first. version: of the model that answered.

    author_id: who wrote it; of an answer, who asked for it. saved_at: when the process that writes an answer last said
    that it is alive. html: an answer's content as HTML, None where it is yet to be rendered; html_form: the renderer's
    FORM then. It is read apart from the rest (chats/shown.py).
    """

    __tablename__ = "messages"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    thread_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), index=True)
    parent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"), index=True)
    author_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    role: Mapped[str]  # user or assistant
    content: Mapped[str] = mapped_column(default="")
    html: Mapped[str | None] = mapped_column(deferred=True)
    html_form: Mapped[int | None] = mapped_column(deferred=True)
    status: Mapped[str] = mapped_column(default=Status.COMPLETE)
    error: Mapped[str] = mapped_column(default="")
    version: Mapped[int | None]
    model: Mapped[str] = mapped_column(default="")
    saved_at: Mapped[datetime | None]
    examined_at: Mapped[datetime | None]  # of a user's message: when it was looked at whether it corrects an answer
    told: Mapped[int] = mapped_column(default=0)  # corrections that were not learned yet, and were told to the model
    marked_wrong_at: Mapped[datetime | None]
    right_answer: Mapped[str] = mapped_column(default="")  # what the user says is right, once it is marked
    author: Mapped[User | None] = relationship()

    __table_args__ = (
        Index("ix_messages_author_id_created_at", "author_id", "created_at"),
        Index("ix_messages_unexamined", "created_at", sqlite_where=UNEXAMINED, postgresql_where=UNEXAMINED),
    )
