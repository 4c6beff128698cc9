"""Jobs that learn, and the workers that run them. What a job is about is in its corrections; how far it is, here."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from lifelearn.workspace.database import Base, Identified, now


class Kind(StrEnum):
    """LEARN: corrections on top of the active version. FORGET: the later ones again, without one that was withdrawn."""

    LEARN = "learn"
    FORGET = "forget"


class State(StrEnum):
    """QUEUED and RUNNING jobs are on their way; the others have ended. DONE: its version went live, or needed not."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (State.DONE, State.FAILED, State.CANCELLED)


class Job(Identified, Base):
    """A job of an organisation; its durable run is called `learn:<id>`.

    attempt: raised each time that a worker takes it. A worker may write only while the number is still its own: of two
    that both believe they own the job, one does not count. cancel_requested_at: the worker ends it soon after.
    stage, progress: how far it is: {"step", "steps", "loss", "losses", "message"}. correction_id: what a FORGET job
    forgets. version: the version that came of it, gone live or not.
    """

    __tablename__ = "jobs"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    author_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default=State.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[uuid.UUID | None]
    cancel_requested_at: Mapped[datetime | None]
    stage: Mapped[str] = mapped_column(default="")
    progress: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    problem: Mapped[str] = mapped_column(default="")
    correction_id: Mapped[uuid.UUID | None]
    version: Mapped[int | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_jobs_organization_id_created_at", "organization_id", "created_at"),)


class Worker(Base):
    """A process that takes jobs. beat: counted up while it lives; others watch whether it moves."""

    __tablename__ = "workers"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(default=now)
    beat: Mapped[int] = mapped_column(default=0)
