"""The pages of corrections: a card in a chat, the list, one with its history, the review, and forgetting."""

from __future__ import annotations

import uuid
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field
from sqlalchemy.orm import Session

from lifelearn.workspace.corrections import cards, deciding, finding, permits, standing
from lifelearn.workspace.corrections.cards import NAMES, Card
from lifelearn.workspace.corrections.flags import KINDS
from lifelearn.workspace.corrections.progress import Progress
from lifelearn.workspace.corrections.views import LISTED, fragment, page
from lifelearn.workspace.corrections.words import Word
from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.organizations.place import Here, HereAsAdmin, Place
from lifelearn.workspace.pages import Bounded, CsrfForm, by_htmx, go, render
from lifelearn.workspace.tables.corrections import State
from lifelearn.workspace.threads.finding import message_of, thread_of

router = APIRouter(prefix="/o/{organization_id}")
REVIEWED = 20  # at a time


class TeachForm(CsrfForm):
    """A field that is not sent leaves what is there."""

    question: Bounded | None = None
    statement: Bounded | None = None
    answer: Bounded | None = None
    replace: bool = False
    anyway: bool = False
    own: bool = False

    @property
    def word(self) -> Word:
        return Word(**self.model_dump(exclude={"csrf"}))


class RejectForm(CsrfForm):
    reason: Bounded = ""


@router.get("/corrections")
def listed(
    request: Request,
    place: Here,
    db: Db,
    state: str = "",
    q: Annotated[str, Field(max_length=2_000)] = "",
    before: Annotated[str, Field(max_length=200)] = "",
) -> HTMLResponse:
    wanted = [each for each in State if each == state]
    shown, following = finding.listed(db, place, wanted, q, before, LISTED)
    query = {"state": state if wanted else "", "q": q, "before": following}
    context = {
        "cards": [Card(each, place, Progress(each.state), permits.may(place, each)) for each in shown],
        "names": NAMES,
        "state": state,
        "q": q,
        "more": urlencode(query) if following else "",
        "first": not before,
    }
    return render(request, "corrections/list.html", context)


@router.get("/corrections/{correction_id}")
def show(request: Request, place: Here, db: Db, correction_id: uuid.UUID) -> HTMLResponse:
    return page(request, place, db, cards.card_of(db, place, correction_id))


@router.get("/review")
def review(request: Request, place: HereAsAdmin, db: Db) -> HTMLResponse:
    """The admins' queue, the oldest first."""
    found = finding.waiting_for_review(db, place, REVIEWED)
    return render(request, "corrections/review.html", {"cards": cards.cards(db, place, found), "kinds": KINDS})


@router.get("/threads/{thread_id}/messages/{message_id}/correction")
def below(request: Request, place: Here, db: Db, thread_id: uuid.UUID, message_id: uuid.UUID) -> HTMLResponse:
    """The card below a message, once it is known whether there is one; asked by the page until then."""
    thread = thread_of(db, place, thread_id)
    message = message_of(db, place, thread, message_id)
    found = cards.below_messages(db, place, [message])
    context = {"card": found.get(message.id), "pending": cards.is_pending(message), "message": message}
    return render(request, "corrections/below.html", {**context, "place": place, "thread": thread, "kinds": KINDS})


@router.get("/corrections/{correction_id}/waiting")
def waiting(
    request: Request, place: Here, db: Db, correction_id: uuid.UUID, before: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """The card, once it is not behind so many jobs any more; asked by the page until then."""
    card = cards.card_of(db, place, correction_id)
    if card.progress.is_live and card.progress.before == before:
        return Response(status_code=204)
    template = "corrections/one.html" if card.progress.is_live else "corrections/done.html"
    return fragment(request, place, card, template=template)


@router.post("/corrections/{correction_id}/teach")
def teach(
    request: Request, place: Here, db: Db, correction_id: uuid.UUID, form: Annotated[TeachForm, Form()]
) -> Response:
    """Also an admin's approval, and another try after a failure."""
    try:
        with db.begin_nested():  # a form that is shown again has changed nothing
            deciding.teach(db, request, place, correction_id, form.word)
    except InvalidError as error:
        return _again(request, place, db, correction_id, error, form.word)
    return _said(request, place, db, correction_id)


@router.post("/corrections/{correction_id}/dismiss")
def dismiss(
    request: Request, place: Here, db: Db, correction_id: uuid.UUID, form: Annotated[CsrfForm, Form()]
) -> Response:
    deciding.dismiss(db, request, place, correction_id)
    return _said(request, place, db, correction_id)


@router.post("/corrections/{correction_id}/cancel")
def cancel(
    request: Request, place: Here, db: Db, correction_id: uuid.UUID, form: Annotated[CsrfForm, Form()]
) -> Response:
    deciding.cancel(db, request, place, correction_id)
    return _said(request, place, db, correction_id)


@router.post("/corrections/{correction_id}/reject")
def reject(
    request: Request, place: HereAsAdmin, db: Db, correction_id: uuid.UUID, form: Annotated[RejectForm, Form()]
) -> Response:
    try:
        deciding.reject(db, request, place, correction_id, form.reason)
    except InvalidError as error:
        return _again(request, place, db, correction_id, error, Word())
    return _said(request, place, db, correction_id)


@router.get("/corrections/{correction_id}/forget")
def ask_to_forget(request: Request, place: HereAsAdmin, db: Db, correction_id: uuid.UUID) -> HTMLResponse:
    card = cards.card_of(db, place, correction_id)
    cost = standing.cost_of_forgetting(db, card.correction) if "forget" in card.may else None
    return render(request, "corrections/forget.html", {"card": card, "cost": cost, "kinds": KINDS})


@router.post("/corrections/{correction_id}/forget")
def forget(
    request: Request, place: HereAsAdmin, db: Db, correction_id: uuid.UUID, form: Annotated[CsrfForm, Form()]
) -> Response:
    deciding.forget(db, request, place, correction_id)
    return go(request, f"{place.url}/corrections/{correction_id}")


@router.post("/corrections/{correction_id}/keep")
def keep(
    request: Request, place: HereAsAdmin, db: Db, correction_id: uuid.UUID, form: Annotated[CsrfForm, Form()]
) -> Response:
    deciding.keep(db, request, place, correction_id)
    return _said(request, place, db, correction_id)


def _said(request: Request, place: Place, db: Session, correction_id: uuid.UUID) -> Response:
    """The card as it is now."""
    if not by_htmx(request):
        return go(request, f"{place.url}/corrections/{correction_id}")
    db.flush()
    return fragment(request, place, cards.card_of(db, place, correction_id))


def _again(
    request: Request, place: Place, db: Session, correction_id: uuid.UUID, error: InvalidError, word: Word
) -> HTMLResponse:
    """The card with what is wrong with the form, and what was entered."""
    card = cards.card_of(db, place, correction_id)
    card.errors, card.word = error.fields or {"form": error.message}, word
    if not by_htmx(request):
        return page(request, place, db, card, error.status)
    return fragment(request, place, card, error.status)
