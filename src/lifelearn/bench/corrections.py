"""`lifelearn bench corrections`: does a correction hold, does it generalise, and what does it break?

Each row becomes a conversation and goes the whole way, detection included; then its own questions, which
the pipeline never saw, are asked by free greedy generation in fresh contexts. Every row that the model
got wrong counts: where no version was promoted, the parent's answers are what the user gets.
Independent mode starts each row from the base; sequential mode learns row upon row and re-asks all.
Whether a reply is right is the marker's word, never that of what is measured.
"""

from __future__ import annotations

import hashlib
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lifelearn.bench.baselines import Arena, answers_to
from lifelearn.bench.figures import Figure, share
from lifelearn.bench.outcomes import Asked, Outcome, as_json, line, questions_of
from lifelearn.bench.report import Report, Say
from lifelearn.bench.resuming import Log
from lifelearn.bench.rows import Row, mixed
from lifelearn.bench.scores import baseline_figures, figures, stage_seconds
from lifelearn.learning.author.detect import DetectionError, detect
from lifelearn.learning.chat_model import ChatModel, ChatModelError
from lifelearn.learning.compute.trainable import TrainableModel
from lifelearn.learning.examiner.general import TEXT
from lifelearn.learning.examiner.verify import drift_check
from lifelearn.learning.learn import LearnError, learn
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Message
from lifelearn.learning.version import VersionStore


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
    reported: Callable[[Report], None] = lambda _: None,
    log: Path,
    resume: bool = False,
    keep: Path | None = None,
) -> Report:
    """Runs the bench and gives its report.

    limit, sequential: so many of the rows that the model gets wrong; sequential learns one on top of the other.
    baselines: names in `BASELINES`, run on the lessons of the first `baseline_rows` rows (None: of all).
    texts: general text on which drift is measured.
    reported: takes the report of the rows so far, after each row of independent mode: a run of hours may break off.
    log: a file for what was done; resume: go on from what stands in it.
    keep: a folder for the versions; those that an earlier run left there are asked without being trained again.
    Raises RowsError where `log` is of another run.
    """
    started = time.monotonic()
    model.use(None)
    rows = mixed(rows)
    first = answers_to(model, [row.question for row in rows])
    wrong = [(row, answer) for row, answer in zip(rows, first, strict=True) if not row.right(answer)]
    known = len(rows) - len(wrong)
    wrong = wrong[: sequential or limit]
    say(f"{len(rows)} rows; the model already answers {known}; {len(wrong)} are corrected")
    run = {
        "model": model.name,
        "recipe": recipe.model_dump(mode="json"),
        "sequential": bool(sequential),
        "baselines": [*baselines, baseline_rows],
    }
    done = Log(log, run, [row for row, _ in wrong], resume=resume)
    folder = Path(tempfile.mkdtemp(prefix="lifelearn-bench-"))
    try:
        runner = _Runner(model, recipe, expert, folder, texts, say, keep)
        if sequential:
            report = runner.sequential(wrong, done)
        else:
            arena = Arena(model, recipe, folder / "baselines")
            report = runner.independent(wrong, arena, list(baselines), baseline_rows, done, reported)
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


# Figures of a sequence that are told of its last version.
AT_THE_END = (
    "generalisation", "hops", "locality", "leak", "near_broken", "near_leaked", "near_harmed", "unrelated_changed",
)  # fmt: skip


