"""The pages of versions: timeline, report, downloads, activation, comparison, retention."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path as Folder
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import Field, StringConstraints, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Check, Lesson, ModelVersion, ProbeAnswer
from lifelearn.learning.version import LESSON, MANIFEST, VersionError
from lifelearn.workspace.database import Db, commit
from lifelearn.workspace.errors import InvalidError, NotFoundError, UnavailableError
from lifelearn.workspace.organizations.access import corrections_seen_by
from lifelearn.workspace.organizations.place import Here, HereAsAdmin, Place
from lifelearn.workspace.pages import Sent, SignedIn, by_htmx, go, render
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.streams import Reader, streams_of
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.texts import cleaned
from lifelearn.workspace.versions import compare, downloads, matrix, rechecks, report, service, timeline
from lifelearn.workspace.versions.compare import Comparison, Part, Side
from lifelearn.workspace.versions.curves import curve
from lifelearn.workspace.versions.service import MOST_NUMBER, Summary, called

router = APIRouter(prefix="/o/{organization_id}")
log = structlog.get_logger("lifelearn.versions")

LESSON_ROWS = 25
SUGGESTED = 6  # questions to compare by
CHANGES_SHOWN = 20  # corrections that an activation gains or loses
MOST_PAGES = 1_000_000

Number = Annotated[int, Path(ge=0, le=MOST_NUMBER)]
Made = Annotated[int, Path(ge=1, le=MOST_NUMBER)]  # 0, the base, has no report and no files
Page = Annotated[int, Query(ge=1, le=MOST_PAGES)]
Until = Annotated[int | None, Query(ge=0, le=MOST_NUMBER)]
Cursor = Annotated[str, Query(max_length=100)]


class ActivateForm(Sent):
    """seen: which version was active when it was decided."""

    confirm_failed: bool = False
    seen: int | None = Field(None, ge=0, le=MOST_NUMBER)


class RecheckForm(Sent):
    resume: bool = False


class CompareForm(Sent):
    a: int = Field(ge=0, le=MOST_NUMBER)
    b: int = Field(ge=0, le=MOST_NUMBER)
    question: Annotated[str, StringConstraints(max_length=200_000)] = ""  # what is shorter is refused with the form


# The timeline and the report


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
        **_words(),
    }
    return render(request, "versions/timeline.html", context)


@router.get("/versions/{number}")
def version(request: Request, place: Here, db: Db, number: Number) -> Response:
    progress = rechecks.progress(db, request, place.organization.id, number)
    if number == 0:
        return render(request, "versions/base_model.html", number=0, progress=progress, **_words())
    summary = service.summary_of(db, place.organization, number)
    manifest = _manifest(summary.version)
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
        **_words(),
    }
    return render(request, "versions/version.html", context)


@router.get("/versions/{number}/lesson")
def lesson(request: Request, place: Here, db: Db, number: Made, page: Page = 1) -> Response:
    found = _lesson(request, db, service.version_of(db, place.organization.id, number))
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


# Downloads


@router.get("/versions/{number}/adapter.zip")
def adapter(request: Request, place: Here, db: Db, number: Made) -> Response:
    """The weights and how to load them."""
    found = service.version_of(db, place.organization.id, number)
    names = [name for name in sorted(found.files) if name not in (MANIFEST, LESSON)]
    commit(db)
    folder = _fetched(request, found, names)
    return _download(downloads.as_zip(folder, names, found.created_at), f"version-{number}.zip", "application/zip")


@router.get("/versions/{number}/lesson.jsonl")
def lesson_lines(request: Request, place: Here, db: Db, number: Made) -> Response:
    found = _lesson(request, db, service.version_of(db, place.organization.id, number))
    return _download(downloads.as_lines(found), f"version-{number}-lesson.jsonl", "application/jsonl")


@router.get("/versions/{number}/report.json")
def report_json(place: Here, db: Db, number: Made) -> Response:
    manifest = _manifest(service.version_of(db, place.organization.id, number)).model_dump(mode="json")
    for correction in manifest["corrections"]:
        del correction["message"]  # it may be from a private chat
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    return _download(iter([text]), f"version-{number}-report.json", "application/json")


# Activation and rollback


@router.get("/versions/{number}/activate")
def ask_to_activate(request: Request, place: HereAsAdmin, db: Db, number: Number) -> Response:
    return _activation(request, place, db, number)


@router.post("/versions/{number}/activate")
def activate(
    request: Request, place: HereAsAdmin, db: Db, number: Number, form: Annotated[ActivateForm, Form()]
) -> Response:
    try:
        service.choose(db, request, place, number, form.confirm_failed, form.seen)
    except InvalidError as error:
        return _activation(request, place, db, number, error)
    return go(request, f"{place.url}/versions", "saved")


# Asking again


@router.post("/versions/{number}/recheck")
def recheck(
    request: Request, place: HereAsAdmin, db: Db, number: Number, form: Annotated[RecheckForm, Form()]
) -> Response:
    rechecks.ask_again(db, request, place, number, form.resume)
    if by_htmx(request):
        return _progress(request, place, db, number)
    return go(request, f"{place.url}/versions/{number}#recheck")


@router.get("/versions/{number}/recheck")
def recheck_progress(request: Request, place: Here, db: Db, number: Number) -> Response:
    """A part of the version's page, which asks for it while there is progress."""
    if number:
        service.version_of(db, place.organization.id, number)
    return _progress(request, place, db, number)


