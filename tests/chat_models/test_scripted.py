"""The fake: it must do what it was told, say that it is a fake, and fail clearly."""

from __future__ import annotations

import pytest

from lifelearn.chat_models.scripted import Call, ScriptedChatModel
from lifelearn.learning.chat_model import ChatModelError, PartialAnswersError, Sampling
from lifelearn.learning.types import Conversation, Message

SAMPLING = Sampling(max_tokens=8)


def ask(*said: str) -> Conversation:
    return tuple(Message(role="user", content=text) for text in said)


def test_without_a_script_it_says_that_it_is_not_real() -> None:
    answers = ScriptedChatModel().answer([ask("How many days?"), ()], SAMPLING)
    assert answers[0] == "[scripted model, not a real one] You said: How many days?"
    assert answers[1].startswith("[scripted model")


def test_answers_by_the_exact_last_user_message() -> None:
    model = ScriptedChatModel({"a": "A", "b": "B"})
    conversation = (*ask("a", "b"), Message(role="assistant", content="a"))
    assert model.answer([conversation, ask("a")], SAMPLING) == ["B", "A"]
    with pytest.raises(ChatModelError, match=r"no answer to 'c'.*'a', 'b'"):
        model.answer([ask("c")], SAMPLING)


def test_answers_in_order_until_the_script_is_used_up() -> None:
    model = ScriptedChatModel(["one", "two"])
    assert model.answer([ask("x")], SAMPLING) == ["one"]
    with pytest.raises(PartialAnswersError) as caught:
        model.answer([ask("y"), ask("z")], SAMPLING)
    assert caught.value.answers == ("two", None)
    with pytest.raises(ChatModelError, match=r"2 answers are used up.*'w'"):
        list(model.stream(ask("w"), SAMPLING))


def test_answers_by_a_function_which_may_fail() -> None:
    def shout(conversation: Conversation) -> str:
        if conversation[-1].content == "boom":
            raise ChatModelError("No.")
        return conversation[-1].content.upper()

    model = ScriptedChatModel(shout)
    assert model.answer([ask("a")], SAMPLING) == ["A"]
    with pytest.raises(PartialAnswersError) as caught:
        model.answer([ask("boom"), ask("b"), ask("boom")], SAMPLING)
    assert caught.value.answers == (None, "B", None)
    assert caught.value.errors == ("No.",)


def test_a_string_is_not_a_script() -> None:
    with pytest.raises(TypeError):
        ScriptedChatModel("yes")


@pytest.mark.parametrize("text", ["It is 25 days.", "  two  spaces\nand a line\n", "word", ""])
def test_the_streamed_words_are_the_answer(text: str) -> None:
    pieces = list(ScriptedChatModel([text]).stream(ask("?"), SAMPLING))
    assert "".join(pieces) == text
    assert len(pieces) >= len(text.split())


def test_calls_are_recorded() -> None:
    model = ScriptedChatModel()
    model.answer([ask("a"), ask("b")], SAMPLING)
    list(model.stream(ask("c"), SAMPLING))
    assert model.calls == [
        Call("answer", ask("a"), SAMPLING),
        Call("answer", ask("b"), SAMPLING),
        Call("stream", ask("c"), SAMPLING),
    ]
