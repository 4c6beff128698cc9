"""`lifelearn bench corrections`: does a correction hold, does it generalise, and what does it break?

Each row becomes a conversation and goes the whole way, detection included; then its own questions, which
the pipeline never saw, are asked by free greedy generation in fresh contexts. Every row that the model
got wrong counts: where no version was promoted, the parent's answers are what the user gets.
Independent mode starts each row from the base; sequential mode learns row upon row and re-asks all.
"""

from __future__ import annotations

import json
import platform
import random
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lifelearn.bench.baselines import BASELINES, Arena, answers_to
from lifelearn.bench.figures import NOTHING, Figure, clustered, mean, median, share
from lifelearn.bench.rows import Row, mixed
from lifelearn.learning.author.detect import DetectionError, detect
from lifelearn.learning.chat_model import ChatModel, ChatModelError
from lifelearn.learning.compute.trainable import TrainableModel
from lifelearn.learning.examiner.general import TEXT
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.examiner.verify import drift_check
from lifelearn.learning.learn import LearnError, learn
from lifelearn.learning.recipe import Recipe, Thresholds
from lifelearn.learning.types import Correction, Message, ModelVersion
from lifelearn.learning.version import VersionStore

Report = dict[str, Any]
Say = Callable[[str], None]


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

    def ok(self, row: Row, served: str) -> bool:
        """Whether the `served` answer is as it should be."""
        if self.question.kind in ("question", "paraphrase"):
            return row.right(served)
        if self.question.kind == "hop":
            return stated(self.question.answer, served)
        kept = not stated(self.question.answer, self.before) or stated(self.question.answer, served)
        return (kept or not self.question.answer) and not self.leaked(row, served)

    def leaked(self, row: Row, served: str) -> bool:
        """Whether the new answer stands where it did not stand before, and is not what was asked for."""
        wanted = bool(self.question.answer) and row.right(self.question.answer)
        return not wanted and row.right(served) and not row.right(self.before)


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

    def holds(self, thresholds: Thresholds) -> bool:
        """Whether the candidate really holds: on the row's own questions, by the thresholds of verification."""
        efficacy, paraphrases, locality = (
            self.oks(kind, candidate=True) for kind in ("question", "paraphrase", "locality")
        )
        return (
            _mean(efficacy) >= thresholds.efficacy
            and _mean(paraphrases) >= thresholds.generalisation
            and _mean(locality) >= thresholds.locality
        )


def corrections(
    model: TrainableModel,
    rows: Sequence[Row],
    recipe: Recipe,
    *,
    expert: ChatModel | None = None,
    limit: int | None = None,
    sequential: int | None = None,
    baselines: Sequence[str] = (),
    baseline_rows: int | None = None,
    texts: Sequence[str] = TEXT,
    say: Say = print,
    keep: Callable[[Report], None] | None = None,
) -> Report:
    """Runs the bench and gives its report.

    limit, sequential: so many of the rows that the model gets wrong; sequential learns one on top of the other.
    baselines: names in `BASELINES`, run on the lessons of the first `baseline_rows` rows (None: of all).
    texts: general text on which drift is measured.
    keep: takes the report of the rows so far, after each row of independent mode: a run of hours may break off.
    """
    started = time.monotonic()
    model.use(None)
    rows = mixed(rows)
    first = answers_to(model, [row.question for row in rows])
    wrong = [(row, answer) for row, answer in zip(rows, first, strict=True) if not row.right(answer)]
    known = len(rows) - len(wrong)
    wrong = wrong[: sequential or limit]
    say(f"{len(rows)} rows; the model already answers {known}; {len(wrong)} are corrected")
    folder = Path(tempfile.mkdtemp(prefix="lifelearn-bench-"))
    try:
        runner = _Runner(model, recipe, expert, folder, texts, say)
        if sequential:
            report = runner.sequential(wrong)
        else:
            arena = Arena(model, recipe, folder / "baselines")
            report = runner.independent(wrong, arena, list(baselines), baseline_rows, keep)
    finally:
        model.use(None)
        shutil.rmtree(folder, ignore_errors=True)
    report["run"] = {
        "model": model.name,
        "rows": len(rows),
        "known": known,
        "corrected": len(wrong),
        "sequential": bool(sequential),
        "recipe": recipe.model_dump(mode="json"),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "seconds": round(time.monotonic() - started, 1),
    }
    return report


