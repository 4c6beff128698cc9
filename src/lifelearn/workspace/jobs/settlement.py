"""What a job does to the database, each in one transaction: taking it, progress, and its end.

A worker writes only while its attempt is the job's latest, so that of two that both believe they own it one does not
count: `LostError` tells the other. Knows no engine and no processes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from lifelearn.learning.types import Check, ModelVersion, Probe
from lifelearn.learning.words import normalise
from lifelearn.workspace.database import Database, now
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import Job, Kind, State
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Reason, Verdict, Version
from lifelearn.workspace.versions.lines import without
from lifelearn.workspace.versions.service import activate, failure, family_of, latest_number
from lifelearn.workspace.webhooks.service import tell

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


@dataclass(frozen=True)
class PlannedLesson:
    """One lesson of a plan: what is learned, on top of which version. number: of the version that comes of it."""

    corrections: tuple[uuid.UUID, ...]
    number: int
    parent: int


@dataclass(frozen=True)
class Plan:
    """A job's lessons, one on top of the other. base: the version to start from; active: the one that was active.

    No lessons: the base is what is wanted.
    """

    lessons: tuple[PlannedLesson, ...]
    base: int
    active: int

    def as_json(self) -> dict[str, Any]:
        lessons = [
            {"corrections": [str(each) for each in one.corrections], "number": one.number, "parent": one.parent}
            for one in self.lessons
        ]
        # "rounds": as in the plans of jobs that an earlier release began
        return {"rounds": lessons, "base": self.base, "active": self.active}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Plan:
        lessons = tuple(
            PlannedLesson(tuple(uuid.UUID(each) for each in one["corrections"]), one["number"], one["parent"])
            for one in told["rounds"]
        )
        return cls(lessons, told["base"], told["active"])


@dataclass(frozen=True)
class Made:
    """A version that was made and published, and is not in the database yet."""

    planned: PlannedLesson
    version_id: uuid.UUID
    files: dict[str, str]
    version: ModelVersion


# Taking


def claim(database: Database, job_id: uuid.UUID, worker_id: uuid.UUID) -> Claim | None:
    """Takes a job; None where there is nothing left to do."""
    with database.write() as db:
        job = db.scalar(select(Job).where(Job.id == job_id).with_for_update())
        if job is None or job.state not in (State.QUEUED, State.RUNNING):
            return None
        job.attempt += 1
        job.worker_id, job.state, job.started_at = worker_id, State.RUNNING, job.started_at or now()
        return Claim(job.id, job.organization_id, job.attempt)


def plan(database: Database, held: Claim, together: int) -> Plan:
    """What the job has to learn, as things are now; what it learns is marked as being learned."""
    with database.write() as db:
        job = _mine(db, held)
        organization = db.get_one(Organization, held.organization_id)
        if job.kind == Kind.FORGET:
            return _plan_to_forget(db, job, organization)
        ours = service.corrections_of(db, job)
        if not ours:  # withdrawn with its thread or by its member
            return Plan((), organization.active_version, organization.active_version)
        if not job.progress.get(ALONE):
            ours += _waiting(db, job, {normalise(each.question) for each in ours}, together - len(ours))
        for correction in ours:
            correction.job_id, correction.state = job.id, CorrectionState.LEARNING
        active, number = organization.active_version, latest_number(db, organization.id) + 1
        return Plan((PlannedLesson(tuple(each.id for each in ours), number, active),), active, active)


def _waiting(db: Session, job: Job, asked: set[str], most: int) -> list[Correction]:
    """Corrections of other jobs of the organisation that wait; their jobs end, as this one learns them too.

    asked: questions of the lesson; another answer to one of them is for a later lesson.
    """
    if most <= 0:
        return []
    query = (
        select(Job)
        .where(Job.organization_id == job.organization_id, Job.state == State.QUEUED, Job.kind == Kind.LEARN)
        .order_by(Job.created_at, Job.id)
        .with_for_update()  # one that is being cancelled is not among them
    )
    found: list[Correction] = []
    for other in db.scalars(query):
        theirs = service.corrections_of(db, other)
        questions = {normalise(each.question) for each in theirs}
        if other.progress.get(ALONE) or len(found) + len(theirs) > most or questions & asked:
            break
        asked |= questions
        other.state, other.ended_at = State.DONE, now()
        other.progress = {"message": "Learned together with another correction.", "together": str(job.id)}
        found += theirs
    return found


def _plan_to_forget(db: Session, job: Job, organization: Organization) -> Plan:
    """The version before the first that learned it, and after that each later correction of the line again."""
    active = organization.active_version
    assert job.correction_id is not None
    wanted = without(db, organization.id, active, job.correction_id)
    if wanted is None:  # the active version does not hold it
        return Plan((), active, active)
    lessons: list[PlannedLesson] = []
    parent = wanted.base
    for number, again in enumerate(wanted.again.values(), latest_number(db, organization.id) + 1):
        lessons.append(PlannedLesson(tuple(each.id for each in again), number, parent))
        parent = number
    return Plan(tuple(lessons), wanted.base, active)


def lineage(db: Session, organization_id: uuid.UUID, number: int) -> list[Version]:
    """A version and its ancestors, oldest first."""
    line = family_of(db, organization_id).line(number)
    query = select(Version).where(Version.organization_id == organization_id, Version.number.in_(line))
    found = {version.number: version for version in db.scalars(query)}
    return [found[each] for each in reversed(line)]


def corrections(db: Session, ids: Sequence[uuid.UUID]) -> list[Correction]:
    """In the order of the ids. Raises LostError where one was deleted meanwhile."""
    found = {each.id: each for each in db.scalars(select(Correction).where(Correction.id.in_(ids)))}
    if len(found) < len(ids):
        raise LostError
    return [found[each] for each in ids]


# Progress


def tick(database: Database, held: Claim, stage: str | None = None, progress: Mapping[str, Any] | None = None) -> None:
    """Says how far the job is. Raises LostError, and CancelledError where somebody asked for its end."""
    with database.write() as db:
        job = _mine(db, held)
        if stage is not None:
            job.stage = stage
        if progress is not None:
            job.progress = {**({ALONE: True} if job.progress.get(ALONE) else {}), **progress}


# The end


def settle(database: Database, queue: LearningQueue, held: Claim, planned: Plan, made: Sequence[Made]) -> bool:
    """Keeps what was made, and makes it the active version if it passed. False: another version was made active
    meanwhile, and the job is to be planned anew; what was made stays as a candidate."""
    with database.write() as db:
        organization = _organization(db, held)
        job = _mine(db, held)
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
        version = _kept(db, job, only)
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
        _organization(db, held)
        job = _mine(db, held, cancelled_too=True)
        cancelled = job.cancel_requested_at is not None
        if queue is None or cancelled or not _each_by_itself(db, queue, job, "Together they could not be learned"):
            _failed(db, job, problem)


def cancelled(database: Database, held: Claim) -> None:
    """The job ends as somebody asked."""
    with database.write() as db:
        job = _mine(db, held, cancelled_too=True)
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
        last = _kept(db, job, each).number
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


def _kept(db: Session, job: Job, made: Made) -> Version:
    """The version's row, once. Raises LostError where another has its number: this attempt was not the latest."""
    number = made.planned.number
    same = (Version.organization_id == job.organization_id, Version.number == number)
    if (known := db.scalar(select(Version).where(*same))) is not None:
        if known.id == made.version_id:  # kept before a crash
            return known
        raise LostError
    row = Version(
        id=made.version_id,
        organization_id=job.organization_id,
        number=number,
        parent=made.planned.parent,
        base=made.version.base,
        passed=made.version.report.passed,
        bytes=made.version.bytes,
        seconds=sum(made.version.seconds.values()),
        files=made.files,
        manifest=_keepable(made.version.model_dump(mode="json")),
        author_id=job.author_id,
        job_id=job.id,
    )
    db.add(row)
    db.flush()
    _judged(db, row, made)
    return row


