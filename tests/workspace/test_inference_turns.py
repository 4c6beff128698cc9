"""Answers in turns: who waits for whom, and what stops one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.types import Conversation
from lifelearn.workspace import model_process
from lifelearn.workspace.turns import AT_ONCE
from waiting import HANG_SECONDS, until

pytestmark = pytest.mark.check("processes")


class Slow:
    """A model whose tokens a test counts."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.closed: list[str] = []

    def network_for(self, weights: Path | None) -> None:
        if weights is not None:
            raise ChatModelError("no such version")

    def prompt(self, conversation: Conversation, room: int) -> list[str]:
        if conversation[0].content == "too long":
            raise ChatModelError("Shorten it.")
        return [conversation[0].content]

    def pieces(self, prompt: list[str], sampling: Sampling, network: None) -> Iterator[str | None]:
        [name] = prompt
        for _ in range(name.count("read")):
            self.given.append("…")
            yield None
        try:
            for _ in range(sampling.max_tokens):
                self.given.append(name)
                yield name
                if name == "broken":
                    raise RuntimeError("out of memory")
        finally:
            self.closed.append(name)


class AtOnce:
    """An executor without threads."""

    def __init__(self, count: int) -> None:
        pass

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, do: Callable[..., None], *arguments: Any) -> None:
        do(*arguments)


class _EndError(Exception):
    pass


def turns(lines: list[dict[str, Any]], late: dict[int, list[int]] | None = None) -> tuple[Slow, list[Any]]:
    """What comes out for these lines in. late: which answers are stopped after so many lines went out."""
    model, inbox, out = Slow(), queue.SimpleQueue[dict[str, Any]](), list[Any]()
    for line in lines:
        inbox.put(line)
    left = {line["id"] for line in lines}

    def send(line: dict[str, Any]) -> None:
        out.append(line)
        for stop in (late or {}).get(len(out), []):
            inbox.put({"id": stop, "stop": True})
            left.discard(stop)
        if "end" in line or "error" in line:
            left.discard(line["id"])
        if not left:
            raise _EndError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_process, "ThreadPoolExecutor", AtOnce)  # all prompts are there before the first turn
        with pytest.raises(_EndError):
            model_process.in_turns(model, inbox, send)  # type: ignore[arg-type]
    return model, out


def asks(number: int, text: str, tokens: int, weights: str | None = None, of: str = "") -> dict[str, Any]:
    turn = {"role": "user", "content": text}
    return {"id": number, "of": of, "conversation": [turn], "sampling": {"max_tokens": tokens}, "weights": weights}


def test_a_short_answer_does_not_wait_for_a_long_one() -> None:
    model, out = turns([asks(1, "long", 50), asks(2, "short", 2)])
    assert model.given[:4] == ["long", "long", "short", "long"]
    assert [line["id"] for line in out if "end" in line] == [2, 1]


def test_one_organisation_does_not_wait_for_the_many_answers_of_another() -> None:
    lines = [asks(number, "many", 50, of="one") for number in range(1, 10)]
    model, _ = turns([*lines, asks(10, "few", 9, of="other")])
    places = [at for at, name in enumerate(model.given) if name == "few"]
    assert [later - earlier for earlier, later in pairwise(places)] == [2] * 8


