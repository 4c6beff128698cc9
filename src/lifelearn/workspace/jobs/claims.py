"""A worker's hold on a job: taking it, and saying how far it is.

A worker writes only while its attempt is the job's latest, so that of two that both believe they own it one does not
count: `LostError` tells the other. Knows no engine and no processes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Database, now
from lifelearn.workspace.tables.jobs import Job, State
from lifelearn.workspace.tables.organizations import Organization

ALONE = "alone"  # in a job's progress: it is not to be learned together with others


class LostError(Exception):
    """The job is no longer this worker's: it was deleted with its organisation, or another worker took it."""


class CancelledError(Exception):
    """Somebody asked for the job to end."""


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a job."""

    job_id: uuid.UUID
    organization_id: uuid.UUID
    attempt: int


def claim(database: Database, job_id: uuid.UUID, worker_id: uuid.UUID) -> Claim | None:
    """Takes a job; None where there is nothing left to do."""
    with database.write() as db:
        job = db.scalar(select(Job).where(Job.id == job_id).with_for_update())
        if job is None or job.state not in (State.QUEUED, State.RUNNING):
            return None
        job.attempt += 1
        job.worker_id, job.state, job.started_at = worker_id, State.RUNNING, job.started_at or now()
        return Claim(job.id, job.organization_id, job.attempt)


def tick(database: Database, held: Claim, stage: str | None = None, progress: Mapping[str, Any] | None = None) -> None:
    """Says how far the job is. Raises LostError, and CancelledError where somebody asked for its end."""
    with database.write() as db:
        job = job_locked(db, held)
        if stage is not None:
            job.stage = stage
        if progress is not None:
            job.progress = {**({ALONE: True} if job.progress.get(ALONE) else {}), **progress}


def organization_locked(db: Session, held: Claim) -> Organization:
    """The job's organisation, locked: before the job, as everybody does. Raises LostError where it is gone."""
    query = select(Organization).where(Organization.id == held.organization_id)
    organization = db.scalar(query.with_for_update(key_share=True))
    if organization is None:
        raise LostError
    return organization


def job_locked(db: Session, held: Claim, cancelled_too: bool = False) -> Job:
    """The job, locked. Raises LostError where it is not this worker's any more."""
    job = db.scalar(select(Job).where(Job.id == held.job_id).with_for_update())
    if job is None or job.attempt != held.attempt or job.state != State.RUNNING:
        raise LostError
    if job.cancel_requested_at is not None and not cancelled_too:
        raise CancelledError
    return job
