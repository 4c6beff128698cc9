"""A correction on its way: a stream of events for each page that shows it."""

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

from lifelearn.workspace import streams
from lifelearn.workspace.corrections import cards, finding
from lifelearn.workspace.corrections.cards import Way
from lifelearn.workspace.corrections.progress import Progress, watch_of
from lifelearn.workspace.corrections.views import fragment
from lifelearn.workspace.database import Database, Db, database_of
from lifelearn.workspace.errors import WorkspaceError
from lifelearn.workspace.organizations.place import Here, Place, is_still_here
from lifelearn.workspace.pages import SignedIn, render
from lifelearn.workspace.streams import streams_of
from lifelearn.workspace.tables.accounts import SignIn

router = APIRouter(prefix="/o/{organization_id}")
CHECK_SECONDS = 5.0  # between two looks at whether the reader may still read
RETRY_MS = 1000


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


def _so_far(request: Request, state: Progress) -> str:
    return bytes(render(request, "corrections/progress.html", {"way": Way(state)}).body).decode()


def _ended(request: Request, database: Database, reader: Reader) -> str:
    """The card as it stays, or that it is gone."""
    with database.read() as db:
        try:
            card = cards.card_of(db, reader.place, reader.correction_id)
        except WorkspaceError:
            return f'<p id="c-{reader.correction_id}" class="problem">This correction is gone.</p>'
        page = fragment(request, reader.place, card, template="corrections/done.html")
    return bytes(page.body).decode()


def _may_still_read(database: Database, reader: Reader) -> bool:
    """Whether the reader is still signed in, a member, and sees the correction."""
    with database.read() as db:
        if not is_still_here(db, reader.place.organization.id, reader.place.user.id, reader.sign_in.id):
            return False
        with suppress(WorkspaceError):
            return bool(finding.correction_of(db, reader.place, reader.correction_id))
    return False
