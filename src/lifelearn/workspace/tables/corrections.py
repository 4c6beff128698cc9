"""Corrections: what somebody said was wrong and what is right, from the message to the version that learned it."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lifelearn.learning import types as learning
from lifelearn.workspace.database import Base, Identified
from lifelearn.workspace.tables.accounts import User


class Policy(StrEnum):
    """What becomes of a correction by itself. AUTO: it is taught. ASK: its member is asked. REVIEW: an admin is."""

    AUTO = "auto"
    ASK = "ask"
    REVIEW = "review"


class Source(StrEnum):
    """How it came: noticed in a message, stated under an answer, or sent by a program."""

    DETECTED = "detected"
    EXPLICIT = "explicit"
    PROGRAM = "program"


class State(StrEnum):
    """Where a correction is.

    ASKED: waits for its member's word. REVIEW: for an admin's. QUEUED: acknowledged; a job learns it. LEARNED: in the
    version `version`. FAILED: `problem` says why; it can be taught again. REJECTED: by an admin, who said why.
    DISMISSED: it is no correction. WITHDRAWN: taken back before it was learned, or forgotten afterwards.
    """

    ASKED = "asked"
    REVIEW = "review"
    QUEUED = "queued"
    LEARNING = "learning"
    LEARNED = "learned"
    FAILED = "failed"
    REJECTED = "rejected"
    DISMISSED = "dismissed"
    WITHDRAWN = "withdrawn"


OPEN = (State.ASKED, State.REVIEW)  # somebody has to say something
TAUGHT = (State.QUEUED, State.LEARNING)  # on its way into the weights


class Correction(Identified, Base):
    """A correction in an organisation. The fields up to `confidence` are those of `learning.Correction`.

    message_id: the correcting message, once each; None where it was stated under the answer or sent by a program.
    answer_id: the answer that was wrong. flags: what looks secret or personal in it, for people to see.
    worded_by: who changed its words last, where somebody did. conflicts_with: an earlier correction of the same
    question with another answer, which this one replaces if somebody says so. job_id: the job that learns or learned
    it. version: the last version that learned it, or failed to; what a version holds is told by versions/lines.py.
    """

    __tablename__ = "corrections"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    thread_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("threads.id", ondelete="SET NULL"), index=True)
    message_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"), unique=True)
    answer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"), index=True)
    author_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    question: Mapped[str]
    wrong: Mapped[str] = mapped_column(default="")
    message: Mapped[str] = mapped_column(default="")
    statement: Mapped[str]
    answer: Mapped[str]
    confidence: Mapped[float] = mapped_column(default=1.0)
    source: Mapped[str]
    state: Mapped[str]
    problem: Mapped[str] = mapped_column(default="")
    flags: Mapped[list[str]] = mapped_column(JSON, default=list)
    conflicts_with: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("corrections.id", ondelete="SET NULL"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    version: Mapped[int | None]
    worded_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    decided_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    reason: Mapped[str] = mapped_column(default="")
    settled_at: Mapped[datetime | None]
    author: Mapped[User | None] = relationship(foreign_keys=[author_id])

    @property
    def writers(self) -> tuple[uuid.UUID | None, uuid.UUID | None]:
        """Whose words it has: its author's, and who changed them last."""
        return self.author_id, self.worded_by

    __table_args__ = (
        Index("ix_corrections_organization_id_created_at", "organization_id", "created_at"),
        Index("ix_corrections_organization_id_state", "organization_id", "state"),
    )

    def value(self) -> learning.Correction:
        """As the engine takes it."""
        names = ("question", "wrong", "message", "statement", "answer", "confidence")
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        return learning.Correction(id=str(self.id), **values)
