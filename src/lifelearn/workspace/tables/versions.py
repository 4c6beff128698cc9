"""Versions of an organisation's model, which of them was made the active one when, and what each holds."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, mapped_column, relationship

from lifelearn.learning import types as learning
from lifelearn.workspace.database import Base, Identified, now
from lifelearn.workspace.tables.accounts import User


class Reason(StrEnum):
    """Why a version was made the active one."""

    LEARNED = "learned"
    FORGOTTEN = "forgotten"
    CHOSEN = "chosen"  # by somebody: an activation, or a rollback


def _without_answers(context: DefaultExecutionContext) -> list[dict[str, Any]]:
    """The checks of a version's manifest: with all answers they are many times larger."""
    checks = context.get_current_parameters()["manifest"]["report"]["checks"]  # type: ignore[no-untyped-call]
    return [{name: value for name, value in check.items() if name != "answers"} for check in checks]


class Version(Identified, Base):
    """A complete version. `id` names its folder in the storage; `number` is the organisation's count, from 1.

    Written once and never changed. Which version is active is the organisation's `active_version` alone; the others are
    candidates, archived or rejected by `passed` and by whether an activation names them. files: name -> SHA-256.
    manifest: the version's `ModelVersion`, with its report. checks: the report's, without answers, for lists.
    """

    __tablename__ = "versions"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    number: Mapped[int]
    parent: Mapped[int]
    base: Mapped[str]
    passed: Mapped[bool]
    bytes: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]
    files: Mapped[dict[str, str]] = mapped_column(JSON)
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON, deferred=True)
    checks: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=_without_answers)
    author_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    author: Mapped[User | None] = relationship()

    __table_args__ = (UniqueConstraint("organization_id", "number"),)

    def model(self) -> learning.ModelVersion:
        return learning.ModelVersion.model_validate(self.manifest)


class Activation(Identified, Base):
    """A version was made the active one; 0 is the base. A rollback is one, too. author_id: None for a job's own."""

    __tablename__ = "activations"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    number: Mapped[int]
    previous: Mapped[int]
    reason: Mapped[str]
    author_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    author: Mapped[User | None] = relationship()

    __table_args__ = (Index("ix_activations_organization_id_created_at", "organization_id", "created_at"),)


class Verdict(Base):
    """Whether a version holds a correction: a cell of the retention matrix, by the answer that it gave when asked."""

    __tablename__ = "verdicts"

    organization_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    correction_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("corrections.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    holds: Mapped[bool]
    answer: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(default=now)
