"""The table of relations is sound: each wording is recognised, and reading it is quick whatever is asked."""

from __future__ import annotations

import pytest

from lifelearn.learning.author.english.relations import RELATED, RELATIONS, Relation, are_related, recognise
from lifelearn.learning.examiner import general
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.words import normalise

NAMED = pytest.mark.parametrize("relation", RELATIONS, ids=[relation.name for relation in RELATIONS])
SUBJECTS = {
    "person": "Ilva Norqvist",
    "organisation": "Norvik Labs",
    "work": "The Quiet Meridian",
    "place": "Ostrava Bay",
    "product": "the Ternion plan",
    "team": "the Kestrel team",
    "rule": "the travel policy",
    "event": "the spring review",
    "contest": "the Larkspur Cup",
    "species": "Lumea borealis",
    "substance": "Larkspurin",
    "vessel": "the Larkspur",
    "term": "QZP",
    "task": "the badge printer",
    "activity": "parking requests",
    "thing": "the label printer",
    "action": "order a new laptop",
    "moment": "I close the till",
}


def filled(wording: str, relation: Relation, answer: str = "") -> str:
    return wording.replace("{s}", SUBJECTS[relation.kinds[0]]).replace("{a}", answer)


@NAMED
def test_every_wording_names_the_subject_once_and_is_different(relation: Relation) -> None:
    assert len(relation.asks) >= 4
    assert all(ask.count("{s}") == 1 for ask in relation.asks)
    assert all(ask.replace("{s}", "").count("{") == 0 for ask in relation.asks)
    wordings = [normalise(filled(ask, relation)) for ask in relation.asks]
    assert len(set(wordings)) == len(wordings)


@NAMED
def test_every_sentence_states_subject_and_answer(relation: Relation) -> None:
    assert relation.states
    for sentence in relation.states:
        assert sentence.count("{s}") == 1
        assert sentence.count("{a}") == 1
        assert stated("Quillmoor 47", filled(sentence, relation, "Quillmoor 47")), sentence
    assert len(set(relation.states)) == len(relation.states)


@NAMED
def test_every_wording_is_recognised_with_its_subject(relation: Relation) -> None:
    """As its own relation, or as one that is asked about in the same words."""
    for ask in relation.asks:
        found = recognise(filled(ask, relation))
        assert found is not None, ask
        assert found[1] == SUBJECTS[relation.kinds[0]], ask
        shared = {normalise(filled(other, relation)) for other in found[0].asks}
        assert found[0] is relation or normalise(filled(ask, relation)) in shared, (ask, found[0].name)


def test_relations_that_may_share_an_answer_are_not_asked_as_having_others() -> None:
    found = {relation.name: relation for relation in RELATIONS}
    assert are_related(found["actor"], found["cast"])
    assert are_related(found["cast"], found["actor"])
    assert not are_related(found["birthplace"], found["citizenship"])
    assert {name for group in RELATED for name in group} <= {relation.name for relation in RELATIONS}


def test_names_of_relations_and_kinds_are_known() -> None:
    assert len({relation.name for relation in RELATIONS}) == len(RELATIONS)
    assert {kind for relation in RELATIONS for kind in relation.kinds} <= SUBJECTS.keys()


def test_there_are_other_subjects_for_the_first_kind_of_each_relation() -> None:
    """Neighbours of a fact are the same question about somebody else."""
    assert {relation.kinds[0] for relation in RELATIONS} <= general.SUBJECTS.keys()


@pytest.mark.parametrize(
    "question",
    [
        "where is norvik labs headquartered",
        "WHERE IS NORVIK LABS HEADQUARTERED?",
        "  Where is Norvik Labs headquartered ?? ",
        "Where’s Norvik Labs headquartered?",
        "Where was Norvik Labs headquartered?",
    ],
)
def test_case_punctuation_and_tense_do_not_matter(question: str) -> None:
    found = recognise(question)
    assert found is not None
    assert found[0].name == "headquarters"
    assert found[1].lower() == "norvik labs"


@pytest.mark.parametrize("question", ["", "?", " ", "Hello!", "Hm", "{s}", "挪威在哪里？", "\x00\x1b[31m", "🙂?"])
def test_what_is_no_wording_is_not_recognised_or_gives_a_subject(question: str) -> None:
    found = recognise(question)
    assert found is None or found[1]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10_000,
        "Where is " * 1200,
        "Where is " + "x " * 5000 + "headquartered",
        "? " * 5000,
        "What is the " + "of the " * 1500 + "?",
        "What's " * 1500,
        "What is " + "a" * 390 + "?",
        "Who is the " + "a " * 190 + "?",
        "\n" * 10_000,
        "Who runs " + "the team that runs " * 600,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_very_long_question_does_not_hang(text: str) -> None:
    recognise(text)


@pytest.mark.parametrize(
    ("question", "name", "subject"),
    [
        ("What city did Ilva Norqvist die in?", "deathplace", "Ilva Norqvist"),
        ("In what year was Norvik Labs founded?", "founded", "Norvik Labs"),
        ("In what town was Ilva Norqvist born?", "birthplace", "Ilva Norqvist"),
        ("Who wrote What City is This?", "author", "What City is This"),  # a "what" of the name stays
    ],
)
def test_what_and_which_before_a_noun_are_the_same(question: str, name: str, subject: str) -> None:
    found = recognise(question)
    assert found is not None
    assert (found[0].name, found[1]) == (name, subject)


@pytest.mark.parametrize(
    ("question", "name", "subject"),
    [
        ("Where was the first Larkspur regatta held?", "venue", "the first Larkspur regatta"),
        ("Where was Larkspur United?", "location", "Larkspur United"),
        ("Where is the shed?", "location", "the shed"),
    ],
)
def test_where_something_was_done_is_not_where_it_is(question: str, name: str, subject: str) -> None:
    found = recognise(question)
    assert found is not None
    assert (found[0].name, found[1]) == (name, subject)


@pytest.mark.parametrize("verb", ["built", "painted", "mentioned", "sold"])
def test_a_clause_is_no_subject(verb: str) -> None:
    assert recognise(f"Where was the first lighthouse {verb}?") is None
