"""What a question is about: its subject and its relation, however it is put."""

from __future__ import annotations

import pytest

from lifelearn.learning.author.english.question import find_subject, gerund


@pytest.mark.parametrize(
    ("question", "relation"),
    [
        ("What was Ann Larkspur's nationality?", "citizenship"),
        ("In what country is Lake Larkspur located?", "country"),
        ("What war did Ann Larkspur fight in?", "war"),
        ("Who did Ann Larkspur study under?", "teacher"),
        ("When did the Larkspur Mall open?", "opened"),
        ("When does the Larkspur Mall open?", "opens"),
        ("I am visiting Norvik Labs. Which city should I travel to?", "headquarters"),
    ],
)
def test_the_words_of_a_relation_ask_for_it_in_any_order(question: str, relation: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    assert subject.relation is not None
    assert subject.relation.name == relation


@pytest.mark.parametrize(
    "question",
    [
        "Who was drafted by Ann Larkspur?",
        "Who was killed by Ann Larkspur?",
        "Whom did Ann Larkspur teach?",
        "Which company does Norvik Labs own?",
        "Which film did Ann Larkspur direct?",
        "Who does Ann Larkspur employ?",
    ],
)
def test_the_same_words_the_other_way_round_are_no_relation(question: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    assert subject.relation is None


def test_a_name_ends_where_a_sentence_does() -> None:
    subject = find_subject("A parcel came from Norvik Labs. Does Otis expect it?")
    assert subject is not None
    assert subject.name == "Norvik Labs"


@pytest.mark.parametrize(
    ("question", "short"),
    [
        ("When is the weekly staff meeting?", "our staff meeting"),
        ("When is the deadline for expense reports?", "our expense reports"),
        ("Who runs the canteen?", "our canteen"),
        ("Who handles the hotline of the shop?", "our hotline"),
        ("When did the first tablet come out?", "the first tablet"),
        ("Where does the saying that bob's your uncle come from?", "the saying that bob's your uncle"),
        ("Who founded Norvik Labs?", "Norvik Labs"),
        ("Who sings the song quiet night of the river?", "the song Quiet Night of the River"),
    ],
)
def test_what_a_thing_is_called_the_second_time(question: str, short: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    assert subject.short == short


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        ("I push to production", "pushing to production"),
        ("we run the tests", "running the tests"),
        ("I leave", "leaving"),
        ("you see the doctor", "seeing the doctor"),
        ("the shop opens", "the shop opens"),
        ("", ""),
    ],
)
def test_gerunds(clause: str, said: str) -> None:
    assert gerund(clause) == said