def _keepable(told: Any) -> Any:
    """What JSON tells, without NULs: a model may write them, and PostgreSQL takes none."""
    if isinstance(told, str):
        return told.replace("\0", "")
    if isinstance(told, dict):
        return {name: _keepable(each) for name, each in told.items()}
    return [_keepable(each) for each in told] if isinstance(told, list) else told


def _judged(db: Session, row: Version, made: Made) -> None:
    """What verification asked of corrections, as cells of the retention matrix."""
    learned = or_(Correction.state == CorrectionState.LEARNED, Correction.id.in_(made.planned.corrections))
    known = db.scalars(select(Correction).where(Correction.organization_id == row.organization_id, learned)).all()
    by_question: dict[str, list[Correction]] = {}
    for correction in known:
        by_question.setdefault(normalise(correction.question), []).append(correction)
    seen: set[uuid.UUID] = set()
    for check in row.model().report.checks:
        for probe, after, passed in _asked(check):
            for correction in by_question.get(normalise(probe.question), ()):
                ours = correction.id in made.planned.corrections
                if correction.id in seen or ours != (check.name == "efficacy") or correction.answer != probe.answer:
                    continue
                seen.add(correction.id)
                cell = {"organization_id": row.organization_id, "number": row.number, "correction_id": correction.id}
                db.add(Verdict(**cell, holds=passed, answer=after))


def _asked(check: Check) -> list[tuple[Probe, str, bool]]:
    if check.name not in ("efficacy", "retention"):
        return []
    return [(each.probe, each.after, each.passed) for each in check.answers]


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


def _organization(db: Session, held: Claim) -> Organization:
    """The job's organisation, locked: before the job, as everybody does. Raises LostError where it is gone."""
    query = select(Organization).where(Organization.id == held.organization_id)
    organization = db.scalar(query.with_for_update(key_share=True))
    if organization is None:
        raise LostError
    return organization


def _mine(db: Session, held: Claim, cancelled_too: bool = False) -> Job:
    """The job, locked. Raises LostError where it is not this worker's any more."""
    job = db.scalar(select(Job).where(Job.id == held.job_id).with_for_update())
    if job is None or job.attempt != held.attempt or job.state != State.RUNNING:
        raise LostError
    if job.cancel_requested_at is not None and not cancelled_too:
        raise CancelledError
    return job
