"""What holds for a question already, or will; what the active version holds; and what it costs to forget it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lifelearn.learning.words import normalise
from lifelearn.workspace.corrections import reading
from lifelearn.workspace.tables.corrections import TAUGHT, Correction, State
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions import lines


@dataclass(frozen=True)
class Cost:
    """What forgetting costs. again: corrections that are learned again. active: whether the active version holds it."""

    again: int
    seconds: float
    active: bool


def standing(db: Session, correction: Correction) -> Correction | None:
    """What holds for the same question, or will: of several corrections the one that was taught last.

    One that was learned counts if the active version has it; others were rolled back.
    """
    asked = normalise(correction.question)
    if not asked:
        return None
    held = held_now(db, correction.organization_id)
    query = (
        select(Correction.id, Correction.question, Correction.state)
        .outerjoin(Job, Job.id == Correction.job_id)
        .where(Correction.organization_id == correction.organization_id, Correction.id != correction.id)
        .where(Correction.state.in_((*TAUGHT, State.LEARNED)))
        .order_by(Job.created_at.desc(), Correction.created_at.desc(), Correction.id)
    )
    for found_id, question, state in db.execute(query):
        if normalise(question) == asked and (state != State.LEARNED or found_id in held):
            return db.get(Correction, found_id)
    return None


def rival(db: Session, correction: Correction) -> Correction | None:
    """The same, if its answer is another one."""
    found = standing(db, correction)
    return None if found is None or reading.same_answer(found.answer, correction.answer) else found


def held_now(db: Session, organization_id: uuid.UUID) -> set[uuid.UUID]:
    """The corrections that the active version holds."""
    return lines.held(db, organization_id, _active(db, organization_id))


def cost_of_forgetting(db: Session, correction: Correction) -> Cost:
    """What is learned again without it: all that the active version learned with it or after it."""
    organization_id = correction.organization_id
    found = lines.without(db, organization_id, _active(db, organization_id), correction.id)
    if found is None:
        return Cost(0, 0.0, active=False)
    seconds = db.scalar(
        select(func.coalesce(func.sum(Version.seconds), 0.0)).where(
            Version.organization_id == organization_id, Version.number.in_(found.again)
        )
    )
    return Cost(sum(map(len, found.again.values())), float(seconds or 0.0), active=True)


def _active(db: Session, organization_id: uuid.UUID) -> int:
    return db.scalar(select(Organization.active_version).where(Organization.id == organization_id)) or 0
