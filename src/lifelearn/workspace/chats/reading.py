"""The pages on which chats are read: a new one, a thread, the list at the side, search, export."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from itertools import groupby
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from lifelearn.workspace import searching
from lifelearn.workspace.chats import export
from lifelearn.workspace.chats.views import TURNS, TURNS_MOST, inference_of, new_page, thread_page
from lifelearn.workspace.database import Db, ago
from lifelearn.workspace.organizations.place import Here
from lifelearn.workspace.pages import Bounded, by_htmx, render
from lifelearn.workspace.paging import read_cursor
from lifelearn.workspace.tables.chats import Thread
from lifelearn.workspace.threads import finding, tree
from lifelearn.workspace.threads.hits import search_messages

router = APIRouter(prefix="/o/{organization_id}")

LISTED = 50
_THREAD = re.compile(r"/threads/([0-9a-f-]{36})(?:[/?#]|$)")


@router.get("")
def new(request: Request, place: Here) -> HTMLResponse:
    return new_page(request, place)


@router.get("/model-state")
def model_state(request: Request, place: Here) -> HTMLResponse:
    """Whether the model can answer; asked again by the page while it is loading."""
    return render(request, "chats/model_state.html", {"place": place, "inference": inference_of(request)})


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
    hits = search_messages(db, place, q, LISTED)
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
    return thread_page(request, place, db, thread, most=max(1, min(turns, TURNS_MOST)), through=leaf)


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


def _download(text: str, name: str, media_type: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode("utf-8", "replace"), media_type=media_type, headers=headers)


def _grouped(threads: list[Thread]) -> list[tuple[str, list[Thread]]]:
    """Threads under the names of their ages, in the order that they have."""
    return [(age, list(group)) for age, group in groupby(threads, lambda thread: _age(thread.updated_at))]


def _age(moment: datetime) -> str:
    """Rolling, since the server does not know the reader's midnight."""
    return "Today" if moment > ago(days=1) else "Last 7 days" if moment > ago(days=7) else "Earlier"
