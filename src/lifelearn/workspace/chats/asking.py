"""Asking in a chat: a message, another question in its place, another answer, and its early end.

Each form works by itself and leads back to the thread; sent by htmx it changes only what it must.
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from lifelearn.workspace.chats.answers import answers_of
from lifelearn.workspace.chats.views import (
    branch_changed,
    fragment,
    list_changed,
    new_page,
    thread_and_message,
    thread_page,
    url_of,
)
from lifelearn.workspace.corrections.detection import detector_of
from lifelearn.workspace.database import Db, after_commit
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.organizations.place import Here
from lifelearn.workspace.pages import Bounded, CsrfForm, by_htmx, go
from lifelearn.workspace.quotas import bytes_of, quotas_of
from lifelearn.workspace.threads import finding, tree, writing
from lifelearn.workspace.threads.tree import Turn

router = APIRouter(prefix="/o/{organization_id}")


class MessageForm(CsrfForm):
    """after: the last answer on the page from which it was sent."""

    content: Bounded = ""
    after: uuid.UUID | None = None


class EditForm(CsrfForm):
    content: Bounded = ""


@router.post("/threads")
def start(request: Request, place: Here, db: Db, form: Annotated[MessageForm, Form()]) -> Response:
    try:
        answers_of(request).check_room()
        quotas_of(request).check_thread(db, place.organization.id, bytes_of(form.content))
        thread, _question, answer = writing.post(db, place, None, form.content)
    except InvalidError as error:
        if by_htmx(request):
            raise
        return new_page(request, place, form.content, error)
    after_commit(db, partial(answers_of(request).begin, answer.id))
    url = url_of(place, thread)
    if not by_htmx(request):
        return go(request, url)
    response = thread_page(request, place, db, thread, template="chats/started.html")
    response.headers["HX-Push-Url"] = url
    return list_changed(response)


@router.post("/threads/{thread_id}/messages")
def ask(request: Request, place: Here, db: Db, thread_id: uuid.UUID, form: Annotated[MessageForm, Form()]) -> Response:
    thread = finding.thread_of(db, place, thread_id)
    try:
        answers_of(request).check_room()
        quotas_of(request).check_text(db, place.organization.id, bytes_of(form.content))
        thread, question, answer = writing.post(db, place, thread, form.content, form.after, alone=True)
    except InvalidError as error:
        if by_htmx(request):
            raise
        return thread_page(request, place, db, thread, draft=form.content, error=error)
    after_commit(db, partial(answers_of(request).begin, answer.id))
    after_commit(db, partial(detector_of(request).begin, question.id))
    if not by_htmx(request):
        return go(request, f"{url_of(place, thread)}#m-{question.id}")
    turns = [tree.turn_of(db, thread, question), Turn(answer, (answer.id,))]
    return list_changed(fragment(request, place, db, thread, turns, "chats/posted.html", after=answer.id))


@router.post("/threads/{thread_id}/messages/{message_id}/edit")
def edit(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[EditForm, Form()],
) -> Response:
    thread, message = thread_and_message(db, place, thread_id, message_id)
    answers_of(request).check_room()
    quotas_of(request).check_text(db, place.organization.id, bytes_of(form.content))
    question, answer = writing.edit(db, place, thread, message, form.content)
    after_commit(db, partial(answers_of(request).begin, answer.id))
    after_commit(db, partial(detector_of(request).begin, question.id))
    return branch_changed(request, place, db, thread, question)


@router.post("/threads/{thread_id}/messages/{message_id}/regenerate")
def regenerate(
    request: Request,
    place: Here,
    db: Db,
    thread_id: uuid.UUID,
    message_id: uuid.UUID,
    form: Annotated[CsrfForm, Form()],
) -> Response:
    thread, message = thread_and_message(db, place, thread_id, message_id)
    answers_of(request).check_room()
    quotas_of(request).check_text(db, place.organization.id)
    answer = writing.answer_again(db, place, thread, message)
    after_commit(db, partial(answers_of(request).begin, answer.id))
    return branch_changed(request, place, db, thread, answer)


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
    thread, message = thread_and_message(db, place, thread_id, message_id)
    after_commit(db, partial(answers_of(request).stop, message.id))
    if by_htmx(request):
        return Response(status_code=204)
    return go(request, f"{url_of(place, thread)}#m-{message.id}")
