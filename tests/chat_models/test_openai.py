"""The OpenAI-compatible model against a real server on this machine: answers, retries, and errors in words."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from lifelearn.chat_models.openai import OpenAIChatModel
from lifelearn.chat_models.openai_failures import retry_after
from lifelearn.learning.chat_model import ChatModel, ChatModelError, PartialAnswersError, Sampling
from lifelearn.learning.types import Conversation, Message
from openai_server import Reply, Server, refused, said, streamed
from waiting import HANG_SECONDS

KEY = "sk-not-to-be-seen-0123456789"
SAMPLING = Sampling(max_tokens=16)


Serve = Callable[..., tuple[Server, OpenAIChatModel]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server and a model on it; the server gives the replies in turn, and the last one from then on."""
    servers: list[Server] = []

    def start(*replies: Reply | Callable[[dict[str, Any]], Reply], **options: Any) -> tuple[Server, OpenAIChatModel]:
        left = list(replies)
        lock = threading.Lock()

        def next_reply(request: dict[str, Any]) -> Reply:
            with lock:
                reply = left.pop(0) if len(left) > 1 else left[0]
            return reply if isinstance(reply, Reply) else reply(request)

        server = Server(next_reply)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        settings: dict[str, Any] = {
            "model": "small",
            "base_url": server.url,
            "api_key": KEY,
            "timeout_s": HANG_SECONDS,
            "attempts": 2,
        }
        return server, OpenAIChatModel(**settings | options)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(content: str) -> Conversation:
    return (Message(role="user", content=content),)


def echo(request: dict[str, Any]) -> Reply:
    return said(request["messages"][-1]["content"].upper())


def error_of(model: ChatModel, *questions: str) -> ChatModelError:
    with pytest.raises(ChatModelError) as caught:
        model.answer([ask(question) for question in questions or ("q",)], SAMPLING)
    return caught.value


# Answers


def test_answers_keep_their_order_and_run_concurrently(serve: Serve) -> None:
    def slow_first(request: dict[str, Any]) -> Reply:
        content = request["messages"][-1]["content"]
        return said(content.upper(), delay=0.3 if content < "c" else 0.1)

    server, model = serve(slow_first, concurrency=3)
    assert model.answer([ask(letter) for letter in "abcdefg"], SAMPLING) == list("ABCDEFG")
    assert server.most_running == 3
    assert model.answer([], SAMPLING) == []


def test_the_request_is_what_was_asked_for(serve: Serve) -> None:
    server, model = serve(echo, concurrency=1)
    conversation = (Message(role="system", content="Be brief."), *ask("q"))
    model.answer([conversation, conversation], Sampling(max_tokens=7, temperature=0.5, top_p=0.9, seed=3))
    first, second = server.requests
    assert first == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
    }
    assert second["seed"] == 4  # or equal questions would get equal answers
    assert server.keys[0] == f"Bearer {KEY}"
    assert model.name == "small"


def test_the_transport_can_be_replaced() -> None:
    body = json.loads(said("hello").parts[0])
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=body))
    model = OpenAIChatModel("small", None, KEY, transport=transport)
    assert model.answer([ask("q")], SAMPLING) == ["hello"]
    assert "https://api.openai.com/v1" in repr(model)