def test_prompts_of_who_has_left_are_not_made_and_organisations_take_turns_with_theirs() -> None:
    """One at a time here: those of many who leave at once, another's between them."""
    inbox, prepared = queue.SimpleQueue[dict[str, Any]](), list[str]()

    class Counting(Slow):
        def prompt(self, conversation: Conversation, room: int) -> list[str]:
            prepared.append(conversation[0].content)
            return super().prompt(conversation, room)

    class Later(AtOnce):
        """Makes a prompt only once everything that was sent has been taken."""

        def submit(self, do: Callable[..., None], *arguments: Any) -> None:
            if not prepared:
                for each in range(2, 9):
                    inbox.put(asks(each, "left", 5, of="one"))
                inbox.put(asks(9, "still there", 5, of="one"))
                inbox.put(asks(10, "another", 5, of="other"))
                for each in range(2, 9):
                    inbox.put({"id": each, "stop": True})
            do(*arguments)

    def send(line: dict[str, Any]) -> None:
        ended.update({line["id"]} if "end" in line else ())
        if ended == {1, 9, 10}:
            raise _EndError

    ended: set[int] = set()
    inbox.put(asks(1, "first", 5, of="one"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_process, "ThreadPoolExecutor", Later)
        patch.setattr(model_process, "PREPARED_AT_ONCE", 1)
        with pytest.raises(_EndError):
            model_process.in_turns(Counting(), inbox, send)  # type: ignore[arg-type]
    assert prepared == ["first", "another", "still there"] or prepared == ["first", "still there", "another"]


def test_a_prompt_that_is_too_long_is_told_and_no_turn_is_taken() -> None:
    model, out = turns([asks(1, "too long", 5), asks(2, "well", 3)])
    assert {"id": 1, "error": "Shorten it."} in out
    assert model.given == ["well"] * 3


def test_answers_beyond_the_most_wait_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "AT_ONCE", 2)
    _, out = turns([asks(number, str(number), 3) for number in range(1, 6)])
    assert [line["id"] for line in out if "end" in line] == [1, 2, 3, 4, 5]
    running: set[str] = set()
    for line in out:
        running = running - {line["id"]} if "end" in line else running | {line["id"]}
        assert len(running) <= 2


def test_a_stopped_answer_gives_no_further_token() -> None:
    model, out = turns([asks(1, "long", 50), asks(2, "other", 20)], {5: [1, 9]})
    assert model.given.count("long") <= 4
    assert model.closed[0] == "long"
    assert model.given.count("other") == 20
    assert {"id": 1, "end": True} not in out


def test_one_that_waits_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "AT_ONCE", 1)
    model, _ = turns([asks(1, "long", 9), asks(2, "never", 9)], {3: [2]})
    assert "never" not in model.given


def test_a_failing_answer_leaves_the_others_alone() -> None:
    model, out = turns([asks(1, "broken", 5), asks(2, "well", 5), asks(3, "odd", 5, "/nowhere")])
    errors = {line["id"]: line["error"] for line in out if "error" in line}
    assert errors == {1: "The model stopped answering: out of memory.", 3: "no such version"}
    assert model.given.count("well") == 5


def test_a_server_that_is_slow_is_left_when_nobody_waits() -> None:
    """In threads, too, a stopped answer is given up at its next piece."""
    gate, closed = threading.Event(), threading.Event()

    class Model:
        name = "slow"

        def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
            try:
                yield "first"
                gate.wait(HANG_SECONDS)
                yield "second"
                yield "third"
            finally:
                closed.set()

    inbox, out = queue.SimpleQueue[dict[str, Any]](), list[Any]()
    threading.Thread(target=model_process.in_threads, args=(Model(), inbox, out.append), daemon=True).start()
    inbox.put(asks(1, "Hi", 5))
    until(lambda: len(out) == 1)
    inbox.put({"id": 1, "stop": True})
    until(inbox.empty)
    time.sleep(0.05)
    gate.set()
    assert closed.wait(HANG_SECONDS)
    until(lambda: len(out) == 2)
    assert out == [{"id": 1, "piece": "first"}, {"id": 1, "end": True}]


def test_answers_that_were_left_at_a_slow_server_hold_no_place() -> None:
    """The server has said nothing yet to as many as may be written at a time; who asks next is answered."""
    gate = threading.Event()

    class Model:
        name = "slow"

        def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
            if conversation[0].content == "slow":
                gate.wait(HANG_SECONDS)
            yield "said"

    inbox, out = queue.SimpleQueue[dict[str, Any]](), list[Any]()
    threading.Thread(target=model_process.in_threads, args=(Model(), inbox, out.append), daemon=True).start()
    try:
        for number in range(AT_ONCE):
            inbox.put(asks(number, "slow", 5))
            inbox.put({"id": number, "stop": True})
        inbox.put(asks(AT_ONCE, "quick", 5))
        until(lambda: {"id": AT_ONCE, "piece": "said"} in out)
    finally:
        gate.set()
