"""From corrections to a verified version: the only place that chains the stages.

Each stage runs through `step`, which may remember its result: with `FileSteps` an interrupted job
continues at the first stage that is missing. The caller decides what goes live: `report.passed` says
whether the version may.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from safetensors import SafetensorError

from lifelearn.learning.author import Author
from lifelearn.learning.author.english.question import Question
from lifelearn.learning.author.written import WrittenAuthor
from lifelearn.learning.chat_model import ChatModel
from lifelearn.learning.compute.trainable import TrainableModel
from lifelearn.learning.examiner.verify import Verifier
from lifelearn.learning.history import with_history
from lifelearn.learning.lesson import LessonError, make_lesson, merged
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.rounds import trained_and_verified
from lifelearn.learning.sdft.rows import TrainingError
from lifelearn.learning.steps import FileSteps, Job, Stages, Step
from lifelearn.learning.types import (
    Augmentation,
    Correction,
    Demonstration,
    Lesson,
    ModelVersion,
    OnProgress,
    Progress,
    Value,
    no_progress,
)
from lifelearn.learning.version import VersionStore


class LearnError(Exception):
    """A correction cannot be learned; the text says why and what to do."""


class Demonstrated(Value):
    """The demonstrations of one correction, as a stage's result."""

    items: tuple[Demonstration, ...]


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
    before = store.made_by(corrections, base=model.name, parent=parent, recipe=recipe)
    if before is not None and before.report.passed:  # killed between adding it and going live
        shutil.rmtree(work, ignore_errors=True)
        return before
    job = Job(corrections=tuple(c.id for c in corrections), parent=parent, base=model.name, recipe=recipe)
    try:
        job = job.begun(work) or job.begin(work)
    except OSError as error:
        raise LearnError(f"{work} cannot be written: {error.strerror or error}.") from error
    step = step or FileSteps(work)
    stages = Stages(step, on_progress)
    parent_weights = store.weights(parent)
    author = WrittenAuthor(model, recipe, expert, on_progress)
    examiner = Verifier(model, parent_weights, recipe.thresholds, on_progress)
    model.use(parent_weights)
    model.codec.template.day = job.day
    try:
        questions = [Question.of(each.question) for each in corrections]
        lessons = [
            _lesson_of(correction, question, author, model, recipe, stages, on_progress)
            for correction, question in zip(corrections, questions, strict=True)
        ]
        lesson = stages(
            "lesson",
            Lesson,
            lambda: with_history(merged(lessons), questions[0].subject, store, parent, model, recipe, on_progress),
        )
        weights, training, report = trained_and_verified(
            model, lesson, recipe, parent_weights, work, examiner, stages, on_progress
        )
        on_progress(Progress(stage="version", loss=training.losses[-1] if training.losses else None))

        def version_of_weights() -> ModelVersion:
            if not weights.exists():  # killed after the folder was cleared, before the caller had noted the version
                made = store.made_by(corrections, base=model.name, parent=parent, recipe=recipe)
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
                seconds=stages.seconds,
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
        model.codec.template.day = None
        model.use(parent_weights)
    shutil.rmtree(work, ignore_errors=True)
    return version


def _lesson_of(
    correction: Correction,
    question: Question,
    author: Author,
    model: TrainableModel,
    recipe: Recipe,
    stages: Stages,
    on_progress: OnProgress,
) -> Lesson:
    """One correction's own lesson, from what is asked about it and the sentences that state what is right."""
    augmentation = stages(
        "augment", Augmentation, partial(author.augment, correction, question), f"augment-{correction.id}"
    )
    demonstrated = stages(
        "demonstrate",
        Demonstrated,
        lambda: Demonstrated(items=author.demonstrate(correction, question)),
        f"demonstrate-{correction.id}",
    )
    return stages(
        "lesson",
        Lesson,
        partial(make_lesson, correction, question, augmentation, demonstrated.items, model, recipe, on_progress),
        f"lesson-{correction.id}",
    )
