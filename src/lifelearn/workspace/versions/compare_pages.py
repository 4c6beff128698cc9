"""The page on which two versions are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning.chat_model import Sampling
from lifelearn.workspace.database import Db, commit
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.organizations.place import Here, Place
from lifelearn.workspace.pages import Sent, SignedIn, render
from lifelearn.workspace.streams import Reader, streams_of
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.texts import cleaned
from lifelearn.workspace.versions import compare, service
from lifelearn.workspace.versions.compare import Comparison, Side
from lifelearn.workspace.versions.service import MOST_NUMBER, called
from lifelearn.workspace.versions.views import Until, fetched

router = APIRouter(prefix="/o/{organization_id}")

SUGGESTED = 6  # questions to compare by


class CompareForm(Sent):
    a: int = Field(ge=0, le=MOST_NUMBER)
    b: int = Field(ge=0, le=MOST_NUMBER)
    question: Annotated[str, StringConstraints(max_length=200_000)] = ""  # what is shorter is refused with the form


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
        (Side(form.a, fetched(request, a) if a else None), Side(form.b, fetched(request, b) if b else None)),
        compare.conversation_of(organization, question),
        Sampling(organization.max_tokens),  # greedy: the same question has the same answers
        request.app.state.admission,
        streams_of(request),
        Reader.of(place, sign_in),
        request.app.state.comparisons,
        partial(_compared, request, place, numbers, suggestions, question, events),
        events,
    )


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
