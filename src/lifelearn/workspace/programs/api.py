"""The JSON API of an organisation, for programs. Its rules are those of the pages, in chats/ and organizations/."""

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

from lifelearn.settings import Settings
from lifelearn.workspace.chats import service as chats
from lifelearn.workspace.chats.answers import answers_of
from lifelearn.workspace.corrections import service as corrections
from lifelearn.workspace.corrections.detection import detector_of
from lifelearn.workspace.database import Db, after_commit, commit, database_of
from lifelearn.workspace.errors import UnavailableError
from lifelearn.workspace.leaving import until_gone
from lifelearn.workspace.organizations import audit, service
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.programs.caller import Administers, Reader, Reads, Writes, again
from lifelearn.workspace.programs.schemas import (
    WAIT_SECONDS,
    CorrectionAsked,
    Events,
    EventsWanted,
    EventTold,
    InviteAsked,
    InviteMade,
    Invites,
    InviteTold,
    Members,
    MemberTold,
    MessagesWanted,
    MessageTold,
    OrganizationTold,
    Posted,
    Problem,
    ReplyAsked,
    ThreadAsked,
    ThreadChange,
    Threads,
    ThreadsWanted,
    ThreadTold,
    ThreadWithMessages,
)
from lifelearn.workspace.quotas import bytes_of, quotas_of
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.programs import Scope


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors, for the OpenAPI document: those of every call, and `statuses`."""
    meanings = {
        400: "The body cannot be read.",
        401: "No API key, or one that does not work.",
        403: "The key lacks the scope, or its user may not do that.",
        404: "There is nothing here, or it is not yours to see.",
        409: "It cannot be done at the moment; the detail says why.",
        413: "The request is larger than 1 MiB.",
        422: "What was sent does not fit; the fields say where.",
        429: "Too many requests. `Retry-After` says in how many seconds to go on.",
        503: "Something that is needed for it does not answer.",
    }
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": meanings[status], "content": content} for status in {401, 403, 429, *statuses}
    }
    return found


def _posted(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {201: {"model": Posted}, **problems(*statuses)}


BODY = (400, 413, 422)

api = APIRouter(prefix="/api/v1")


# The organisation


@api.get("/organization", operation_id="getOrganization", tags=["Organisation"], responses=problems())
def organization(place: Reads) -> OrganizationTold:
    """The organisation that the key belongs to."""
    values = {name: getattr(place.organization, name) for name in OrganizationTold.model_fields if name != "role"}
    return OrganizationTold(**values, role=place.role)


@api.get("/members", operation_id="listMembers", tags=["Organisation"], responses=problems())
def members(caller: Reader, db: Db) -> Members:
    """All members: owners first, then by name."""
    place = caller.place
    addresses = place.may_admin and Scope.ADMIN in caller.key.scopes
    return Members(
        items=[
            MemberTold(
                user_id=each.user_id,
                name=each.user.name,
                email=each.user.email if addresses else None,
                role=service.role_of(each.role),
                joined_at=each.created_at,
            )
            for each in service.members_of(db, place.organization.id)
        ]
    )


# Invites


@api.get("/invites", operation_id="listInvites", tags=["Administration"], responses=problems())
def invites(place: Administers, db: Db) -> Invites:
    """Invites that can still be accepted, newest first."""
    found = service.open_invites(db, place.organization.id)
    return Invites(items=[InviteTold.model_validate(each) for each in found])


@api.post(
    "/invites",
    operation_id="createInvite",
    tags=["Administration"],
    status_code=201,
    responses=problems(*BODY, 409),
)
def invite(request: Request, place: Administers, db: Db, asked: InviteAsked) -> InviteMade:
    """Invites an address. The link is mailed if the workspace has a mail server, and else told here, once."""
    settings: Settings = request.app.state.settings
    made, token = service.invite(db, request, place, asked.email, asked.role)
    told = InviteTold.model_validate(made)
    commit(db)  # a mail server may take seconds, and the database is not to wait for it
    mailed = False
    if settings.smtp_url is not None:
        try:
            service.mail_invite(settings, place, made, token)
            mailed = True
        except UnavailableError:
            pass  # the link is told instead
    return InviteMade(**told.model_dump(), mailed=mailed, link=None if mailed else service.link_of(settings, token))


@api.delete(
    "/invites/{invite_id}",
    operation_id="revokeInvite",
    tags=["Administration"],
    status_code=204,
    responses=problems(404, 422),
)
def revoke_invite(request: Request, place: Administers, db: Db, invite_id: uuid.UUID) -> None:
    """Ends an invite that was not accepted yet."""
    service.revoke_invite(db, request, place, invite_id)


# The audit log


@api.get("/audit", operation_id="listAuditEvents", tags=["Administration"], responses=problems(422))
def audit_events(place: Administers, db: Db, wanted: Annotated[EventsWanted, Query()]) -> Events:
    """What happened in the organisation, newest first."""
    events, following = audit.page(db, place.organization.id, wanted.filter, wanted.before, wanted.limit)
    return Events(items=[EventTold(**audit.told(event)) for event in events], next=following or None)


# Chats


@api.get("/threads", operation_id="listThreads", tags=["Chats"], responses=problems(422))
def threads(place: Reads, db: Db, wanted: Annotated[ThreadsWanted, Query()]) -> Threads:
    """The chats that the key's user sees, latest first."""
    shown, following = chats.visible_threads(db, place, wanted.search, wanted.before, wanted.limit)
    return Threads(items=[ThreadTold.model_validate(each) for each in shown], next=following or None)


