"""What a worker and its trainer say to one another: JSON, a line each, over the trainer's standard input and output.

In: first the settings, then an order; for each stage that the trainer asks for, either its recorded result or word to
run it. Out: stages asked for and their results, progress, and at the end a version or an error.
"""

from __future__ import annotations

from pathlib import Path

from lifelearn.learning.types import Correction, ModelVersion, Progress, Value

ANSWERS = "answers.json"  # question -> answer, in the folder of a version that was learned without a model


class Order(Value):
    """Learn these corrections on top of a version.

    number: of the version to make. parent: 0 is the base. lineage: folders of the parent and its ancestors, by number.
    work: a folder of this lesson's own, where what was done before a crash may still be.
    """

    corrections: tuple[Correction, ...]
    number: int
    parent: int
    lineage: dict[int, Path]
    work: Path


class Run(Value):
    """The answer to a stage that was asked for. known: its recorded result; None has it run."""

    known: str | None = None


class Said(Value):
    """A line of the trainer's; one of these is set.

    stage: asked for. result: of a stage that was run. version, folder: the end. error: the end, in a sentence.
    """

    stage: str = ""
    result: str | None = None
    progress: Progress | None = None
    version: ModelVersion | None = None
    folder: Path | None = None
    error: str = ""
