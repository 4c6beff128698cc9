"""The pages of corrections: a card in a chat, the list, one with its history, the review, and forgetting."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.workspace import streams
from lifelearn.workspace.corrections import cards, deciding, finding, permits, standing
from lifelearn.workspace.corrections.cards import NAMES, SOURCES, Card, Way
from lifelearn.workspace.corrections.flags import KINDS
from lifelearn.workspace.corrections.progress import Progress, watch_of
from lifelearn.workspace.corrections.words import Word
from lifelearn.workspace.database import Database, Db, database_of
from lifelearn.workspace.errors import InvalidError, NotFoundError, WorkspaceError
from lifelearn.workspace.organizations.place import Here, HereAsAdmin, Place, is_still_here
from lifelearn.workspace.pages import Sent, SignedIn, by_htmx, go, render
from lifelearn.workspace.streams import streams_of
from lifelearn.workspace.tables.accounts import SignIn, User
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.organizations import AuditEvent
from lifelearn.workspace.tables.versions import Verdict
from lifelearn.workspace.threads.finding import message_of, thread_of

router = APIRouter(prefix="/o/{organization_id}")

LISTED = 50
REVIEWED = 20  # at a time
CHECK_SECONDS = 5.0  # between two looks at whether the reader may still read
RETRY_MS = 1000
HISTORY = 200

# What is told of it in the audit log, for people.
EVENTS = {
    "correction.taught": "had it taught",
    "correction.approved": "approved it",
    "correction.proposed": "handed it to the admins",
    "correction.rejected": "did not approve it",
    "correction.dismissed": "said that it is no correction",
    "correction.cancelled": "cancelled it",
    "correction.withdrawn": "took it back",
    "correction.forgotten": "had it forgotten",
    "correction.kept": "kept it after all",
}

Bounded = Annotated[str, Field(max_length=200_000)]  # what is shorter is refused with the form


class CsrfForm(Sent):
    model_config = ConfigDict(str_strip_whitespace=True)


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


@dataclass(frozen=True)
class Moment:
    """A line of a correction's history."""

    at: datetime
    who: str
    said: str


# Reading


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
    return _page(request, place, db, cards.card_of(db, place, correction_id))


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


@dataclass(frozen=True)
class Reader:
    """Who follows a correction, and which; found before the stream begins, in a session that ends before it."""

    place: Place
    sign_in: SignIn
    correction_id: uuid.UUID


def _reader(request: Request, place: Here, sign_in: SignedIn, db: Db, correction_id: uuid.UUID) -> Reader:
    finding.correction_of(db, place, correction_id)
    streams_of(request).check_room(place.user.id)
    return Reader(place, sign_in, correction_id)


@router.get("/corrections/{correction_id}/events", response_class=EventSourceResponse)
async def events(request: Request, reader: Annotated[Reader, Depends(_reader)]) -> AsyncIterator[ServerSentEvent]:
    """A correction on its way. `message`: how far it is, as HTML; `done`: the card as it stays.

    Each event holds the whole state: whoever lost the connection connects again and has missed nothing.
    """
    database, checked = database_of(request), time.monotonic()
    with streams_of(request).reading(request.scope, streams.Reader.of(reader.place, reader.sign_in)):
        async for state in watch_of(request).follow(reader.correction_id):
            if time.monotonic() - checked > CHECK_SECONDS:
                if not await asyncio.to_thread(_may_still_read, database, reader):
                    return
                checked = time.monotonic()
            if not state.is_live:
                break
            html = await asyncio.to_thread(_so_far, request, state)
            yield ServerSentEvent(raw_data=html, event="message", retry=RETRY_MS)
        yield ServerSentEvent(raw_data=await asyncio.to_thread(_ended, request, database, reader), event="done")


