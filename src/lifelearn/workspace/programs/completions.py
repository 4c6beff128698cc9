"""OpenAI's chat completions and list of models, as far as they fit a model that writes text.

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
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from sqlalchemy import select
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.types import Conversation, Message
from lifelearn.learning.version import VersionError
from lifelearn.workspace.admission import Admission, Asker
from lifelearn.workspace.corrections.context import with_corrections
from lifelearn.workspace.database import database_of
from lifelearn.workspace.errors import ProgramError, UnavailableError
from lifelearn.workspace.guard import BODY_BYTES
from lifelearn.workspace.leaving import until_gone
from lifelearn.workspace.organizations.service import MOST_TOKENS
from lifelearn.workspace.programs.caller import Chats
from lifelearn.workspace.streams import Reader, streams_of
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions.folders import answering, weights_of

completions = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])

MODEL = "life-learn"
NUMBERED = re.compile(MODEL + r"/(0|[1-9]\d{0,8})")
MOST_MESSAGES = 1000
GREEDY_BELOW = 0.01  # a temperature so low that only the likeliest token is left
LEAST_TOP_P = 1e-6  # 0 would leave no token at all
# What would change the answer and is not done here. What would not, such as `user`, is ignored as OpenAI ignores it.
REFUSED = ("tools", "functions", "audio", "logprobs", "top_logprobs", "logit_bias", "prediction", "web_search_options")


def _whole(given: Any) -> Any:
    """1.0 is a whole number in JSON."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


Whole = Annotated[int, BeforeValidator(_whole)]
Text = Annotated[str, Field(max_length=BODY_BYTES)]  # a bound also refuses halves of characters


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """A turn. `developer` is another word for `system`."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(min_length=1, max_length=100)]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    include_usage: bool | None = Field(None, description="Accepted, and not followed: tokens are not counted here.")


class TextFormat(BaseModel):
    type: Literal["text"]


class ChatCompletionRequest(BaseModel):
    """A conversation to be answered. Fields of OpenAI's that are not listed here are ignored.

    Without a system message the organisation's own instructions apply. Where the conversation outgrows the model's
    context, its oldest turns are left out.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    model: str = Field(max_length=200, description="`life-learn`, or one of the others that `/v1/models` lists.")
    messages: list[ChatMessage] = Field(
        min_length=1, max_length=MOST_MESSAGES, description="One of them at least is the user's."
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2, description="By default what the organisation has set.")
    top_p: float | None = Field(None, ge=0, le=1)
    max_completion_tokens: Whole | None = Field(
        None,
        ge=1,
        description=f"Most tokens of the answer, up to {MOST_TOKENS}. By default what the organisation has set.",
    )
    max_tokens: Whole | None = Field(None, ge=1, description="The older name of `max_completion_tokens`.")
    seed: Whole | None = Field(None, description="The same seed gives the same answer. By default it is drawn.")
    stop: Text | Annotated[list[Annotated[Text, Field(min_length=1)]], Field(max_length=4)] | None = Field(
        None, description="Texts at which the answer ends; they are not part of it."
    )
    n: Annotated[Literal[1], BeforeValidator(_whole)] | None = Field(1, description="One answer.")
    response_format: TextFormat | None = Field(None, description="Text.")

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, given: Any) -> Any:
        """Says in words what is not done here, instead of leaving it out unsaid."""
        if not isinstance(given, dict):
            return given
        for name in REFUSED:
            if given.get(name):
                raise ProgramError(
                    f"{name} is not supported here: the model writes text.", name, "unsupported_parameter"
                )
        form = given.get("response_format")
        if isinstance(form, dict) and form.get("type") in ("json_object", "json_schema"):
            told = "Only the response format text is supported here."
            raise ProgramError(told, "response_format", "unsupported_value")
        if isinstance(count := given.get("n"), int) and count > 1:
            raise ProgramError("Only one answer a request is supported here (n=1).", "n", "unsupported_value")
        for message in given["messages"] if isinstance(given.get("messages"), list) else ():
            _refuse_in(message)
        return given

    @property
    def conversation(self) -> Conversation:
        return tuple(
            Message(role="system" if each.role == "developer" else each.role, content=each.text)
            for each in self.messages
        )

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) and self.stop else list(self.stop or ())

    def sampling(self, organization: Organization) -> Sampling:
        temperature = organization.temperature if self.temperature is None else self.temperature
        most = self.max_completion_tokens or self.max_tokens or organization.max_tokens
        return Sampling(
            max_tokens=min(most, MOST_TOKENS),
            temperature=0.0 if temperature < GREEDY_BELOW else temperature,
            top_p=1.0 if self.top_p is None else max(self.top_p, LEAST_TOP_P),
            seed=secrets.randbits(32) if self.seed is None else self.seed % 2**32,
        )


