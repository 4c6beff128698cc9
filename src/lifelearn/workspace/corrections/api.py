"""Corrections in the JSON API: sent in, looked up, taught, and taken back. Decides nothing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from lifelearn.workspace.corrections import beginning, deciding, finding
from lifelearn.workspace.corrections.progress import Progress, look
from lifelearn.workspace.corrections.schemas import (
    Corrections,
    CorrectionSent,
    CorrectionsWanted,
    CorrectionTold,
    JobTold,
    RejectionAsked,
    TeachingAsked,
)
from lifelearn.workspace.corrections.words import Word
from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.programs.caller import Administers, Reads, Writes
from lifelearn.workspace.programs.problems import BODY, problems
from lifelearn.workspace.quotas import bytes_of, quotas_of
from lifelearn.workspace.tables.corrections import Correction

api = APIRouter(prefix="/api/v1/corrections", tags=["Corrections"])

FIELDS = {"statement": "right_answer"}  # as programs know them


@api.get("", operation_id="listCorrections", responses=problems(422))
def listed(place: Reads, db: Db, wanted: Annotated[CorrectionsWanted, Query()]) -> Corrections:
    """The corrections that the key's user sees, newest first: all that were taught, and the user's own."""
    only = () if wanted.state is None else (wanted.state,)
    shown, following = finding.listed(db, place, only, wanted.search, wanted.before, wanted.limit)
    return Corrections(items=_told(db, place, shown), next=following or None)


@api.post(
    "",
    operation_id="createCorrection",
    status_code=201,
    responses={200: {"model": CorrectionTold, "description": "It was there already."}, **problems(*BODY, 409)},
)
def create(request: Request, response: Response, place: Writes, db: Db, sent: CorrectionSent) -> CorrectionTold:
    """States what is right. It is taught at once, unless the organisation reviews corrections, or something in it is
    flagged, or it contradicts an older one: then it waits, as its state says."""
    said = sum(map(bytes_of, (sent.question, sent.right_answer, sent.wrong_answer)))
    quotas_of(request).check_text(db, place.organization.id, said)
    made, is_new = beginning.sent(db, request, place, sent.question, sent.right_answer, sent.wrong_answer)
    if not is_new:
        response.status_code = 200
    return _one(db, place, made)


@api.get("/{correction_id}", operation_id="getCorrection", responses=problems(404, 422))
def show(place: Reads, db: Db, correction_id: uuid.UUID) -> CorrectionTold:
    """A correction as it is now, with how far its job is."""
    return _one(db, place, finding.correction_of(db, place, correction_id))


@api.post("/{correction_id}/teaching", operation_id="teachCorrection", responses=problems(*BODY, 404, 409))
def teach(request: Request, place: Writes, db: Db, correction_id: uuid.UUID, asked: TeachingAsked) -> CorrectionTold:
    """Has it learned: one that waits for its author, again after a failure, or after all. Where admins review, a
    member's word hands it to them. An admin's word approves another's, with a key that has the scope admin."""
    word = Word(asked.question, asked.right_answer, asked.answer, asked.replace, asked.anyway, asked.own)
    try:
        return _one(db, place, deciding.teach(db, request, place, correction_id, word))
    except InvalidError as error:
        error.fields = {FIELDS.get(name, name): told for name, told in error.fields.items()}
        raise


@api.delete("/{correction_id}/teaching", operation_id="cancelTeaching", responses=problems(404, 409, 422))
def cancel(request: Request, place: Writes, db: Db, correction_id: uuid.UUID) -> CorrectionTold:
    """Ends its learning: at once while it waits, within a second or so while it runs."""
    return _one(db, place, deciding.cancel(db, request, place, correction_id))


@api.post("/{correction_id}/dismissal", operation_id="dismissCorrection", responses=problems(404, 409, 422))
def dismiss(request: Request, place: Writes, db: Db, correction_id: uuid.UUID) -> CorrectionTold:
    """Its author says that it is no correction."""
    return _one(db, place, deciding.dismiss(db, request, place, correction_id))


@api.post("/{correction_id}/rejection", operation_id="rejectCorrection", responses=problems(*BODY, 404, 409))
def reject(
    request: Request, place: Administers, db: Db, correction_id: uuid.UUID, asked: RejectionAsked
) -> CorrectionTold:
    """An admin does not approve one that waits for review."""
    return _one(db, place, deciding.reject(db, request, place, correction_id, asked.reason))


@api.post(
    "/{correction_id}/forgetting",
    operation_id="forgetCorrection",
    status_code=202,
    responses=problems(404, 409, 422),
)
def forget(request: Request, place: Administers, db: Db, correction_id: uuid.UUID) -> CorrectionTold:
    """Has what was learned forgotten: it stays learned until a version without it has passed."""
    return _one(db, place, deciding.forget(db, request, place, correction_id))


@api.delete("/{correction_id}/forgetting", operation_id="keepCorrection", responses=problems(404, 409, 422))
def keep(request: Request, place: Administers, db: Db, correction_id: uuid.UUID) -> CorrectionTold:
    """Ends its forgetting: at once while it waits, within a second or so while it runs."""
    return _one(db, place, deciding.keep(db, request, place, correction_id))


def _one(db: Session, place: Place, correction: Correction) -> CorrectionTold:
    db.flush()
    return _told(db, place, [correction])[0]


def _told(db: Session, place: Place, corrections: Sequence[Correction]) -> list[CorrectionTold]:
    progress = look(db, [each.id for each in corrections])
    return [_with(place, each, progress.get(each.id)) for each in corrections]


def _with(place: Place, one: Correction, progress: Progress | None) -> CorrectionTold:
    renamed = {"wrong_answer": one.wrong, "right_answer": one.statement}
    own = one.author_id == place.user.id
    origin = {name: getattr(one, name) if own else None for name in ("thread_id", "message_id", "answer_id")}
    same = {name: getattr(one, name) for name in CorrectionTold.model_fields if name not in (*renamed, *origin, "job")}
    job = None
    if progress is not None and progress.job_state:
        about = {name: getattr(progress, name) for name in JobTold.model_fields if name != "state"}
        job = JobTold(state=progress.job_state, **about)
    return CorrectionTold(**same, **renamed, **origin, job=job)
