"""A job's stages as steps: what each came to is remembered, told and timed, so that a killed job goes on where it was.

Knows nothing of what a stage does.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import Field, ValidationError

from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import OnProgress, Progress, Stage, Value
from lifelearn.learning.version import replace_file

V = TypeVar("V", bound=Value)
_JOB = "job.json"


class Step(Protocol):
    """Runs a stage, or gives its result if it was run before."""

    def __call__(self, name: str, kind: type[V], stage: Callable[[], V]) -> V: ...


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


class Stages:
    """Runs stages as steps, tells which one begins, and adds up the seconds of each in `seconds`."""

    def __init__(self, step: Step, on_progress: OnProgress) -> None:
        self._step, self._on_progress = step, on_progress
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: Stage, kind: type[V], run: Callable[[], V], name: str = "") -> V:
        """name: of the step, where the stage has several."""
        self._on_progress(Progress(stage=stage))
        started = time.monotonic()
        result = self._step(name or stage, kind, run)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - started
        return result


class Job(Value):
    """What a work folder's results belong to. day: of its beginning, which chat templates write that name one."""

    corrections: tuple[str, ...]
    parent: int
    base: str
    recipe: Recipe
    day: date = Field(default_factory=date.today)

    def begun(self, work: Path) -> Job | None:
        """This job as it was begun, where the results in the folder are its, and not another parent's or recipe's."""
        try:
            found = Job.model_validate_json((work / _JOB).read_text())
        except (FileNotFoundError, ValidationError):
            return None
        return found if found.model_copy(update={"day": self.day}) == self else None

    def begin(self, work: Path) -> Job:
        """Empties the folder for this job. Raises OSError."""
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        replace_file(work / _JOB, self.model_dump_json())
        return self