class Answer(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: Literal[0] = 0
    message: Answer
    logprobs: None = None
    finish_reason: Literal["stop"] = Field(
        "stop", description="Always `stop`: an answer that was cut at its most tokens is not told from one that ended."
    )


class ChatCompletion(BaseModel):
    """An answer. It has no `usage`, since tokens are not counted here."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str = Field(description="The version that answered, such as `life-learn/3`.")
    choices: list[Choice]


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When the organisation was made, in seconds since 1970.")
    owned_by: str = Field(description="The organisation's name.")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """An error in OpenAI's form."""

    error: ErrorDetail


def _answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors, for the OpenAPI document."""
    meanings = {
        400: "The request cannot be read, or asks for what is not done here.",
        401: "No API key, or one that does not work.",
        403: "The key lacks the scope `chat`.",
        404: "There is no such model.",
        413: "The request is larger than 1 MiB.",
        429: "Too many requests. `Retry-After` says in how many seconds to go on.",
        503: "The model does not answer.",
    }
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": meanings[status]} for status in statuses
    }
    return {**found, "default": {"model": ErrorAnswer, "description": "Any other error."}}


@completions.post(
    "/chat/completions",
    operation_id="createChatCompletion",
    summary="Answer a conversation",
    responses={
        200: {
            "model": ChatCompletion,
            "description": "The answer; with `stream`, its pieces as server-sent events and `[DONE]` after them.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **_answers(400, 401, 403, 404, 413, 429, 503),
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


@completions.get(
    "/models",
    operation_id="listModels",
    summary="The organisation's models",
    responses=_answers(401, 403, 429, 503),
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


@completions.get(
    "/models/{model:path}",
    operation_id="retrieveModel",
    summary="One of the organisation's models",
    responses=_answers(401, 403, 404, 429, 503),
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


async def until(pieces: AsyncGenerator[str], stops: list[str]) -> AsyncGenerator[str]:
    """The pieces up to the first of `stops`. What may be the beginning of one is held back until it is known."""
    held = ""
    async with aclosing(pieces) as given:
        async for piece in given:
            held += piece
            if (end := min((at for stop in stops if (at := held.find(stop)) >= 0), default=-1)) >= 0:
                if end:
                    yield held[:end]
                return
            sure = len(held) - max((_begun(held, stop) for stop in stops), default=0)
            if sure:
                yield held[:sure]
            held = held[sure:]
    if held:
        yield held


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


def _refuse_in(message: Any) -> None:
    """Refuses turns that are not text: answers of tools, images, sound."""
    if not isinstance(message, dict):
        return
    if message.get("role") in ("tool", "function") or message.get("tool_calls"):
        raise ProgramError("Tools are not supported here: the model writes text.", "messages", "unsupported_value")
    for part in message["content"] if isinstance(message.get("content"), list) else ():
        if isinstance(part, dict) and isinstance(kind := part.get("type"), str) and kind != "text":
            raise ProgramError("The model reads text, and nothing else.", "messages", "unsupported_value")


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