# Comparing


@router.get("/compare")
def choose_two(
    request: Request,
    place: Here,
    db: Db,
    a: Until = None,
    b: Until = None,
    question: Annotated[str, Query(max_length=compare.QUESTION_CHARS)] = "",
) -> Response:
    """The form. It asks nothing yet: a link from elsewhere shall not make the model work."""
    return _comparison(request, place, db, a, b, question)


@router.post("/compare")
def compare_two(
    request: Request, place: Here, sign_in: SignedIn, db: Db, form: Annotated[CompareForm, Form()]
) -> Response:
    """Both answers: as events where those are accepted, as a page else."""
    events = "text/event-stream" in request.headers.get("accept", "")
    question = cleaned(form.question)
    problem = ""
    if not question:
        problem = "Ask something first."
    elif len(question) > compare.QUESTION_CHARS:
        problem = f"At most {compare.QUESTION_CHARS:,} characters; this has {len(question):,}."
    if problem:
        if events:
            raise InvalidError(problem)
        return _comparison(request, place, db, form.a, form.b, question, errors={"question": problem}, status=422)
    organization = place.organization
    streams_of(request).check_room(place.user.id)
    compare.COMPARISONS.count(db, str(place.user.id))
    numbers = _numbers(db, place)
    suggestions = _suggestions(db, place)
    a, b = (service.version_of(db, organization.id, number) if number else None for number in (form.a, form.b))
    commit(db)
    return Comparison(
        (Side(form.a, _fetched(request, a) if a else None), Side(form.b, _fetched(request, b) if b else None)),
        compare.conversation_of(organization, question),
        Sampling(organization.max_tokens),  # greedy: the same question has the same answers
        request.app.state.admission,
        streams_of(request),
        Reader.of(place, sign_in),
        request.app.state.comparisons,
        partial(_compared, request, place, numbers, suggestions, question, events),
        events,
    )


# Retention


@router.get("/retention")
def retention(request: Request, place: Here, db: Db, page: Page = 1, until: Until = None) -> Response:
    found = matrix.matrix(db, place.organization, page, until)
    return render(request, "versions/retention.html", matrix=found, until=until, **_legend())


@router.get("/retention/{correction_id}")
def retained(request: Request, place: Here, db: Db, correction_id: uuid.UUID, until: Until = None) -> Response:
    line, earlier, later = matrix.line_of(db, place.organization, correction_id, until)
    parts = {"line": line, "correction": line.correction, "earlier": earlier, "later": later}
    return render(request, "versions/retained.html", parts, **_legend())


# What pages show


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


def _words() -> dict[str, Any]:
    return {
        "called": called,
        "size": report.size,
        "duration": report.duration,
        "share": service.share,
        "failure": service.failure,
        "asks": report.ASKS,
        "value_of": report.value,
        "threshold_of": report.threshold,
    }


def _legend() -> dict[str, Any]:
    return {"kinds": matrix.Kind, "symbols": matrix.SYMBOLS, "called": called}


def _manifest(found: Version) -> ModelVersion:
    try:
        return found.model()
    except ValidationError:
        log.exception("manifest", version=str(found.id))
        raise UnavailableError(
            f"The report of version {found.number} cannot be read: it is damaged, or of another release."
        ) from None


def _fetched(request: Request, found: Version, names: Iterable[str] | None = None) -> Folder:
    """The folder with a version's files, or with those named. They may be far away: end the transaction before."""
    try:
        return Storage(request.app.state.settings).fetch(found, names)
    except (VersionError, OSError):  # its text names folders of this machine
        log.exception("version", number=found.number)
        raise _damaged(found.number) from None


def _damaged(number: int) -> UnavailableError:
    return UnavailableError(f"The files of version {number} are damaged or missing. Tell who runs this server.")


def _lesson(request: Request, db: Session, found: Version) -> Lesson:
    commit(db)
    file = _fetched(request, found, [LESSON]) / LESSON
    try:
        return Lesson.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        log.exception("lesson", version=str(found.id))
        raise _damaged(found.number) from None


