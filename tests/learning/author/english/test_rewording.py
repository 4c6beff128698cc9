"""The rules that ask a question in other words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifelearn.learning.author.english.rewording import MOST, reworded


def said(question: str, answer: str = "Otis Vane", subject: str = "") -> set[str]:
    """All that a few seeds make of a question."""
    return {text for seed in range(12) for text in reworded(question, answer, subject, random.Random(seed))}


@pytest.mark.parametrize(
    ("question", "answer", "subject", "other"),
    [
        ("When was Larkspur Bank founded?", "1967", "Larkspur Bank", "In which year was Larkspur Bank founded?"),
        ("When was Larkspur Bank founded?", "4 May 1967", "Larkspur Bank", "On which date was Larkspur Bank founded?"),
        (
            "On which day, month, and year did the Larkspur Fair begin?",
            "4 May 1967",
            "Larkspur Fair",
            "What is the date on which the Larkspur Fair started?",
        ),
        (
            "In which town was Ann Larkspur born?",
            "Ulm",
            "Ann Larkspur",
            "What is the town in which Ann Larkspur was born?",
        ),
        (
            "Which war did Ann Larkspur fight in?",
            "the Boer War",
            "Ann Larkspur",
            "Tell me the war that Ann Larkspur fought in.",
        ),
        ("What is the record label of Larkspur?", "Ill", "Larkspur", "What is the record label from Larkspur?"),
        ("What is the record label of Larkspur?", "Ill", "Larkspur", "What is Larkspur's record label?"),
        ("What is the record label of Larkspur?", "Ill", "Larkspur", "What's the record label of Larkspur?"),
        ("What is Larkspur's record label?", "Ill", "Larkspur", "What is the record label for Larkspur?"),
        (
            "What is the name of Larkspur's label?",
            "Ill",
            "Larkspur",
            "What is the name of the label from Larkspur?",
        ),
        ("Which river separates Ulm from Tal?", "the Ill", "Ulm", "Do you know which river divides Ulm from Tal?"),
        (
            "Who was the player that beat Ann Larkspur?",
            "Otis Vane",
            "Ann Larkspur",
            "Which player defeated Ann Larkspur?",
        ),
        (
            "Who was the person who beat Ann Larkspur?",
            "Otis Vane",
            "Ann Larkspur",
            "Who was the one who defeated Ann Larkspur?",
        ),
        ("Who beat Ann Larkspur?", "Otis Vane", "Ann Larkspur", "Who was the one who beat Ann Larkspur?"),
        ("What is the name of the Larkspur boat?", "Ilse", "Larkspur", "What is the Larkspur boat called?"),
        ("How many Larkspur boats were built?", "12", "Larkspur", "What number of Larkspur boats were constructed?"),
        ("Which town hosts Larkspur in 1984?", "Ulm", "Larkspur", "In 1984, which town hosts Larkspur?"),
        ("Who approves travel bookings?", "Otis", "travel bookings", "Who is it that authorises travel bookings?"),
        (
            "Which form do I need at Larkspur?",
            "P7",
            "Larkspur",
            "What is the form that I need at Larkspur?",
        ),
        ("Which form do I need at Larkspur?", "P7", "Larkspur", "At Larkspur, which form do I need?"),
        ("Which form do I need at Larkspur?", "P7", "Larkspur", "I need which form at Larkspur?"),
        ("Which form do we use at Larkspur?", "P7", "Larkspur", "What is the form of Larkspur?"),
        (
            "How long are logs kept at Larkspur?",
            "a year",
            "Larkspur",
            "Do you know how long logs are kept at Larkspur?",
        ),
        (
            "Until when is breakfast served at the Larkspur Inn?",
            "noon",
            "Larkspur Inn",
            "Breakfast is served until when at the Larkspur Inn?",
        ),
        (
            "How many reviewers does a pull request need at Larkspur?",
            "two",
            "Larkspur",
            "Tell me the number of reviewers that a pull request needs at Larkspur.",
        ),
        (
            "By when must timesheets be submitted at Larkspur?",
            "noon",
            "Larkspur",
            "Timesheets must be submitted by when at Larkspur?",
        ),
        (
            "When was Larkspur Bank founded?",
            "4 May 1967",
            "Larkspur Bank",
            "What is the founding date of Larkspur Bank?",
        ),
        (
            "In what year did the Larkspur Fair begin?",
            "1967",
            "Larkspur Fair",
            "What is the start year of the Larkspur Fair?",
        ),
        ("Where do I hand in receipts at Larkspur?", "Spendly", "Larkspur", "Where do I submit receipts at Larkspur?"),
        (
            "Which river separates Ulm from Tal?",
            "the Ill",
            "Ulm",
            "What is the name of the river that divides Ulm from Tal?",
        ),
        (
            "Which American singer recorded Quiet Night?",
            "Otis Vane",
            "Quiet Night",
            "Name the American singer that recorded Quiet Night.",
        ),
        ("Which town is twinned with Ulm?", "Tal", "Ulm", "What is the name of the town that is twinned with Ulm?"),
        ("Who founded Larkspur?", "Otis Vane", "Larkspur", "What is the name of the person who founded Larkspur?"),
        ("What's the notice period of Larkspur?", "a month", "Larkspur", "What is Larkspur's notice period?"),
        (
            "On which day, month, and year was Larkspur Bank founded?",
            "4 May 1967",
            "Larkspur Bank",
            "On which date, including the day, month and year, was Larkspur Bank founded?",
        ),
    ],
)
def test_a_question_is_asked_in_other_words(question: str, answer: str, subject: str, other: str) -> None:
    assert other in said(question, answer, subject)


@pytest.mark.parametrize(
    "question",
    ["When is the summer party?", "At what time does the canteen open?", "When does the shop open?"],
)
def test_a_time_that_is_no_date_is_not_asked_for_as_one(question: str) -> None:
    assert not any("date" in text or "year" in text for text in said(question, "Thursday at 10:00"))


@pytest.mark.parametrize(
    "question",
    [
        "Who is the contact for the return policy at Larkspur?",
        "How many reviewers does a pull request need at Larkspur?",
        "Which VPN client do we use at Larkspur?",
    ],
)
def test_a_noun_is_not_exchanged_for_a_verb_nor_for_what_it_is_not(question: str) -> None:
    kept = {"contact", "return policy", "pull request", "VPN client"}
    texts = said(question, subject="Larkspur")
    assert texts
    assert all(any(noun in text for noun in kept) for text in texts)


@pytest.mark.parametrize(
    "question",
    [
        "Which country is Larkspur in?",
        "Which room do we use at Larkspur?",
        "What award did Larkspur receive?",
        "Which language is Larkspur named in?",
    ],
)
def test_a_noun_that_does_nothing_is_not_said_to(question: str) -> None:
    assert not any("that is Larkspur" in text or "that did" in text or "that do" in text for text in said(question))


def test_names_and_quotations_keep_their_words() -> None:
    texts = said('Who wrote "The company song" for Film Holiday Company?', subject="Film Holiday Company")
    assert texts
    assert all('"The company song"' in text and "Film Holiday Company" in text for text in texts)


def test_small_words_are_exchanged_only_between_what_is_asked_for_and_the_subject() -> None:
    told = said("What was the name of the father of Ann Larkspur?", subject="Ann Larkspur")
    assert told
    assert not any("Ann Larkspur's" in text or " from " in text for text in told)
    assert not any(text.startswith("The the") for text in said("The Ill's name is of what age?", subject="Ill"))


def test_what_comes_after_a_name_and_is_no_verb_stays_there() -> None:
    texts = said("When did the Bell Larkspur helicopter have its first flight?", "4 May 1967", "Bell Larkspur")
    assert texts
    assert all("helicopter have its" in text or "helicopter had its" in text for text in texts)


@pytest.mark.parametrize("question", ["", "?", "Wo wohnt Ann?", "Tell me a joke", "Ann? Where is she?", "A. B? C!"])
def test_where_no_rule_fits_there_is_nothing(question: str) -> None:
    assert reworded(question, "Ulm", "", random.Random(0)) == []


@given(st.text(max_size=300), st.text(max_size=40), st.text(max_size=40))
def test_any_text_can_be_asked(question: str, answer: str, subject: str) -> None:
    found = reworded(question, answer, subject, random.Random(0))
    assert len(found) <= MOST
    assert len(set(found)) == len(found)
    assert question not in found


def test_a_very_long_question_takes_no_longer_than_its_length() -> None:
    assert isinstance(
        reworded("Which river in " + "the town " * 20_000 + "is it?", "Ulm", "town", random.Random(0)), list
    )
