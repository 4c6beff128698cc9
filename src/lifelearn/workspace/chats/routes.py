"""The pages of chats: a new one, a thread, the list at the side, search, import and export.

Each form works by itself and leads back to the thread; sent by htmx it changes only what it must.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import ConfigDict, Field
from sqlalchemy.orm import Session

from lifelearn.workspace import searching, streams
from lifelearn.workspace.chats import chatgpt, export, imports
from lifelearn.workspace.chats.answers import State, answers_of
from lifelearn.workspace.chats.shown import as_html
from lifelearn.workspace.corrections import beginning, cards
from lifelearn.workspace.corrections.detection import detector_of
from lifelearn.workspace.corrections.flags import KINDS
from lifelearn.workspace.database import Database, Db, after_commit, ago, commit, database_of
from lifelearn.workspace.errors import InvalidError, TooManyError, WorkspaceError
from lifelearn.workspace.inference import Inference
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Here, Place, is_still_here
from lifelearn.workspace.pages import Sent, SignedIn, by_htmx, go, render
from lifelearn.workspace.paging import read_cursor
from lifelearn.workspace.quotas import bytes_of, quotas_of
from lifelearn.workspace.rendering.renderer import Renderer, as_written
from lifelearn.workspace.streams import streams_of
from lifelearn.workspace.tables.accounts import SignIn
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.threads import finding, managing, tree
from lifelearn.workspace.threads import hits as threads_hits
from lifelearn.workspace.threads import writing as threads_writing
from lifelearn.workspace.threads.tree import Turn
from lifelearn.workspace.throttle import Limit

router = APIRouter(prefix="/o/{organization_id}")

TURNS, TURNS_MOST = 60, 2000  # shown at first, and if more are asked for
LISTED = 50
EVENT_SECONDS = 0.1  # between two states of an answer
CHECK_SECONDS = 5.0  # between two looks at whether the reader may still read
RETRY_MS = 1000
WAITING = "<p>The model is still loading. The answer comes as soon as it is ready.</p>"
IMPORTS = Limit("import", most=20, seconds=3600)
_IMPORTING = threading.BoundedSemaphore(2)  # at a time, in one process: each takes a thread and much of its time
EXAMPLES = (
    "How many days of leave do we have a year?",
    "Explain to a new colleague what we do.",
    "Write a friendly reply to a customer who waits for a delivery.",
)
_THREAD = re.compile(r"/threads/([0-9a-f-]{36})(?:[/?#]|$)")

Bounded = Annotated[str, Field(max_length=200_000)]  # what is shorter is refused with the form, below


class CsrfForm(Sent):
    model_config = ConfigDict(str_strip_whitespace=True)


class MessageForm(CsrfForm):
    """after: the last answer on the page from which it was sent."""

    content: Bounded = ""
    after: uuid.UUID | None = None


class EditForm(CsrfForm):
    content: Bounded = ""


class TitleForm(CsrfForm):
    title: Bounded = ""


class ShareForm(CsrfForm):
    shared: bool = False


class CorrectForm(CsrfForm):
    """withdraw: takes the mark back."""

    right_answer: Bounded = ""
    withdraw: bool = False


class ImportForm(CsrfForm):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    file: UploadFile


# Reading


@router.get("")
def new(request: Request, place: Here) -> HTMLResponse:
    return _new_page(request, place)


@router.get("/model-state")
def model_state(request: Request, place: Here) -> HTMLResponse:
    """Whether the model can answer; asked again by the page while it is loading."""
    return render(request, "chats/model_state.html", {"place": place, "inference": _inference(request)})


@router.get("/threads")
def listed(request: Request, place: Here, db: Db, q: Bounded = "", before: str = "") -> HTMLResponse:
    """The list at the side; as a page for who has no JavaScript."""
    threads, following = finding.visible_threads(db, place, q, before, LISTED)
    here = _THREAD.search(request.headers.get("hx-current-url", ""))
    context = {
        "place": place,
        "q": q,
        "groups": _grouped(threads),
        "continues": _age(read_cursor(before)[0]) if before else "",
        "more": urlencode({"q": q, "before": following}) if following else "",
        "here": here[1] if here else "",
    }
    fragment = by_htmx(request) and request.headers.get("hx-history-restore-request") != "true"
    return render(request, "chats/threads.html" if fragment else "chats/threads_page.html", context)


@router.get("/search")
def search(request: Request, place: Here, db: Db, q: Bounded = "") -> HTMLResponse:
    hits = threads_hits.search_messages(db, place, q, LISTED)
    context = {"place": place, "q": q.strip()[: searching.SEARCH_CHARS], "hits": hits, "most": LISTED}
    return render(request, "chats/search.html", context)


@router.get("/threads/{thread_id}")
def show(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    turns: int = TURNS,
    message: uuid.UUID | None = None,
) -> HTMLResponse:
    """message: one that must be on the page, whichever branch it is in; the shown branch stays what it is."""
    thread = finding.thread_of(db, place, thread_id)
    leaf = None if message is None else finding.message_of(db, place, thread, message).id
    return _thread_page(request, place, db, thread, most=max(1, min(turns, TURNS_MOST)), through=leaf)


@router.get("/threads/{thread_id}/export.json")
def export_json(place: Here, db: Db, thread_id: uuid.UUID) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    text = export.as_json(thread, tree.everything(db, thread))
    return _download(text, export.file_name(thread, "json"), "application/json")


@router.get("/threads/{thread_id}/export.md")
def export_markdown(place: Here, db: Db, thread_id: uuid.UUID) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    text = export.as_markdown(thread, tree.branch(db, thread))
    return _download(text, export.file_name(thread, "md"), "text/markdown; charset=utf-8")


# Asking


@router.post("/threads")
def start(request: Request, place: Here, db: Db, form: Annotated[MessageForm, Form()]) -> Response:
    try:
        answers_of(request).check_room()
        quotas_of(request).check_thread(db, place.organization.id, bytes_of(form.content))
        thread, _question, answer = threads_writing.post(db, place, None, form.content)
    except InvalidError as error:
        if by_htmx(request):
            raise
        return _new_page(request, place, form.content, error)
    after_commit(db, partial(answers_of(request).begin, answer.id))
    url = _url(place, thread)
    if not by_htmx(request):
        return go(request, url)
    response = _thread_page(request, place, db, thread, template="chats/started.html")
    response.headers["HX-Push-Url"] = url
    return _list_changed(response)


@router.post("/threads/{thread_id}/messages")
def ask(request: Request, place: Here, db: Db, thread_id: uuid.UUID, form: Annotated[MessageForm, Form()]) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    try:
        answers_of(request).check_room()
        quotas_of(request).check_text(db, place.organization.id, bytes_of(form.content))
        thread, question, answer = threads_writing.post(db, place, thread, form.content, form.after, alone=True)
    except InvalidError as error:
        if by_htmx(request):
            raise
        return _thread_page(request, place, db, thread, draft=form.content, error=error)
    after_commit(db, partial(answers_of(request).begin, answer.id))
    after_commit(db, partial(detector_of(request).begin, question.id))
    if not by_htmx(request):
        return go(request, f"{_url(place, thread)}#m-{question.id}")
    turns = [tree.turn_of(db, thread, question), Turn(answer, (answer.id,))]
    return _list_changed(_fragment(request, place, db, thread, turns, "chats/posted.html", after=answer.id))


@router.post("/threads/{thread_id}/messages/{message_id}/edit")
def edit(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[EditForm, Form()],
) -> Response:
    thread, message = _found(db, place, thread_id, message_id)
    answers_of(request).check_room()
    quotas_of(request).check_text(db, place.organization.id, bytes_of(form.content))
    question, answer = threads_writing.edit(db, place, thread, message, form.content)
    after_commit(db, partial(answers_of(request).begin, answer.id))
    after_commit(db, partial(detector_of(request).begin, question.id))
    return _branch_changed(request, place, db, thread, question)


@router.post("/threads/{thread_id}/messages/{message_id}/regenerate")
def regenerate(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[CsrfForm, Form()],
) -> Response:
    thread, message = _found(db, place, thread_id, message_id)
    answers_of(request).check_room()
    quotas_of(request).check_text(db, place.organization.id)
    answer = threads_writing.answer_again(db, place, thread, message)
    after_commit(db, partial(answers_of(request).begin, answer.id))
    return _branch_changed(request, place, db, thread, answer)


@router.post("/threads/{thread_id}/messages/{message_id}/stop")
def stop(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[CsrfForm, Form()],
) -> Response:
    """The end is shown by the stream of events, which htmx follows."""
    thread, message = _found(db, place, thread_id, message_id)
    after_commit(db, partial(answers_of(request).stop, message.id))
    if by_htmx(request):
        return Response(status_code=204)
    return go(request, f"{_url(place, thread)}#m-{message.id}")


@dataclass(frozen=True)
class Reader:
    """Who follows an answer, and which; found before the stream begins, in a session that ends before it."""

    place: Place
    sign_in: SignIn
    thread_id: uuid.UUID
    message_id: uuid.UUID


def _reader(
    request: Request, place: Here, sign_in: SignedIn, db: Db, thread_id: uuid.UUID, message_id: uuid.UUID
) -> Reader:
    _found(db, place, thread_id, message_id)
    streams_of(request).check_room(place.user.id)
    return Reader(place, sign_in, thread_id, message_id)


@router.get("/threads/{thread_id}/messages/{message_id}/events", response_class=EventSourceResponse)
async def events(request: Request, reader: Annotated[Reader, Depends(_reader)]) -> AsyncIterator[ServerSentEvent]:
    """An answer while it is being written. `message`: its text so far, as HTML; `done`: the message as it stays.

    Each event holds the whole state: whoever lost the connection connects again and has missed nothing.
    """
    database, checked = database_of(request), time.monotonic()
    sent, over = "", False
    with streams_of(request).reading(request.scope, streams.Reader.of(reader.place, reader.sign_in)):
        async for state in answers_of(request).follow(reader.message_id):
            if time.monotonic() - checked > CHECK_SECONDS:
                if not await asyncio.to_thread(_may_still_read, database, reader):
                    return
                checked = time.monotonic()
            if state.status is not Status.STREAMING:
                break
            started = time.monotonic()
            html, over = await _text_so_far(request, str(reader.place.organization.id), state, over)
            if not html or html == sent:  # the next state, whenever it comes: nobody waits for a first word
                continue
            yield ServerSentEvent(raw_data=html, event="message", retry=RETRY_MS)
            sent = html
            # A long text takes a while to render: never more than a third of the time goes into it.
            await asyncio.sleep(max(EVENT_SECONDS, 2 * (time.monotonic() - started)))
        if (ended := await asyncio.to_thread(_ended, request, database, reader)) is not None:
            yield ServerSentEvent(raw_data=ended, event="done")


# Changing


@router.post("/threads/{thread_id}/branch/{message_id}")
def branch(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[CsrfForm, Form()],
) -> Response:
    thread, message = _found(db, place, thread_id, message_id)
    threads_writing.show(db, place, thread, message)
    return _branch_changed(request, place, db, thread, message)


@router.post("/threads/{thread_id}/messages/{message_id}/correct")
def correct(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[CorrectForm, Form()],
) -> Response:
    thread, message = _found(db, place, thread_id, message_id)
    if form.withdraw:
        beginning.withdraw_answer(db, request, place, message)
    else:
        beginning.correct_answer(db, request, place, thread, message, form.right_answer)
    if not by_htmx(request):
        return go(request, f"{_url(place, thread)}#m-{message.id}")
    db.flush()
    return _fragment(request, place, db, thread, [tree.turn_of(db, thread, message)], "chats/turns.html")


@router.post("/threads/{thread_id}/rename")
def rename(request: Request, place: Here, db: Db, thread_id: uuid.UUID, form: Annotated[TitleForm, Form()]) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    try:
        managing.rename(db, place, thread, form.title)
    except InvalidError as error:
        if by_htmx(request):
            raise
        return _thread_page(request, place, db, thread, error=error, title_draft=form.title)
    return go(request, _url(place, thread), "saved")


@router.post("/threads/{thread_id}/share")
def share(request: Request, place: Here, db: Db, thread_id: uuid.UUID, form: Annotated[ShareForm, Form()]) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    managing.share(db, request, place, thread, form.shared)
    return go(request, _url(place, thread), "saved")


@router.post("/threads/{thread_id}/delete")
def delete(request: Request, place: Here, db: Db, thread_id: uuid.UUID, form: Annotated[CsrfForm, Form()]) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    managing.delete(db, request, place, thread)
    return go(request, place.url, "deleted")


# Import


@router.get("/import")
def import_page(request: Request, place: Here) -> HTMLResponse:
    return render(request, "chats/import.html", {"place": place, "imported": None, "problem": ""})


@router.post("/import")
def import_file(request: Request, place: Here, db: Db, form: Annotated[ImportForm, Form()]) -> HTMLResponse:
    """Answers with the report. Sending the same file again brings nothing twice."""
    if not _IMPORTING.acquire(blocking=False):
        raise TooManyError("Other imports are being read. Try again in a minute.", 60)
    try:
        return _imported(request, place, db, form)
    finally:
        _IMPORTING.release()


def _imported(request: Request, place: Place, db: Session, form: ImportForm) -> HTMLResponse:
    IMPORTS.count(db, str(place.user.id))
    quotas_of(request).count_import(db, place.organization.id, form.file.size or 0)
    commit(db)  # reading the file takes its time: nobody else waits for it
    database, imported, problem = database_of(request), imports.Imported(), None
    try:
        found = chatgpt.read(form.file.file, imported.skipped)
        imports.keep(database, place, found, imported, quotas_of(request))
    except WorkspaceError as error:
        problem = error
    if imported.threads:
        with database.write() as writing:
            about: dict[str, Any] = {"chats": imported.threads, "messages": imported.messages}
            audit.record(writing, request, place.organization.id, place.user, "chats.imported", **about)
    status = problem.status if problem is not None else 200
    told = {"imported": imported, "problem": problem.message if problem is not None else ""}
    return _list_changed(render(request, "chats/import.html", {"place": place, **told}, status))


# What the routes share


def _inference(request: Request) -> Inference:
    inference: Inference = request.app.state.inference
    return inference


def _renderer(request: Request) -> Renderer:
    renderer: Renderer = request.app.state.renderer
    return renderer


def _url(place: Place, thread: Thread) -> str:
    return f"{place.url}/threads/{thread.id}"


def _found(db: Session, place: Place, thread_id: uuid.UUID, message_id: uuid.UUID) -> tuple[Thread, Message]:
    thread = finding.thread_of(db, place, thread_id)
    return thread, finding.message_of(db, place, thread, message_id)


def _new_page(request: Request, place: Place, draft: str = "", error: InvalidError | None = None) -> HTMLResponse:
    context = {
        "place": place,
        "inference": _inference(request),
        "examples": EXAMPLES,
        "draft": draft,
        "error": error.message if error is not None else "",
        "most_chars": threads_writing.MESSAGE_CHARS,
    }
    return render(request, "chats/new.html", context, error.status if error is not None else 200)


def _thread_page(
    request: Request,
    place: Place,
    db: Session,
    thread: Thread,
    most: int = TURNS,
    through: uuid.UUID | None = None,
    template: str = "chats/thread.html",
    draft: str = "",
    title_draft: str | None = None,
    error: InvalidError | None = None,
) -> HTMLResponse:
    turns, earlier = tree.last_turns(db, thread, most, through)
    context = {
        **_about(request, place, db, thread, turns),
        "inference": _inference(request),
        "after": turns[-1].message.id if turns else "",
        "earlier": earlier,
        "earlier_turns": most + 2 * TURNS,
        "draft": draft,
        "title_draft": thread.title if title_draft is None else title_draft,
        "error": error.message if error is not None else "",
        "errors": error.fields if error is not None else {},
        "most_chars": threads_writing.MESSAGE_CHARS,
    }
    return render(request, template, context, error.status if error is not None else 200)


def _branch_changed(request: Request, place: Place, db: Session, thread: Thread, message: Message) -> Response:
    """All messages again: behind the changed one others follow now."""
    if not by_htmx(request):
        return go(request, f"{_url(place, thread)}#m-{message.id}")
    turns, earlier = tree.last_turns(db, thread, TURNS)
    after = turns[-1].message.id if turns else ""
    more = {"after": after, "earlier": earlier, "earlier_turns": 3 * TURNS}
    return _fragment(request, place, db, thread, turns, "chats/branch.html", **more)


def _fragment(
    request: Request, place: Place, db: Session, thread: Thread, turns: list[Turn], template: str, **more: Any
) -> HTMLResponse:
    return render(request, template, {**_about(request, place, db, thread, turns), **more})


def _about(request: Request, place: Place, db: Session, thread: Thread, turns: list[Turn]) -> dict[str, Any]:
    """What templates of turns need. The last that is asked of the session: it may be ended here."""
    about = {
        "cards": cards.below_messages(db, place, (turn.message for turn in turns)),
        "is_pending": cards.is_pending,
        "kinds": KINDS,
        "place": place,
        "thread": thread,
        "turns": turns,
        "url": _url(place, thread),
        "may_manage": managing.may_manage(place, thread),
        "version_name": export.version_name,
    }
    messages = (turn.message for turn in turns)
    return {**about, "html": as_html(database_of(request), _renderer(request), db, messages)}


def _list_changed(response: HTMLResponse) -> HTMLResponse:
    """Has the list at the side loaded again, after the address has changed: it marks where the reader is."""
    response.headers["HX-Trigger-After-Settle"] = "threads-changed"
    return response


def _download(text: str, name: str, media_type: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode("utf-8", "replace"), media_type=media_type, headers=headers)


def _grouped(threads: list[Thread]) -> list[tuple[str, list[Thread]]]:
    """Threads under the names of their ages, in the order that they have."""
    return [(age, list(group)) for age, group in groupby(threads, lambda thread: _age(thread.updated_at))]


def _age(moment: datetime) -> str:
    """Rolling, since the server does not know the reader's midnight."""
    return "Today" if moment > ago(days=1) else "Last 7 days" if moment > ago(days=7) else "Earlier"


