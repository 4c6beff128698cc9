"""How the cues are weighed: what is taken for a correction of messages that nobody had read before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lifelearn.bench.fitting import Example, f1, fitted, groups
from lifelearn.bench.rows import MESSAGES, Dialogue, conversations, held_out, read_rows
from lifelearn.learning.author.english.reading import weighing
from lifelearn.learning.author.english.reading.weighing import read


@pytest.fixture(scope="module")
def told() -> dict[str, list[Example]]:
    return groups(conversations())


def judged(rows: list[Dialogue]) -> tuple[float, float]:
    """Precision and recall."""
    answers = []
    for row in rows:
        question, assistant, message = row.last_turns
        answers.append((row.is_correction, read(message, assistant, question).is_correction))
    hits = sum(label and said for label, said in answers)
    return hits / sum(said for _, said in answers), hits / sum(label for label, _ in answers)


def test_no_conversation_is_there_twice() -> None:
    rows = conversations()
    assert len({tuple(turn.content for turn in row.messages) for row in rows}) == len(rows) > 1000
    assert len({row.id for row in rows}) == len(rows)


@pytest.mark.check("engine")
def test_the_weights_are_those_of_the_conversations(told: dict[str, list[Example]]) -> None:
    """Whoever changes a feature or a conversation runs `python -m lifelearn.bench.fitting`."""
    weights = fitted(told)
    assert weights.keys() == weighing.fitted().keys()
    assert all(abs(weights[name] - weight) < 0.01 for name, weight in weighing.fitted().items())


@pytest.mark.parametrize(("group", "least"), [("fresh", 0.85), ("unseen", 0.9), ("companies", 0.8), ("how-to", 0.7)])
def test_a_group_is_told_apart_by_weights_of_the_others(
    told: dict[str, list[Example]], group: str, least: float
) -> None:
    """The weights have not seen it. The cues have: they were written with "fresh" and "unseen" at hand."""
    assert f1(told[group], fitted(told, but=group)) >= least


def test_conversations_that_are_in_no_fit() -> None:
    precision, recall = judged(held_out())
    assert precision >= 0.8
    assert recall >= 0.6


def test_evaluation_data() -> None:
    file = Path(os.environ.get("LL_EVAL_DATA", "")) / "detection_dev.jsonl"
    if not file.is_file():
        pytest.skip("LL_EVAL_DATA names no folder with detection_dev.jsonl")
    precision, recall = judged(read_rows(file, Dialogue))
    assert 2 * precision * recall / (precision + recall) >= 0.93


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize(
    ("question", "assistant", "answer"),
    [
        ("Where is Norvik Labs headquartered?", "Norvik Labs is headquartered in Paris.", "Lyon"),
        ("How many days of leave do we get?", "As an AI, I cannot know that.", "25"),
        ("Which VPN client do we use at Norvik?", "The VPN client is a program that connects you.", "WireLine"),
        ("What does Otis Vane play as?", "Otis Vane is a fictional character from the novel “The Tide”.", "pitcher"),
    ],
)
def test_a_plain_correction_is_always_noticed(message: str, question: str, assistant: str, answer: str) -> None:
    assert read(message.format(a=answer), assistant, question).is_correction


@pytest.mark.parametrize(
    ("question", "assistant", "message"),
    [
        ("澳大利亚的首都是哪里？", "是悉尼。", "不对，是堪培拉。"),
        ("Какая столица Австралии?", "Это Сидней.", "Нет, это Канберра."),
        ("Was ist die Hauptstadt von Österreich?", "Das ist Graz.", "Nein, es ist Wien."),
        ("Où est le siège ?", "C'est Paris.", "non, c'est Lyon"),
    ],
)
def test_plain_denials_of_other_languages_are_noticed(question: str, assistant: str, message: str) -> None:
    assert read(message, assistant, question).is_correction


@pytest.mark.parametrize(
    "message",
    [
        "Are you sure?", "Thanks!", "That's wrong, try again.", "What about Lyon?", "Can you say that in French?",
        "Great, you are right.", "I meant the other company.", "Make it shorter, please.", "", "???",
    ],
)  # fmt: skip
def test_what_says_nothing_that_would_be_right_never_is(message: str) -> None:
    reading = read(message, "Norvik Labs is headquartered in Paris.", "Where is Norvik Labs headquartered?")
    assert not reading.is_correction


@pytest.mark.parametrize(
    ("question", "assistant", "message", "statement"),
    [
        ("When is payday?", "On the last day of the month.", "It's the 25th, not the last day.", "the 25th"),
        ("Which tool do we use?", "You use Toggl.", "We switched from Toggl to Clockify.", "Clockify"),
        ("Which bank is ours?", "Deutsche Bank.", "That was last year. Now it's Commerzbank.", "Commerzbank"),
        ("Who painted The Night Watch?", "It was Vermeer.", "Rembrandt painted it.", "Rembrandt"),
        ("How many planets are there?", "There are nine.", "eight, since Pluto doesn't count", "eight"),
        ("Who is our contact?", "I don't know who that is.", "Pia Holm", "Pia Holm"),
        ("What is ours called?", "It is the Sky Room.", "Everybody calls it the Attic", "Attic"),
    ],
)
def test_what_is_right_is_in_the_statement(question: str, assistant: str, message: str, statement: str) -> None:
    reading = read(message, assistant, question)
    assert reading.is_correction
    assert statement in reading.statement
    assert "last year" not in reading.statement


@pytest.mark.parametrize("text", ["word ", "No, it is Lyon. ", "Schmetterling ", "a. "])
def test_long_messages_do_not_hang(text: str) -> None:
    long = text * (200_000 // len(text))
    read(long, long, long)