def questions_of(row: Row) -> list[Question]:
    """All that is asked about a row; the first is its own question."""
    return [
        Question("question", row.question, row.answer),
        *(Question("paraphrase", text, row.answer) for text in row.paraphrases),
        *(Question("hop", hop.question, hop.answer) for hop in row.hops),
        *(Question("locality", each.question, each.answer or "") for each in row.locality),
    ]


class _Runner:
    def __init__(
        self,
        model: TrainableModel,
        recipe: Recipe,
        expert: ChatModel | None,
        folder: Path,
        texts: Sequence[str],
        say: Say,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.expert = expert
        self.folder = folder
        self.texts = texts
        self.say = say
        model.use(None)
        self.base_text = model.text_logprobs(texts)

    def independent(
        self,
        wrong: Sequence[tuple[Row, str]],
        arena: Arena,
        baselines: Sequence[str],
        baseline_rows: int | None,
        keep: Callable[[Report], None] | None,
    ) -> Report:
        """Each row on a store of its own."""
        outcomes: list[Outcome] = []
        for number, (row, before) in enumerate(wrong, 1):
            store = VersionStore(self.folder / "versions")
            outcome = self.learned(row, before, store)
            outcomes.append(outcome)
            chosen = baselines if baseline_rows is None or number <= baseline_rows else ()
            for name in chosen:
                outcome.baselines[name] = self.baseline(outcome, arena, name, store)
            shutil.rmtree(store.root, ignore_errors=True)
            self.say(_line(number, len(wrong), outcome))
            if keep is not None:
                keep(self.reported(outcomes, baselines))
        return self.reported(outcomes, baselines)

    def reported(self, outcomes: Sequence[Outcome], baselines: Sequence[str]) -> Report:
        return {
            "figures": _dumped(figures(outcomes, self.recipe.thresholds)),
            "baselines": {name: _dumped(baseline_figures(outcomes, name)) for name in baselines},
            "seconds": _seconds(outcomes),
            "rows": [_as_json(outcome) for outcome in outcomes],
        }

    def sequential(self, wrong: Sequence[tuple[Row, str]]) -> Report:
        """Row upon row in one store; all earlier ones are asked again after each, and everything at the end."""
        store = VersionStore(self.folder / "versions")
        outcomes: list[Outcome] = []
        matrix: list[list[bool]] = []
        for number, (row, _) in enumerate(wrong, 1):
            self.model.use(store.weights(store.active()))
            outcome = self.learned(row, answers_to(self.model, [row.question])[0], store)
            outcomes.append(outcome)
            if outcome.promoted and outcome.version:
                store.activate(outcome.version.number)
            self.model.use(store.weights(store.active()))
            asked = answers_to(self.model, [each.row.question for each in outcomes])
            matrix.append([each.row.right(answer) for each, answer in zip(outcomes, asked, strict=True)])
            self.say(_line(number, len(wrong), outcome) + f"; {sum(matrix[-1])} of {number} hold")
        after_each = [_as_json(outcome) for outcome in outcomes]
        first = figures(outcomes, self.recipe.thresholds)
        drift = drift_check(self.base_text, self.model.text_logprobs(self.texts), 1.0).value  # of the last version
        self.at_the_end(outcomes)
        last = figures(outcomes, self.recipe.thresholds, at_the_end=True)
        held = [now for then, now in zip((row[-1] for row in matrix), matrix[-1], strict=True) if then]
        merged = {
            **first,
            **{name: last[name] for name in ("generalisation", "hops", "locality", "leak")},
            "retention": share(held),
            "efficacy_at_the_end": last["efficacy"],
            "generalisation_after_each": first["generalisation"],
            "drift": Figure(value=drift, n=1, of=1, low=None, high=None),
        }
        return {
            "figures": _dumped(merged),
            "baselines": {},
            "matrix": matrix,
            "seconds": _seconds(outcomes),
            "growth": [
                {"correction": n, "seconds": _total(o), "peak_gib": round(o.peak_gib, 2)}
                for n, o in enumerate(outcomes, 1)
                if o.version is not None
            ],
            "rows": after_each,
            "rows_at_the_end": [_as_json(outcome) for outcome in outcomes],
        }

    def at_the_end(self, outcomes: Sequence[Outcome]) -> None:
        """Asks everything again: the base before, the last version now. Leaves the model on the base."""
        questions = [question for outcome in outcomes for question in questions_of(outcome.row)]
        now = answers_to(self.model, [question.text for question in questions])
        self.model.use(None)
        base = answers_to(self.model, [question.text for question in questions])
        each = iter(zip(questions, base, now, strict=True))
        for outcome in outcomes:
            outcome.asked = [Asked(*next(each)) for _ in questions_of(outcome.row)]

    def learned(self, row: Row, before: str, store: VersionStore) -> Outcome:
        """The whole way of one row, from the conversation to all answers. Leaves the model on the parent."""
        outcome = Outcome(row, before, row.message(self.recipe.seed))
        parent = store.weights(store.active())
        self.model.use(parent)
        questions = questions_of(row)
        old = answers_to(self.model, [question.text for question in questions])
        outcome.asked = [Asked(q, answer, answer) for q, answer in zip(questions, old, strict=True)]
        started = time.monotonic()
        conversation = (
            Message(role="user", content=row.question),
            Message(role="assistant", content=before),
            Message(role="user", content=outcome.message),
        )
        try:
            outcome.correction = detect(conversation, self.expert)
            outcome.seconds["detect"] = time.monotonic() - started
            if outcome.correction is None:
                return outcome
            outcome.version = learn(
                self.model,
                [outcome.correction],
                store=store,
                recipe=self.recipe,
                work=self.folder / "work",
                expert=self.expert,
            )
        except (DetectionError, LearnError, ChatModelError) as error:
            outcome.error = str(error)
            return outcome
        finally:
            outcome.seconds["total"] = time.monotonic() - started
            outcome.peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        outcome.seconds.update(outcome.version.seconds)
        parents_text = self.base_text if parent is None else self.model.text_logprobs(self.texts)
        self.model.use(store.weights(outcome.version.number))
        new = answers_to(self.model, [question.text for question in questions])
        for asked, answer in zip(outcome.asked, new, strict=True):
            asked.after = answer
        outcome.drift = drift_check(parents_text, self.model.text_logprobs(self.texts), 1.0).value
        self.model.use(parent)
        return outcome

    def baseline(self, outcome: Outcome, arena: Arena, name: str, store: VersionStore) -> dict[str, Any]:
        """One baseline on the row's own lesson; where there is no lesson, the base's answers count."""
        started = time.monotonic()
        questions = [asked.question.text for asked in outcome.asked]
        before = [asked.before for asked in outcome.asked]
        drift: float | None = None
        answers = before
        if outcome.version is not None:
            lesson = store.lesson(outcome.version.number)
            with arena.playing(name, lesson, outcome.version) as answering:
                answers = answering(questions)
                if answering.weights_changed:
                    drift = drift_check(self.base_text, self.model.text_logprobs(self.texts), 1.0).value
        return {"answers": answers, "drift": drift, "seconds": time.monotonic() - started}


def figures(outcomes: Sequence[Outcome], thresholds: Thresholds, *, at_the_end: bool = False) -> dict[str, Figure]:
    """The figures over all outcomes. at_the_end: `asked` holds the last version's answers, whoever was promoted."""

    answered = [
        (outcome, [each.after if at_the_end else outcome.served(each) for each in outcome.asked])
        for outcome in outcomes
    ]
    trained = [outcome for outcome in outcomes if outcome.version is not None]
    promoted = [outcome for outcome in trained if outcome.promoted]
    good = [outcome for outcome in trained if outcome.holds(thresholds)]
    return {
        "detected": share([outcome.correction is not None for outcome in outcomes]),
        "extracted": share([o.row.right(o.correction.answer) for o in outcomes if o.correction is not None]),
        "promoted": share([outcome.promoted for outcome in outcomes]),
        **_by_question(answered),
        "drift": mean([outcome.drift for outcome in promoted if outcome.drift is not None]),
        "retention": NOTHING,
        "gate_precision": share([outcome.holds(thresholds) for outcome in promoted]),
        "gate_recall": share([outcome.promoted for outcome in good]),
        "seconds_median": median([outcome.seconds["total"] for outcome in trained]),
        "candidate_efficacy": clustered([o.oks("question", candidate=True) for o in trained]),
        "candidate_generalisation": clustered([o.oks("paraphrase", candidate=True) for o in trained]),
        "steps": mean([float(o.version.training.steps) for o in trained if o.version and o.version.training]),
        "completion_tokens": mean(
            [float(o.version.training.completion_tokens) for o in trained if o.version and o.version.training]
        ),
        "peak_gib": mean([max(outcome.peak_gib for outcome in outcomes)]) if outcomes else NOTHING,
    }


def baseline_figures(outcomes: Sequence[Outcome], name: str) -> dict[str, Figure]:
    """A baseline's figures, over the rows that it was run on; it has no gate, so all of it counts."""
    ran = [(outcome, outcome.baselines[name]) for outcome in outcomes if name in outcome.baselines]
    return {
        "detected": share([outcome.correction is not None for outcome, _ in ran]),
        "promoted": NOTHING,
        **_by_question([(outcome, played["answers"]) for outcome, played in ran]),
        "drift": mean([played["drift"] for _, played in ran if played["drift"] is not None]),
        "retention": NOTHING,
        "gate_precision": NOTHING,
        "gate_recall": NOTHING,
        "seconds_median": median([played["seconds"] for _, played in ran]),
    }


def _by_question(answered: Sequence[tuple[Outcome, Sequence[str]]]) -> dict[str, Figure]:
    """The figures of the rows' own questions, from each row's answers in the order of its questions."""

    def over(kind: str, judged: Callable[[Asked, Row, str], bool]) -> Figure:
        return clustered(
            [
                [
                    judged(each, outcome.row, answer)
                    for each, answer in zip(outcome.asked, answers, strict=True)
                    if each.question.kind == kind
                ]
                for outcome, answers in answered
            ]
        )

    return {
        "efficacy": over("question", Asked.ok),
        "generalisation": over("paraphrase", Asked.ok),
        "hops": over("hop", Asked.ok),
        "locality": over("locality", Asked.ok),
        "leak": over("locality", Asked.leaked),
    }


def summary(report: Mapping[str, Any]) -> str:
    """The figures as a Markdown table; baselines as further columns."""
    columns = {"ours": report["figures"], **report["baselines"]}
    names = list(report["figures"])
    lines = ["| figure | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = [_cell(name, column.get(name)) for column in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(name: str, figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    value, low, high = figure["value"], figure["low"], figure["high"]
    if name in ("drift", "seconds_median", "steps", "completion_tokens", "peak_gib"):
        form = "{:.4f}" if name == "drift" else "{:.1f}"
        text = form.format(value)
        return text if low is None or figure["of"] < 2 else f"{text} [{form.format(low)}, {form.format(high)}]"
    text = f"{100 * value:.0f} % ({figure['n']:g}/{figure['of']})"
    return text if low is None else f"{text} [{100 * low:.0f}, {100 * high:.0f}]"


def _line(number: int, count: int, outcome: Outcome) -> str:
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


def _as_json(outcome: Outcome) -> dict[str, Any]:
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


def _seconds(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Median seconds by stage."""
    stages: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.version is not None:
            for stage, value in outcome.seconds.items():
                stages[stage].append(value)
    return {stage: median(values).model_dump() for stage, values in stages.items()}


def _total(outcome: Outcome) -> float:
    return round(outcome.seconds.get("total", 0.0), 2)


def _dumped(found: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.model_dump() for name, figure in found.items()}


def _mean(outcomes: Sequence[bool]) -> float:
    """The share of true ones; 1 where nothing was asked."""
    return sum(outcomes) / len(outcomes) if outcomes else 1.0


def check_baselines(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is no baseline."""
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise ValueError(f"no baseline: {', '.join(unknown)}; there are {', '.join(BASELINES)}")


def write(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def sample(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """At most `count` of the texts, the same ones for a seed."""
    return random.Random(seed).sample(list(texts), min(count, len(texts)))
