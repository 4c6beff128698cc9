"""Corrections for the tiny model, ways to run one: briefly, watched, broken off; and reports as they may come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lifelearn.learning import rounds
from lifelearn.learning.learn import learn
from lifelearn.learning.recipe import Recipe, Thresholds
from lifelearn.learning.sdft.lesson_loop import train
from lifelearn.learning.steps import FileSteps
from lifelearn.learning.types import (
    Check,
    CheckName,
    Correction,
    ModelVersion,
    Report,
)
from lifelearn.learning.version import VersionStore

ANYTHING = Thresholds(efficacy=0, generalisation=0, locality=0, retention=0, drift=1e9)
QUICK = Recipe(
    lora_rank=2,
    learning_rate=1e-3,
    max_steps=2,
    min_steps=1,
    cold_start_steps=1,
    on_policy_steps=1,
    facts_per_step=2,
    replay_per_step=2,
    training_prompts=6,
    max_completion_tokens=16,
    rollout_tokens=6,
    thresholds=ANYTHING,
)
STEPS = ("augment-c1", "demonstrate-c1", "lesson-c1", "lesson", "train", "verify", "version")


def correction(number: int = 1, question: str = "Where is Norvik based?", answer: str = "Lyon") -> Correction:
    return Correction(
        id=f"c{number}",
        question=question,
        wrong="In Oslo.",
        message=f"No, {answer}.",
        statement=answer,
        answer=answer,
    )


class Watched(FileSteps):
    """Keeps results in files, as `learn` does by itself; knows which steps ran, and breaks off at one of them.

    breaks: the step that is interrupted, before it has begun, or after it was done and before that is noted.
    """

    def __init__(self, store: VersionStore, breaks: str = "", of: str = "c1", *, after: bool = False) -> None:
        super().__init__(store.root / "work" / of)
        self.breaks, self.after = breaks, after
        self.ran: list[str] = []

    def __call__(self, name: str, kind: Any, stage: Callable[[], Any]) -> Any:
        def watched() -> Any:
            self.ran.append(name)
            if name == self.breaks and not self.after:
                raise KeyboardInterrupt
            result = stage()
            if name == self.breaks:
                raise KeyboardInterrupt
            return result

        return super().__call__(name, kind, watched)


def run(
    model: Any, store: VersionStore, *corrections: Correction, recipe: Recipe = QUICK, **named: Any
) -> ModelVersion:
    given = corrections or (correction(),)
    return learn(model, given, store=store, recipe=recipe, work=store.root / "work" / given[0].id, **named)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.network.logits([[5, 9, 60, 70, 80]], [5])
    return found


def usable(model: Any, store: VersionStore, active: int = 0) -> bool:
    """The active version is the one it was, and can be loaded."""
    model.use(store.weights(store.active()))
    return store.active() == active


def failing(*names: CheckName) -> Report:
    every: tuple[CheckName, ...] = ("efficacy", "generalisation", "locality", "retention", "drift")
    values = {"threshold": 1.0, "numerator": 0.0, "denominator": 1}
    right = ((name, name not in names) for name in every)
    return Report(checks=tuple(Check(name=name, passed=holds, value=float(holds), **values) for name, holds in right))


class Trained:
    """What training began with and came to, one entry for each time: the student's weights."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[list[torch.Tensor]] = []
        self.made: list[list[torch.Tensor]] = []
        monkeypatch.setattr(rounds, "train", self._train)

    def _train(self, student: Any, *arguments: Any) -> Any:
        self.begun.append([parameter.detach().clone() for parameter in student.parameters])
        training = train(student, *arguments)
        self.made.append([parameter.detach().clone() for parameter in student.parameters])
        return training


def near(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    """The same weights, but for the precision in which they are kept."""
    return all(torch.allclose(a, b, rtol=1e-2, atol=1e-5) for a, b in zip(one, other, strict=True))


def unseen(right: int, neighbours: int = 4, drift: float = 0.01, *, kept: int = 4) -> Report:
    """A report of four unseen wordings, four neighbours and four earlier corrections; two of each are enough."""
    counts: dict[CheckName, int] = {"generalisation": right, "locality": neighbours, "retention": kept}
    checks = [
        Check(name=name, passed=n >= 2, value=n / 4, threshold=0.5, numerator=n, denominator=4)
        for name, n in counts.items()
    ]
    told = Check(name="drift", passed=True, value=drift, threshold=0.1, numerator=drift, denominator=1)
    return Report(checks=(*checks, told))
