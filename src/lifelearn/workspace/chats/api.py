"""Chats in the JSON API. The rules are those of the pages, in threads/ and corrections/."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from lifelearn.workspace.chats.answers import answers_of
from lifelearn.workspace.chats.schemas import (
    WAIT_SECONDS,
    CorrectionAsked,
    MessagesWanted,
    MessageTold,
    Posted,
    ReplyAsked,
    ThreadAsked,
    ThreadChange,
    Threads,
    ThreadsWanted,
    ThreadTold,
    ThreadWithMessages,
)
from lifelearn.workspace.corrections import beginning
from lifelearn.workspace.corrections.detection import detector_of
from lifelearn.workspace.database import Db, after_commit, database_of
from lifelearn.workspace.leaving import until_gone
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.programs.caller import Reads, Writes, again
from lifelearn.workspace.programs.problems import BODY, problems
from lifelearn.workspace.quotas import bytes_of, quotas_of
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.threads import finding, managing, tree, writing


def _posted(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {201: {"model": Posted}, **problems(*statuses)}


api = APIRouter(prefix="/api/v1")


@api.get("/threads", operation_id="listThreads", tags=["Chats"], responses=problems(422))
def threads(place: Reads, db: Db, wanted: Annotated[ThreadsWanted, Query()]) -> Threads:
    """The chats that the key's user sees, latest first."""
    shown, following = finding.visible_threads(db, place, wanted.search, wanted.before, wanted.limit)
    return Threads(items=[ThreadTold.model_validate(each) for each in shown], next=following or None)


@api.post("/threads", operation_id="createThread", tags=["Chats"], status_code=201, responses=_posted(*BODY, 409, 503))
def create_thread(request: Request, place: Writes, db: Db, asked: ThreadAsked) -> Response:
    """Starts a chat. The answer is being written when this returns; ask for it, or `wait`."""
    answers_of(request).check_room()
    quotas_of(request).check_thread(db, place.organization.id, bytes_of(asked.content))
    thread, question, answer = writing.post(db, place, None, asked.content)
    if asked.title is not None:
        managing.rename(db, place, thread, asked.title)
    managing.share(db, request, place, thread, asked.shared)
    return _begun(request, db, thread, question, answer, asked.wait)


@api.get("/threads/{thread_id}", operation_id="getThread", tags=["Chats"], responses=problems(404, 422))
def thread(
    place: Reads, db: Db, thread_id: uuid.UUID, wanted: Annotated[MessagesWanted, Query()]
) -> ThreadWithMessages:
    """A chat and the end of the branch that is shown in it."""
    found = finding.thread_of(db, place, thread_id)
    turns, earlier = tree.last_turns(db, found, wanted.last)
    return ThreadWithMessages(
        **ThreadTold.model_validate(found).model_dump(),
        earlier=earlier,
        messages=[MessageTold.model_validate(turn.message) for turn in turns],
    )


@api.patch("/threads/{thread_id}", operation_id="updateThread", tags=["Chats"], responses=problems(*BODY, 404))
def change_thread(request: Request, place: Writes, db: Db, thread_id: uuid.UUID, change: ThreadChange) -> ThreadTold:
    """Renames a chat, shares it with all members or makes it private. What is left out or null stays as it is."""
    found = finding.thread_of(db, place, thread_id)
    if change.title is not None:
        managing.rename(db, place, found, change.title)
    if change.shared is not None:
        managing.share(db, request, place, found, change.shared)
    return ThreadTold.model_validate(found)


@api.delete(
    "/threads/{thread_id}", operation_id="deleteThread", tags=["Chats"], status_code=204, responses=problems(404, 422)
)
def delete_thread(request: Request, place: Writes, db: Db, thread_id: uuid.UUID) -> None:
    """Deletes a chat with its messages, for good."""
    found = finding.thread_of(db, place, thread_id)
    managing.delete(db, request, place, found)


@api.post(
    "/threads/{thread_id}/messages",
    operation_id="createMessage",
    tags=["Chats"],
    status_code=201,
    responses=_posted(*BODY, 404, 409, 503),
)
def create_message(request: Request, place: Writes, db: Db, thread_id: uuid.UUID, asked: ReplyAsked) -> Response:
    """Adds a message to a chat. The answer is being written when this returns; ask for it, or `wait`."""
    answers_of(request).check_room()
    found = finding.thread_of(db, place, thread_id)
    quotas_of(request).check_text(db, place.organization.id, bytes_of(asked.content))
    _thread, question, answer = writing.post(db, place, found, asked.content, asked.parent_id)
    after_commit(db, partial(detector_of(request).begin, question.id))
    return _begun(request, db, found, question, answer, asked.wait)


