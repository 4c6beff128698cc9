"""Verification: the new version is asked in fresh contexts, and measured against its parent.

Answers are generated freely and greedily, never teacher-forced, by the version as it will be served. The
five figures are efficacy, generalisation, locality, retention and drift (DESIGN terms; docs/architecture.md);
a version goes live only if every one holds. Asks only probes that training never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.divergence import token_divergence
from lifelearn.learning.compute.trainable import TrainableModel
from lifelearn.learning.examiner.general import TEXT
from lifelearn.learning.examiner.marking import holds
from lifelearn.learning.recipe import Thresholds
from lifelearn.learning.types import (
    Check,
    CheckName,
    Message,
    OnProgress,
    Probe,
    ProbeAnswer,
    Progress,
    Report,
    no_progress,
)

ANSWER_TOKENS = 40

_CHECKS: dict[CheckName, tuple[str, ...]] = {
    "efficacy": ("efficacy",),
    "generalisation": ("generalisation",),
    "locality": ("neighbour", "unrelated"),
    "retention": ("retention",),
}


@dataclass(frozen=True)
class Verifier:
    """The examiner that there is. parent_weights: None is the base."""

    model: TrainableModel
    parent_weights: Path | None
    thresholds: Thresholds
    on_progress: OnProgress = no_progress

    def verify(self, probes: Sequence[Probe], weights: Path) -> Report:
        return verify(
            self.model,
            probes,
            parent_weights=self.parent_weights,
            weights=weights,
            thresholds=self.thresholds,
            on_progress=self.on_progress,
        )


def verify(
    model: TrainableModel,
    probes: Sequence[Probe],
    *,
    parent_weights: Path | None,
    weights: Path,
    thresholds: Thresholds,
    on_progress: OnProgress = no_progress,
) -> Report:
    """Asks the parent and the version all probes and measures the drift. Leaves the model on the parent."""
    model.use(parent_weights)
    on_progress(Progress(stage="verify", step=1, steps=2, message=f"asking the parent {len(probes)} questions"))
    before = ask(model, probes)
    parent_logprobs = model.text_logprobs(TEXT)
    try:
        model.use(weights)
        on_progress(
            Progress(stage="verify", step=2, steps=2, message=f"asking the new version {len(probes)} questions")
        )
        after = ask(model, probes)
        # A chat asks one question at a time, which rounds otherwise: there, too, what was corrected must hold.
        alone = {probe: ask(model, [probe])[0] for probe in probes if probe.kind == "efficacy"}
        drift = drift_check(parent_logprobs, model.text_logprobs(TEXT), thresholds.drift)
    finally:
        model.use(parent_weights)
    answers = []
    for probe, old, new in zip(probes, before, after, strict=True):
        said = alone.get(probe, new) if holds(probe, old, new) else new
        answers.append(ProbeAnswer(probe=probe, before=old, after=said, passed=holds(probe, old, said)))
    return Report(checks=(*(share_check(name, answers, thresholds) for name in _CHECKS), drift))


def ask(model: TrainableModel, probes: Sequence[Probe]) -> list[str]:
    """Greedy answers, each in a fresh context."""
    conversations = [(Message(role="user", content=probe.question),) for probe in probes]
    return model.answer(conversations, Sampling(max_tokens=ANSWER_TOKENS))


def share_check(name: CheckName, answers: Sequence[ProbeAnswer], thresholds: Thresholds) -> Check:
    """One share with its numerator and denominator; with nothing to ask it holds, as 0 of 0."""
    asked = tuple(answer for answer in answers if answer.probe.kind in _CHECKS[name])
    passed = sum(answer.passed for answer in asked)
    value = passed / len(asked) if asked else 1.0
    threshold = float(getattr(thresholds, name))
    return Check(
        name=name,
        passed=value >= threshold - 1e-9,
        value=value,
        threshold=threshold,
        numerator=passed,
        denominator=len(asked),
        answers=asked,
    )


def drift_check(parent: Sequence[Tensor], version: Sequence[Tensor], threshold: float) -> Check:
    """Forward KL to the parent on general text, in nats per token. Each argument: per text [L, V] log-probabilities."""
    with torch.no_grad():
        sums = [
            float(token_divergence(new.float(), old.float()).sum()) for old, new in zip(parent, version, strict=True)
        ]
    tokens = sum(len(part) for part in parent)
    value = max(sum(sums) / tokens, 0.0)  # rounding can take it a millionth below; in this order NaN stays NaN
    return Check(
        name="drift",
        passed=value <= threshold,
        value=value,
        threshold=threshold,
        numerator=sum(sums),
        denominator=tokens,
    )
