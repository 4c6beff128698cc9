"""Which words of a correction are taken for what is right, also of messages that nobody had read before."""

from __future__ import annotations

import pytest

from lifelearn.bench.fitting import Choice, choices, fitted_spans, right
from lifelearn.bench.rows import HELD_OUT, conversations
from lifelearn.learning.author.english.reading import spans
from lifelearn.learning.author.english.reading.answer import extract_answer
from lifelearn.learning.author.english.reading.spans import spans_of, trimmed


@pytest.fixture(scope="module")
def found() -> dict[str, list[Choice]]:
    return choices(conversations())


@pytest.mark.check("engine")
def test_the_weights_are_those_of_the_conversations(found: dict[str, list[Choice]]) -> None:
    """Whoever changes what a span shows, or a conversation, runs `python -m lifelearn.bench.fitting`."""
    weights = fitted_spans(found)
    assert weights.keys() == spans.fitted().keys()
    assert all(abs(weights[name] - weight) < 0.01 for name, weight in spans.fitted().items())


@pytest.mark.check("engine")
@pytest.mark.parametrize(("group", "least"), [("companies", 0.85), ("mixed 1", 0.85)])
def test_a_group_is_read_by_weights_of_the_others(found: dict[str, list[Choice]], group: str, least: float) -> None:
    assert right(found[group], fitted_spans(found, but=group)) / len(found[group]) >= least


def test_conversations_that_are_in_no_fit(found: dict[str, list[Choice]]) -> None:
    assert right(found[HELD_OUT], spans.fitted()) / len(found[HELD_OUT]) >= 0.8


@pytest.mark.parametrize(
    ("question", "wrong", "statement", "answer"),
    [
        ("Who wrote The Tide?", "Huxley wrote it.", "Huxley wrote The Dune. The Tide is by Ada Orme.", "Ada Orme"),
        ("Which licence do we use?", "MIT.", "It's Apache 2.0, MIT was only for the prototype", "Apache 2.0"),
        ("Which floor is it on?", "The second.", "the canteen moved to the fourth floor in May", "fourth floor"),
        ("Symbol of iron?", "Ir.", "Ir is iridium. Iron is Fe.", "Fe"),
        ("Default port of postgres?", "3306.", "3306 is mysql, postgres is 5432", "5432"),
        ("Complexity of binary search?", "O(n log n).", "it's O(log n)", "O(log n)"),
        ("At what temperature is it kept?", "At 4.", "It is -70.", "-70"),
        ("When is the release?", "At the end of the sprint.", "Wednesday noon, not Friday!", "Wednesday noon"),
    ],
)
def test_what_stands_beside_other_values(question: str, wrong: str, statement: str, answer: str) -> None:
    assert extract_answer(question, wrong, statement) == answer


def test_spans_are_of_one_clause_and_begin_and_end_with_words_of_their_own() -> None:
    found = [span.text for span in spans_of("It is the red door, because of the new lock.")]
    assert found == ["red", "red door", "door", "new", "new lock", "lock"]


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("“Lyon”.", "Lyon"),
        ("(Lyon)", "Lyon"),
        ("(0, 1)", "(0, 1)"),
        ("O(log n)", "O(log n)"),
        ("Lyon)", "Lyon"),
        ("= 42", "42"),
        ("- x", "x"),
    ],
)
def test_punctuation_around_a_span(text: str, bare: str) -> None:
    assert trimmed(text) == bare


@pytest.mark.parametrize("text", ["word ", "Lyon, Paris; ", "25 days. ", "(((", "is not "])
def test_long_statements_take_no_longer_than_their_length(text: str) -> None:
    assert extract_answer("Where is it?", text * 1000, text * (200_000 // len(text)))


def test_a_statement_of_nothing() -> None:
    assert spans_of("") == spans_of(" \n ") == []
