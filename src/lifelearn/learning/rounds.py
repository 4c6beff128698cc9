"""Training and verification, in rounds: a version that fails is trained once more, and the better one counts.

Knows nothing of how a lesson came about, nor what becomes of the weights.
"""

from __future__ import annotations

import shutil
from functools import partial, reduce
from pathlib import Path

from lifelearn.learning.compute.trainable import TrainableModel
from lifelearn.learning.examiner import Examiner
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.lesson_loop import RateError, train
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.steps import Stages
from lifelearn.learning.types import Lesson, OnProgress, Progress, Report, Training
from lifelearn.learning.version import round_weights

LESS, MORE = 0.5, 2.0  # the weight of replay in a second round
SLOWER = 0.5  # its learning rate's share of the first's
ROUND_STEPS = 8  # its least steps; twice as many at most
LOWER, LOWERED = 1 / 3, 3  # the share of a learning rate that the model cannot bear, and how often at most


def trained_and_verified(
    model: TrainableModel,
    lesson: Lesson,
    recipe: Recipe,
    parent_weights: Path | None,
    work: Path,
    examiner: Examiner,
    stages: Stages,
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
        run = partial(_trained, model, lesson, again, parent_weights, begun, weights, on_progress)
        trained.append(stages("train", Training, run, f"train{suffix}"))
        report = stages("verify", Report, partial(examiner.verify, lesson.probes, weights), f"verify{suffix}")
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


def _trained(
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