class _Runner:
    def __init__(
        self,
        model: TrainableModel,
        recipe: Recipe,
        expert: ChatModel | None,
        folder: Path,
        texts: Sequence[str],
        say: Say,
        keep: Path | None,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.expert = expert
        self.folder = folder
        self.texts = texts
        self.say = say
        self.keep = keep
        self.versions = keep or folder / "versions"
        model.use(None)
        self.base_text = model.text_logprobs(texts)

    def independent(
        self,
        wrong: Sequence[tuple[Row, str]],
        arena: Arena,
        baselines: Sequence[str],
        baseline_rows: int | None,
        done: Log,
        reported: Callable[[Report], None],
    ) -> Report:
        """Each row on a store of its own."""
        start = len(done.outcomes)
        for number, (row, before) in enumerate(wrong[start:], start + 1):
            store = VersionStore(self.versions / _short(row))
            outcome = self.learned(row, before, store)
            chosen = baselines if baseline_rows is None or number <= baseline_rows else ()
            for name in chosen:
                outcome.baselines[name] = self.baseline(outcome, arena, name, store)
            if self.keep is None:
                shutil.rmtree(store.root, ignore_errors=True)
            done.add(outcome)
            self.say(line(number, len(wrong), outcome))
            reported(self.report(done.outcomes, baselines))
        return self.report(done.outcomes, baselines)

    def report(self, outcomes: Sequence[Outcome], baselines: Sequence[str]) -> Report:
        return {
            "figures": _dumped(figures(outcomes)),
            "baselines": {name: _dumped(baseline_figures(outcomes, name)) for name in baselines},
            "seconds": _dumped(stage_seconds(outcomes)),
            "rows": [as_json(outcome) for outcome in outcomes],
        }

    def sequential(self, wrong: Sequence[tuple[Row, str]], done: Log) -> Report:
        """Row upon row in one store; all earlier ones are asked again after each, and everything at the end."""
        store = VersionStore(self.versions / "sequence")
        store.activate(0)  # where an earlier run that was kept ended is no place to begin
        outcomes = done.outcomes
        matrix: list[list[bool]] = []
        for number, (row, _) in enumerate(wrong, 1):
            if number > len(outcomes):
                self.model.use(store.weights(store.active()))
                done.add(self.learned(row, answers_to(self.model, [row.question])[0], store))
            learned = outcomes[number - 1]
            if learned.promoted and learned.version:
                store.activate(learned.version.number)
            self.model.use(store.weights(store.active()))
            asked = answers_to(self.model, [each.row.question for each in outcomes[:number]])
            matrix.append([each.row.right(answer) for each, answer in zip(outcomes[:number], asked, strict=True)])
            self.say(line(number, len(wrong), learned) + f"; {sum(matrix[-1])} of {number} hold")
        after_each = [as_json(outcome) for outcome in outcomes]
        first = figures(outcomes)
        drift = drift_check(self.base_text, self.model.text_logprobs(self.texts), 1.0).value  # of the last version
        self.at_the_end(outcomes)
        last = figures(outcomes, at_the_end=True)
        held = [now for then, now in zip((row[-1] for row in matrix), matrix[-1], strict=True) if then]
        merged = {
            **first,
            **{name: last[name] for name in AT_THE_END},
            "retention": share(held),
            "efficacy_at_the_end": last["efficacy"],
            "generalisation_after_each": first["generalisation"],
            "drift": Figure(value=drift, n=1, of=1, low=None, high=None),
        }
        return {
            "figures": _dumped(merged),
            "baselines": {},
            "matrix": matrix,
            "seconds": _dumped(stage_seconds(outcomes)),
            "growth": [
                {"correction": n, "seconds": _total(o), "peak_gib": round(o.peak_gib, 2)}
                for n, o in enumerate(outcomes, 1)
                if o.version is not None
            ],
            "rows": after_each,
            "rows_at_the_end": [as_json(outcome) for outcome in outcomes],
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
            found = detect(conversation, self.expert)
            outcome.seconds["detect"] = time.monotonic() - started
            if found is None:
                return outcome
            outcome.correction = found.model_copy(update={"id": _short(row)})  # by which a kept version is known
            outcome.version = store.made_by(
                [outcome.correction], base=self.model.name, parent=store.active(), recipe=self.recipe
            ) or learn(
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


def _short(row: Row) -> str:
    """A name that can be a folder's, whatever the row's id is."""
    return hashlib.sha256(row.id.encode()).hexdigest()[:12]


def _total(outcome: Outcome) -> float:
    return round(outcome.seconds.get("total", 0.0), 2)


def _dumped(found: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.model_dump() for name, figure in found.items()}
