"""The project's facts are whole, vary, and keep their splits apart; what is wrong with a record is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifelearn.learning.skills.facts import checking, records
from lifelearn.learning.skills.facts.checking import LONG
from lifelearn.learning.skills.facts.records import SPLITS, Fact, all_facts, facts, place_of, split_of, splits
from lifelearn.learning.skills.facts.turns import CONVERSATIONS, all_turns, turns
from lifelearn.learning.types import Message


def test_nothing_is_wrong_with_the_facts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["checking"])
    assert checking.main() == 0, capsys.readouterr().err


def test_each_fact_is_in_one_split_with_its_whole_domain() -> None:
    placed = {*map(place_of, all_facts()), *map(place_of, all_turns())}
    assert set(splits()) == placed, "splits.json names what there is"
    assert sum(len(facts(split)) for split in SPLITS) == len(all_facts())
    shares = {split: len(facts(split)) / len(all_facts()) for split in SPLITS}
    assert 0.65 < shares["train"] < 0.75
    assert 0.12 < shares["dev"] < 0.18
    assert 0.12 < shares["test"] < 0.18


def test_turns_are_in_the_same_splits_and_what_no_weight_was_fitted_to_is_tested_on() -> None:
    shares = {split: len(turns(split)) / len(all_turns()) for split in SPLITS}
    assert 0.65 < shares["train"] < 0.75
    assert 0.12 < shares["dev"] < 0.18
    assert 0.12 < shares["test"] < 0.18
    assert {turn.domain for turn in turns("test")} >= {"conversations: held out"}


def test_ordinary_turns_are_many_and_many_are_long() -> None:
    ordinary = [turn for turn in all_turns() if not turn.domain.startswith(CONVERSATIONS)]
    assert len(ordinary) >= 1_500
    assert sum(len(turn.said) >= LONG for turn in ordinary) >= 300
    assert not any(turn.is_correction for turn in ordinary)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"messages": all_turns()[0].messages[:-1]}, "in turns"),
        ({"messages": (*all_turns()[0].messages[:-1], Message(role="user", content=" "))}, "empty"),
    ],
)
def test_what_is_wrong_with_a_turn_is_told(changed: dict[str, object], told: str) -> None:
    turn = all_turns()[0].model_copy(update=changed)
    assert told in " ".join(checking.faults_of_turns([turn]))
    assert "2 turns have this id" in " ".join(checking.faults_of_turns([turn, turn]))


@pytest.mark.parametrize("lang", ["de", "en", "es", "fr"])
def test_every_language_that_has_enough_is_in_every_split(lang: str) -> None:
    assert {split_of(fact) for fact in all_facts() if fact.lang == lang} == set(SPLITS)


def changed(**fields: object) -> Fact:
    return Fact.model_validate({**all_facts()[0].model_dump(), **fields})


@pytest.mark.parametrize(
    ("fact", "told"),
    [
        (changed(wordings=()), "fewer than 6 wordings"),
        (changed(near=all_facts()[0].near[:5]), "fewer than 8 near"),
        (changed(answer=all_facts()[0].near[0].answer), "a near question has the fact's answer"),
        (changed(right=all_facts()[0].right[:1] * 6), "a reply twice"),
        (changed(kept=all_facts()[0].kept[:2]), "fewer than 3 kept"),
    ],
)
def test_what_is_wrong_with_a_record_is_told(fact: Fact, told: str) -> None:
    assert told in list(checking.faults_of(fact))


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("When does the last bus leave?", "When does the first bus leave?", True),
        ("When does the last bus leave?", "When does the bus leave?", True),
        ("When does the last bus leave?", "When does the last bus to Hove leave?", False),
        ("When does the last bus leave?", "when does the last bus leave", False),
    ],
)
def test_one_word_apart(one: str, other: str, apart: bool) -> None:
    assert checking.one_word_apart(one, other) is apart


def test_the_same_text_with_its_slots_blanked_is_found() -> None:
    many = [
        changed(id=f"x-{n}", corrections=({"said": "", "user": f"The sign at Norvik says {n} euros for a ride"},))
        for n in range(checking.SAME_FRAME + 1)
    ]
    assert "the sign at _ says _ euros for a ride" in checking.shared_frames(many)
    assert checking.shared_frames(many[1:]).get("the sign at _ says _ euros for a ride") is None


def test_nearly_the_same_text_is_found_across_records() -> None:
    one = changed(id="a", wordings=("I have lost my badge on the tram this morning, whom do I tell about it?",))
    other = changed(id="b", wordings=("I have lost my badge on the tram this morning, whom do I tell about that?",))
    assert ("a", "b") in {(first, second) for first, second, _ in checking.duplicates([one, other])}


def test_a_file_that_is_no_file_of_records_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"id": "mine-1"}))
    monkeypatch.setattr("sys.argv", ["checking", str(file)])
    assert checking.main() == 1
    assert "question" in capsys.readouterr().err
    assert list(records.read([], Fact)) == []
