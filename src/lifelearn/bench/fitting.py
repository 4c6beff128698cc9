"""Fits the weights by which a message is taken for a correction, and by which words of it are taken for what is right
(weighing.py and spans.py in learning/author/english/reading/).

    python -m lifelearn.bench.fitting

writes weights.json and spans.json beside them from our conversations (learning/skills/facts/chats), and says of each
group of these how well it is read by weights fitted to the others: each was written apart from the others and from the
rules, so this is what to expect of messages that nobody has read. The group HELD_OUT is in no fit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import typer

from lifelearn.bench.rows import HELD_OUT, MESSAGES, PLAIN, Dialogue, conversations
from lifelearn.learning.author.detect import what_is_right
from lifelearn.learning.author.english.reading import answer, spans, weighing
from lifelearn.learning.author.english.reading.cues import Evidence, read_cues
from lifelearn.learning.author.english.reading.weights import HERE
from lifelearn.learning.types import Message
from lifelearn.learning.words import normalise

SHRINK = 0.5  # of the squared weights, beside the summed log-loss; best for groups in no fit among 0.5 to 4
SHRINK_SPANS = 1.5  # the same for spans; of 0.3 to 5 all from 1 to 3 were alike
SEEN = 4  # conversations in which a feature must occur to get a weight
LIKE = 0.6  # overlap with the right answer from which a span is learned from, and
HALF = 0.5  # from which it counts as right


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
    column = _columns(shown)
    x_NF = torch.zeros(len(told), len(column), dtype=torch.float64)
    for row, features in enumerate(shown):
        for name, value in features.items():
            if name in column:
                x_NF[row, column[name]] = value
    y_N = torch.tensor([float(each.is_correction) for each in told], dtype=torch.float64)

    def loss(weights_F: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(x_NF @ weights_F, y_N, reduction="sum")

    return _minimised(loss, column, SHRINK)


def _columns(shown: Iterable[Iterable[str]]) -> dict[str, int]:
    """The names that occur in `SEEN` or more, each with its place."""
    seen = Counter(name for names in shown for name in names)
    return {name: index for index, name in enumerate(sorted(name for name, count in seen.items() if count >= SEEN))}


def _minimised(loss: Callable[[torch.Tensor], torch.Tensor], names: Iterable[str], shrink: float) -> dict[str, float]:
    """Weights [F], one a name, where the loss and `shrink` times their squares are least, rounded to three places."""
    names = list(names)
    weights_F = torch.zeros(len(names), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights_F], max_iter=500, line_search_fn="strong_wolfe")

    def total() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(weights_F) + shrink * weights_F.square().sum()
        value.backward()
        return value

    optimizer.step(total)
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


@dataclass(frozen=True)
class Choice:
    """The spans of a correction that may say what is right, what each shows, and how much of the right answer it is."""

    spans: list[str]
    shown: list[list[str]]
    right: list[float]
    fact: str

    @classmethod
    def of(cls, row: Dialogue) -> Choice | None:
        """None where no span is to be chosen: steps, plain denials."""
        question, assistant, message = row.last_turns
        statement = what_is_right(question, assistant, message)
        if not row.corrected_fact or answer.whole(question, statement) is not None:
            return None
        found = answer.weighable(question, assistant, statement)
        right = [overlap(text, row.corrected_fact) for text, _ in found]
        return cls([text for text, _ in found], [shown for _, shown in found], right, row.corrected_fact)

    def chosen(self, weights: Mapping[str, float]) -> str:
        return max(zip(self.spans, self.shown, strict=True), key=lambda each: spans.score(each[1], weights))[0]


def overlap(one: str, other: str) -> float:
    """Twice the words in common as a share of the words of both."""
    a, b = (Counter(normalise(text).split()) for text in (one, other))
    return 2 * (a & b).total() / max(1, a.total() + b.total())


def fit_spans(choices: Sequence[Choice]) -> dict[str, float]:
    """Weights of a softmax over each row's spans, of which those most like the right answer are right; as in `fit`."""
    learned = [each for each in choices if max(each.right, default=0.0) >= LIKE]
    column = _columns({name for shown in each.shown for name in shown} for each in learned)
    bags = [[column[name] for name in shown if name in column] for each in learned for shown in each.shown]
    starts_S = torch.tensor([0, *accumulate(map(len, bags))][:-1])
    shown_N = torch.tensor([each for bag in bags for each in bag])
    row_S = torch.tensor([row for row, each in enumerate(learned) for _ in each.spans])
    best = [[share == most for share in each.right] for each in learned for most in (max(each.right),)]
    wanted_S = torch.tensor([hit / sum(hits) for hits in best for hit in hits], dtype=torch.float64)

    def loss(weights_F: torch.Tensor) -> torch.Tensor:
        score_S = torch.nn.functional.embedding_bag(shown_N, weights_F[:, None], starts_S, mode="sum")[:, 0]
        total_R = torch.zeros(len(learned), dtype=torch.float64).index_add(0, row_S, score_S.exp())
        return -(wanted_S * (score_S - total_R.log()[row_S])).sum()

    return _minimised(loss, column, SHRINK_SPANS)


def choices(rows: Sequence[Dialogue]) -> dict[str, list[Choice]]:
    found: dict[str, list[Choice]] = {"plain": list(_plain())}
    for row in rows:
        if choice := Choice.of(row):
            found.setdefault(row.origin, []).append(choice)
    return found


def _plain() -> Iterator[Choice]:
    """The plainest corrections, "no, {answer}", of all kinds of answers: these are to stay whole."""
    for index, line in enumerate(PLAIN.read_text("utf-8").splitlines()):
        row = json.loads(line)
        for message in [row["message"]] if "message" in row else MESSAGES[index % 3 :: 3]:
            turns = [
                Message(role="user", content=row["question"]),
                Message(role="assistant", content=row["wrong"]),
                Message(role="user", content=message.format(a=row["answer"])),
            ]
            dialogue = Dialogue(id="", messages=turns, is_correction=True, corrected_fact=row["answer"])
            if choice := Choice.of(dialogue):
                yield choice


def fitted_spans(found: dict[str, list[Choice]], but: str = HELD_OUT) -> dict[str, float]:
    """Weights from all groups but one, and but HELD_OUT."""
    return fit_spans([each for name, group in found.items() if name not in (but, HELD_OUT) for each in group])


def right(group: Sequence[Choice], weights: Mapping[str, float]) -> int:
    """In how many the span that is chosen shares half of its words with the right answer."""
    return sum(overlap(each.chosen(weights), each.fact) >= HALF for each in group)


def main() -> None:
    rows = conversations()
    told, found = groups(rows), choices(rows)
    for name, group in told.items():
        line = f"{name}: {len(group)} conversations, F1 {f1(group, fitted(told, but=name)):.2f}"
        if among := found.get(name):
            line += f", right answer {right(among, fitted_spans(found, but=name))} of {len(among)}"
        typer.echo(f"{line} by the others")
    for name, weights in ((weighing.WEIGHTS, fitted(told)), (spans.WEIGHTS, fitted_spans(found))):
        path = HERE / name
        path.write_text(json.dumps(weights, indent=0, ensure_ascii=False) + "\n", "utf-8")
        typer.echo(f"Written to {path}: {len(weights)} weights.")


if __name__ == "__main__":
    main()