@router.get("/corrections/{correction_id}/waiting")
def waiting(
    request: Request, place: Here, db: Db, correction_id: uuid.UUID, before: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """The card, once it is not behind so many jobs any more; asked by the page until then."""
    card = cards.card_of(db, place, correction_id)
    if card.progress.is_live and card.progress.before == before:
        return Response(status_code=204)
    template = "corrections/one.html" if card.progress.is_live else "corrections/done.html"
    return _fragment(request, place, card, template=template)


# Saying something to it


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


# What the routes share


def _said(request: Request, place: Place, db: Session, correction_id: uuid.UUID) -> Response:
    """The card as it is now."""
    if not by_htmx(request):
        return go(request, f"{place.url}/corrections/{correction_id}")
    db.flush()
    return _fragment(request, place, cards.card_of(db, place, correction_id))


def _again(
    request: Request, place: Place, db: Session, correction_id: uuid.UUID, error: InvalidError, word: Word
) -> HTMLResponse:
    """The card with what is wrong with the form, and what was entered."""
    card = cards.card_of(db, place, correction_id)
    card.errors, card.word = error.fields or {"form": error.message}, word
    if not by_htmx(request):
        return _page(request, place, db, card, error.status)
    return _fragment(request, place, card, error.status)


def _fragment(
    request: Request, place: Place, card: Card, status: int = 200, template: str = "corrections/one.html"
) -> HTMLResponse:
    """A card in the place of one that is on the page already, and with a title of its level."""
    page = urlsplit(request.headers.get("referer", "")).path
    heading = "h2" if page.endswith("/review") or "/corrections/" in page else "h3"
    context = {"place": place, "card": card, "kinds": KINDS, "heading": heading}
    return render(request, template, context, status)


def _page(request: Request, place: Place, db: Session, card: Card, status: int = 200) -> HTMLResponse:
    context = {
        "place": place,
        "card": card,
        "kinds": KINDS,
        "history": _history(db, place, card.correction),
        "verdicts": _verdicts(db, place, card.correction),
        "sources": SOURCES,
        "thread": _thread(db, place, card.correction),
    }
    return render(request, "corrections/page.html", context, status)


def _thread(db: Session, place: Place, correction: Correction) -> uuid.UUID | None:
    """Where it came from, if the visitor may look there."""
    if correction.thread_id is not None:
        with suppress(NotFoundError):
            return thread_of(db, place, correction.thread_id).id
    return None


def _history(db: Session, place: Place, correction: Correction) -> list[Moment]:
    """What was said and done to it, oldest first."""
    mine = correction.author_id == place.user.id
    author = "You" if mine else correction.author.name if correction.author else "Former member"
    found = [Moment(correction.created_at, author, f"Began: {SOURCES[correction.source]}.")]  # type: ignore[index]
    query = (
        select(AuditEvent, User.name)
        .outerjoin(User, User.id == AuditEvent.actor_id)
        .where(AuditEvent.organization_id == place.organization.id, AuditEvent.target == str(correction.id))
        .where(AuditEvent.created_at >= correction.created_at, AuditEvent.action.in_(EVENTS))
        .order_by(AuditEvent.created_at)
        .limit(HISTORY)
    )
    for event, name in db.execute(query):
        who = "You" if event.actor_id == place.user.id else name or "Former member"
        found.append(Moment(event.created_at, who, f"{EVENTS[event.action].capitalize()}."))
    for job in db.scalars(select(Job).where(Job.id == correction.job_id)) if correction.job_id else ():
        if job.started_at is not None:
            found.append(Moment(job.started_at, "", "Learning began."))
    if correction.settled_at is not None and correction.state in (State.LEARNED, State.FAILED):
        said = f"Learned, in version {correction.version}." if correction.state == State.LEARNED else correction.problem
        found.append(Moment(correction.settled_at, "", said))
    return sorted(found, key=lambda moment: moment.at)


def _verdicts(db: Session, place: Place, correction: Correction) -> list[Verdict]:
    """Which versions were asked, and what they answered; the newest first."""
    query = select(Verdict).where(
        Verdict.organization_id == place.organization.id, Verdict.correction_id == correction.id
    )
    return list(db.scalars(query.order_by(Verdict.number.desc()).limit(LISTED)))


# The stream, in threads


def _so_far(request: Request, state: Progress) -> str:
    return bytes(render(request, "corrections/progress.html", {"way": Way(state)}).body).decode()


def _ended(request: Request, database: Database, reader: Reader) -> str:
    """The card as it stays, or that it is gone."""
    with database.read() as db:
        try:
            card = cards.card_of(db, reader.place, reader.correction_id)
        except WorkspaceError:
            return f'<p id="c-{reader.correction_id}" class="problem">This correction is gone.</p>'
        page = _fragment(request, reader.place, card, template="corrections/done.html")
    return bytes(page.body).decode()


def _may_still_read(database: Database, reader: Reader) -> bool:
    """Whether the reader is still signed in, a member, and sees the correction."""
    with database.read() as db:
        if not is_still_here(db, reader.place.organization.id, reader.place.user.id, reader.sign_in.id):
            return False
        with suppress(WorkspaceError):
            return bool(finding.correction_of(db, reader.place, reader.correction_id))
    return False
