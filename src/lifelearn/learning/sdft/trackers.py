"""Where a training run's figures go: JSON Lines, TensorBoard, Trackio, W&B. Each is imported when it is asked for.

Knows nothing of training: a step's number and named figures in, nothing out.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from lifelearn.learning.sdft.config import Tracker

LOG = "log.jsonl"
Figures = Mapping[str, float]
_PACKAGES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}


class TrackerError(Exception):
    """A tracker cannot be used. The text says which and what to do."""


class FigureLog(Protocol):
    """Takes the figures of steps, in their order."""

    def write(self, step: int, figures: Figures) -> None: ...

    def close(self) -> None: ...


class Logs:
    """Several as one. `resumed`: the step that a resumed run starts after; what a log holds beyond it is left out."""

    def __init__(
        self, kinds: Sequence[Tracker], folder: Path, run: str, settings: Mapping[str, Any], resumed: int = 0
    ) -> None:
        self._logs: list[FigureLog] = []
        with ExitStack() as opened:
            for kind in dict.fromkeys(kinds):
                self._logs.append(_opened(kind, folder, run, settings, resumed))
                opened.callback(self._logs[-1].close)
            opened.pop_all()

    def write(self, step: int, figures: Figures) -> None:
        for log in self._logs:
            log.write(step, figures)

    def close(self) -> None:
        with ExitStack() as stack:  # each is closed, whatever another one says
            for log in self._logs:
                stack.callback(log.close)


class JsonLines:
    """An object a line, {"step": 1, "loss": …}; each line is there once it is written."""

    def __init__(self, path: Path, resumed: int = 0) -> None:
        kept = []
        if resumed and path.exists():
            lines = path.read_text("utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= resumed]
        self._file = path.open("w", encoding="utf-8")
        self._file.writelines(f"{line}\n" for line in kept)

    def write(self, step: int, figures: Figures) -> None:
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """Event files under `tensorboard/` in the output's folder."""

    def __init__(self, folder: Path, resumed: int = 0) -> None:
        _package("tensorboard")
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(log_dir=str(folder), purge_step=resumed + 1 if resumed else None)

    def write(self, step: int, figures: Figures) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class Tracked:
    """Trackio and W&B, which are called alike."""

    def __init__(self, name: str, run: str, settings: Mapping[str, Any]) -> None:
        self._package: Any = _package(name)
        self._package.init(project="lifelearn", name=run, config=dict(settings))

    def write(self, step: int, figures: Figures) -> None:
        self._package.log(dict(figures), step=step)

    def close(self) -> None:
        self._package.finish()


def _opened(kind: Tracker, folder: Path, run: str, settings: Mapping[str, Any], resumed: int) -> FigureLog:
    if kind == "jsonl":
        return JsonLines(folder / LOG, resumed)
    if kind == "tensorboard":
        return TensorBoard(folder / "tensorboard", resumed)
    return Tracked(kind, run, settings)


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(_PACKAGES[name])
    except ImportError as error:
        raise TrackerError(
            f"{name} is not installed. Install it (pip install {_PACKAGES[name]}), or leave it out of report_to."
        ) from error
