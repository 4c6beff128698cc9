"""How a job ends, in one transaction: its version goes live or not, its corrections are learned, or fail and may be
taught again. Knows no engine and no processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from lifelearn.learning.types import ModelVersion
from lifelearn.workspace.database import Database, now
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.claims import ALONE, Claim, job_locked, organization_locked
from lifelearn.workspace.jobs.keeping import Made, kept
from lifelearn.workspace.jobs.plans import Plan, corrections
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import Job, Kind, State
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Reason, Version
from lifelearn.workspace.versions.service import activate, failure
from lifelearn.workspace.webhooks.service import tell


def settle(database: Database, queue: LearningQueue, held: Claim, planned: Plan, made: Sequence[Made]) -> bool:
    """Keeps what was made, and makes it the active version if it passed. False: another version was made active
    meanwhile, and the job is to be planned anew; what was made stays as a candidate."""
    with database.write() as db:
        organization = organization_locked(db, held)
        job = job_locked(db, held)
        fresh = organization.active_version == planned.active
        if job.kind == Kind.FORGET:
            if not fresh:
                return False
            _forgotten(db, job, organization, planned, made)
            return True
        if not made:  # nothing was left to learn
            _end(job, State.DONE)
            return True
        (only,) = made
        version = kept(db, job, only)
        if not only.version.report.passed:
            _not_passed(db, queue, job, only, version)
            return True
        if not fresh:
            return False
        activate(db, organization, version.number, Reason.LEARNED)
        for correction in corrections(db, only.planned.corrections):
            correction.state, correction.version = CorrectionState.LEARNED, version.number
            correction.settled_at, correction.problem = now(), ""
            title = f"Learned: {_short(correction.statement)}"
            _tell(db, correction, "correction.learned", title)
        _end(job, State.DONE, version=version.number)
        return True


def fail(database: Database, held: Claim, problem: str, queue: LearningQueue | None = None) -> None:
    """The job ends without a version. Its corrections stay, and can be taught again.

    queue: given where a correction's own text may be the reason. Those of a lesson of several are then queued again,
    each by itself, so that one of them alone fails.
    """
    with database.write() as db:
        organization_locked(db, held)
        job = job_locked(db, held, cancelled_too=True)
        cancelled = job.cancel_requested_at is not None
        if queue is None or cancelled or not _each_by_itself(db, queue, job, "Together they could not be learned"):
            _failed(db, job, problem)


def cancelled(database: Database, held: Claim) -> None:
    """The job ends as somebody asked."""
    with database.write() as db:
        job = job_locked(db, held, cancelled_too=True)
        _end(job, State.CANCELLED)
        for correction in service.corrections_of(db, job):
            correction.state, correction.settled_at = CorrectionState.WITHDRAWN, now()


def _forgotten(db: Session, job: Job, organization: Organization, planned: Plan, made: Sequence[Made]) -> None:
    broken = next((each for each in made if not each.version.report.passed), None)
    forgotten = None if job.correction_id is None else db.get(Correction, job.correction_id)
    if broken is not None:
        names = ", ".join(_short(each.statement) for each in corrections(db, broken.planned.corrections))
        _end(
            job,
            State.FAILED,
            problem=f"Without it, this could not be learned again: {names}. {_why(broken.version)} Nothing is changed.",
        )
        title = "A correction could not be forgotten."
        tell(db, job.organization_id, "job.failed", title, _path(forgotten), job.author_id, personal=True)
        return
    last = planned.base
    for each in made:
        last = kept(db, job, each).number
        for correction in corrections(db, each.planned.corrections):
            correction.version = last
    activate(db, organization, last, Reason.FORGOTTEN, job.author_id)
    if forgotten is not None:
        forgotten.state, forgotten.settled_at = CorrectionState.WITHDRAWN, now()
        _tell(db, forgotten, "correction.withdrawn", f"Forgotten: {_short(forgotten.statement)}")
    _end(job, State.DONE, version=last)


def _not_passed(db: Session, queue: LearningQueue, job: Job, made: Made, version: Version) -> None:
    """Each correction of a lesson of several is learned again by itself; a single one has failed."""
    if not _each_by_itself(db, queue, job, "Together they did not pass", version.number):
        _failed(db, job, _why(made.version), version.number)


def _each_by_itself(db: Session, queue: LearningQueue, job: Job, why: str, version: int | None = None) -> bool:
    """Ends a job of several corrections, and has each learned again by itself; False for one that has no several."""
    ours = service.corrections_of(db, job)
    if len(ours) <= 1:
        return False
    _end(job, State.FAILED, version=version, problem=f"{why}; each is learned by itself.")
    for correction in ours:
        correction.state = CorrectionState.FAILED
        service.teach(db, queue, correction, job.author_id).progress = {ALONE: True}
    return True


def _failed(db: Session, job: Job, problem: str, version: int | None = None) -> None:
    _end(job, State.FAILED, problem=problem, version=version)
    for correction in service.corrections_of(db, job):
        correction.state, correction.settled_at = CorrectionState.FAILED, now()
        correction.problem, correction.version = problem, version
        _tell(db, correction, "correction.failed", f"Not learned: {_short(correction.statement)}", problem=problem)
    if job.kind == Kind.FORGET:
        title = "A correction could not be forgotten."
        tell(db, job.organization_id, "job.failed", title, "", job.author_id, personal=True)


def _end(job: Job, state: State, version: int | None = None, problem: str = "") -> None:
    job.state, job.ended_at, job.problem, job.version = state, now(), problem, version


def _why(version: ModelVersion) -> str:
    """Which checks failed, for people."""
    return f"The new version did not pass: {failure(version.report.failed)}."


def _tell(db: Session, correction: Correction, name: str, title: str, **details: Any) -> None:
    told = {"correction_id": str(correction.id), "version": correction.version, **details}
    tell(db, correction.organization_id, name, title, _path(correction), **told)


def _path(correction: Correction | None) -> str:
    return "" if correction is None else f"/corrections/{correction.id}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
