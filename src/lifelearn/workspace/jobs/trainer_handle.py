"""A trainer process, as its worker holds it: started, given orders, heard, and ended whatever happens."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lifelearn.learning.types import ModelVersion, Progress
from lifelearn.settings import Settings
from lifelearn.workspace.children import MODEL, command, environment, handed_over, how_ended
from lifelearn.workspace.jobs.orders import Order, Run, Said

MODULE = "lifelearn.workspace.jobs.trainer"
NEEDED = (
    MODEL
    | {"prompt_variations", "expert_demos_per_prompt", "worker_nice"}
    | {name for name in Settings.model_fields if name.startswith(("train_", "verify_"))}
)  # settings: those of the recipe too. It knows no database, and is not told the password of one.
GRACE = 3.0  # seconds that it has to end by itself
TICK = 0.5  # seconds between two looks at whether the job is still wanted

Record = Callable[[str, Callable[[], str]], str]  # name, what runs the stage -> its result, of now or recorded


class LessonError(Exception):
    """The lesson cannot be learned. The text says why. again: whether another try may do better."""

    def __init__(self, message: str, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class Trainer:
    """One process; who starts it ends it, so that it never outlives the job."""

    def __init__(self, settings: Settings) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own module, by a list
            command(MODULE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for the worker, which ends it
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self._send(json.dumps(handed_over(settings, NEEDED)))

    def learn(self, order: Order, record: Record, tick: Callable[[Progress | None], None]) -> tuple[ModelVersion, Path]:
        """Has a lesson learned. tick: called with what is new, or twice a second with None; what it raises ends it.

        Raises LessonError.
        """
        self._send(order.model_dump_json())
        while True:
            said = self._hear(tick)
            if said.stage:
                self._stage(said.stage, record, tick)
            elif said.error:
                raise LessonError(said.error)
            elif said.version is not None and said.folder is not None:
                return said.version, said.folder

    def end(self) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _stage(self, name: str, record: Record, tick: Callable[[Progress | None], None]) -> None:
        ran = False

        def run() -> str:
            nonlocal ran
            ran = True
            self._send(Run().model_dump_json())
            while (said := self._hear(tick)).result is None:
                if said.error:
                    raise LessonError(said.error)
            return said.result

        result = record(name, run)
        if not ran:
            self._send(Run(known=result).model_dump_json())

    def _hear(self, tick: Callable[[Progress | None], None]) -> Said:
        """The next line that is not progress."""
        while True:
            try:
                line = self._lines.get(timeout=TICK)
            except queue.Empty:
                tick(None)
                continue
            if line is None:
                raise LessonError(
                    f"The trainer ended in the middle: {how_ended(self._process.wait(GRACE))}.", again=True
                )
            said = Said.model_validate_json(line)
            if said.progress is None:
                return said
            tick(said.progress)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, which the next line heard says
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.decode())
        self._lines.put(None)
