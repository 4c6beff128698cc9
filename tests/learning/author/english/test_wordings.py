"""Other wordings of a question: situations, settings, titles and names as people type them."""

from __future__ import annotations

import random

import pytest

from augment_fakes import made
from lifelearn.learning.author.english.question import find_subject
from lifelearn.learning.author.english.wordings import relation_wordings, situations
from lifelearn.learning.words import stems


@pytest.mark.parametrize(
    ("question", "short"),
    [
        ("Where is Norvik Labs headquartered?", "Where"),
        ("How many desks does Norvik Labs have?", "How many desks"),
        ("In the Norvik lab, what must I do before I leave?", "What"),
        ("Which team answers the phone at Norvik Labs?", "Which team"),
    ],
)
def test_a_situation_says_first_what_it_is_about_and_then_asks(question: str, short: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    told = situations([question], subject, random.Random(0))
    assert len(set(told)) == len(told) >= 8
    for text in told:
        first, _, asked = text.partition(". ")
        assert subject.name in first
        assert subject.name not in asked
        assert asked.startswith(short)
        assert asked.endswith("?")


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("Which war did Ann Larkspur fight in?", "Which war did this person fight in?"),
        ("What is Ann Larkspur's job?", "What is this person's job?"),
        ("Which carrier does Thistle Larkspur ship with?", "Which carrier does it ship with?"),
        ("Who wrote The Quiet Meridian?", "Who wrote it?"),
        ("How many books can I borrow at the Larkspur library?", "How many books can I borrow at the library?"),
        ("How many transfers does a Larkspur Bank account have?", "How many transfers does an account have?"),
        ("Where is the Larkspur Bank headquartered?", "Where is it headquartered?"),
        ("Which VPN client do we use at Larkspur?", "Which VPN client do we use?"),
        ("Larkspur Bank founding year?", "Founding year?"),
    ],
)
def test_the_question_of_a_situation_is_a_sentence(question: str, asked: str) -> None:
    told = situations([question], find_subject(question), random.Random(0))
    assert any(text.endswith(f". {asked}") for text in told), told


def test_what_asks_politely_is_no_topic() -> None:
    questions = ["Which carrier does Larkspur Tea use?", "Tell me the carrier that Larkspur Tea uses."]
    told = " ".join(situations(questions, find_subject(questions[0]), random.Random(0)))
    assert "Tell" not in told.replace("Tell me the carrier", "")


def test_without_a_subject_there_is_no_situation() -> None:
    assert situations(["What should I do?"], None, random.Random(0)) == []


def test_several_things_are_where_one_is() -> None:
    question = "When is the deadline for expense reports?"
    wordings = relation_wordings(question, find_subject(question))
    assert "By what date are our expense reports due?" in wordings
    assert "When is the deadline for expense reports?" in wordings
    question = "Who wrote the night of the rivers?"
    assert "Whose work is The Night of the Rivers?" in relation_wordings(question, find_subject(question))


def test_a_title_in_small_letters_is_also_asked_for_as_in_print() -> None:
    """Who types "who wrote quiet night" is asked by others who wrote "Quiet Night"."""
    question = "who wrote quiet night of the river"
    assert 'Who is the author of the song "Quiet Night of the River"?' in relation_wordings(
        question, find_subject(question)
    )
    found = made(question, "Tomas Reyl")
    shares = [sum(name in prompt for prompt in found.prompts) for name in ("quiet night", '"Quiet Night of the River"')]
    assert min(shares) >= len(found.prompts) // 8
    question = "who sings the song quiet night of the river"
    assert 'Who released the song "Quiet Night of the River"?' in relation_wordings(question, find_subject(question))
    assert not any("the song the song" in prompt.lower() for prompt in made(question, "Tomas Reyl").prompts)
    assert not any('"' in prompt for prompt in made("Where was ilva norqvist born?", "Lyon").prompts)


def test_names_that_are_not_known_are_sometimes_written_with_capitals_and_stay_together() -> None:
    prompts = made("which river separates old harbour from the northern island", "the Ill").prompts
    assert any("Old Harbour" in prompt for prompt in prompts)
    named = [prompt.lower() for prompt in prompts if {"old", "harbour"} <= set(prompt.lower().split())]
    assert sum("old harbour" in prompt for prompt in named) > len(named) / 2


def test_a_contraction_is_no_topic() -> None:
    prompts = made("what's the quiet hour?", "noon").prompts
    assert len([prompt for prompt in prompts if prompt.lower().startswith(("what what's", "which what's"))]) == 0


def test_a_relation_in_a_setting_is_about_the_setting() -> None:
    question = "In the Norvik kitchen, what must I do before I close the oven?"
    subject = find_subject(question)
    assert subject is not None
    assert subject.name == "Norvik"
    wordings = relation_wordings(question, subject)
    assert "In the Norvik kitchen, what has to happen before I close the oven?" in wordings
    assert all("Norvik" in wording and "oven" in wording for wording in wordings)
    assert any("closing the oven in the Norvik kitchen?" in wording for wording in wordings)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Who wrote the quiet night of the long river?", "The Quiet Night of the Long River"),
        ("Where was ilva norqvist born?", "Ilva Norqvist"),
        ("Who plays the captain on harbour lights?", "The Captain on Harbour Lights"),
    ],
)
def test_a_name_in_small_letters_stays_whole(question: str, name: str) -> None:
    """Not "our quiet": nobody calls a song, a person or a role so."""
    found = made(question, "Tomas Reyl")
    wordings = [*found.prompts, *[probe.question for probe in found.probes if probe.kind == "generalisation"]]
    assert all(stems(name) <= stems(wording) for wording in wordings)
    assert any(name in wording for wording in wordings)
