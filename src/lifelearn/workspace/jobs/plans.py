"""What a job has to learn, as things are when it is planned: lessons, one on top of the other."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning.words import normalise
from lifelearn.workspace.database import Database, now
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.claims import ALONE, Claim, LostError, job_locked
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import Job, Kind, State
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions.lines import without
from lifelearn.workspace.versions.service import family_of, latest_number


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


def plan(database: Database, held: Claim, together: int) -> Plan:
    """What the job has to learn, as things are now; what it learns is marked as being learned."""
    with database.write() as db:
        job = job_locked(db, held)
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
