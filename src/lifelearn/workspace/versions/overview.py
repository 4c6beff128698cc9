"""The pages on which versions are read: the timeline, one with its report, its lesson."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning.types import Check, ProbeAnswer
from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import NotFoundError
from lifelearn.workspace.organizations.access import corrections_seen_by
from lifelearn.workspace.organizations.place import Here, Place
from lifelearn.workspace.pages import render
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions import compare, matrix, rechecks, report, service, timeline
from lifelearn.workspace.versions.compare import Part
from lifelearn.workspace.versions.curves import curve
from lifelearn.workspace.versions.service import Summary
from lifelearn.workspace.versions.views import Cursor, Made, Number, Page, lesson_of, manifest_of, words

router = APIRouter(prefix="/o/{organization_id}")

LESSON_ROWS = 25


@router.get("/versions")
def versions(request: Request, place: Here, db: Db, before: Cursor = "") -> Response:
    family = service.family_of(db, place.organization.id)
    entries, following = timeline.page(db, place.organization, family, before)
    context = {
        "entries": entries,
        "following": following,
        "before": before,
        "lanes": max(entry.rail.width for entry in entries) // timeline.LANE if entries else 1,
        "since": service.active_since(db, place.organization),
        "parent": family.parents.get(place.organization.active_version, 0),
        "count": len(family.parents),
        **words(),
    }
    return render(request, "versions/timeline.html", context)


@router.get("/versions/{number}")
def version(request: Request, place: Here, db: Db, number: Number) -> Response:
    progress = rechecks.progress(db, request, place.organization.id, number)
    if number == 0:
        return render(request, "versions/base_model.html", number=0, progress=progress, **words())
    summary = service.summary_of(db, place.organization, number)
    manifest = manifest_of(summary.version)
    # What failed comes first, and in it the answers that failed.
    checks = sorted(manifest.report.checks, key=lambda check: check.passed)
    training = manifest.training
    known = _known(db, place, summary)
    context = {
        "summary": summary,
        "number": number,
        "manifest": manifest,
        "checks": manifest.report.checks,
        "asked": [_Asked.of(check) for check in checks],
        "children": _children(db, place, number),
        "known": known,
        "with_rows": matrix.with_rows(db, place.organization.id, known),
        "stages": report.stages(manifest.seconds),
        "settings_table": report.settings_table(manifest.settings),
        "in_words": report.in_words(manifest),
        "curve": curve(training.losses) if training is not None and training.losses else None,
        "training": training,
        "progress": progress,
        **words(),
    }
    return render(request, "versions/version.html", context)


@router.get("/versions/{number}/lesson")
def lesson(request: Request, place: Here, db: Db, number: Made, page: Page = 1) -> Response:
    found = lesson_of(request, db, service.version_of(db, place.organization.id, number))
    pages = max(1, -(-len(found.rows) // LESSON_ROWS))
    if page > pages:
        raise NotFoundError
    start = (page - 1) * LESSON_ROWS
    context = {
        "number": number,
        "rows": found.rows[start : start + LESSON_ROWS],
        "start": start,
        "page": page,
        "pages": pages,
        "total": len(found.rows),
        "facts": sum(row.kind == "fact" for row in found.rows),
        "gated": found.gated,
    }
    return render(request, "versions/lesson.html", context)


@dataclass(frozen=True)
class _Probe:
    """A question of a report with its answers, in which the differences are marked."""

    answer: ProbeAnswer
    before: list[Part]
    after: list[Part]

    @property
    def kind(self) -> str:
        return report.KINDS[self.answer.probe.kind]


@dataclass(frozen=True)
class _Asked:
    """A check with all that it asked; what failed comes first."""

    check: Check
    probes: list[_Probe]

    @classmethod
    def of(cls, check: Check) -> _Asked:
        answers = sorted(check.answers, key=lambda answer: answer.passed)
        return cls(check, [_Probe(each, *compare.differences(each.before, each.after)) for each in answers])


def _children(db: Session, place: Place, number: int) -> list[int]:
    """The versions that come from this one."""
    query = select(Version.number).where(Version.organization_id == place.organization.id, Version.parent == number)
    return list(db.scalars(query.order_by(Version.number).limit(50)))


def _known(db: Session, place: Place, summary: Summary) -> Mapping[uuid.UUID, Correction]:
    """The corrections that it learned, as they are now; without those that the visitor may not see any more."""
    ids = [each.id for each in summary.corrections if each.id]
    return {each.id: each for each in db.scalars(corrections_seen_by(place).where(Correction.id.in_(ids)))}
