"""Changing a chat: the branch that is shown, a mark on an answer, its title, who sees it, its end.

Each form works by itself and leads back to the thread; sent by htmx it changes only what it must.
"""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from lifelearn.workspace.chats.views import (
    branch_changed,
    fragment,
    thread_and_message,
    thread_page,
    url_of,
)
from lifelearn.workspace.corrections import beginning
from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.organizations.place import Here
from lifelearn.workspace.pages import Bounded, CsrfForm, by_htmx, go
from lifelearn.workspace.threads import finding, managing, tree, writing

router = APIRouter(prefix="/o/{organization_id}")


class TitleForm(CsrfForm):
    title: Bounded = ""


class ShareForm(CsrfForm):
    shared: bool = False


class CorrectForm(CsrfForm):
    """withdraw: takes the mark back."""

    right_answer: Bounded = ""
    withdraw: bool = False


@router.post("/threads/{thread_id}/branch/{message_id}")
def branch(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[CsrfForm, Form()],
) -> Response:
    thread, message = thread_and_message(db, place, thread_id, message_id)
    writing.show(db, place, thread, message)
    return branch_changed(request, place, db, thread, message)


@router.post("/threads/{thread_id}/messages/{message_id}/correct")
def correct(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[CorrectForm, Form()],
) -> Response:
    thread, message = thread_and_message(db, place, thread_id, message_id)
    if form.withdraw:
        beginning.withdraw_answer(db, request, place, message)
    else:
        beginning.correct_answer(db, request, place, thread, message, form.right_answer)
    if not by_htmx(request):
        return go(request, f"{url_of(place, thread)}#m-{message.id}")
    db.flush()
    return fragment(request, place, db, thread, [tree.turn_of(db, thread, message)], "chats/turns.html")


@router.post("/threads/{thread_id}/rename")
def rename(request: Request, place: Here, db: Db, thread_id: uuid.UUID, form: Annotated[TitleForm, Form()]) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    try:
        managing.rename(db, place, thread, form.title)
    except InvalidError as error:
        if by_htmx(request):
            raise
        return thread_page(request, place, db, thread, error=error, title_draft=form.title)
    return go(request, url_of(place, thread), "saved")


@router.post("/threads/{thread_id}/share")
def share(request: Request, place: Here, db: Db, thread_id: uuid.UUID, form: Annotated[ShareForm, Form()]) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    managing.share(db, request, place, thread, form.shared)
    return go(request, url_of(place, thread), "saved")


@router.post("/threads/{thread_id}/delete")
def delete(request: Request, place: Here, db: Db, thread_id: uuid.UUID, form: Annotated[CsrfForm, Form()]) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    managing.delete(db, request, place, thread)
    return go(request, place.url, "deleted")
