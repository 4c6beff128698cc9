"""From corrections to a verified version: the only place that chains the stages.

Each stage runs through `step`, which may remember its result: with `FileSteps` an interrupted job
continues at the first stage that is missing. The caller decides what goes live: `report.passed` says
whether the version may.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError

from lifelearn.learning.augment import augment
from lifelearn.learning.chat_model import ChatModel, Sampling, TrainableModel
from lifelearn.learning.demonstrate import demonstrate
from lifelearn.learning.lesson import REPLAY_TOKENS, LessonError, leaks, make_lesson, merged, replay_rows
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.states import states
from lifelearn.learning.student import make_student
from lifelearn.learning.train import RateError, TrainingError, train
from lifelearn.learning.types import (
    Augmentation,
    Correction,
    Demonstration,
    Lesson,
    Message,
    ModelVersion,
    OnProgress,
    Probe,
    Progress,
    Report,
    Row,
    Stage,
    Training,
    Value,
    no_progress,
)
from lifelearn.learning.verify import verify
from lifelearn.learning.version import VersionStore, replace_file, round_weights
from lifelearn.learning.words import normalise

RETAINED_REPLAY = 96  # rows of earlier corrections that a lesson replays, at most
RETAINED_TIMES = 2  # the question itself is among them so often
RETAINED_WORDINGS = 2  # others of each
RETAINED_WATCH = 24  # of them that training watches, at most
WATCHED_WORDS = 14  # in which their answer stands: about as far as training listens to a watch probe
LESS, MORE = 0.5, 2.0  # the weight of replay in a second round
SLOWER = 0.5  # its learning rate's share of the first's
ROUND_STEPS = 8  # its least steps; twice as many at most
LOWER, LOWERED = 1 / 3, 3  # the share of a learning rate that the model cannot bear, and how often at most
TAUGHT_AGAIN = 3  # wordings, beside the question, of a correction that the parent has lost

V = TypeVar("V", bound=Value)


class LearnError(Exception):
    """A correction cannot be learned; the text says why and what to do."""


class Step(Protocol):
    """Runs a stage, or gives its result if it was run before."""

    def __call__(self, name: str, kind: type[V], stage: Callable[[], V]) -> V: ...


class Timed(Protocol):
    """Runs a stage as a step of that name, and counts its seconds."""

    def __call__(self, stage: Stage, name: str, kind: type[V], run: Callable[[], V]) -> V: ...


class Demonstrations(Value):
    """The demonstrations of one correction, as a stage's result."""

    items: tuple[Demonstration, ...]


class _Job(Value):
    """What a work folder's results belong to."""

    corrections: tuple[str, ...]
    parent: int
    base: str
    recipe: Recipe


