"""The versions of a plan: each lesson learned by a trainer, a stage at a time, and what came of it published."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from lifelearn.learning.types import Progress
from lifelearn.learning.version import VersionError
from lifelearn.workspace.jobs import claims, plans
from lifelearn.workspace.jobs.bench import Bench
from lifelearn.workspace.jobs.claims import Claim
from lifelearn.workspace.jobs.keeping import Made
from lifelearn.workspace.jobs.orders import Order
from lifelearn.workspace.jobs.patience import patiently
from lifelearn.workspace.jobs.plans import Plan, PlannedLesson
from lifelearn.workspace.jobs.steps import step
from lifelearn.workspace.jobs.trainer_handle import LessonError, Trainer
from lifelearn.workspace.storage import SMALL, StoreError

PROGRESS_SECONDS = 0.5
TRAINERS = 3  # a trainer that dies is started again so often

log = structlog.get_logger("lifelearn.jobs")


def versions_made(bench: Bench, held: Claim, plan: Plan, work: Path) -> list[Made]:
    """The versions of a plan, published. They begin to count when they are settled."""
    made: list[Made] = []
    trainer: Trainer | None = None
    recorded: dict[str, str] = {}  # a trainer that is started again asks for stages anew, which are no new steps
    tries = 0
    try:
        for planned in plan.lessons:
            if made and not made[-1].version.report.passed:
                break  # what would follow has no ground to stand on
            while True:
                try:
                    trainer = trainer or Trainer(bench.settings)
                    made.append(_learned(bench, held, planned, made, trainer, work, recorded))
                    break
                except LessonError as error:
                    tries += 1
                    if not error.again or tries >= TRAINERS:
                        raise
                    log.warning("the trainer is started again", problem=str(error))
                    if trainer is not None:
                        trainer.end()
                    trainer = None
    finally:
        if trainer is not None:  # a takeover or a cancellation by the engine comes this way, too
            trainer.end()
    return made


def _learned(
    bench: Bench,
    held: Claim,
    planned: PlannedLesson,
    before: list[Made],
    trainer: Trainer,
    work: Path,
    recorded: dict[str, str],
) -> Made:
    """One version. recorded: results of stages of this job, by name; those that come of this are added.

    Where a trainer dies between two stages, nothing is recorded of its death. So a stage is one step, whichever trainer
    asks for it: else a worker that takes the job over, whose trainer lives, would meet steps that it does not expect.
    """
    order = patiently(lambda: _order(bench, held, planned, before, work))
    progress = _Progress(bench, held)

    def record(name: str, run: Callable[[], str]) -> str:
        name = f"{name}:{planned.number}"
        if name not in recorded:
            recorded[name] = str(step(name, run))
        return recorded[name]

    version, folder = trainer.learn(order, record, progress)
    if version.number != order.number:  # its manifest would name another than its row, and its line could not go on
        raise LessonError(f"The trainer made version {version.number} where {order.number} was asked for. Try again.")

    version_id = uuid.uuid4()

    def publish() -> dict[str, Any]:
        return {"id": str(version_id), "files": bench.storage.publish(held.organization_id, version_id, folder)}

    published = step(f"publish:{planned.number}", publish)
    if published["id"] != str(version_id) and not _is_stored(bench, held, planned.number, published):
        published = patiently(publish)
    return Made(planned, uuid.UUID(published["id"]), published["files"], version)


def _is_stored(bench: Bench, held: Claim, number: int, published: dict[str, Any]) -> bool:
    """Whether what was recorded as published is there still: a backup has the record, and not yet the version."""
    version_id, files = uuid.UUID(published["id"]), published["files"]
    try:
        patiently(lambda: bench.storage.fetch_files(held.organization_id, version_id, files, number))
    except StoreError:
        raise
    except VersionError:
        return False
    return True


def _order(bench: Bench, held: Claim, planned: PlannedLesson, before: list[Made], work: Path) -> Order:
    """What the trainer is told. Ancestors are needed for their lessons; the parent, which is learned from, wholly."""
    first = before[0].planned.parent if before else planned.parent
    with bench.database.read() as db:
        line = plans.lineage(db, held.organization_id, first)
        values = tuple(each.value() for each in plans.corrections(db, planned.corrections))
    lineage: dict[int, Path] = {}  # fetched where the database does not wait
    for version in line:
        parent = version.number == planned.parent
        lineage[version.number] = bench.storage.fetch(version, None if parent else SMALL)
    for each in before:
        number = each.planned.number
        lineage[number] = bench.storage.fetch_files(held.organization_id, each.version_id, each.files, number)
    return Order(
        corrections=values,
        number=planned.number,
        parent=planned.parent,
        lineage=lineage,
        work=work / str(planned.number),
    )


class _Progress:
    """Writes progress into the job, about twice a second; an outage of the database does not end a training."""

    def __init__(self, bench: Bench, held: Claim) -> None:
        self._bench, self._held = bench, held
        self._stage = ""
        self._losses: list[float] = []
        self._next = 0.0
        self._told: dict[str, Any] = {}
        self._fresh = False

    def __call__(self, progress: Progress | None) -> None:
        if progress is not None:
            if progress.stage == "train" and progress.loss is not None and progress.step:
                self._losses.append(round(progress.loss, 4))
            self._told = {
                "step": progress.step,
                "steps": progress.steps,
                "loss": progress.loss,
                "losses": self._losses[-200:],
                "message": progress.message,
            }
            self._fresh = True
            if progress.stage != self._stage:
                self._stage, self._next = progress.stage, 0.0
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PROGRESS_SECONDS
        try:
            claims.tick(self._bench.database, self._held, self._stage or None, self._told if self._fresh else None)
            self._fresh = False
        except DBAPIError as error:
            log.warning("progress not written", error=str(error).splitlines()[0])
            self._next = time.monotonic() + 5 * PROGRESS_SECONDS