def test_variables_of_the_client_do_not_move_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
    seen: list[str] = []

    def reply(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        return httpx2.Response(200, content=said("hello").parts[0])

    OpenAIChatModel("small", None, KEY, transport=httpx2.MockTransport(reply)).answer([ask("q")], SAMPLING)
    assert seen == ["https://api.openai.com/v1/chat/completions"]


# Retries


@pytest.mark.parametrize(
    "first",
    [
        refused(429, headers={"Retry-After": "0"}),
        refused(408, headers={"Retry-After": "0"}),
        refused(409, headers={"Retry-After": "0"}),
        refused(500, headers={"Retry-After": "0"}),
        refused(503, headers={"Retry-After": "0"}),
        Reply((b"<html>busy</html>",)),
        Reply((b'{"choices": [',), cut=True),
        said(""),
    ],
    ids=["429", "408", "409", "500", "503", "malformed", "cut", "empty"],
)
def test_what_may_pass_is_tried_again(serve: Serve, first: Reply) -> None:
    server, model = serve(first, said("yes"))
    assert model.answer([ask("q")], SAMPLING) == ["yes"]
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_tried_again(serve: Serve, status: int) -> None:
    server, model = serve(refused(status), attempts=4)
    assert f"({status})" in str(error_of(model))
    assert len(server.requests) == 1


def test_retry_after_is_honoured(serve: Serve) -> None:
    _, model = serve(refused(429, headers={"Retry-After": "1"}), said("yes"))
    start = time.monotonic()
    assert model.answer([ask("q")], SAMPLING) == ["yes"]
    assert time.monotonic() - start >= 1


def test_a_wait_beyond_the_time_left_is_not_waited_for(serve: Serve) -> None:
    server, model = serve(refused(429, headers={"Retry-After": "3600"}))
    error = error_of(model)
    assert "too many requests (429) and asks to wait 3600 s. Try again later" in str(error)
    assert len(server.requests) == 1


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after(None) is None
    assert retry_after("soon") is None
    assert retry_after("1.5") == 1.5
    assert retry_after("-3") == 0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (retry_after("Fri, 31 Dec 2100 23:59:59 GMT") or 0) > 1e8


# Errors in words


def test_errors_say_what_was_wrong_and_what_to_do(serve: Serve) -> None:
    now = {"Retry-After": "0"}
    cases = [
        (refused(401), "refused the key (401). Check OPENAI_API_KEY."),
        (refused(404, "no model small"), "was not found (404): no model small. Check LL_OPENAI_MODEL and LL_OPENAI"),
        (refused(400, "too long"), "rejected the request (400): too long. Check"),
        (refused(429, headers=now), "gets too many requests (429) (2 attempts). Try again later."),
        (refused(429, code="insufficient_quota"), "has no quota left for this key (429). Add credit"),
        (refused(500, "boom", now), "failed with an error of its own (500): boom (2 attempts). Try again later"),
        (said(None), "returned an empty answer (finish_reason stop) (2 attempts)."),
        (said("", "length"), "returned an empty answer (finish_reason length). "),  # would come back the same
        (said(["x"]), "sent something that is not a chat completion"),
        (Reply((b"[" * 5_000,)), "sent something that is not a chat completion"),
        (Reply((b"{}",)), "sent something that is not a chat completion: '{}' (2 attempts). Check that LL_OPENAI_BASE"),
        (Reply((b"<html>" + b"x" * 9999,)), "is not a chat completion: '<html>xxx"),
    ]
    for reply, expected in cases:
        server, model = serve(reply)
        text = str(error_of(model))
        assert text.startswith(f"small at {server.url} ")
        assert expected in text
        assert len(text) < 500
    _, without_key = serve(refused(401), api_key="")
    assert "asks for a key (401). Set OPENAI_API_KEY." in str(error_of(without_key))


def test_a_slow_server(serve: Serve) -> None:
    server, model = serve(said("late", delay=60), timeout_s=0.2)
    assert f"small at {server.url} did not answer within 0.2 s" in str(error_of(model))


def test_blank_lines_do_not_keep_a_request_alive(serve: Serve) -> None:
    drip = Reply((b" ",) * 100, gap=0.1)  # each within the timeout, as some servers do while a request queues
    _, model = serve(drip, timeout_s=0.5, attempts=1)
    assert "did not answer within 0.5 s" in str(error_of(model))


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    error = str(error_of(OpenAIChatModel("small", url, KEY, attempts=1), "a", "b"))
    assert error.startswith(f"small at {url} could not be reached: ")
    assert "refused" in error
    assert error.count("could not be reached") == 1  # each reason once


def test_some_fail(serve: Serve) -> None:
    def picky(request: dict[str, Any]) -> Reply:
        match request["messages"][-1]["content"]:
            case "bad":
                return refused(400, "bad words")
            case "empty":
                return said("  ", "content_filter")
            case other:
                return said(other.upper())

    _, model = serve(picky)
    with pytest.raises(PartialAnswersError) as caught:
        model.answer([ask(text) for text in ("a", "bad", "b", "bad", "empty")], SAMPLING)
    assert caught.value.answers == ("A", None, "B", None, None)
    assert len(caught.value.errors) == 2
    assert "rejected the request (400): bad words" in caught.value.errors[0]
    assert "returned an empty answer (finish_reason content_filter)" in caught.value.errors[1]
    assert str(caught.value).startswith("3 of 5 requests to the model failed")


def test_after_a_refused_key_no_further_request_is_begun(serve: Serve) -> None:
    server, model = serve(refused(401), concurrency=2)
    error_of(model, *"abcdefghij")
    assert len(server.requests) <= 2


def test_the_key_is_never_shown(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    leaky = [
        refused(400, f"Bad key {KEY}"),
        refused(403, f"Bad key {KEY}"),
        refused(500, f"Bad key {KEY}"),
        Reply((f"you sent {KEY}".encode(),)),
    ]
    for reply in leaky:
        _, model = serve(reply, attempts=1)
        error = error_of(model)
        shown = [str(error), repr(error), repr(model), str(model), *traceback.format_exception(error)]
        with pytest.raises(ChatModelError) as caught:
            list(model.stream(ask("q"), SAMPLING))
        shown += [repr(caught.value), *traceback.format_exception(caught.value)]
        assert caught.value.__context__ is None  # the client's own errors hold the request's headers
        assert KEY not in "".join(shown)
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", [f"{KEY}\u2026", f"{KEY} x", f"a\n{KEY}"])
def test_a_key_that_cannot_be_one_is_refused_unseen(key: str) -> None:
    with pytest.raises(ChatModelError, match="OPENAI_API_KEY") as caught:
        OpenAIChatModel("small", None, key)
    assert KEY not in str(caught.value)


def test_a_key_may_end_in_a_newline(serve: Serve) -> None:
    server, model = serve(echo, api_key=f"{KEY}\n")
    model.answer([ask("q")], SAMPLING)
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize("url", ["ftp://host/v1", "localhost:8000", "/v1", "http://", "file:///etc/passwd"])
def test_the_url_must_be_http(url: str) -> None:
    with pytest.raises(ChatModelError, match="LL_OPENAI_BASE_URL"):
        OpenAIChatModel("small", url, KEY)


def test_passwords_in_the_url_are_not_shown() -> None:
    assert "pass" not in repr(OpenAIChatModel("small", "https://me:pass@host/v1?key=pass", KEY))
    with pytest.raises(ChatModelError) as caught:
        OpenAIChatModel("small", "ftp://me:pass@host", KEY)
    assert "pass" not in str(caught.value)


def test_errors_survive_pickling(serve: Serve) -> None:
    _, model = serve(refused(401))
    error = error_of(model)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# Parameters that a server does not take


def test_refused_parameters_are_left_out_from_then_on(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def reasoning(request: dict[str, Any]) -> Reply:
        if "max_tokens" in request:
            return refused(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in request:
            return refused(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")
        if "seed" in request:
            return Reply((b'{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}',), 422)
        return streamed("y", "es") if request.get("stream") else said("yes")

    server, model = serve(reasoning)
    assert model.answer([ask("q")], SAMPLING) == ["yes"]
    assert len(server.requests) == 4
    assert model.answer([ask("q")], SAMPLING) == ["yes"]
    assert len(server.requests) == 5
    assert server.requests[-1]["max_completion_tokens"] == 16
    assert "".join(model.stream(ask("q"), SAMPLING)) == "yes"
    assert caplog.text.count("does not take") == 3


# Streams


def test_a_stream_comes_in_pieces(serve: Serve) -> None:
    server, model = serve(streamed("It ", "is ", "25 days."))
    assert list(model.stream(ask("q"), SAMPLING)) == ["It ", "is ", "25 days."]
    assert server.requests[0]["stream"] is True


def test_pieces_come_as_they_are_made(serve: Serve) -> None:
    _, model = serve(streamed("a", "b", gap=2 * HANG_SECONDS))
    stream = model.stream(ask("q"), SAMPLING)
    assert next(stream) == "a"
    stream.close()  # type: ignore[attr-defined]  # a reader may leave before the end


def test_a_stream_is_tried_again_until_it_begins(serve: Serve) -> None:
    server, model = serve(refused(503, headers={"Retry-After": "0"}), streamed("a"))
    assert list(model.stream(ask("q"), SAMPLING)) == ["a"]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (streamed("a", finish=False, cut=True), "broke off in the middle of its answer: "),
        (streamed("a", finish=False), "the stream ended without a finish_reason"),
        (Reply((*streamed("a").parts[:1], b'data: {"choi\n\n')), "it sent something that is not JSON"),
        (Reply((*streamed("a").parts[:1], b"data: " + b"[" * 5_000 + b"\n\n")), "it sent something that is not JSON"),
        (Reply((*streamed("a").parts[:1], b'data: {"error": {"message": "out of memory"}}\n\n')), "out of memory"),
        (streamed("a", "b", gap=60), "did not answer within 0.8 s"),
    ],
    ids=["cut", "closed", "malformed", "deep", "error", "stalled"],
)
def test_a_failure_in_the_middle_of_a_stream(serve: Serve, reply: Reply, expected: str) -> None:
    server, model = serve(reply, timeout_s=0.8)
    stream = model.stream(ask("q"), SAMPLING)
    assert next(stream) == "a"
    with pytest.raises(ChatModelError, match="broke off") as caught:
        list(stream)
    assert expected in str(caught.value)
    assert len(server.requests) == 1


def test_an_empty_stream_and_a_refused_one(serve: Serve) -> None:
    for reply, expected in ((streamed(), "empty answer"), (refused(401), r"refused the key \(401\)")):
        _, model = serve(reply)
        with pytest.raises(ChatModelError, match=expected):
            list(model.stream(ask("q"), SAMPLING))
