"""Versions, activations and retention for programs. Its rules are those of the pages, in service.py."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import UnavailableError
from lifelearn.workspace.programs.caller import Administers, Reads
from lifelearn.workspace.programs.problems import BODY, problems
from lifelearn.workspace.programs.schemas import LISTED, MOST_LISTED, NEXT, Page, Taken, Told
from lifelearn.workspace.tables.versions import Activation, Reason, Version
from lifelearn.workspace.versions import matrix, service
from lifelearn.workspace.versions.service import MOST_NUMBER, Summary

api = APIRouter(prefix="/api/v1", tags=["Versions"])

Number = Annotated[int, Path(ge=1, le=MOST_NUMBER)]


class VersionsWanted(Taken):
    """Which part of the list. Numbers fall from page to page."""

    before: int = Field(MOST_NUMBER, ge=1, le=MOST_NUMBER, description="Only versions below this number.")
    limit: int = Field(LISTED, ge=1, le=MOST_LISTED)


class RetentionWanted(Taken):
    page: int = Field(1, ge=1, le=1_000_000, description=f"Of the corrections, {matrix.ROWS} each; 1 has the latest.")
    until: int | None = Field(
        None, ge=0, le=MOST_NUMBER, description=f"The last version told; {matrix.COLUMNS} are. By default the newest."
    )


class CheckTold(Told):
    """One of the five figures of a verification."""

    name: Literal["efficacy", "generalisation", "locality", "retention", "drift"]
    passed: bool
    value: float = Field(description="A share of 1; nats per token for the drift.")
    threshold: float = Field(description="The least share that passes; for the drift the most nats.")
    numerator: float
    denominator: int


class AnswerTold(Told):
    """A question that was asked in verification."""

    kind: Literal["efficacy", "generalisation", "neighbour", "unrelated", "retention"]
    question: str
    right: str = Field(description="What the answer must state; empty where the parent's answer is the measure.")
    before: str = Field(description="The parent's answer.")
    after: str = Field(description="The version's answer.")
    passed: bool


class CheckWithAnswers(CheckTold):
    answers: list[AnswerTold]


class LearnedTold(Told):
    """A correction as the version learned it."""

    id: uuid.UUID | None
    question: str
    wrong: str
    statement: str
    answer: str


class VersionTold(Told):
    number: int
    parent: int = Field(description="The version that it was trained from; 0 is the base model.")
    base: str
    state: service.State
    passed: bool
    bytes: int
    seconds: float
    author_id: uuid.UUID | None = Field(description="Who had it learned; null for the organisation's policy.")
    created_at: datetime
    corrections: list[LearnedTold]
    checks: list[CheckTold]


class Versions(Told):
    items: list[VersionTold]
    active: int = Field(description="The version that answers; 0 is the base model.")
    next: int | None = Field(description=NEXT)


class TrainingTold(Told):
    steps: int
    losses: list[float]
    watch_passed: int
    watch_total: int
    completion_tokens: int


class ReportTold(VersionTold):
    """A version with its report."""

    method: Literal["lora", "full"]
    sha256: str = Field(description="Of the weights' file.")
    settings: dict[str, str | int | float | bool | None]
    seconds_by_stage: dict[str, float]
    training: TrainingTold | None
    report: list[CheckWithAnswers]


class ActivationTold(Told):
    """A version was made the active one. A rollback is one, too."""

    id: uuid.UUID
    number: int
    previous: int
    reason: Reason
    author_id: uuid.UUID | None = Field(description="Who chose it; null where a job did.")
    created_at: datetime


class Activations(Told):
    items: list[ActivationTold]
    next: str | None = Field(description=NEXT)


class ActivationAsked(Taken):
    number: int = Field(ge=0, le=MOST_NUMBER, description="The version that is to answer; 0 is the base model.")
    confirm_failed: bool = Field(False, description="Needed for a version that did not pass.")


class CellTold(Told):
    number: int
    kind: matrix.Kind
    why: str
    holds: bool | None = Field(description="Null where nothing was asked.")
    answer: str | None
    asked_at: datetime | None


class RetainedTold(Told):
    correction_id: uuid.UUID
    question: str
    right: str
    state: str
    version: int | None = Field(description="The version that learned it.")
    cells: list[CellTold] = Field(description="In the order of `versions`.")


class Retention(Told):
    """Corrections × versions. The oldest correction of the page is first."""

    versions: list[int]
    items: list[RetainedTold]
    page: int
    pages: int
    earlier: int | None = Field(description="Send it as `until` for the versions before these.")


@api.get("/versions", operation_id="listVersions", responses=problems(422))
def versions(place: Reads, db: Db, wanted: Annotated[VersionsWanted, Query()]) -> Versions:
    """The organisation's versions, the latest first, without the answers of their reports."""
    found = service.summaries(db, place.organization, Version.number < wanted.before, limit=wanted.limit + 1)
    shown = found[: wanted.limit]
    return Versions(
        items=[VersionTold(**_told(each)) for each in shown],
        active=place.organization.active_version,
        next=shown[-1].number if len(found) > len(shown) else None,
    )


