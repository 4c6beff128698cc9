"""An answer as it is being written: a stream of events for each page that shows it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy.orm import Session

from lifelearn.workspace import streams
from lifelearn.workspace.chats.answers import State, answers_of
from lifelearn.workspace.chats.views import fragment, inference_of, renderer_of, thread_and_message
from lifelearn.workspace.database import Database, Db, database_of
from lifelearn.workspace.errors import WorkspaceError
from lifelearn.workspace.organizations.place import Here, Place, is_still_here
from lifelearn.workspace.pages import SignedIn
from lifelearn.workspace.rendering.renderer import as_written
from lifelearn.workspace.streams import streams_of
from lifelearn.workspace.tables.accounts import SignIn
from lifelearn.workspace.tables.chats import Status
from lifelearn.workspace.threads import finding, tree

router = APIRouter(prefix="/o/{organization_id}")

EVENT_SECONDS = 0.1  # between two states of an answer
CHECK_SECONDS = 5.0  # between two looks at whether the reader may still read
RETRY_MS = 1000
WAITING = "<p>The model is still loading. The answer comes as soon as it is ready.</p>"


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
    thread_and_message(db, place, thread_id, message_id)
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


async def _text_so_far(request: Request, of: str, state: State, over: bool) -> tuple[str, bool]:
    """An unfinished answer as HTML, and whether a part of it went over a ceiling: what follows would, and is not
    tried."""
    if not state.text:
        return (WAITING if inference_of(request).state == "loading" else ""), over
    if over:
        return as_written(state.text), True
    shown = await renderer_of(request).rendered(state.text, of)
    return shown.html, shown.how == "over"


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
            thread, message = thread_and_message(db, reader.place, reader.thread_id, reader.message_id)
        except WorkspaceError:
            return f'<li id="m-{reader.message_id}"><p class="problem">This message is gone.</p></li>'
        turns = [tree.turn_of(db, thread, message)]
        page = fragment(request, reader.place, db, thread, turns, "chats/done.html")
    return bytes(page.body).decode()
