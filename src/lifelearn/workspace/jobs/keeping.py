"""A version that was made, and its row with what verification asked. It begins to count when its job is settled."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from lifelearn.learning.types import Check, ModelVersion, Probe
from lifelearn.learning.words import normalise
from lifelearn.workspace.jobs.claims import LostError
from lifelearn.workspace.jobs.plans import PlannedLesson
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.versions import Verdict, Version


@dataclass(frozen=True)
class Made:
    """A version that was made and published, and is not in the database yet."""

    planned: PlannedLesson
    version_id: uuid.UUID
    files: dict[str, str]
    version: ModelVersion


def kept(db: Session, job: Job, made: Made) -> Version:
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
