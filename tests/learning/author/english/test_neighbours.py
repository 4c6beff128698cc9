"""What is asked beside a fact: other names of its kind, and other relations."""

from __future__ import annotations

import random

import pytest

from lifelearn.learning.author.english.neighbours import near_names, other_relations
from lifelearn.learning.author.english.question import Question, Subject, distinctive, find_subject
from lifelearn.learning.examiner import general


def test_near_names_change_a_word_for_one_of_its_kind() -> None:
    """The nearest neighbours of a thing in small letters are other such things, of a name other names."""
    subject = find_subject("When is the weekly staff meeting?")
    assert subject is not None
    for name in near_names(subject, random.Random(0)):
        assert name != subject.name
        assert name == name.lower()
        assert len(set(name.split()) - set(subject.name.split())) == 1
        assert name.endswith(" meeting")
    subject = find_subject("Who founded Norvik Labs?")
    assert subject is not None
    for name in near_names(subject, random.Random(0)):
        assert name.istitle()
        assert len(set(name.split()) & {"Norvik", "Labs"}) == 1


@pytest.mark.parametrize("name", ["the canteen", "the hotline of Larkspur Bank", "travel bookings"])
def test_a_neighbour_does_not_have_all_words_of_the_subject(name: str) -> None:
    subject = Subject(name, ("task",), None)
    assert not any(set(name.split()) <= set(near.split()) for near in near_names(subject, random.Random(0)))


def test_a_name_of_all_the_words_has_neighbours_too() -> None:
    subject = Subject(" ".join(general.WORDS), ("organisation",), None)
    assert near_names(subject, random.Random(0))


def test_what_something_is_done_at_is_asked_about_as_an_organisation() -> None:
    question = "Which form do I fill in for parental leave at Larkspur?"
    relations = other_relations(Question.of(question), random.Random(0))
    assert all("organisation" in relation.kinds for relation in relations[:15])


def test_a_rule_stands_beside_other_rules_and_a_fact_beside_other_facts() -> None:
    """Not which stock exchange a company is on, beside its paid leave; but where it is based, now and then."""
    for question, rule in (
        ("How many days of paid leave do I get at Norvik?", True),
        ("How long may I work from home at Norvik?", True),
        ("What is the remote work policy of Norvik?", True),
        ("When was the Norvik Institute founded?", False),
    ):
        relations = other_relations(Question.of(question), random.Random(0))[:12]
        shares = [sum(relation.rule is kind for relation in relations) for kind in (True, False)]
        assert min(shares) > 0
        assert (shares[0] > shares[1]) is rule


def test_a_number_is_exchanged_for_another_number() -> None:
    subject = find_subject("Who won the 2010 World Cup?")
    assert subject is not None
    assert "the 2018 World Cup" in near_names(subject, random.Random(0))
    subject = find_subject("Who approves travel over 500 euros?")
    assert subject is not None
    assert distinctive(subject) == ["travel"]
    assert near_names(subject, random.Random(0)) == []
