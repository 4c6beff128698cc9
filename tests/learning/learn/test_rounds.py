"""A version that fails is trained again, and the better one counts; a rate too high is lowered."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from learn.fakes import QUICK, Trained, Watched, failing, near, run, unseen
from lifelearn.learning import rounds
from lifelearn.learning.compute.cpu.adapter import ADAPTER_WEIGHTS
from lifelearn.learning.examiner import verify as verification
from lifelearn.learning.learn import LearnError
from lifelearn.learning.recipe import Recipe, Thresholds
from lifelearn.learning.rounds import next_round
from lifelearn.learning.sdft.lesson_loop import RateError, train
from lifelearn.learning.types import (
    Progress,
    Report,
)
from lifelearn.learning.version import VersionStore, sha256


@pytest.mark.check("engine")
def test_a_version_that_fails_is_trained_once_more_from_where_it_is(
    tiny: Any, store: VersionStore, trained: Trained
) -> None:
    strict = QUICK.model_copy(update={"thresholds": Thresholds(efficacy=1)})
    version = run(tiny, store, recipe=strict)
    assert not version.report.passed
    assert near(trained.begun[1], trained.made[0])
    assert not near(trained.begun[1], trained.begun[0])
    assert version.training is not None
    assert version.training.steps == len(version.training.losses) == 6  # two, and half as many again, in each round
    once = run(tiny, VersionStore(store.root / "once"), recipe=strict.model_copy(update={"rounds": 1}))
    assert once.training is not None
    assert once.training.losses == version.training.losses[:3]
    assert len(trained.begun) == 3


@pytest.mark.check("engine")
def test_a_second_round_that_was_interrupted_continues_there(tiny: Any, store: VersionStore) -> None:
    strict = QUICK.model_copy(update={"thresholds": Thresholds(efficacy=1)})
    whole = run(tiny, VersionStore(store.root / "whole"), recipe=strict)
    seen = 0

    def interrupted(progress: Progress) -> None:
        nonlocal seen
        seen += progress.stage == "verify" and progress.step == 1
        if seen == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny, store, recipe=strict, on_progress=interrupted)
    steps = Watched(store)
    assert run(tiny, store, recipe=strict, step=steps).sha256 == whole.sha256
    assert steps.ran == ["verify-2", "version"]


@pytest.mark.parametrize(
    ("report", "more"),
    [
        (failing("efficacy"), -1),
        (failing("efficacy", "generalisation"), -1),
        (failing("locality"), 1),
        (failing("retention", "drift"), 1),
        (failing("generalisation", "locality"), 0),
    ],
)
def test_what_failed_weighs_more_in_the_next_round(report: Report, more: int) -> None:
    """more: whether what holds the model to its parent weighs more, less or the same."""
    recipe = Recipe()
    following = next_round(recipe, report, 1)
    for before, now in (
        (recipe.replay_weight, following.replay_weight),
        (recipe.retained_weight, following.retained_weight),
    ):
        assert (now > before) - (now < before) == more
    assert following.learning_rate < recipe.learning_rate
    assert following.max_steps < recipe.max_steps
    assert following.seed != recipe.seed
    assert following.thresholds == recipe.thresholds


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        (unseen(2), None, 0),
        (unseen(1), unseen(4), 1),
        (unseen(1), unseen(0), 0),
        (unseen(1), unseen(1, drift=0.02), 0),
        (unseen(1), unseen(1, drift=0.005), 1),
        (unseen(1), unseen(2, neighbours=1), 0),
        (unseen(1, kept=4), unseen(2, kept=1), 0),
        (unseen(4, kept=1), unseen(2, kept=2), 1),
    ],
    ids=["passes", "better", "worse", "drifts more", "drifts less", "another broke", "forgets", "forgets less"],
)
def test_the_better_of_two_rounds_is_taken(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch, first: Report, second: Report | None, taken: int
) -> None:
    """One that fails is trained once more; that may be worse."""
    reports = [report for report in (first, second) if report is not None]
    verified: list[str] = []

    def told(*arguments: Any, weights: Path, **named: Any) -> Report:
        verified.append(sha256(weights / ADAPTER_WEIGHTS))
        return reports[len(verified) - 1]

    monkeypatch.setattr(verification, "verify", told)
    version = run(tiny, store)
    assert len(verified) == len(reports)
    assert version.report == reports[taken]
    assert version.sha256 == verified[taken]
    assert len(set(verified)) == len(verified)


def test_a_third_round_goes_on_from_the_best(
    tiny: Any, store: VersionStore, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = iter((unseen(1), unseen(0), unseen(4)))
    monkeypatch.setattr(verification, "verify", lambda *arguments, **named: next(reports))
    version = run(tiny, store, recipe=QUICK.model_copy(update={"rounds": 3}))
    _, second, third = trained.begun
    assert near(third, second), "the second was worse than the first"
    assert near(third, trained.made[0])
    assert not near(third, trained.made[1])
    assert version.report == unseen(4)


@pytest.mark.check("engine")
def test_a_rate_too_high_is_lowered(tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training begins again, as if that had been the rate; a second round is slower still."""
    rates: list[float] = []

    def limited(student: Any, codec: Any, lesson: Any, recipe: Recipe, on_progress: Any) -> Any:
        rates.append(recipe.learning_rate)
        if recipe.learning_rate > 5e-3:
            next(iter(student.parameters)).data.fill_(float("nan"))
            raise RateError("rises to 9.9 nats per token", 3, recipe.learning_rate)
        return train(student, codec, lesson, recipe, on_progress)

    monkeypatch.setattr(rounds, "train", limited)
    told: list[Progress] = []
    recipe = QUICK.model_copy(update={"learning_rate": 2.7e-2, "rounds": 2, "thresholds": Thresholds(efficacy=1)})
    version = run(tiny, store, recipe=recipe, on_progress=told.append)
    *refused, taken, second = rates
    assert refused[0] == 2.7e-2
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert taken <= 5e-3 < min(refused)
    assert version.training is not None
    assert version.training.learning_rate == taken
    assert [each.message for each in told if "begins again" in each.message] == [
        f"the loss rises to 9.9 nats per token at step 3; training begins again at a learning rate of {rate:.2g}"
        for rate in rates[1:-1]
    ]
    low = run(tiny, VersionStore(store.root / "low"), recipe=recipe.model_copy(update={"learning_rate": taken}))
    assert rates[-2:] == [taken, second]
    assert low.training is not None
    assert low.training.losses == version.training.losses


def test_a_rate_that_is_too_high_at_any_rate_is_an_error(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def never(student: Any, codec: Any, lesson: Any, recipe: Recipe, on_progress: Any) -> Any:
        rates.append(recipe.learning_rate)
        raise RateError("is not finite", 1, recipe.learning_rate)

    monkeypatch.setattr(rounds, "train", never)
    with pytest.raises(LearnError, match=r"not finite at step 1\. Lower the learning rate \(LL_TRAIN_LR, now ") as told:
        run(tiny, store, recipe=QUICK.model_copy(update={"learning_rate": 2.7e-2}))
    assert len(rates) > 1
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert f"now {rates[-1]:g})" in str(told.value)
    assert not store.versions()
