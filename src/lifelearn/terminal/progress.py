"""The display of a learning job: a line for each finished stage, and a live one for the stage that runs.

Driven by Progress events alone. How long the later stages will take is taken from the previous
version's times where there is one, and otherwise from what the default model needs on two cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import get_args

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from lifelearn.learning.types import Progress, Stage
from lifelearn.terminal.text import duration, one_line

TYPICAL: Mapping[str, float] = {
    "detect": 1,
    "augment": 5,
    "demonstrate": 10,
    "lesson": 15,
    "train": 70,
    "verify": 25,
    "version": 1,
}
DOING = {
    "detect": "reading",
    "augment": "finding wordings",
    "demonstrate": "demonstrating",
    "lesson": "making the lesson",
    "train": "training",
    "verify": "verifying",
    "version": "keeping the version",
}


class Clockwork:
    """How far a job is: the stage that runs, since when, and the time that is left."""

    def __init__(self, expected: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._expected = {**TYPICAL, **expected}
        self._clock = clock
        self.now = Progress(stage="augment")
        self.running = False
        self._since = self._deadline = clock()

    @property
    def elapsed(self) -> float:
        """Seconds in this stage."""
        return self._clock() - self._since

    @property
    def left(self) -> float:
        """Seconds until the job should be done."""
        return max(0.0, self._deadline - self._clock())

    def take(self, progress: Progress) -> None:
        """Takes an event in; a new stage starts the stage's clock."""
        if not self.running or progress.stage != self.now.stage:
            self._since, self.running = self._clock(), True
        self.now = progress
        stages = get_args(Stage)
        later = sum(self._expected[stage] for stage in stages[stages.index(progress.stage) + 1 :])
        self._deadline = self._clock() + self._left_in_stage() + later

    def _left_in_stage(self) -> float:
        step, steps = self.now.step, self.now.steps
        if step and steps:
            return self.elapsed * max(0, steps - step) / step
        return max(0.0, self._expected[self.now.stage] - self.elapsed)


class _Times(ProgressColumn):
    """Elapsed and left, counted on between events."""

    max_refresh = 0.5

    def __init__(self, clockwork: Clockwork) -> None:
        super().__init__()
        self._clockwork = clockwork

    def render(self, task: Task) -> Text:
        clockwork = self._clockwork
        return Text(f"{duration(clockwork.elapsed)} · about {duration(clockwork.left)} left", style="dim")


class LiveProgress:
    """Shows a learning job on a console; use as a context manager, call with the events.

    On a console that records, or that is no terminal, only the finished stages are shown.
    """

    def __init__(
        self, console: Console, expected: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._clockwork = Clockwork(expected, clock)
        self._bars = Bars(
            SpinnerColumn(style="cyan"),
            TextColumn("[bold]{task.description}", justify="left"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}", style="dim"),
            _Times(self._clockwork),
            console=console,
            transient=True,
            disable=console.record or not console.is_terminal,
        )
        self._task = self._bars.add_task("starting", total=None, detail="")

    def __enter__(self) -> LiveProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        self._finish("✓" if error is None else "✗")

    def __call__(self, progress: Progress) -> None:
        clockwork = self._clockwork
        if clockwork.running and progress.stage != clockwork.now.stage:
            self._finish("✓")
            self._bars.reset(self._task)
        clockwork.take(progress)
        self._bars.update(
            self._task,
            description=DOING[progress.stage],
            total=progress.steps or None,
            completed=progress.step,
            detail=_detail(progress),
        )

    def _finish(self, mark: str) -> None:
        if not self._clockwork.running:
            return
        now = self._clockwork.now
        line = Text(f" {mark} ", style="green" if mark == "✓" else "red")
        line.append(f"{DOING[now.stage]:<20}", style="default")
        line.append(f"{duration(self._clockwork.elapsed):>8}   {_detail(now)}".rstrip(), style="dim")
        self._console.print(line, no_wrap=True, overflow="ellipsis")


def _detail(progress: Progress) -> str:
    parts = [f"{progress.step}/{progress.steps}"] if progress.steps else []
    parts += [f"loss {progress.loss:.3f}"] if progress.loss is not None else []
    parts += [one_line(progress.message, 60)] if progress.message else []
    return " · ".join(parts)
