"""The local model's answers: streamed and whole they agree, and a conversation is cut to the context window."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from local_fakes import user

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.compute.torch_hub import HubNetwork
from lifelearn.learning.types import Conversation, Message
from waiting import until


def test_a_stream_is_the_answer_in_pieces(talkative: Any) -> None:
    for sampling in (Sampling(max_tokens=20), Sampling(max_tokens=20, temperature=1.0, top_p=0.9, seed=4)):
        for text in ("Question 1?", "Question 3?", "Wo? 🙂"):
            pieces = list(talkative.stream(user(text), sampling))
            assert len(pieces) > 1
            assert "".join(pieces).strip("\ufffd \n\t\r") == talkative.answer([user(text)], sampling)[0].strip(
                "\ufffd \n\t\r"
            )


def test_closing_a_stream_stops_the_sampling(talkative: Any) -> None:
    threads = threading.active_count()
    steps = 0

    def count(*arguments: object) -> None:
        nonlocal steps
        steps += 1

    hook = talkative.base.register_forward_hook(count)
    pieces = talkative.stream(user("Question 1?"), Sampling(max_tokens=400))
    next(pieces)
    pieces.close()
    stopped_at = steps
    until(lambda: threading.active_count() == threads)
    assert steps == stopped_at < 300
    hook.remove()
    assert talkative.answer([user("Hello")], Sampling(max_tokens=4)), "the model is free again"


def test_a_stream_that_nobody_reads_does_not_hold_the_model(talkative: Any) -> None:
    talkative.stream(user("Question 1?"), Sampling(max_tokens=400))
    assert len(talkative.answer([user("Hello")], Sampling(max_tokens=2))) == 1, "it would hang"


def test_an_error_while_streaming_is_one_of_the_model(talkative: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(talkative.network, "step", broken)
    with pytest.raises(ChatModelError, match="out of memory"):
        list(talkative.stream(user("Hello"), Sampling(max_tokens=4)))


def test_nothing_to_answer(tiny: Any) -> None:
    assert tiny.answer([], Sampling(max_tokens=4)) == []


def test_answers_keep_their_order_whatever_their_lengths(talkative: Any) -> None:
    asked = [user("a" * length) for length in (200, 1, 50, 1, 120)]
    sampling = Sampling(max_tokens=6)
    together = talkative.answer(asked, sampling)
    assert together == [talkative.answer([one], sampling)[0] for one in asked]


@pytest.mark.parametrize("text", ["", " ", "\x00\x07\x1b[31m", "\u202e\u200b", "🙂" * 20, "挪威 أين हिन्दी", "<|end|>"])
def test_any_text_is_answered(talkative: Any, text: str) -> None:
    assert isinstance(talkative.answer([user(text)], Sampling(max_tokens=4))[0], str)


# The context window: 512 tokens here, one a byte


def test_the_oldest_turns_are_left_out_and_what_is_kept_costs_what_it_has(tiny: Any) -> None:
    """However long the conversation is: of 2,000 turns no more are encoded than fit, in a handful of tries."""
    turns = (Message(role="system", content="Be kind."), *user("first")) + 999 * (
        Message(role="assistant", content="ok"), Message(role="user", content="go on")
    )  # fmt: skip
    encoded: list[int] = []
    prompt, length = tiny.codec.prompt, tiny.codec.length

    def prompted(kept: Conversation) -> Any:
        encoded.append(sum(len(each.content) for each in kept))
        return prompt(kept)

    def counted(text: str, most: int) -> Any:
        encoded.append(len(text))
        return length(text, most)

    tiny.codec.prompt, tiny.codec.length = prompted, counted
    found = tiny.prompt(turns, 12)
    del tiny.codec.prompt, tiny.codec.length
    assert 470 < len(found) <= 500, "as much as there is room for"
    assert tiny.codec.decode(found).startswith("Be kind."), "instructions stay"
    assert len(encoded) < 500
    assert sum(encoded) < 10 * 512


def test_a_conversation_that_fits_is_kept_whole(tiny: Any) -> None:
    turns = (*user("a"), Message(role="assistant", content="b"), *user("c"))
    assert tiny.prompt(turns, 9) == tiny.codec.prompt(turns)


def test_a_long_prompt_is_read_in_parts(talkative: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the hand-written decoder and by transformers: the same answer as at once."""
    sampling, prompt = Sampling(max_tokens=6), talkative.prompt(user("word " * 60), 6)
    for network in (talkative.network, HubNetwork(talkative.base)):
        monkeypatch.setattr("lifelearn.learning.compute.rollout.READ_TOKENS", 1000)
        whole = list(talkative.pieces(prompt, sampling, network))
        monkeypatch.setattr("lifelearn.learning.compute.rollout.READ_TOKENS", 50)
        parts = list(talkative.pieces(prompt, sampling, network))
        assert None not in whole
        assert parts[: len(prompt) // 50] == [None] * (len(prompt) // 50)
        assert parts[len(prompt) // 50 :] == whole


def test_a_message_longer_than_the_context_is_a_clear_error(tiny: Any) -> None:
    long = user("word " * 200)
    expected = r"The message has (10\d\d|more than 1004) tokens; .* takes 502\. Shorten it\."
    with pytest.raises(ChatModelError, match=expected):
        tiny.answer([user("short"), long], Sampling(max_tokens=10))
    with pytest.raises(ChatModelError, match=expected):
        list(tiny.stream(long, Sampling(max_tokens=10)))
    assert tiny.answer([user("short")], Sampling(max_tokens=2)) is not None


def test_of_a_message_that_cannot_fit_little_is_read(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    kept = tiny.codec._as_written

    def counted(text: str) -> Any:
        read.append(len(text))
        return kept(text)

    monkeypatch.setattr(tiny.codec, "_as_written", counted)
    for role in ("user", "system"):
        turns = (Message(role=role, content="a b c " * 170_000), Message(role="user", content="Hi"))
        with pytest.raises(ChatModelError, match="more than 1004 tokens"):
            tiny.prompt(turns[:1] if role == "user" else turns, 10)
    assert sum(read) < 200_000


@contextmanager
def prompts_seen(model: Any) -> Iterator[list[str]]:
    """The prompts that reach the model, as text."""
    seen: list[str] = []
    network = model.network
    prefill = network.prefill

    def see(prompts: list[list[int]]) -> Any:
        seen.extend(bytes_of(model, prompt) for prompt in prompts)
        return prefill(prompts)

    network.prefill = see
    yield seen
    del network.prefill


def bytes_of(model: Any, ids: list[int]) -> str:
    return str(model.codec._tokenizer.decode(ids))


def test_old_turns_are_left_out_when_a_conversation_outgrows_the_context(tiny: Any) -> None:
    system = Message(role="system", content="Be brief.")
    old = [Message(role="user", content=f"{number} " + "x" * 150) for number in range(3)]
    replies = [Message(role="assistant", content=f"{number}: " + "y" * 90) for number in range(3)]
    turns = [turn for pair in zip(old, replies, strict=True) for turn in pair]
    with prompts_seen(tiny) as seen:
        tiny.answer([(system, *turns, Message(role="user", content="And now?"))], Sampling(max_tokens=12))
    (prompt,) = seen
    assert "Be brief." in prompt, "what the system says stays"
    assert prompt.endswith("And now?<|end|><|assistant|>")
    assert "0 xxx" not in prompt
    assert "0: yyy" not in prompt, "a turn goes with its answer"
    assert "2 xxx" in prompt


def test_a_conversation_that_just_fits_is_not_cut(tiny: Any) -> None:
    turns = (*user("First"), Message(role="assistant", content="Yes."))
    room = 512 - 8 - len(tiny.codec.prompt((*turns, *user(""))))
    for length, whole in ((room, True), (room + 1, False)):
        with prompts_seen(tiny) as seen:
            tiny.answer([(*turns, *user("y" * length))], Sampling(max_tokens=8))
        assert ("First" in seen[0]) is whole


def test_a_last_turn_of_the_assistants_is_the_beginning_of_its_answer(tiny: Any) -> None:
    asked = (Message(role="user", content="Where is it?"),)
    begun = tiny.codec.prompt((*asked, Message(role="assistant", content="It is")))
    plain = tiny.codec.prompt(asked)
    assert begun[: len(plain)] == plain
    assert tiny.codec.decode(begun[len(plain) :]) == "It is"
    many = (Message(role="assistant", content="It is"),) * (sys.getrecursionlimit() + 1)
    assert tiny.codec.prompt((*asked, *many)) == plain + begun[len(plain) :] * len(many)
    assert tiny.codec.end_id not in begun[len(plain) :]
