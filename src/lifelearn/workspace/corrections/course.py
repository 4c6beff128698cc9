"""The course of a correction: whom it waits for, where it settles, what ends its job. Decides nothing.

Where several rows are locked, the organisation comes first, then the job, then the correction.
"""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.settings import Settings
from lifelearn.workspace.corrections.permits import may
from lifelearn.workspace.corrections.telling import short, tell_mine, tell_of
from lifelearn.workspace.database import now
from lifelearn.workspace.errors import ConflictError, NotFoundError
from lifelearn.workspace.jobs import service as jobs
from lifelearn.workspace.organizations.access import corrections_seen_by
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.corrections import TAUGHT, Correction, State
from lifelearn.workspace.tables.jobs import ENDED, Job, Kind
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.throttle import Limit

HOUR = 3600


def ask(db: Session, correction: Correction) -> None:
    correction.state = State.ASKED
    tell_mine(db, correction, "correction.asked", "Was that a correction? Say whether it is to be taught.")


def to_review(db: Session, correction: Correction) -> None:
    correction.state, correction.settled_at, correction.reason = State.REVIEW, None, ""
    correction.version, correction.problem, correction.decided_by = None, "", None  # of what it said before
    # For everybody who may see it, and without its words: those are its member's and the admins' until it is taught.
    tell_of(db, correction, "correction.review", "A correction waits for review.", "/review")


def cancel_job(db: Session, place: Place, correction: Correction) -> bool:
    """Ends the job that learns it; False if others' corrections would go with it, and the visitor may not end those."""
    if correction.job_id is None:
        return False
    job = db.scalar(select(Job).where(Job.id == correction.job_id).with_for_update())
    db.refresh(correction)
    if job is None or correction.job_id != job.id or correction.state not in TAUGHT:
        raise ConflictError("This correction is further than that by now. Load the page again and look.")
    together = jobs.corrections_of(db, job)
    if any("cancel" not in may(place, each) for each in together):
        return False
    jobs.cancel(db, job)
    for each in together:
        if each.state == State.WITHDRAWN:
            tell_mine(db, each, "correction.withdrawn", f"Not learned any more: {short(each.statement)}")
    return True


def forgetting_job(db: Session, correction: Correction) -> Job | None:
    """The job that is about to forget it, locked, if there is one."""
    query = select(Job).where(
        Job.organization_id == correction.organization_id,
        Job.kind == Kind.FORGET,
        Job.correction_id == correction.id,
        Job.state.not_in(ENDED),
    )
    return db.scalar(query.with_for_update())


def settle(correction: Correction, state: State, by: uuid.UUID | None, reason: str = "") -> None:
    correction.state, correction.settled_at = state, now()
    correction.decided_by, correction.reason = by, reason


def hourly_limit(settings: Settings) -> Limit:
    return Limit("correction", settings.corrections_per_hour, HOUR)


def lock(db: Session, organization_id: uuid.UUID) -> None:
    """In an organisation one thing is said at a time, so that two corrections that contradict each other see one
    another, and nobody waits for who waits for them."""
    db.execute(select(Organization.id).where(Organization.id == organization_id).with_for_update(key_share=True))


def locked(db: Session, place: Place, correction_id: uuid.UUID) -> Correction:
    lock(db, place.organization.id)
    query = corrections_seen_by(place).where(Correction.id == correction_id).with_for_update(of=Correction)
    found = db.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFoundError
    return found