class FileSteps:
    """Remembers each stage's result as a JSON file in `folder`. A result that can't be read is made again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, kind: type[V], stage: Callable[[], V]) -> V:
        path = self._folder / f"{name}.json"
        try:
            return kind.model_validate_json(path.read_text())
        except (FileNotFoundError, ValidationError):
            result = stage()
            replace_file(path, result.model_dump_json())
            return result


def learn(
    model: TrainableModel,
    corrections: Sequence[Correction],
    *,
    store: VersionStore,
    recipe: Recipe,
    work: Path,
    expert: ChatModel | None = None,
    on_progress: OnProgress = no_progress,
    step: Step | None = None,
) -> ModelVersion:
    """Learns `corrections` on top of the active version; returns the new version, a candidate.

    model: local and trainable; it is left on the active version's weights.
    work: a folder of this job's own; stage results and weights are kept there until the version is complete.
    step: FileSteps(work) unless given.
    Raises LearnError when a stage cannot go on; ChatModelError when a model does not answer.
    """
    if not corrections:
        raise LearnError("There is nothing to learn: no correction was given.")
    parent = store.active()
    before = _made_before(store, corrections, parent, model.name, recipe)
    if before is not None and before.report.passed:  # killed between adding it and going live
        shutil.rmtree(work, ignore_errors=True)
        return before
    _prepare(work, _Job(corrections=tuple(c.id for c in corrections), parent=parent, base=model.name, recipe=recipe))
    step = step or FileSteps(work)
    parent_weights = store.weights(parent)
    writer = expert or model
    seconds: dict[str, float] = {}

    def timed(stage: Stage, name: str, kind: type[V], run: Callable[[], V]) -> V:
        on_progress(Progress(stage=stage))
        started = time.monotonic()
        result = step(name, kind, run)
        seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - started
        return result

    model.use(parent_weights)
    try:
        lessons = []
        for correction in corrections:
            augmentation = timed(
                "augment",
                f"augment-{correction.id}",
                Augmentation,
                lambda c=correction: augment(  # type: ignore[misc]
                    c, writer, recipe, expert=expert is not None, on_progress=on_progress
                ),
            )
            demonstrations = timed(
                "demonstrate",
                f"demonstrate-{correction.id}",
                Demonstrations,
                lambda c=correction: Demonstrations(  # type: ignore[misc]
                    items=demonstrate(c, model, recipe, expert=expert, on_progress=on_progress)
                ),
            )
            lessons.append(
                timed(
                    "lesson",
                    f"lesson-{correction.id}",
                    Lesson,
                    lambda c=correction, a=augmentation, d=demonstrations: make_lesson(  # type: ignore[misc]
                        c, a, d.items, model, recipe, on_progress
                    ),
                )
            )
        lesson = timed(
            "lesson",
            "lesson",
            Lesson,
            lambda: with_history(merged(lessons), store, parent, model, recipe, on_progress),
        )
        weights, training, report = _trained_and_verified(
            model, lesson, recipe, parent_weights, work, timed, on_progress
        )
        on_progress(Progress(stage="version", loss=training.losses[-1] if training.losses else None))

        def version_of_weights() -> ModelVersion:
            if not weights.exists():  # killed after the folder was cleared, before the caller had noted the version
                made = _made_before(store, corrections, parent, model.name, recipe)
                if made is not None:
                    return made
            return store.add(
                weights,
                lesson,
                report,
                training=training,
                base=model.name,
                parent=parent,
                recipe=recipe,
                seconds=seconds,
            )

        version = step("version", ModelVersion, version_of_weights)
    except (LessonError, TrainingError, ValueError) as error:
        raise LearnError(str(error)) from error
    except (OSError, SafetensorError) as error:  # safetensors says "disk full" with an error of its own
        reason, where = getattr(error, "strerror", None) or error, getattr(error, "filename", None) or work
        raise LearnError(
            f"{reason}: {where}. The active version is unchanged; free some space or fix the folder's rights."
        ) from error
    finally:
        model.use(parent_weights)
    shutil.rmtree(work, ignore_errors=True)
    return version


def _made_before(
    store: VersionStore, corrections: Sequence[Correction], parent: int, base: str, recipe: Recipe
) -> ModelVersion | None:
    """The latest version that this very job made, if there is one."""
    settings = recipe.model_dump(mode="json", exclude={"thresholds"})
    job = (tuple(corrections), parent, base, settings)
    made = ((v, (v.corrections, v.parent, v.base, v.settings)) for v in reversed(store.versions()))
    return next((version for version, its_job in made if its_job == job), None)


def with_history(
    lesson: Lesson,
    store: VersionStore,
    parent: int,
    model: ChatModel,
    recipe: Recipe,
    on_progress: OnProgress = no_progress,
) -> Lesson:
    """The lesson with retention probes and rows for every earlier correction that it does not replace.

    What the parent still knows is replayed: the question and other wordings, whole answers, and what a leak would say;
    and training watches it: one that is held weakly would else be lost in each lesson that follows, and stop them all.
    What it has lost is taught again, with rows of the lesson that it came from. A neighbour whose answer comes from an
    earlier correction is held to the parent, too: the base, to which replay holds the others, does not know it. A
    negative of that kind is left out.
    """
    replaced = {normalise(correction.question) for correction in lesson.corrections}
    earlier: dict[str, tuple[Correction, list[Row]]] = {}  # by question, the latest
    for version in store.lineage(parent):
        facts = [row for row in store.lesson(version.number).rows if row.kind == "fact"]
        for correction in version.corrections:
            if normalise(correction.question) not in replaced:
                earlier[normalise(correction.question)] = (correction, facts)
    if not earlier:
        return lesson
    rng = random.Random(recipe.seed)
    known = list(earlier.values())
    rng.shuffle(known)
    asked = [(Message(role="user", content=correction.question),) for correction, _ in known]
    answers = model.answer(asked, Sampling(max_tokens=recipe.max_completion_tokens))
    again: list[Row] = []
    questions: list[str] = []
    watch: list[Probe] = []
    for (correction, facts), answer in zip(known, answers, strict=True):
        others = [row for row in facts if row.prompt[-1].content != correction.question]
        if not states(correction.answer, answer):
            about = [row for row in others if states(correction.answer, row.completions[0])]
            question = [row for row in facts if row.prompt[-1].content == correction.question]
            again += [*question[:1], *rng.sample(about, min(TAUGHT_AGAIN, len(about)))]
        else:
            if states(correction.answer, " ".join(answer.split()[:WATCHED_WORDS])):
                watch.append(Probe(kind="retention", question=correction.question, answer=correction.answer))
            questions += [correction.question] * RETAINED_TIMES
            questions += [row.prompt[-1].content for row in rng.sample(others, min(RETAINED_WORDINGS, len(others)))]
    leak = leaks(lesson.corrections[0], [row for row in lesson.rows if row.kind == "fact"])
    kept = replay_rows(
        questions[:RETAINED_REPLAY],
        model,
        on_progress,
        leak=leak,
        tokens=recipe.max_completion_tokens,
        kind="retained",
    )
    probes = [Probe(kind="retention", question=each.question, answer=each.answer) for each, _ in earlier.values()]
    taught = [correction.answer for correction, _ in known]
    rows = [
        row.model_copy(update={"kind": "retained"})
        if row.kind == "replay" and any(states(answer, row.completions[0]) for answer in taught)
        else row
        for row in lesson.rows
    ]
    watched = (*lesson.watch, *watch[:RETAINED_WATCH])
    said = model.answer(
        [(Message(role="user", content=question),) for question in lesson.negatives],
        Sampling(max_tokens=REPLAY_TOKENS),
    )
    negatives = tuple(
        question
        for question, answer in zip(lesson.negatives, said, strict=True)
        if not any(states(one, answer) for one in taught)
    )
    return lesson.model_copy(
        update={
            "rows": (*rows, *again, *kept),
            "watch": watched,
            "negatives": negatives,
            "probes": (*lesson.probes, *probes),
        }
    )


def _trained_and_verified(
    model: TrainableModel,
    lesson: Lesson,
    recipe: Recipe,
    parent_weights: Path | None,
    work: Path,
    timed: Timed,
    on_progress: OnProgress,
) -> tuple[Path, Training, Report]:
    """The weights and the report of the best round, and all rounds' training. Each goes on from the best so far."""
    begun: Path | None = None
    again, number = recipe, 1
    trained: list[Training] = []
    rounds: list[tuple[Path, Report]] = []
    while True:
        weights = round_weights(work, number)
        suffix = "" if number == 1 else f"-{number}"
        run = partial(_train, model, lesson, again, parent_weights, begun, weights, on_progress)
        trained.append(timed("train", f"train{suffix}", Training, run))
        check = partial(
            verify,
            model,
            lesson.probes,
            parent_weights=parent_weights,
            weights=weights,
            thresholds=recipe.thresholds,
            on_progress=on_progress,
        )
        report = timed("verify", f"verify{suffix}", Report, check)
        rounds.append((weights, report))
        best, its_report = max(rounds, key=lambda each: merit(each[1]))  # the earlier one of equals
        failed = its_report.failed
        if not failed or number >= recipe.rounds:
            return best, reduce(Training.followed_by, trained), its_report
        names = " and ".join(check.name for check in failed)
        on_progress(Progress(stage="verify", message=f"not passed: {names}; training goes on"))
        rate = trained[0].learning_rate or recipe.learning_rate  # lower than the recipe's, where that was too high
        again = next_round(recipe.model_copy(update={"learning_rate": rate}), its_report, number)
        begun = best
        number += 1