@api.get(
    "/threads/{thread_id}/messages/{message_id}",
    operation_id="getMessage",
    tags=["Chats"],
    responses=problems(404, 422),
)
def message(place: Reads, db: Db, thread_id: uuid.UUID, message_id: uuid.UUID) -> MessageTold:
    """A message as it is now: an answer that is being written has a part of its content."""
    return MessageTold.model_validate(_message(db, place, thread_id, message_id))


@api.post(
    "/threads/{thread_id}/messages/{message_id}/stop",
    operation_id="stopMessage",
    tags=["Chats"],
    status_code=202,
    responses=problems(404, 422),
)
def stop(request: Request, place: Writes, db: Db, thread_id: uuid.UUID, message_id: uuid.UUID) -> MessageTold:
    """Ends an answer early; it keeps what it has. Told is the answer of before, since it ends a moment later."""
    found = _message(db, place, thread_id, message_id)
    after_commit(db, partial(answers_of(request).stop, message_id))
    return MessageTold.model_validate(found)


@api.post(
    "/threads/{thread_id}/messages/{message_id}/correction",
    operation_id="correctMessage",
    tags=["Chats"],
    responses=problems(*BODY, 404, 409),
)
def correct(
    request: Request, place: Writes, db: Db, thread_id: uuid.UUID, message_id: uuid.UUID, asked: CorrectionAsked
) -> MessageTold:
    """Marks an answer as wrong, with what is right instead, which is a correction. Again replaces what was said
    before, unless that is learned."""
    found = _message(db, place, thread_id, message_id)
    beginning.correct_answer(db, request, place, finding.thread_of(db, place, thread_id), found, asked.right_answer)
    return MessageTold.model_validate(found)


@api.delete(
    "/threads/{thread_id}/messages/{message_id}/correction",
    operation_id="withdrawCorrection",
    tags=["Chats"],
    responses=problems(404, 409, 422),
)
def withdraw(request: Request, place: Writes, db: Db, thread_id: uuid.UUID, message_id: uuid.UUID) -> MessageTold:
    """Takes the mark back, and the correction with it unless it is learned. Does nothing to an answer that has none."""
    found = _message(db, place, thread_id, message_id)
    if found.marked_wrong_at is not None:
        beginning.withdraw_answer(db, request, place, found)
    return MessageTold.model_validate(found)


class Awaited(Response):
    """A message and its answer, told once the answer is complete; no session is held until then."""

    def __init__(self, request: Request, told: Posted) -> None:
        self.request, self.told = request, told
        self.background = None

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        await until_gone(receive, self._tell(scope, receive, send))

    async def _tell(self, scope: Connection, receive: Receive, send: Send) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS), aclosing(self._states()) as states:
                async for _state in states:
                    pass
        answer = await run_in_threadpool(self._read)
        told = self.told.model_copy(update={"answer": answer})
        await _created(told)(scope, receive, send)

    def _states(self) -> AsyncGenerator[object]:
        return cast(AsyncGenerator[object], answers_of(self.request).follow(self.told.answer.id))

    def _read(self) -> MessageTold:
        """The answer as it is now, for who may still see it."""
        with database_of(self.request).read() as db:
            place = again(self.request, db).place
            return MessageTold.model_validate(_message(db, place, self.told.thread.id, self.told.answer.id))


def _begun(request: Request, db: Session, thread: Thread, question: Message, answer: Message, wait: bool) -> Response:
    """Has the answer written once it is kept that there is one."""
    after_commit(db, partial(answers_of(request).begin, answer.id))
    told = Posted(
        thread=ThreadTold.model_validate(thread),
        question=MessageTold.model_validate(question),
        answer=MessageTold.model_validate(answer),
    )
    return Awaited(request, told) if wait else _created(told)


def _created(told: Posted) -> Response:
    return Response(told.model_dump_json(), 201, media_type="application/json")


def _message(db: Session, place: Place, thread_id: uuid.UUID, message_id: uuid.UUID) -> Message:
    return finding.message_of(db, place, finding.thread_of(db, place, thread_id), message_id)
