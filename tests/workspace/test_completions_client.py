"""/v1 as OpenAI's own client uses it, against a server on a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import openai
import pytest

from lifelearn.learning.chat_model import ChatModelError
from lifelearn.settings import Settings
from lifelearn.workspace.admission import Admission
from lifelearn.workspace.programs import caller
from waiting import HANG_SECONDS
from waiting import until as happens
from workspace.fakes import Browser, ScriptedInference, Workspace
from workspace.live import live
from workspace.programs import HELLO, key_of


@pytest.fixture
def served(settings: Settings) -> Iterator[tuple[Workspace, str]]:
    """The workspace on a port of this machine, and its address."""
    inference = ScriptedInference()
    with live(settings, inference) as found:
        yield Workspace(found.app, inference), f"{found.url}/v1"


class Program:
    """A program of Anna's at Acme, with OpenAI's client."""

    def __init__(self, served: tuple[Workspace, str], *scopes: str) -> None:
        self.workspace, self.address = served
        self.anna = Browser(self.workspace)
        self.anna.user_id = self.workspace.person().user_id
        self.acme = self.workspace.organization(self.anna)
        _id, self.token = key_of(self.workspace, self.anna, self.acme, *scopes)
        self.client = self.client_with(self.token)

    def client_with(self, token: str) -> openai.OpenAI:
        return openai.OpenAI(api_key=token, base_url=self.address, max_retries=0, timeout=HANG_SECONDS)

    def ask(self, **more: Any) -> Any:
        return self.client.chat.completions.create(**{"model": "life-learn", "messages": HELLO, **more})


@pytest.fixture
def program(served: tuple[Workspace, str]) -> Program:
    return Program(served, "chat")


def test_an_answer(program: Program) -> None:
    answer = program.ask(user="ignored", presence_penalty=0.5, stream_options=None)
    assert answer.choices[0].message.content == "You said: hello there"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "life-learn/0"
    assert answer.object == "chat.completion"
    assert abs(answer.created - time.time()) < 60
    assert answer.usage is None  # not counted, so not told
    assert program.workspace.inference.closed == 1


def test_a_streamed_answer(program: Program) -> None:
    chunks = list(program.ask(stream=True, stream_options={"include_usage": True}))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["You ", "said: ", "hello ", "there", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 4 + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.model for chunk in chunks} == {"life-learn/0"}
    assert program.workspace.inference.closed == 1


def test_models(program: Program) -> None:
    assert [model.id for model in program.client.models.list()] == ["life-learn", "life-learn/0"]
    for name in ("life-learn", "life-learn/0"):
        found = program.client.models.retrieve(name)
        assert (found.id, found.owned_by, found.object) == (name, "Acme", "model")


def test_errors_are_the_clients_own(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        program.client_with("ll_wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as missing:
        program.ask(model="gpt-4o")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    for name in ("life-learn/1", "life-learn/00", "life-learn/-1", "../../etc/passwd", "life-learn/../../0"):
        with pytest.raises(openai.NotFoundError):
            program.ask(model=name)
        with pytest.raises(openai.NotFoundError):
            program.client.models.retrieve(name)
    with pytest.raises(openai.BadRequestError, match="n=1") as bad:
        program.ask(n=2)
    assert bad.value.param == "n"
    _id, weak = key_of(program.workspace, program.anna, program.acme, "read", "write", "admin")
    with pytest.raises(openai.PermissionDeniedError):
        program.client_with(weak).models.list()
    monkeypatch.setattr(caller, "CALLS", 1)
    with pytest.raises(openai.RateLimitError) as many:
        program.ask()
    assert many.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_cannot_answer(program: Program, stream: bool) -> None:
    program.workspace.inference.state, program.workspace.inference.problem = "failed", "No memory left."
    with pytest.raises(openai.InternalServerError, match=r"No memory left\.") as failed:
        program.ask(stream=stream)
    assert failed.value.status_code == 503


def test_a_model_that_fails_half_way(program: Program) -> None:
    class Breaks(type(program.workspace.inference)):  # type: ignore[misc]
        async def stream(self, *asked: Any) -> AsyncGenerator[str]:
            yield "Half "
            raise ChatModelError("The model's process ended.")

    program.workspace.app.state.admission = Admission(Breaks())
    stream = program.ask(stream=True)
    assert next(stream).choices[0].delta.content == "Half "
    with pytest.raises(openai.APIError, match="The model's process ended"):
        next(stream)
    with pytest.raises(openai.InternalServerError, match="The model's process ended"):
        program.ask()


def test_leaving_a_stream_stops_the_model(program: Program) -> None:
    inference = program.workspace.inference
    inference.gate = asyncio.Event()  # never opened: the model would go on for ever
    stream = program.ask(stream=True)
    assert next(stream).choices[0].delta.content == "You "
    assert inference.closed == 0
    stream.close()
    happens(lambda: inference.closed == 1)


def test_leaving_before_the_answer_stops_the_model(program: Program) -> None:
    inference = program.workspace.inference
    inference.gate = asyncio.Event()
    host, port = program.client.base_url.host, program.client.base_url.port
    body = json.dumps({"model": "life-learn", "messages": HELLO}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {program.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, port)) as connection:
        connection.sendall(head.encode() + body)
        happens(lambda: inference.asked)
        assert inference.closed == 0
    happens(lambda: inference.closed == 1)


def test_no_database_session_is_held_while_it_answers(program: Program) -> None:
    program.workspace.inference.gate = asyncio.Event()
    pool = program.workspace.database.engine.pool
    streams = [program.ask(stream=True) for _ in range(3)]
    for stream in streams:
        next(stream)
    assert pool.checkedout() == 0  # type: ignore[attr-defined]
    for stream in streams:
        stream.close()