def merit(report: Report) -> tuple[bool, float, float, float]:
    """What makes one version of a lesson better than another.

    Passing, then more earlier corrections kept, then more answers right, then less drift.
    """
    checks = {check.name: check for check in report.checks}
    right = sum(check.numerator for check in report.checks if check.name != "drift")
    return report.passed, checks["retention"].numerator, right, -checks["drift"].value


def next_round(recipe: Recipe, report: Report, number: int) -> Recipe:
    """The recipe of one more round for a version that failed: fewer and smaller steps, what failed weighs more.

    Where only the fact is not there, replay holds less; where only something else broke, it holds more.
    """
    failed = {check.name for check in report.failed}
    missing = bool(failed & {"efficacy", "generalisation"})
    broken = bool(failed & {"locality", "retention", "drift"})
    weight = 1.0 if missing == broken else LESS if missing else MORE
    return recipe.model_copy(
        update={
            "replay_weight": recipe.replay_weight * weight,
            "retained_weight": recipe.retained_weight * weight,
            "learning_rate": recipe.learning_rate * SLOWER,
            "min_steps": min(recipe.min_steps, ROUND_STEPS),
            "max_steps": min(recipe.max_steps, 2 * ROUND_STEPS),
            "seed": recipe.seed + number,
        }
    )


def _train(
    model: TrainableModel,
    lesson: Lesson,
    recipe: Recipe,
    parent_weights: Path | None,
    begun: Path | None,
    weights: Path,
    on_progress: OnProgress,
) -> Training:
    """Trains from `begun`, weights of an earlier round, or else from the parent; into `weights`.

    Where the learning rate is too high for the model, from there again, at a lower one.
    """
    shutil.rmtree(weights, ignore_errors=True)
    model.use(None)  # the student brings its own adapters
    lowered = 0
    while True:
        student = make_student(model.base, model.decoder, recipe, parent_weights)
        try:
            if begun is not None:
                student.load(begun)
            training = train(student, model.codec, lesson, recipe, on_progress)
            student.save(weights)
            return training
        except RateError as error:
            if lowered == LOWERED:
                raise
            lowered += 1
            recipe = recipe.model_copy(update={"learning_rate": recipe.learning_rate * LOWER})
            again = f"{error.what}; training begins again at a learning rate of {recipe.learning_rate:.2g}"
            on_progress(Progress(stage="train", message=again))
        finally:
            student.close()


def _prepare(work: Path, job: _Job) -> None:
    """Empties the folder if its results belong to another job: another parent, other settings."""
    path = work / "job.json"
    try:
        if _Job.model_validate_json(path.read_text()) == job:
            return
    except (FileNotFoundError, ValidationError):
        pass
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        replace_file(path, job.model_dump_json())
    except OSError as error:
        raise LearnError(f"{work} cannot be written: {error.strerror or error}.") from error