def _download(parts: Iterator[str] | Iterator[bytes], name: str, media_type: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts, media_type=media_type, headers=headers)


def _children(db: Session, place: Place, number: int) -> list[int]:
    """The versions that come from this one."""
    query = select(Version.number).where(Version.organization_id == place.organization.id, Version.parent == number)
    return list(db.scalars(query.order_by(Version.number).limit(50)))


def _known(db: Session, place: Place, summary: Summary) -> Mapping[uuid.UUID, Correction]:
    """The corrections that it learned, as they are now; without those that the visitor may not see any more."""
    ids = [each.id for each in summary.corrections if each.id]
    return {each.id: each for each in db.scalars(corrections_seen_by(place).where(Correction.id.in_(ids)))}


def _activation(
    request: Request, place: Place, db: Session, number: int, error: InvalidError | None = None
) -> HTMLResponse:
    """The page that asks whether a version is to answer from now on, with what that changes."""
    organization = place.organization
    chosen = service.summary_of(db, organization, number) if number else None
    family = service.family_of(db, organization.id)
    before, after = set(family.line(organization.active_version)), set(family.line(number))
    context = {
        "number": number,
        "chosen": chosen,
        "active": organization.active_version,
        "is_rollback": number < organization.active_version,
        "loses": _learned_in(db, place, before - after),
        "gains": _learned_in(db, place, after - before),
        "most": CHANGES_SHOWN,
        "errors": error.fields if error is not None else {},
        **_words(),
    }
    return render(request, "versions/activate.html", context, error.status if error is not None else 200)


def _learned_in(db: Session, place: Place, numbers: set[int]) -> list[service.Learned]:
    latest = sorted(numbers, reverse=True)[:CHANGES_SHOWN]
    found = service.summaries(db, place.organization, Version.number.in_(latest), limit=CHANGES_SHOWN)
    return [learned for summary in found for learned in summary.corrections][:CHANGES_SHOWN]


def _progress(request: Request, place: Place, db: Session, number: int) -> HTMLResponse:
    progress = rechecks.progress(db, request, place.organization.id, number)
    return render(request, "versions/recheck.html", place=place, number=number, progress=progress)


def _numbers(db: Session, place: Place) -> list[tuple[int, str]]:
    """What there is to compare, the latest first, with its name in a list."""
    query = select(Version.number, Version.passed).where(Version.organization_id == place.organization.id)
    rows = [*db.execute(query.order_by(Version.number.desc())), (0, True)]
    active = place.organization.active_version
    return [
        (number, called(number) + (" (active)" if number == active else "" if passed else " (rejected)"))
        for number, passed in rows
    ]


def _suggestions(db: Session, place: Place) -> list[str]:
    """Questions that were learned, the latest first."""
    query = (
        select(Correction.question)
        .where(Correction.organization_id == place.organization.id, Correction.state == CorrectionState.LEARNED)
        .order_by(Correction.created_at.desc(), Correction.id.desc())
        .limit(SUGGESTED)
    )
    return list(dict.fromkeys(re.sub(r"\s+", " ", each) for each in db.scalars(query)))


def _comparison(
    request: Request,
    place: Place,
    db: Session,
    a: int | None,
    b: int | None,
    question: str,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
) -> HTMLResponse:
    family, active = service.family_of(db, place.organization.id), place.organization.active_version
    b = active if b is None else b
    context = {
        "numbers": _numbers(db, place),
        "a": family.parents.get(b, 0) if a is None else a,
        "b": b,
        "question": question,
        "suggestions": _suggestions(db, place),
        "errors": errors or {},
        "sides": None,
        "most_chars": compare.QUESTION_CHARS,
    }
    return render(request, "versions/compare.html", context, status)


def _compared(
    request: Request,
    place: Place,
    numbers: list[tuple[int, str]],
    suggestions: list[str],
    question: str,
    events: bool,
    sides: tuple[Side, Side],
) -> HTMLResponse:
    """Both answers when they are complete: a page, or for events the part of it that shows them."""
    left, right = compare.differences(sides[0].text, sides[1].text)
    context = {
        "place": place,
        "numbers": numbers,
        "a": sides[0].number,
        "b": sides[1].number,
        "question": question,
        "suggestions": suggestions,
        "errors": {},
        "sides": [(sides[0], left), (sides[1], right)],
        "same": sides[0].text == sides[1].text and not (sides[0].problem or sides[1].problem),
        "called": called,
        "most_chars": compare.QUESTION_CHARS,
    }
    return render(request, "versions/compared.html" if events else "versions/compare.html", context)