@api.get("/versions/{number}", operation_id="getVersion", responses=problems(404, 422, 503))
def version(place: Reads, db: Db, number: Number) -> ReportTold:
    """A version with all that its verification asked."""
    summary = service.summary_of(db, place.organization, number)
    try:
        manifest = summary.version.model()
    except ValueError:
        raise UnavailableError(f"The report of version {number} cannot be read.") from None
    return ReportTold(
        **_told(summary),
        method=manifest.method,
        sha256=manifest.sha256,
        settings=manifest.settings,
        seconds_by_stage=manifest.seconds,
        training=None if manifest.training is None else TrainingTold.model_validate(manifest.training),
        report=[
            CheckWithAnswers(
                **_check(check),
                answers=[
                    AnswerTold(
                        kind=each.probe.kind,
                        question=each.probe.question,
                        right=each.probe.answer,
                        before=each.before,
                        after=each.after,
                        passed=each.passed,
                    )
                    for each in check.answers
                ],
            )
            for check in manifest.report.checks
        ],
    )


@api.get("/activations", operation_id="listActivations", responses=problems(422))
def activations(place: Reads, db: Db, wanted: Annotated[Page, Query()]) -> Activations:
    """Which version was made the active one when, the latest first."""
    shown, following = service.activations(db, place.organization.id, wanted.before, wanted.limit)
    return Activations(items=[_activation(each) for each in shown], next=following or None)


@api.post("/activations", operation_id="createActivation", status_code=201, responses=problems(*BODY, 404, 409, 503))
def activate(request: Request, place: Administers, db: Db, asked: ActivationAsked) -> ActivationTold:
    """Makes a version the one that answers, from the next answer on: an activation, or a rollback."""
    return _activation(service.choose(db, request, place, asked.number, asked.confirm_failed))


@api.get("/retention", operation_id="getRetention", responses=problems(404, 422))
def retention(place: Reads, db: Db, wanted: Annotated[RetentionWanted, Query()]) -> Retention:
    """What each version said when it was asked each correction's question, and what it means."""
    found = matrix.matrix(db, place.organization, wanted.page, wanted.until)
    return Retention(
        versions=[column.number for column in found.columns],
        items=[
            RetainedTold(
                correction_id=line.correction.id,
                question=line.correction.question,
                right=line.correction.answer,
                state=line.correction.state,
                version=line.correction.version,
                cells=[_cell(cell) for cell in line.cells],
            )
            for line in found.lines
        ],
        page=found.page,
        pages=found.pages,
        earlier=found.earlier,
    )


def _told(summary: Summary) -> dict[str, Any]:
    names = ("number", "parent", "base", "passed", "bytes", "seconds", "author_id", "created_at")
    return {
        **{name: getattr(summary.version, name) for name in names},
        "state": summary.state,
        "corrections": [LearnedTold.model_validate(each) for each in summary.corrections],
        "checks": [CheckTold.model_validate(each) for each in summary.checks],
    }


def _check(check: Any) -> dict[str, Any]:
    return {name: getattr(check, name) for name in CheckTold.model_fields}


def _activation(made: Activation) -> ActivationTold:
    return ActivationTold.model_validate(made)


def _cell(cell: matrix.Cell) -> CellTold:
    verdict = cell.verdict
    return CellTold(
        number=cell.column.number,
        kind=cell.kind,
        why=cell.why,
        holds=None if verdict is None else verdict.holds,
        answer=None if verdict is None else verdict.answer,
        asked_at=None if verdict is None else verdict.asked_at,
    )
