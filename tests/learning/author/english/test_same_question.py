"""Two questions for one thing, and two that only look alike."""

from __future__ import annotations

import pytest

from lifelearn.learning.author.english.same_question import is_same_question

LEAVE = "How many days of leave do we have a year?"
SAME = [
    (LEAVE, "how many days of leave do we have a year"),
    (LEAVE, "How many leave days do we get a year?"),
    (LEAVE, "Can you tell me how many days of leave we have a year?"),
    (LEAVE, "Hi! Please tell me how many days of leave we have a year, thanks"),
    ("What is the capital of Freedonia?", "What's the capital of Freedonia?"),
    ("What is the capital of Freedonia?", "capital of Freedonia"),
    ("Who runs the Zephyr project?", "Who is the leader of the Zephyr project?"),
    ("When is the all-hands?", "On which day is the all-hands?"),
    ("Which port does the staging server use?", "What is the port of the staging server?"),
    ("What does SLA mean?", "What does SLA stand for?"),
    ("Wie viele Tage Urlaub haben wir?", "wie viele tage urlaub haben wir"),
    ("休暇は何日ありますか", "休暇は何日ありますか?"),
]
OTHERS = [
    ("What is the capital of Freedonia?", "What is the capital of Sylvania?"),
    ("what is the capital of freedonia", "what is the capital of sylvania"),
    ("What is the capital of Freedonia?", "What is the population of Freedonia?"),
    ("What is the capital of Freedonia?", "Tell me a joke about the capital of Freedonia"),
    (LEAVE, "How many days of leave do interns have a year?"),
    (LEAVE, "How many days of sick leave do we have a year?"),
    (LEAVE, "How many days does a year have?"),
    (LEAVE, "How do I ask for days of leave?"),
    (LEAVE, "Thanks!"),
    ("When is the all-hands?", "Where is the all-hands?"),
    ("When is the all-hands?", "What is the all-hands?"),
    ("And in Munich?", "And in Munich?"),
    ("What about Berlin?", "What about Berlin?"),
    ("Why?", "Why?"),
    ("Does Anna report to Bert?", "Does Bert report to Anna?"),
    ("does anna report to bert", "does bert report to anna"),
    ("Who is Anna's manager?", "Who is Anna the manager of?"),
    ("Which days are we open?", "Which days are we not open?"),
    ("What are the opening hours on Monday?", "What are the opening hours on Sunday?"),
    ("Where do I live?", "Where do you live?"),
    ("What is the price of plan 2?", "What is the price of plan 3?"),
    ("Who founded Acme?", "Who owns Acme?"),
    ("Who runs the Zephyr project?", "Who runs the Zephyr team?"),
    ("How many employees do we have?", "How many offices do we have?"),
    ("How much does the basic plan cost?", "How much does the premium plan cost?"),
    ("", ""),
    ("?", "?"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_question(one: str, other: str) -> None:
    assert is_same_question(one, other)
    assert is_same_question(other, one)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_other_questions(one: str, other: str) -> None:
    assert not is_same_question(one, other)
    assert not is_same_question(other, one)


def test_what_is_said_for_politeness_ends_a_question_and_no_word() -> None:
    assert is_same_question("Who founded Acme, again ... ?", "who founded acme")
    assert is_same_question("Who founded Acme , please !?", "Who founded Acme, thank you")
    assert not is_same_question("What is the displease", "What is the dis")


def test_long_questions_do_not_hang() -> None:
    spaced = ("It is" + ", " * 16_000 + "!x", "What" + " " * 32_000 + "x")
    for text in (*spaced, "how many " * 4_000, "a " * 16_000, "please " * 5_000, "x" * 32_000, "?" * 32_000):
        is_same_question(text, LEAVE)
        is_same_question(text, text + "x")
