"""Fits the weights by which a message is taken for a correction (learning/weighing.py).

    python -m lifelearn.bench.fitting

writes learning/weights.json from conversations.jsonl, and says how well each group of these conversations is told
apart by weights fitted to the others: each was written apart from the others and from the rules, so this is what to
expect of messages that nobody has read. The group HELD_OUT is in no fit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
import typer

from lifelearn.bench.rows import CONVERSATIONS, HELD_OUT, Dialogue, read_rows
from lifelearn.learning import weighing
from lifelearn.learning.cues import read_cues

SEEN = 4  # conversations in which a feature must occur to get a weight
SHRINK = 0.5  # of the squared weights, beside the summed log-loss; best for groups in no fit among 0.5 to 4

Shown = dict[str, float]
Told = list[tuple[Shown, bool]]  # what a message shows, and whether it is a correction


def shown(row: Dialogue) -> Shown:
    """What the row's last message shows, beside the two turns before it."""
    question, assistant, message = row.last_turns
    return weighing.features(message, read_cues(message, assistant, question))


def fit(told: Told) -> dict[str, float]:
    """Weights by logistic regression with an L2 penalty, rounded to three places."""
    seen = Counter(name for features, _ in told for name in features)
    names = sorted(name for name, count in seen.items() if count >= SEEN)
    column = {name: index for index, name in enumerate(names)}
    x_NF = torch.zeros(len(told), len(names), dtype=torch.float64)
    for row, (features, _) in enumerate(told):
        for name, value in features.items():
            if name in column:
                x_NF[row, column[name]] = value
    y_N = torch.tensor([float(label) for _, label in told], dtype=torch.float64)
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


def f1(told: Told, weights: dict[str, float]) -> float:
    """F1 of the corrections among `told` by these weights."""
    said = [weighing.weighed(features, weights) > 0 for features, _ in told]
    hits = sum(taken and label for taken, (_, label) in zip(said, told, strict=True))
    return 2 * hits / max(1, sum(said) + sum(label for _, label in told))


def groups(rows: Sequence[Dialogue]) -> dict[str, Told]:
    found: dict[str, Told] = {}
    for row in rows:
        found.setdefault(row.origin, []).append((shown(row), row.is_correction))
    return found


def fitted(told: dict[str, Told], but: str = HELD_OUT) -> dict[str, float]:
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
