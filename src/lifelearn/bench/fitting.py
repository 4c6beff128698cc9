"""Fits the weights by which a message is taken for a correction (learning/reading/weighing.py).

    python -m lifelearn.bench.fitting

writes weights.json beside it from conversations.jsonl, and says how well each group of these conversations is told
apart by weights fitted to the others: each was written apart from the others and from the rules, so this is what to
expect of messages that nobody has read. The group HELD_OUT is in no fit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import typer

from lifelearn.bench.rows import CONVERSATIONS, HELD_OUT, Dialogue, read_rows
from lifelearn.learning.reading import weighing
from lifelearn.learning.reading.cues import Evidence, read_cues

SEEN = 4  # conversations in which a feature must occur to get a weight
SHRINK = 0.5  # of the squared weights, beside the summed log-loss; best for groups in no fit among 0.5 to 4


@dataclass(frozen=True)
class Example:
    """A row's last message, what it shows beside the two turns before it, and whether it is a correction."""

    message: str
    evidence: Evidence
    is_correction: bool

    @classmethod
    def of(cls, row: Dialogue) -> Example:
        question, assistant, message = row.last_turns
        return cls(message, read_cues(message, assistant, question), row.is_correction)


def fit(told: Sequence[Example]) -> dict[str, float]:
    """Weights by logistic regression with an L2 penalty, rounded to three places."""
    shown = [weighing.features(each.message, each.evidence) for each in told]
    seen = Counter(name for features in shown for name in features)
    names = sorted(name for name, count in seen.items() if count >= SEEN)
    column = {name: index for index, name in enumerate(names)}
    x_NF = torch.zeros(len(told), len(names), dtype=torch.float64)
    for row, features in enumerate(shown):
        for name, value in features.items():
            if name in column:
                x_NF[row, column[name]] = value
    y_N = torch.tensor([float(each.is_correction) for each in told], dtype=torch.float64)
    weights_F = torch.zeros(len(names), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights_F], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits_N = x_NF @ weights_F
        total = torch.nn.functional.binary_cross_entropy_with_logits(logits_N, y_N, reduction="sum")
        total = total + SHRINK * weights_F.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return {name: round(float(weight), 3) for name, weight in zip(names, weights_F.detach(), strict=True)}


def f1(told: Sequence[Example], weights: dict[str, float]) -> float:
    """F1 of what is taken for a correction among `told` by these weights, as the product takes it."""
    said = [weighing.judge(each.message, each.evidence, weights).is_correction for each in told]
    hits = sum(taken and each.is_correction for taken, each in zip(said, told, strict=True))
    return 2 * hits / max(1, sum(said) + sum(each.is_correction for each in told))


def groups(rows: Sequence[Dialogue]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for row in rows:
        found.setdefault(row.origin, []).append(Example.of(row))
    return found


def fitted(told: dict[str, list[Example]], but: str = HELD_OUT) -> dict[str, float]:
    """Weights from all groups but one, and but HELD_OUT."""
    return fit([each for name, group in told.items() if name not in (but, HELD_OUT) for each in group])


def main() -> None:
    told = groups(read_rows(CONVERSATIONS, Dialogue))
    for name, group in told.items():
        typer.echo(f"{name}: {len(group)} conversations, F1 {f1(group, fitted(told, but=name)):.2f} by the others")
    weights = fitted(told)
    path = Path(weighing.__file__).with_name(weighing.WEIGHTS)
    path.write_text(json.dumps(weights, indent=0, ensure_ascii=False) + "\n", "utf-8")
    typer.echo(f"Written to {path}: {len(weights)} weights.")


if __name__ == "__main__":
    main()