# The stream


async def _text_so_far(request: Request, of: str, state: State, over: bool) -> tuple[str, bool]:
    """An unfinished answer as HTML, and whether a part of it went over a ceiling: what follows would, and is not
    tried."""
    if not state.text:
        return (WAITING if _inference(request).state == "loading" else ""), over
    if over:
        return as_written(state.text), True
    shown = await _renderer(request).rendered(state.text, of)
    return shown.html, shown.how == "over"


# The same, in threads


def _may_still_read(database: Database, reader: Reader) -> bool:
    """Whether the reader is still signed in, a member, and sees the thread."""
    with database.read() as db, suppress(WorkspaceError):
        return _is_still_here(db, reader) and bool(finding.thread_of(db, reader.place, reader.thread_id))
    return False


def _is_still_here(db: Session, reader: Reader) -> bool:
    return is_still_here(db, reader.place.organization.id, reader.place.user.id, reader.sign_in.id)


def _ended(request: Request, database: Database, reader: Reader) -> str | None:
    """The message as it stays, or that it is gone; None for who may not be told."""
    with database.read() as db:
        if not _is_still_here(db, reader):
            return None
        try:
            thread, message = _found(db, reader.place, reader.thread_id, reader.message_id)
        except WorkspaceError:
            return f'<li id="m-{reader.message_id}"><p class="problem">This message is gone.</p></li>'
        turns = [tree.turn_of(db, thread, message)]
        page = _fragment(request, reader.place, db, thread, turns, "chats/done.html")
    return bytes(page.body).decode()
