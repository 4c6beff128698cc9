"""What pages of chats show: a thread with its turns, answers as HTML and the cards below them. Knows no routes."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from lifelearn.workspace.chats import export
from lifelearn.workspace.chats.shown import as_html
from lifelearn.workspace.corrections import cards
from lifelearn.workspace.corrections.flags import KINDS
from lifelearn.workspace.database import database_of
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.inference import Inference
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.pages import by_htmx, go, render
from lifelearn.workspace.rendering.renderer import Renderer
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.threads import finding, managing, tree, writing
from lifelearn.workspace.threads.tree import Turn

TURNS, TURNS_MOST = 60, 2000  # shown at first, and if more are asked for
EXAMPLES = (
    "How many days of leave do we have a year?",
    "Explain to a new colleague what we do.",
    "Write a friendly reply to a customer who waits for a delivery.",
)


def inference_of(request: Request) -> Inference:
    inference: Inference = request.app.state.inference
    return inference


def renderer_of(request: Request) -> Renderer:
    renderer: Renderer = request.app.state.renderer
    return renderer


def url_of(place: Place, thread: Thread) -> str:
    return f"{place.url}/threads/{thread.id}"


def thread_and_message(
    db: Session, place: Place, thread_id: uuid.UUID, message_id: uuid.UUID
) -> tuple[Thread, Message]:
    thread = finding.thread_of(db, place, thread_id)
    return thread, finding.message_of(db, place, thread, message_id)


def new_page(request: Request, place: Place, draft: str = "", error: InvalidError | None = None) -> HTMLResponse:
    context = {
        "place": place,
        "inference": inference_of(request),
        "examples": EXAMPLES,
        "draft": draft,
        "error": error.message if error is not None else "",
        "most_chars": writing.MESSAGE_CHARS,
    }
    return render(request, "chats/new.html", context, error.status if error is not None else 200)


def thread_page(
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
        "inference": inference_of(request),
        "after": turns[-1].message.id if turns else "",
        "earlier": earlier,
        "earlier_turns": most + 2 * TURNS,
        "draft": draft,
        "title_draft": thread.title if title_draft is None else title_draft,
        "error": error.message if error is not None else "",
        "errors": error.fields if error is not None else {},
        "most_chars": writing.MESSAGE_CHARS,
    }
    return render(request, template, context, error.status if error is not None else 200)


def branch_changed(request: Request, place: Place, db: Session, thread: Thread, message: Message) -> Response:
    """All messages again: behind the changed one others follow now."""
    if not by_htmx(request):
        return go(request, f"{url_of(place, thread)}#m-{message.id}")
    turns, earlier = tree.last_turns(db, thread, TURNS)
    after = turns[-1].message.id if turns else ""
    more = {"after": after, "earlier": earlier, "earlier_turns": 3 * TURNS}
    return fragment(request, place, db, thread, turns, "chats/branch.html", **more)


def fragment(
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
        "url": url_of(place, thread),
        "may_manage": managing.may_manage(place, thread),
        "version_name": export.version_name,
    }
    messages = (turn.message for turn in turns)
    return {**about, "html": as_html(database_of(request), renderer_of(request), db, messages)}


def list_changed(response: HTMLResponse) -> HTMLResponse:
    """Has the list at the side loaded again, after the address has changed: it marks where the reader is."""
    response.headers["HX-Trigger-After-Settle"] = "threads-changed"
    return response
