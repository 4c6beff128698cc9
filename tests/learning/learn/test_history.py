"""What was learned before is kept, replayed and asked again; what is replaced is not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from learn.fakes import QUICK, correction, logits, run
from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author.english.question import find_subject
from lifelearn.learning.history import with_history
from lifelearn.learning.types import (
    Message,
    Row,
)
from lifelearn.learning.version import VersionStore
from lifelearn.learning.words import normalise


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_second_correction_builds_on_the_first_and_keeps_it(talkative: Any, store: VersionStore, method: Any) -> None:
    recipe = QUICK.model_copy(update={"method": method})
    run(talkative, store, recipe=recipe)
    store.activate(1)
    talkative.use(store.weights(1))
    before = logits(talkative)
    second = correction(2, "Who runs the badge printer?", "the Kestrel team")
    version = run(talkative, store, second, recipe=recipe)
    assert (version.number, version.parent, version.corrections) == (2, 1, (second,))
    assert torch.equal(logits(talkative), before)
    lesson = store.lesson(2)
    retained = [probe for probe in lesson.probes if probe.kind == "retention"]
    assert [(probe.question, probe.answer) for probe in retained] == [("Where is Norvik based?", "Lyon")]
    # A model of this size has not kept the first one: it is taught again.
    again = {row.prompt[-1].content for row in lesson.rows if row.kind == "fact"}
    of_the_first = {row.prompt[-1].content for row in store.lesson(1).rows if row.kind == "fact"}
    assert "Where is Norvik based?" in again & of_the_first
    assert len(again & of_the_first) >= 2
    assert version.report.checks[3].denominator == 1
    assert [known.number for known in store.lineage(2)] == [1, 2]


def test_what_the_parent_still_knows_is_replayed_wholly(grown: VersionStore) -> None:
    knows = ScriptedChatModel(lambda conversation: "Norvik, as everybody in the trade has known for years, is in Lyon.")
    fresh = grown.lesson(1).model_copy(
        update={"corrections": (correction(2, "Who runs the badge printer?", "the Kestrel team"),), "watch": ()}
    )
    lesson = with_history(fresh, find_subject(fresh.corrections[0].question), grown, 1, knows, QUICK)
    added = lesson.rows[len(fresh.rows) :]
    assert {row.kind for row in added} == {"retained"}
    asked = [row.prompt[-1].content for row in added]
    assert asked.count("Where is Norvik based?") == 2
    assert len(set(asked)) == 3, "the question and two other wordings"
    assert all(row.completions[0].endswith("is in Lyon.") for row in added)
    watched = [(probe.kind, probe.question, probe.answer) for probe in lesson.watch]
    assert watched == [("retention", "Where is Norvik based?", "Lyon")]


def test_a_neighbour_that_has_its_answer_from_an_earlier_correction_keeps_it(grown: VersionStore) -> None:
    """The base, to which replay holds the others, would take it back."""

    def row(question: str, answer: str) -> Row:
        asked = (Message(role="user", content=question),)
        return Row(kind="replay", prompt=asked, teacher_prompt=asked, completions=(answer, "a leak"))

    fresh = grown.lesson(1).model_copy(
        update={
            "corrections": (correction(2, "Who founded Norvik?", "Ida Berg"),),
            "rows": (
                *grown.lesson(1).rows[:1],
                row("Which city is Norvik in?", "Norvik is in Lyon."),
                row("Where is Acme?", "Acme is in Oslo."),
            ),
        }
    )
    lesson = with_history(
        fresh,
        find_subject(fresh.corrections[0].question),
        grown,
        1,
        ScriptedChatModel(lambda conversation: "It is in Lyon."),
        QUICK,
    )
    kinds = {each.prompt[-1].content: each.kind for each in lesson.rows}
    assert (kinds["Which city is Norvik in?"], kinds["Where is Acme?"]) == ("retained", "replay")


def test_a_negative_that_has_its_answer_from_an_earlier_correction_is_left_out(grown: VersionStore) -> None:
    """Mined rows are held to the base, which does not know it."""
    fresh = grown.lesson(1).model_copy(
        update={
            "corrections": (correction(2, "Who founded Norvik?", "Ida Berg"),),
            "negatives": ("Which city is Norvik in?", "Where is Acme?"),
        }
    )
    told = ScriptedChatModel(
        lambda conversation: "It is in " + ("Lyon" if "Norvik" in conversation[-1].content else "Oslo")
    )
    assert with_history(fresh, find_subject(fresh.corrections[0].question), grown, 1, told, QUICK).negatives == (
        "Where is Acme?",
    )


def test_what_the_parent_says_too_late_to_be_heard_is_not_watched(grown: VersionStore) -> None:
    """Training listens to some words of an answer; beyond them it would take what is known for lost, each time."""
    knows = ScriptedChatModel(lambda conversation: f"Norvik, {'as many have said before, ' * 4}is in Lyon.")
    fresh = grown.lesson(1).model_copy(
        update={"corrections": (correction(2, "Who runs the badge printer?", "the Kestrel team"),), "watch": ()}
    )
    assert with_history(fresh, find_subject(fresh.corrections[0].question), grown, 1, knows, QUICK).watch == ()


def test_a_correction_of_a_correction_does_not_retain_what_it_replaces(tiny: Any, grown: VersionStore) -> None:
    again = run(tiny, grown, correction(2, "where is NORVIK based", "Turin"))
    assert again.report.checks[3].denominator == 0
    replayed = {normalise(row.prompt[-1].content) for row in grown.lesson(2).rows if row.kind != "fact"}
    assert "where is norvik based" not in replayed
