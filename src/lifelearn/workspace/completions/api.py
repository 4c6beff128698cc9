"""OpenAI's chat completions and list of models.

An answer is written while nothing of the database is held, and ends when the program goes away. Nothing is kept of it.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.types import Message
from lifelearn.learning.version import VersionError
from lifelearn.workspace.admission import Admission, Asker
from lifelearn.workspace.completions.schemas import (
    MODEL,
    Answer,
    ChatCompletion,
    ChatCompletionRequest,
    Choice,
    Model,
    ModelList,
    problems,
)
from lifelearn.workspace.completions.stops import until
from lifelearn.workspace.corrections.context import with_corrections
from lifelearn.workspace.database import database_of
from lifelearn.workspace.errors import ProgramError, UnavailableError
from lifelearn.workspace.leaving import until_gone
from lifelearn.workspace.programs.caller import Chats
from lifelearn.workspace.streams import Reader, streams_of
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions.folders import answering, weights_of

api = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])

NUMBERED = re.compile(MODEL + r"/(0|[1-9]\d{0,8})")


@api.post(
    "/chat/completions",
    operation_id="createChatCompletion",
    summary="Answer a conversation",
    responses={
        200: {
            "model": ChatCompletion,
            "description": "The answer; with `stream`, its pieces as server-sent events and `[DONE]` after them.",
            "content": {"text/event-stream": {}},  # OpenAPI 3.1 has no schema for one event
        },
        **problems(400, 401, 403, 404, 413, 429, 503),
    },
)
def complete(request: Request, caller: Chats, asked: ChatCompletionRequest) -> Response:
    organization = caller.place.organization
    streams_of(request).check_room(caller.key.user_id)
    version, weights = _found(request, organization, asked.model)
    conversation = asked.conversation
    if not any(turn.role == "user" for turn in conversation):
        raise ProgramError("messages: one of them at least must be the user's.", "messages")
    if organization.instructions and not any(turn.role == "system" for turn in conversation):
        conversation = (Message(role="system", content=organization.instructions), *conversation)
    if asked.model == MODEL:  # a version with a number answers as it is
        with database_of(request).read() as db:
            conversation = with_corrections(db, organization.id, conversation).conversation
    admission: Admission = request.app.state.admission
    asker = Asker(organization.id, caller.key.user_id, caller.key.id)
    pieces = admission.stream(asker, conversation, asked.sampling(organization), weights)
    reader = Reader(organization.id, caller.key.user_id, key_id=caller.key.id)
    reading = partial(streams_of(request).reading, reader=reader)
    return Completion(until(pieces, asked.stops), f"{MODEL}/{version}", bool(asked.stream), reading)


@api.get(
    "/models",
    operation_id="listModels",
    summary="The organisation's models",
    responses=problems(401, 403, 429, 503),
)
def models(request: Request, caller: Chats) -> ModelList:
    """`life-learn` is the version that is active whenever it is asked; those with a number stay what they are, and
    `life-learn/0` is the base model."""
    organization = caller.place.organization
    with database_of(request).read() as db:
        query = select(Version.number).where(Version.organization_id == organization.id).order_by(Version.number)
        numbers = db.scalars(query).all()
    names = [MODEL, *(f"{MODEL}/{number}" for number in (0, *numbers))]
    return ModelList(data=[_model(organization, name) for name in names])


@api.get(
    "/models/{model:path}",
    operation_id="retrieveModel",
    summary="One of the organisation's models",
    responses=problems(401, 403, 404, 429, 503),
)
def model(request: Request, caller: Chats, model: str) -> Model:
    _found(request, caller.place.organization, model)
    return _model(caller.place.organization, model)


class Completion(Response):
    """An answer that is still to be written; the model stops as soon as the program leaves, or its key is revoked.

    The status waits for the first piece: a model that cannot answer is an error and not an empty stream.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[str],
        model: str,
        streams: bool,
        reading: Callable[[Connection], AbstractContextManager[None]],
    ) -> None:
        self.pieces, self.streams, self.reading = pieces, streams, reading
        self.about = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self.background = None

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        with self.reading(scope):
            await until_gone(receive, self._stream(send) if self.streams else self._whole(scope, receive, send))

    async def _whole(self, scope: Connection, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self.pieces) as pieces:
                text = "".join([piece async for piece in pieces])
        except ChatModelError as error:
            raise UnavailableError(str(error)) from error
        body = ChatCompletion(**self.about, choices=[Choice(message=Answer(content=text))])
        await JSONResponse(body.model_dump())(scope, receive, send)

    async def _stream(self, send: Send) -> None:
        async with aclosing(self.pieces) as pieces:
            try:
                first = await anext(pieces, "")
            except ChatModelError as error:
                raise UnavailableError(str(error)) from error
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send(send, self._chunk({"role": "assistant", "content": first}))
            try:
                async for piece in pieces:
                    await self._send(send, self._chunk({"content": piece}))
            except ChatModelError as error:  # too late for a status
                detail = {"message": str(error), "type": "server_error", "param": None, "code": None}
                await self._send(send, json.dumps({"error": detail}))
            else:
                await self._send(send, self._chunk({}, "stop"))
            await self._send(send, "[DONE]")
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, data: str) -> None:
        await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return json.dumps({"object": "chat.completion.chunk", **self.about, "choices": [choice]})


def _found(request: Request, organization: Organization, name: str) -> tuple[int, Path | None]:
    """The version that a model's name means, and the folder of its weights."""
    numbered = NUMBERED.fullmatch(name)
    number = organization.active_version if name == MODEL else int(numbered[1]) if numbered else -1
    if number >= 0:
        try:
            with database_of(request).read() as db:
                version = answering(db, organization, number)
            return number, weights_of(request.app.state.settings, version)
        except VersionError:  # its text names folders of this machine
            if number == organization.active_version:
                raise _damaged() from None
    told = f"The model {name[:60]!r} does not exist here. /v1/models lists those that do."
    raise ProgramError(told, "model", "model_not_found", status=404)


def _damaged() -> UnavailableError:
    return UnavailableError("A version of this organisation's model is damaged. Tell who runs this server.")


def _model(organization: Organization, name: str) -> Model:
    return Model(id=name, created=int(organization.created_at.timestamp()), owned_by=organization.name)
