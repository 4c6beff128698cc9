"""Jobs as the rest of the workspace sees them: begun in the transaction of what they are about, or not at all.

Nothing here runs a job: that is a worker's (worker.py). Each function takes the session of the request.
"""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.workspace.database import now
from lifelearn.workspace.errors import ConflictError, NotFoundError
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import ENDED, Job, Kind, State


def teach(db: Session, queue: LearningQueue, correction: Correction, author_id: uuid.UUID | None) -> Job:
    """Has a correction learned: for the first time, or again after it failed or its version did not pass.

    The caller has checked who may. From the commit on it survives anything until it is learned or has failed, with the
    reason in `problem`. author_id: who said so; None for the organisation's policy.
    """
    if correction.state in (CorrectionState.QUEUED, CorrectionState.LEARNING, CorrectionState.LEARNED):
        raise ConflictError("This correction is on its way already, or was learned.")
    job = _begun(db, queue, Job(organization_id=correction.organization_id, author_id=author_id, kind=Kind.LEARN))
    correction.state, correction.job_id = CorrectionState.QUEUED, job.id
    correction.problem, correction.version, correction.settled_at = "", None, None
    return job


def forget(db: Session, queue: LearningQueue, correction: Correction, author_id: uuid.UUID | None) -> Job:
    """Has a learned correction forgotten; it stays learned until the job has made a version without it."""
    if correction.state != CorrectionState.LEARNED:
        raise ConflictError("Only what was learned can be forgotten.")
    job = Job(
        organization_id=correction.organization_id,
        author_id=author_id,
        kind=Kind.FORGET,
        correction_id=correction.id,
    )
    return _begun(db, queue, job)


def cancel(db: Session, job: Job) -> None:
    """Ends a job: at once where it waits, within a second or so where it runs. One that has ended stays as it is."""
    if job.state in ENDED:
        return
    job.cancel_requested_at = job.cancel_requested_at or now()
    if job.state != State.QUEUED:
        return  # its worker sees the mark
    job.state, job.ended_at = State.CANCELLED, now()
    for correction in corrections_of(db, job):
        correction.state, correction.settled_at = CorrectionState.WITHDRAWN, now()


def job_of(db: Session, organization_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """Raises NotFoundError."""
    found = db.scalar(select(Job).where(Job.id == job_id, Job.organization_id == organization_id))
    if found is None:
        raise NotFoundError
    return found


def corrections_of(db: Session, job: Job) -> list[Correction]:
    """What the job learns, oldest first."""
    query = select(Correction).where(Correction.job_id == job.id).order_by(Correction.created_at, Correction.id)
    return list(db.scalars(query))


def _begun(db: Session, queue: LearningQueue, job: Job) -> Job:
    db.add(job)
    db.flush()
    queue.enqueue(db, job)
    return job
