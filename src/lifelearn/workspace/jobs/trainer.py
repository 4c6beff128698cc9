"""The process that trains: `python -m lifelearn.workspace.jobs.trainer`, started by a worker for each job.

Runs `learn()` and has each of its stages recorded by the worker, so that a job that was killed goes on at the first
stage that is missing. Of lower priority than anything that answers people. It ends when its input does, however the
worker ended. Knows no web and no database; see orders.py for what is said.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from lifelearn.learning import private
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.types import ModelVersion, Progress, Value
from lifelearn.learning.version import VersionError, round_weights
from lifelearn.settings import Settings
from lifelearn.workspace import logs
from lifelearn.workspace.children import inbox, own_output, sender
from lifelearn.workspace.jobs.orders import Order, Run, Said
from lifelearn.workspace.jobs.scripted import scripted_learner
from lifelearn.workspace.jobs.store import store_for

PROGRESS_SECONDS = 0.25

log = structlog.get_logger("lifelearn.trainer")

V = TypeVar("V", bound=Value)
Say = Callable[[Said], None]
Hear = Callable[[], str]


def main() -> None:
    private.umask()
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which closes our input when it is done
        signal.signal(number, signal.SIG_IGN)
    write, hear = sender(own_output()), inbox(bytes.decode).get

    def say(said: Said) -> None:
        write(said.model_dump_json(exclude_defaults=True).encode())

    settings = Settings(**json.loads(hear()))
    _step_back(settings.worker_nice)
    logs.configure(settings.log_format)
    learner: Any = None
    while True:
        order = Order.model_validate_json(hear())
        try:
            if learner is None:
                learner = _learner(settings)
            version, folder = learner(order, _Steps(order, say, hear), _progress(say))
            say(Said(version=version, folder=folder))
        except Exception as error:
            say(_told(error))


def _step_back(nice: int) -> None:
    """Leaves the processor to whoever answers people.

    Linux gives each session of processes an equal share where it groups them (autogroup), and counts a priority only
    among the processes of one: so the group steps back, too. Without that a product of small matrices beside a lesson
    took 4 ms instead of 0.2.
    """
    with suppress(OSError):
        os.nice(nice)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


def _learner(settings: Settings) -> Callable[..., tuple[ModelVersion, Path]]:
    if settings.inference_backend == "mock":
        return scripted_learner(settings)
    return _real_learner(settings)


def _real_learner(settings: Settings) -> Callable[..., tuple[ModelVersion, Path]]:
    """Loads the base model once, for all orders of this process."""
    from lifelearn.backends import expert, trainable_model
    from lifelearn.learning.learn import learn

    model = trainable_model(settings)

    def learner(order: Order, step: _Steps, on_progress: Callable[[Progress], None]) -> tuple[ModelVersion, Path]:
        store = store_for(order)
        version = learn(
            model,
            order.corrections,
            store=store,
            recipe=settings.recipe(),
            work=order.work / "stages",
            expert=expert(settings),
            on_progress=on_progress,
            step=step,
        )
        return version, store.path(version.number)

    return learner


class _Steps:
    """Runs a stage, or takes its recorded result, as the worker says.

    What a stage left on the disk may be gone, after a crash of another machine, or an older release recorded it in a
    shape that this one cannot read: then it is run again in spite of its record, and all that follow.
    """

    def __init__(self, order: Order, say: Say, hear: Hear) -> None:
        self._order, self._say, self._hear = order, say, hear
        self._again = False

    def __call__(self, name: str, kind: type[V], stage: Callable[[], V]) -> V:
        self._say(Said(stage=name))
        known = Run.model_validate_json(self._hear()).known
        if known is not None and not self._again:
            with suppress(ValidationError):
                result = kind.model_validate_json(known)
                if self._is_left(name):
                    return result
            self._again = True
        result = stage()
        if known is None:
            self._say(Said(result=result.model_dump_json()))
        return result

    def _is_left(self, name: str) -> bool:
        made = self._order.work / "store" / "versions" / f"{self._order.number:04d}" / "manifest.json"
        if name == "version":
            return made.exists()
        stage, _, number = name.partition("-")
        if stage in ("train", "verify"):
            weights = round_weights(self._order.work / "stages", int(number or 1))
            return made.exists() or any(weights.glob("*.safetensors"))
        return True


def _progress(say: Say) -> Callable[[Progress], None]:
    """Passes progress on, not more often than anybody can see; the last of a stage always."""
    last = 0.0

    def on_progress(progress: Progress) -> None:
        nonlocal last
        ends = progress.step == 0 or progress.step >= progress.steps
        if ends or time.monotonic() - last > PROGRESS_SECONDS or progress.loss is not None:
            last = time.monotonic()
            say(Said(progress=progress))

    return on_progress


def _told(error: Exception) -> Said:
    if isinstance(error, ChatModelError | VersionError):
        return Said(error=str(error))
    if isinstance(error, MemoryError):
        return Said(error="There was not enough memory to train. Lower LL_TRAIN_GRAD_ACC, or take a machine with more.")
    if isinstance(error, OSError):
        return Said(error=f"{error.strerror or error}: {error.filename or 'the work folder'}.")
    # Not before it must be: it loads the engine, where that is not there, and takes long on a busy machine.
    from lifelearn.learning.learn import LearnError

    if isinstance(error, LearnError):
        return Said(error=str(error))
    log.error("training broke off", exc_info=error)
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return Said(error=f"Training broke off by a fault of the program: {first}. The log says more.")


if __name__ == "__main__":
    main()
