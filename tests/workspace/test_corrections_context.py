"""What the model is told of corrections that it has not learned yet: to the same question, and to no other."""

from __future__ import annotations

import uuid

import pytest
from structlog.testing import capture_logs

from lifelearn.learning.author.english import same_question
from lifelearn.learning.types import Message
from lifelearn.workspace.corrections.context import MOST, sentence, with_corrections
from lifelearn.workspace.corrections.reading import same_answer
from lifelearn.workspace.database import ago
from lifelearn.workspace.tables.chats import Message as Row
from lifelearn.workspace.tables.corrections import State
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, Workspace
from workspace.programs import bearer, key_of
from workspace.versioned import corrected

LEAVE = "How many days of leave do we have a year?"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("25 days", "25 days.", True),
        ("25 days", "twenty-five days", True),
        ("Lyon", "lyon", True),
        ("25 days", "26 days", False),
        ("25 days", "125 days", False),
        ("2 weeks", "2 weeks and 3 days", False),
        ("it is open", "it is not open", False),
        ("Lyon", "", False),
    ],
)
def test_the_same_answer(one: str, other: str, same: bool) -> None:
    assert same_answer(one, other) == same
    assert same_answer(other, one) == same


def test_a_sentence() -> None:
    assert sentence("25  days\n", "25 days") == "25 days."
    assert sentence("it is 25 days.", "25 days") == "It is 25 days."
    assert sentence("", "Lyon") == "Lyon."


def asked(text: str, system: str = "") -> tuple[Message, ...]:
    first = (Message(role="system", content=system),) if system else ()
    return (*first, Message(role="user", content=text))


@BOTH
def test_what_is_told(workspace: Workspace) -> None:
    anna = workspace.person()
    place, other = workspace.organization(anna), workspace.organization(anna, "Other")
    for state in State:
        corrected(workspace, place, f"What is the colour of door {list(State).index(state)}?", "red", state)
    corrected(workspace, place, LEAVE, "24 days", created_at=ago(minutes=2))
    corrected(workspace, place, LEAVE, "25 days", created_at=ago(minutes=1))  # the later one counts
    corrected(workspace, other, LEAVE, "99 days")
    with workspace.database.read() as db:
        told = with_corrections(db, place, asked("How many leave days do we get a year?", "Be kind."))
        assert told.corrections == 1
        assert [(turn.role, turn.content) for turn in told.conversation] == [
            ("system", "Be kind."),
            ("user", LEAVE),
            ("assistant", "It is 25 days."),
            ("user", "How many leave days do we get a year?"),
        ]
        for state in State:
            question = f"What is the colour of door {list(State).index(state)}?"
            count = with_corrections(db, place, asked(question)).corrections
            assert count == (state in (State.QUEUED, State.LEARNING)), state
        unchanged = asked("What is the capital of Freedonia?", "Be kind.")
        assert with_corrections(db, place, unchanged).conversation == unchanged
        earlier = (*asked(LEAVE), Message(role="assistant", content="20 days."), *asked("And in Munich?"))
        assert with_corrections(db, place, earlier).corrections == 0  # only what is asked now counts
        assert with_corrections(db, uuid.uuid4(), asked(LEAVE)).corrections == 0


def test_no_more_than_a_few_are_told(workspace: Workspace) -> None:
    place = workspace.organization(workspace.person())
    wordings = (
        "How many leave days do we get a year",
        "how many days of leave do we have a year",
        "Tell me how many leave days we have a year",
        "Do you know how many leave days we have a year",
        "Currently, how many leave days do we have a year",
    )
    for wording in wordings:
        corrected(workspace, place, wording)
    with workspace.database.read() as db:
        told = with_corrections(db, place, asked(LEAVE))
    assert told.corrections == MOST
    assert len(told.conversation) == 2 * MOST + 1


@BOTH
def test_one_that_cannot_be_compared_is_left_out(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workspace.organization(workspace.person())
    bad = corrected(workspace, place, "How many bad days of leave do we have a year?", "24 days")
    corrected(workspace, place, LEAVE, "25 days", created_at=ago(minutes=1))

    leans = same_question.leans

    def breaks(question: str) -> bool:
        if "bad" in question:
            raise RecursionError
        return leans(question)

    monkeypatch.setattr(same_question, "leans", breaks)
    with workspace.database.read() as db, capture_logs() as logs:
        for _ in range(3):
            assert with_corrections(db, place, asked(LEAVE)).corrections == 1
        (logged,) = logs  # once, though it comes up each time
        assert (logged["log_level"], logged["correction_id"]) == ("error", str(bad.id))
        unchanged = asked("How many bad days do we have?")
        assert with_corrections(db, place, unchanged).conversation == unchanged
        assert "question" in logs[-1]["event"]


@BOTH
def test_pages_and_programs_tell_it(workspace: Workspace) -> None:
    anna = workspace.person()
    place = workspace.organization(anna)
    correction = corrected(workspace, place, LEAVE)
    workspace.inference.reply = lambda conversation: f"{len(conversation)} turns."
    thread = ask(anna, place, "How many leave days do we get a year?")
    answer = answered(workspace)
    assert (answer.content, answer.told) == ("3 turns.", 1)
    page = anna.get(f"/o/{place}/threads/{thread}").text
    assert "told 1 correction not learned yet" in page
    _id, token = key_of(workspace, anna, place)
    message = anna.client.get(f"/api/v1/threads/{thread}/messages/{answer.id}", headers=bearer(token)).json()
    assert message["told"] == 1

    def complete(model: str) -> str:
        body = {"model": model, "messages": [{"role": "user", "content": LEAVE}]}
        made = anna.client.post("/v1/chat/completions", json=body, headers=bearer(token))
        return str(made.json()["choices"][0]["message"]["content"])

    assert complete("life-learn") == "3 turns."
    assert complete("life-learn/0") == "1 turns."  # a version with a number answers as it is
    with workspace.database.write() as db:
        db.get_one(type(correction), correction.id).state = State.LEARNED
    assert complete("life-learn") == "1 turns."
    ask(anna, place, LEAVE)
    assert answered(workspace).told == 0
    with workspace.database.read() as db:
        assert db.query(Row).filter_by(told=1).count() == 1


@pytest.mark.parametrize("word", ["ß" * 980, "s" * 3_900, "ab" + "ing" * 1_300])
def test_a_long_word_that_waits_breaks_no_answer(workspace: Workspace, word: str) -> None:
    anna = workspace.person()
    place = workspace.organization(anna)
    _id, token = key_of(workspace, anna, place)
    body = {"question": f"What is {word}?", "right_answer": f"It is {word}."}
    sent = anna.client.post("/api/v1/corrections", json=body, headers=bearer(token))
    assert sent.status_code == 201
    assert sent.json()["state"] == "queued"
    workspace.inference.reply = lambda _: "An answer."
    ask(anna, place, f"What is {word} called?")
    assert answered(workspace).content == "An answer."
