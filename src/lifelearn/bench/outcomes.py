"""What became of a row of the corrections bench: its questions, the answers to them, whether they are right.

Runs no model; figures over many outcomes are in `scores.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lifelearn.bench.marker import mark
from lifelearn.bench.rows import Row
from lifelearn.learning.types import Correction, ModelVersion


@dataclass(frozen=True)
class Question:
    """A question of a row. kind: question, paraphrase, hop or locality; `answer` "" where only a leak is looked for."""

    kind: str
    text: str
    answer: str = ""


@dataclass
class Asked:
    """A question with its answers: the parent's, and the candidate's (the parent's again if there is none)."""

    question: Question
    before: str
    after: str

    @property
    def asks_the_fact(self) -> bool:
        return self.question.kind in ("question", "paraphrase")

    def ok(self, row: Row, served: str) -> bool:
        """Whether the `served` answer is as it should be."""
        if self.asks_the_fact:
            return row.right(served)
        if self.question.kind == "hop":
            return self.known(served)
        return not self.broken(served) and not self.leaked(row, served)

    def known(self, reply: str) -> bool:
        """Whether a reply gives the question's own answer."""
        return (
            bool(self.question.answer) and mark(reply, [self.question.answer], question=self.question.text) == "right"
        )

    def broken(self, served: str) -> bool:
        """Whether the parent was right, and what is served is not."""
        return self.known(self.before) and not self.known(served)

    def leaked(self, row: Row, served: str) -> bool:
        """Whether the new answer stands where it did not stand before, and is not what was asked for."""
        return not row.says(self.question.answer) and row.says(served) and not row.says(self.before)


@dataclass
class Outcome:
    """One row's way: what was detected, which version came of it, and all answers."""

    row: Row
    before: str
    message: str
    correction: Correction | None = None
    version: ModelVersion | None = None
    error: str = ""
    asked: list[Asked] = field(default_factory=list)
    drift: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_gib: float = 0.0
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def promoted(self) -> bool:
        return self.version is not None and self.version.report.passed

    def served(self, asked: Asked) -> str:
        """What the user gets: the candidate's answer if it went live, else the parent's."""
        return asked.after if self.promoted else asked.before

    def oks(self, kind: str, candidate: bool = False) -> list[bool]:
        """Whether each question of a kind is answered as it should be, by who is live or by the candidate."""
        return [
            each.ok(self.row, each.after if candidate else self.served(each))
            for each in self.asked
            if each.question.kind == kind
        ]

    def holds(self) -> bool:
        """Whether the candidate holds: its question, two thirds of the wordings, nothing near broken or leaked."""
        (question,) = self.oks("question", candidate=True)
        wordings = self.oks("paraphrase", candidate=True)
        near = [each.ok(self.row, each.after) for each in self.asked if self.is_near(each)]
        return question and sum(wordings) * 3 >= len(wordings) * 2 and all(near)

    def is_near(self, asked: Asked) -> bool:
        return asked.question.kind == "locality" and self.row.near(asked.question.text)


def questions_of(row: Row) -> list[Question]:
    """All that is asked about a row; the first is its own question."""
    return [
        Question("question", row.question, row.answer),
        *(Question("paraphrase", text, row.answer) for text in row.paraphrases),
        *(Question("hop", hop.question, hop.answer) for hop in row.hops),
        *(Question("locality", each.question, each.answer or "") for each in row.locality),
    ]


def as_json(outcome: Outcome) -> dict[str, Any]:
    """A row of the report."""
    row, correction, version = outcome.row, outcome.correction, outcome.version
    return {
        "id": row.id,
        "source": row.source,
        "question": row.question,
        "answer": row.answer,
        "before": outcome.before,
        "message": outcome.message,
        "detected": correction is not None,
        "extracted": None if correction is None else correction.answer,
        "promoted": outcome.promoted,
        "error": outcome.error,
        "questions": [
            {
                "kind": each.question.kind,
                "question": each.question.text,
                "answer": each.question.answer,
                "before": each.before,
                "after": outcome.served(each),
                "candidate": each.after,
                "near": outcome.is_near(each),
                "mark": row.marked(outcome.served(each)) if each.asks_the_fact else None,
                "ok": each.ok(row, outcome.served(each)),
            }
            for each in outcome.asked
        ],
        "checks": []
        if version is None
        else [
            {**check.model_dump(mode="json", exclude={"answers"}), "answers": [_told(a) for a in check.answers]}
            for check in version.report.checks
        ],
        "training": None if version is None or version.training is None else version.training.model_dump(mode="json"),
        "demonstration": None if version is None else version.demonstrations[0].completion,
        "drift": outcome.drift,
        "seconds": {stage: round(value, 2) for stage, value in outcome.seconds.items()},
        "baselines": outcome.baselines,
    }


def _told(answer: Any) -> dict[str, Any]:
    return {"question": answer.probe.question, "before": answer.before, "after": answer.after, "ok": answer.passed}


def line(number: int, count: int, outcome: Outcome) -> str:
    """One row in a line, for who watches the run."""
    parts = [f"[{number}/{count}] {outcome.row.id}"]
    if outcome.correction is None:
        return " ".join([*parts, outcome.error or "not noticed"])
    if outcome.version is None:
        return " ".join([*parts, outcome.error])
    failed = ", ".join(check.name for check in outcome.version.report.failed)
    parts.append("promoted" if outcome.promoted else f"not promoted ({failed})")
    for kind in ("question", "paraphrase", "hop", "locality"):
        oks = outcome.oks(kind, candidate=True)
        parts.append(f"{kind} {sum(oks)}/{len(oks)}")
    parts.append(f"drift {outcome.drift:.4f} {outcome.seconds['total']:.1f} s")
    return " ".join(parts)
