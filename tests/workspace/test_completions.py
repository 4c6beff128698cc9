"""/v1: what is asked of the model, where an answer ends, and what a program may get wrong."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import update

from lifelearn.workspace.completions.stops import until
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.organizations import Organization
from workspace.fakes import Browser, Workspace
from workspace.programs import HELLO, bearer, key_of
from workspace.versioned import made

# What is asked of the model


@pytest.fixture
def token(workspace: Workspace, anna: Browser, place: uuid.UUID) -> str:
    return key_of(workspace, anna, place, "chat")[1]


def post(workspace: Workspace, token: str, **more: Any) -> Any:
    body = {"model": "life-learn", "messages": HELLO, **more}
    return workspace.visitor().client.post("/v1/chat/completions", json=body, headers=bearer(token))


def test_the_conversation_and_the_sampling(workspace: Workspace, token: str) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "1+1?"}]},
        {"role": "assistant", "content": "3", "name": "bot"},
        {"role": "user", "content": "No."},
    ]
    asked = {"temperature": 0.7, "top_p": 0.9, "seed": -1, "max_completion_tokens": 7, "max_tokens": 9}
    assert post(workspace, token, messages=messages, **asked).status_code == 200
    conversation, sampling, weights = workspace.inference.asked[0]
    assert [(turn.role, turn.content) for turn in conversation] == [
        ("system", "Be brief."),
        ("user", "What is 1+1?"),
        ("assistant", "3"),
        ("user", "No."),
    ]
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.max_tokens) == (0.7, 0.9, 2**32 - 1, 7)
    assert weights is None


def test_the_organisations_settings_apply_where_nothing_is_asked(
    workspace: Workspace, token: str, place: uuid.UUID
) -> None:
    settings = {"temperature": 0.3, "max_tokens": 42, "instructions": "You are Acme's."}
    with workspace.database.write() as db:
        db.execute(update(Organization).where(Organization.id == place).values(**settings))
    for _ in range(2):
        post(workspace, token)
    post(workspace, token, messages=[{"role": "system", "content": "Mine."}, *HELLO], max_tokens=10**9)
    (told, sampling, _), (_, again, _), (other, longest, _) = workspace.inference.asked
    assert (sampling.temperature, sampling.max_tokens) == (0.3, 42)
    assert [turn.content for turn in told] == ["You are Acme's.", "hello there"]
    assert [turn.content for turn in other] == ["Mine.", "hello there"]
    assert sampling.seed != again.seed  # drawn, so that answers differ as the temperature means them to
    assert longest.max_tokens == 4096


def test_extremes_of_sampling_leave_something_to_sample(workspace: Workspace, token: str) -> None:
    post(workspace, token, temperature=1e-30, top_p=0)
    _, sampling, _ = workspace.inference.asked[0]
    assert sampling.temperature == 0
    assert sampling.top_p > 0


def test_versions_are_models(workspace: Workspace, token: str, place: uuid.UUID) -> None:
    settings = workspace.pages.settings
    folders = [None, *(Storage(settings).fetch(made(workspace, place)) for _ in range(2))]
    listed = workspace.visitor().get("/v1/models", headers=bearer(token)).json()
    assert [each["id"] for each in listed["data"]] == ["life-learn", *(f"life-learn/{number}" for number in range(3))]
    for name, number in (("life-learn", 2), ("life-learn/0", 0), ("life-learn/1", 1), ("life-learn/2", 2)):
        answer = post(workspace, token, model=name)
        assert answer.json()["model"] == f"life-learn/{number}"
        assert workspace.inference.asked[-1][2] == folders[number]
    assert folders[2] is not None
    (folders[2] / "manifest.json").unlink()
    answer = post(workspace, token)
    assert answer.status_code == 503
    assert str(settings.model_storage_dir) not in answer.text


# Where an answer ends


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("said", "You "),
        (["there", "hello"], "You said: "),
        ("lo th", "You said: hel"),
        ("You", ""),
        ("e", "You said: h"),
        ("nowhere", "You said: hello there"),
        ("there!", "You said: hello there"),
        ([], "You said: hello there"),
        ("", "You said: hello there"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_stops(workspace: Workspace, token: str, stop: Any, expected: str, stream: bool) -> None:
    answer = post(workspace, token, stop=stop, stream=stream)
    if stream:
        events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        assert events.pop() == "[DONE]"
        deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
        assert "".join(delta.get("content", "") for delta in deltas) == expected
    else:
        assert answer.json()["choices"][0]["message"]["content"] == expected
    assert workspace.inference.closed == 1


def test_a_stop_across_pieces_is_held_back_and_no_longer() -> None:
    async def pieces() -> AsyncGenerator[str]:
        for piece in ("a<", "b<e", "n", "d>c"):
            yield piece

    async def collected(*stops: str) -> list[str]:
        return [piece async for piece in until(pieces(), list(stops))]

    assert asyncio.run(collected("<end>")) == ["a", "<b"]
    assert asyncio.run(collected("<end?")) == ["a", "<b", "<end>c"]


# What a program may get wrong


@pytest.mark.parametrize(
    ("wrong", "param", "said"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "tools is not supported"),
        ({"functions": [{"name": "f"}]}, "functions", "not supported"),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "Only the response format text"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format", "Only"),
        ({"n": 3}, "n", "Only one answer"),
        ({"n": 0}, "n", "n: "),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages", "Tools"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
            "messages",
            "reads text",
        ),
        ({"messages": []}, "messages", "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "must be the user's"),
        ({"messages": "hello"}, "messages", "messages"),
        ({"messages": [{"role": "root", "content": "x"}]}, "messages.0.role", "role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "content"),
        ({"messages": HELLO * 1001}, "messages", "messages"),
        ({"temperature": 2.1}, "temperature", "temperature"),
        ({"temperature": "hot"}, "temperature", "temperature"),
        ({"top_p": -0.1}, "top_p", "top_p"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens"),
        ({"seed": 0.5}, "seed", "seed"),
        ({"stop": ["a", "b", "c", "d", "e"]}, None, "stop"),
        ({"stream": "yes"}, "stream", "stream"),
        ({"model": None}, "model", "model"),
    ],
)
def test_what_cannot_be_done_is_400(
    workspace: Workspace, token: str, wrong: dict[str, Any], param: str | None, said: str
) -> None:
    answer = post(workspace, token, **wrong)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert said in error["message"]
    assert param is None or error["param"] == param
    assert workspace.inference.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"model": "life-learn", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "life-learn", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "life-learn", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        b'{"model": "life-learn", "messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 5000 + b"}",
    ],
)
def test_bodies_that_cannot_be_read(workspace: Workspace, token: str, body: bytes) -> None:
    headers = {**bearer(token), "Content-Type": "application/json"}
    answer = workspace.visitor().client.post("/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_body_that_is_too_large(workspace: Workspace, token: str) -> None:
    headers = {**bearer(token), "Content-Type": "application/json"}
    big = b'"' + b"x" * (1 << 20) + b'"'
    client = workspace.visitor().client
    assert client.post("/v1/chat/completions", content=big, headers=headers).status_code == 413
    answer = client.post("/v1/chat/completions", content=iter([big[:1000], big[1000:]]), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_null_is_a_default(workspace: Workspace, token: str) -> None:
    names = ("stream", "temperature", "top_p", "max_tokens", "seed", "stop", "n", "response_format", "tools", "audio")
    assert post(workspace, token, **dict.fromkeys(names)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods(workspace: Workspace, token: str, method: str) -> None:
    answer = workspace.visitor().client.request(method, "/v1/chat/completions", headers=bearer(token))
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_another_site_cannot_read_it(workspace: Workspace, token: str) -> None:
    """No cookie counts here, so that a page elsewhere has nothing to use; and no header lets it read an answer."""
    answer = workspace.visitor().get("/v1/models", headers={**bearer(token), "Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_more_answers_than_a_key_may_have_in_flight(
    workspace: Workspace, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429, in OpenAI's form, with when to come back; and a place is there again once an answer is whole."""
    monkeypatch.setattr("lifelearn.workspace.admission.OF_A_KEY", 0)
    refused = post(workspace, token)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert "are being written for this key" in refused.json()["error"]["message"]
    monkeypatch.setattr("lifelearn.workspace.admission.OF_A_KEY", 1)
    assert [post(workspace, token).status_code for _ in range(3)] == [200] * 3
