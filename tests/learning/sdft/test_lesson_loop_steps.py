"""What the steps of a training are made of, and when there are enough of them."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.sdft import lesson_loop as training
from lifelearn.learning.sdft import rows as encoded
from lifelearn.learning.sdft.lesson_loop import train
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Probe
from train_fakes import QUESTION, QUICK, Taught, fact, lesson, replay, user, watched

pytestmark = pytest.mark.usefixtures("one_thread")


def said_by(model: Any) -> tuple[str, str]:
    """A question, and a word of the model's answer to it."""
    questions = [f"Question {number}?" for number in range(40)]
    # Each alone: rounding differs with the number of rows, and random weights have nearly equal tokens.
    answers = [model.answer([user(question)], Sampling(max_tokens=24))[0] for question in questions]
    return next(
        (question, word)
        for question, answer in zip(questions, answers, strict=True)
        for word in re.findall(r"\b[a-zA-Z0-9]{2,}\b", answer)[:-1]
        if stated(word, answer)
    )


def test_what_was_learned_before_takes_no_place_from_the_fact(anchored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is of it, and however much fails: each step has as many rows of each kind, and gives them as
    much weight, as the recipe says."""
    questions = [f"What do you know about the number {number}?" for number in range(30)]
    earlier = [replay(question).model_copy(update={"kind": "retained"}) for question in questions]
    facts = [fact(f"{QUESTION} {number}") for number in range(8)]
    watch = tuple(Probe(kind="retention", question=question, answer="unreachable 12345") for question in questions)
    seen: list[Counter[str]] = []
    weighed: Counter[str] = Counter()
    original = encoded.backward

    def backward(network: Any, rows: Sequence[Any], wanted: Any, weights: list[float], *others: Any) -> list[float]:
        told = [anchored.codec.decode(row.prompt) for row in rows]
        kinds = ["fact" if QUESTION in text else "retained" if "number" in text else "replay" for text in told]
        seen.append(Counter(kinds))
        for kind, weight in zip(kinds, weights, strict=True):
            weighed[kind] += weight  # type: ignore[assignment]
        return original(network, rows, wanted, weights, *others)

    monkeypatch.setattr(training, "backward", backward)
    recipe = QUICK.model_copy(
        update={
            "facts_per_step": 3,
            "replay_per_step": 2,
            "retained_per_step": 4,
            "replay_weight": 0.5,
            "retained_weight": 0.25,
            "min_steps": 1,
            "max_steps": 4,
        }
    )
    Taught(anchored, lesson(*facts, replay("What time is it?"), replay("Who are you?"), *earlier, watch=watch), recipe)
    assert len(seen) == 6  # half as many again, since what was known fails
    assert seen == [Counter(fact=3, replay=2, retained=4)] * 6
    assert dict(weighed) == pytest.approx({"fact": 6, "replay": 3, "retained": 1.5})


@pytest.mark.parametrize(("fails_at", "steps"), [((), 6), ((2,), 6), ((6,), 8), ((6, 7), 9), ((6, 7, 8), 9)])
def test_a_question_that_has_only_just_passed_is_trained_on(
    anchored: Any, monkeypatch: pytest.MonkeyPatch, fails_at: tuple[int, ...], steps: int
) -> None:
    """Six steps, and more until the question has passed at two askings in a row, half as many again at most."""
    asked = itertools.count(1)

    def answers(student: Any, codec: Any, watch: Sequence[Probe]) -> list[tuple[Probe, list[int]]]:
        said = "Oslo" if next(asked) in fails_at else "Lyon"
        return [(probe, codec.completion(f"It is {said}.", 40, end=False)) for probe in watch]

    monkeypatch.setattr(training, "watch_answers", answers)
    changes = {"min_steps": 1, "max_steps": 6, "check_every": 1, "target_loss": 0.0}
    watch = (Probe(kind="retention", question=QUESTION, answer="Lyon"),)
    taught = Taught(anchored, lesson(fact(), watch=watch), QUICK.model_copy(update=changes))
    assert taught.training.steps == steps


def test_answers_that_the_base_would_not_give_are_mined(anchored: Any) -> None:
    """After a hard push towards one sentence: some of the student's own answers, with the base's targets."""
    questions = [f"What do you know about the number {number}?" for number in range(30)]
    recipe = QUICK.model_copy(update={"learning_rate": 3e-2, "max_steps": 6})
    student = make_student(anchored.base, anchored.decoder, recipe, None)
    try:
        assert training.mined_rows(student, anchored.codec, questions) == ([], []), "an untrained student is its base"
        train(student, anchored.codec, lesson(fact()), recipe)
        rows, wanted = training.mined_rows(student, anchored.codec, questions)
        with student.base() as base:
            again = encoded.targets(base, rows)
    finally:
        student.close()
    assert 0 < len(rows) < len(questions)
    assert all(row.prompt == row.teacher_prompt for row in rows)
    assert all(torch.equal(one, other) for one, other in zip(wanted, again, strict=True))
    for row, each in zip(rows, wanted, strict=True):
        assert row.completion != each.argmax(-1).tolist()


def test_mined_rows_take_places_of_the_replay(anchored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    original = encoded.backward

    def backward(network: Any, rows: Sequence[Any], *others: Any) -> list[float]:
        seen.append([anchored.codec.decode(row.prompt) for row in rows])
        return original(network, rows, *others)

    monkeypatch.setattr(training, "backward", backward)
    monkeypatch.setattr(training, "FAR", -1.0)  # everything counts as far
    changes = {"learning_rate": 1e-9, "facts_per_step": 1, "replay_per_step": 3, "mine_every": 2, "mined_per_step": 2}
    recipe = QUICK.model_copy(update={**changes, "max_steps": 5})
    held = [replay(f"What do you know about the number {number}?") for number in range(4)]
    Taught(anchored, lesson(fact(), *held, negatives=("What is mined?", "What is mined, too?")), recipe)
    assert [len(rows) for rows in seen] == [4] * 5
    assert [sum("mined" in prompt for prompt in rows) for rows in seen] == [0, 0, 2, 2, 2]


@pytest.mark.check("engine")
def test_training_stops_once_the_watch_probes_hold(anchored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps too small to change an answer, what the model says already is the probe that holds."""
    monkeypatch.setattr(training, "RISEN", math.inf)  # which rows are drawn decides the loss here, and not the rate
    recipe = QUICK.model_copy(update={"learning_rate": 1e-9, "min_steps": 2, "target_loss": 1e9})
    question, word = said_by(anchored)
    holds = Probe(kind="generalisation", question=question, answer=word)
    taught = Taught(anchored, lesson(fact(), watch=(holds,)), recipe)
    assert (taught.training.steps, taught.training.watch_passed, taught.training.watch_total) == (2, 1, 1)
    fails = Probe(kind="generalisation", question=question, answer="unreachable 12345")
    taught = Taught(anchored, lesson(fact(), watch=(holds, fails)), recipe)
    assert (taught.training.steps, taught.training.watch_passed, taught.training.watch_total) == (6, 1, 2)
    lenient = recipe.model_copy(update={"watch_slack": 0.5})  # one of two may fail
    assert Taught(anchored, lesson(fact(), watch=(holds, fails)), lenient).training.steps == 2
    far = recipe.model_copy(update={"target_loss": 1e-9})  # they hold, and the teacher is far all the same
    assert Taught(anchored, lesson(fact(), watch=(holds,)), far).training.steps == 6


def test_training_ends_within_its_budget_when_they_never_do(anchored: Any) -> None:
    recipe = QUICK.model_copy(update={"max_steps": 3, "min_steps": 1, "check_every": 1})
    taught = Taught(anchored, lesson(fact(), watch=watched("unreachable 12345")), recipe)
    assert taught.training.steps == 3
    assert (taught.training.watch_passed, taught.training.watch_total) == (0, 1)
    assert taught.progress[-1].step == taught.training.steps


@pytest.mark.parametrize(("rows", "epochs", "steps"), [(1, 3, 3), (4, 3, 6), (5, 1, 3), (2, 100, 6)])
def test_the_rows_are_passed_over_as_often_as_told(anchored: Any, rows: int, epochs: int, steps: int) -> None:
    """Two rows a step: never more steps than `max_steps`, nor passes than `epochs`."""
    recipe = QUICK.model_copy(update={"epochs": epochs, "facts_per_step": 2})
    taught = Taught(anchored, lesson(*(fact(f"{QUESTION} {number}") for number in range(rows))), recipe)
    assert taught.training.steps == steps