@api.post("/threads", operation_id="createThread", tags=["Chats"], status_code=201, responses=_posted(*BODY, 409, 503))
def create_thread(request: Request, place: Writes, db: Db, asked: ThreadAsked) -> Response:
    """Starts a chat. The answer is being written when this returns; ask for it, or `wait`."""
    answers_of(request).check_room()
    quotas_of(request).check_thread(db, place.organization.id, bytes_of(asked.content))
    thread, question, answer = chats.post(db, place, None, asked.content)
    if asked.title is not None:
        chats.rename(db, place, thread, asked.title)
    chats.share(db, request, place, thread, asked.shared)
    return _begun(request, db, thread, question, answer, asked.wait)


@api.get("/threads/{thread_id}", operation_id="getThread", tags=["Chats"], responses=problems(404, 422))
def thread(
    place: Reads, db: Db, thread_id: uuid.UUID, wanted: Annotated[MessagesWanted, Query()]
) -> ThreadWithMessages:
    """A chat and the end of the branch that is shown in it."""
    found = chats.thread_of(db, place, thread_id)
    turns, earlier = chats.last_turns(db, found, wanted.last)
    return ThreadWithMessages(
        **ThreadTold.model_validate(found).model_dump(),
        earlier=earlier,
        messages=[MessageTold.model_validate(turn.message) for turn in turns],
    )


@api.patch("/threads/{thread_id}", operation_id="updateThread", tags=["Chats"], responses=problems(*BODY, 404))
def change_thread(request: Request, place: Writes, db: Db, thread_id: uuid.UUID, change: ThreadChange) -> ThreadTold:
    """Renames a chat, shares it with all members or makes it private. What is left out or null stays as it is."""
    found = chats.thread_of(db, place, thread_id)
    if change.title is not None:
        chats.rename(db, place, found, change.title)
    if change.shared is not None:
        chats.share(db, request, place, found, change.shared)
    return ThreadTold.model_validate(found)


@api.delete(
    "/threads/{thread_id}", operation_id="deleteThread", tags=["Chats"], status_code=204, responses=problems(404, 422)
)
def delete_thread(request: Request, place: Writes, db: Db, thread_id: uuid.UUID) -> None:
    """Deletes a chat with its messages, for good."""
    found = chats.thread_of(db, place, thread_id)
    chats.delete(db, request, place, found)


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
    found = chats.thread_of(db, place, thread_id)
    quotas_of(request).check_text(db, place.organization.id, bytes_of(asked.content))
    _thread, question, answer = chats.post(db, place, found, asked.content, asked.parent_id)
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
    corrections.correct_answer(db, request, place, chats.thread_of(db, place, thread_id), found, asked.right_answer)
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
        corrections.withdraw_answer(db, request, place, found)
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
    return chats.message_of(db, place, chats.thread_of(db, place, thread_id), message_id)
