"""The durable run of a job: the one workflow, whose steps are the stages of `learn()`.

The only module beside queue.py that knows the engine (DBOS). What a step returns is recorded by the engine; a run that
is killed begins again from the top, by any worker, and gets recorded results until it reaches what is missing. So
everything here is a step, or harmless to do twice. Traps of the engine and the ways round them: decisions/0011.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from dbos import error as engine_errors
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from lifelearn.learning.types import Progress
from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings
from lifelearn.workspace.database import IDLE_SECONDS, Database
from lifelearn.workspace.jobs import settlement
from lifelearn.workspace.jobs.orders import Order
from lifelearn.workspace.jobs.queue import (
    APPLICATION,
    APPLICATION_VERSION,
    QUEUE,
    WORKFLOW,
    LearningQueue,
    engine_url,
    workflow_id,
)
from lifelearn.workspace.jobs.settlement import CancelledError, Claim, LostError, Made, Plan, PlannedLesson
from lifelearn.workspace.jobs.training import Trainer, TrainingError
from lifelearn.workspace.storage import SMALL, Storage, StoreError

POLL_SECONDS = 0.5  # how often the queue is looked at
PROGRESS_SECONDS = 0.5
PLANS = 5  # a job is planned anew so often, where other versions are made active meanwhile
TRAINERS = 3  # a trainer that dies is started again so often
OUTAGE_SECONDS = 600.0  # the database may be gone for so long
STORAGE_SECONDS = 120.0  # and so long the place of versions
REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)  # what no waiting mends
RECOVERIES = 100  # of one run; the engine's guard against runs that kill their worker, see decisions/0011

# A path, or the object store's address; no other URL.
_PLACE = re.compile(r"(?<![\w:/~])~?(?:/[\w.@+~-]+)+(?<!\.)|(?<=LL_MODEL_STORAGE_DIR=)\S+")

log = structlog.get_logger("lifelearn.jobs")


@dataclass(frozen=True)
class Bench:
    """What runs need of their worker."""

    settings: Settings
    database: Database
    queue: LearningQueue
    worker_id: uuid.UUID

    @property
    def storage(self) -> Storage:
        return Storage(self.settings)

    def work(self, job_id: uuid.UUID) -> Path:
        """A folder for what a job leaves on the disk on its way."""
        return work_root(self.settings) / str(job_id)


def work_root(settings: Settings) -> Path:
    """Where jobs work: beside the versions, where another worker finds it; with an object store, on this machine."""
    place = settings.model_storage_dir
    return (place if isinstance(place, Path) else settings.cache_dir) / "work"


_bench: Bench | None = None


def launch(bench: Bench) -> None:
    """Starts the engine in this process; it takes jobs from now on."""
    global _bench  # noqa: PLW0603  # workflows are functions of a module
    _bench = bench
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": engine_url(bench.database),
        "serializer": DBOSPortableJSONSerializer(),
        "application_version": APPLICATION_VERSION,
        "executor_id": str(bench.worker_id),
        "log_level": "WARNING",
        "sys_db_idle_transaction_timeout_sec": IDLE_SECONDS,
        "sys_db_pool_size": 4 + 2 * bench.settings.worker_jobs,
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(
        QUEUE,
        worker_concurrency=bench.settings.worker_jobs,
        partition_concurrency=1,
        polling_interval_sec=POLL_SECONDS,
        on_conflict="always_update",
    )


def adopt(executors: list[str]) -> None:
    """Has the runs of workers that are gone taken by those that are there."""
    DBOS._recover_pending_workflows(executors)


def is_over(job_id: uuid.UUID) -> bool:
    """Whether the engine will do nothing more for a job: its run has ended, was given up, or never was."""
    found = DBOS.list_workflows(workflow_ids=[workflow_id(job_id)], load_input=False, load_output=False)
    return not found or found[0].status not in ("ENQUEUED", "PENDING", "DELAYED")


def executors_with_runs() -> set[str]:
    """The workers in whose names something runs."""
    return {run.executor_id for run in DBOS.list_workflows(status="PENDING", load_input=False) if run.executor_id}


def forget_old_runs(days: float) -> None:
    """Removes what the engine has recorded of runs that ended so long ago."""
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86_400))
    ended = DBOS.list_workflows(
        status=["SUCCESS", "ERROR", "CANCELLED"], end_time=before, limit=500, load_input=False, load_output=False
    )
    if ended:
        DBOS.delete_workflows([run.workflow_id for run in ended])


@DBOS.workflow(name=WORKFLOW, max_recovery_attempts=RECOVERIES)
def learn(job_id: str) -> str:
    """Runs a job to its end; returns how it ended, for the engine's records."""
    bench = _bench
    assert bench is not None
    held = _patiently(lambda: settlement.claim(bench.database, uuid.UUID(job_id), bench.worker_id))
    if held is None:
        return "nothing to do"
    with structlog.contextvars.bound_contextvars(job_id=job_id, organization_id=str(held.organization_id)):
        return _run(bench, held)


def _run(bench: Bench, held: Claim) -> str:
    work = bench.work(held.job_id)
    try:
        _learn_until_settled(bench, held, work)
        how = "done"
    except CancelledError:
        _patiently(lambda: settlement.cancelled(bench.database, held))
        how = "cancelled"
    except LostError:
        log.info("the job is not ours any more")
        return "lost"  # what is in the work folder may be another's
    except Exception as error:
        problem = _told(error)
        if not isinstance(error, TrainingError | VersionError | OSError):
            log.exception("job broke off")
            problem = "The job broke off by a fault of the program. The log of the worker says more."
        log.warning("job failed", problem=problem)
        try:
            shown = _PLACE.sub("a folder of the worker", problem)  # which one is the log's
            # A disk that is full or a version that is gone is no correction's fault.
            queue = None if isinstance(error, VersionError | OSError) else bench.queue
            _patiently(lambda: settlement.fail(bench.database, held, shown, queue))
        except LostError:
            return "lost"
        how = "failed"
    shutil.rmtree(work, ignore_errors=True)
    return how


def _learn_until_settled(bench: Bench, held: Claim, work: Path) -> None:
    together = bench.settings.learn_together
    for _ in range(PLANS):
        planned = Plan.of_json(_step("plan", lambda: settlement.plan(bench.database, held, together).as_json()))
        made = _made(bench, held, planned, work)
        settle = partial(settlement.settle, bench.database, bench.queue, held, planned, made)
        if _patiently(settle):
            log.info("job done", versions=[each.planned.number for each in made])
            return
    raise TrainingError("Other versions were made active again and again while it was learned. Try again.")


def _made(bench: Bench, held: Claim, plan: Plan, work: Path) -> list[Made]:
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
                except TrainingError as error:
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
    order = _patiently(lambda: _order(bench, held, planned, before, work))
    progress = _Progress(bench, held)

    def record(name: str, run: Callable[[], str]) -> str:
        name = f"{name}:{planned.number}"
        if name not in recorded:
            recorded[name] = str(_step(name, run))
        return recorded[name]

    version, folder = trainer.learn(order, record, progress)
    if version.number != order.number:  # its manifest would name another than its row, and its line could not go on
        raise TrainingError(f"The trainer made version {version.number} where {order.number} was asked for. Try again.")

    version_id = uuid.uuid4()

    def publish() -> dict[str, Any]:
        return {"id": str(version_id), "files": bench.storage.publish(held.organization_id, version_id, folder)}

    published = _step(f"publish:{planned.number}", publish)
    if published["id"] != str(version_id) and not _is_stored(bench, held, planned.number, published):
        published = _patiently(publish)
    return Made(planned, uuid.UUID(published["id"]), published["files"], version)


def _is_stored(bench: Bench, held: Claim, number: int, published: dict[str, Any]) -> bool:
    """Whether what was recorded as published is there still: a backup has the record, and not yet the version."""
    version_id, files = uuid.UUID(published["id"]), published["files"]
    try:
        _patiently(lambda: bench.storage.fetch_files(held.organization_id, version_id, files, number))
    except StoreError:
        raise
    except VersionError:
        return False
    return True


def _order(bench: Bench, held: Claim, planned: PlannedLesson, before: list[Made], work: Path) -> Order:
    """What the trainer is told. Ancestors are needed for their lessons; the parent, which is learned from, wholly."""
    first = before[0].planned.parent if before else planned.parent
    with bench.database.read() as db:
        line = settlement.lineage(db, held.organization_id, first)
        values = tuple(each.value() for each in settlement.corrections(db, planned.corrections))
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
            settlement.tick(self._bench.database, self._held, self._stage or None, self._told if self._fresh else None)
            self._fresh = False
        except DBAPIError as error:
            log.warning("progress not written", error=str(error).splitlines()[0])
            self._next = time.monotonic() + 5 * PROGRESS_SECONDS


class _UnrecordedError(BaseException):
    """Passes through the engine without being recorded as what a step came to."""

    def __init__(self, reason: CancelledError | LostError) -> None:
        self.reason = reason


def _step(name: str, do: Callable[[], Any]) -> Any:
    """A step of the run: done once, what it came to recorded, troubles with the lesson included."""

    def recorded() -> dict[str, Any]:
        try:
            return {"result": _patiently(do)}
        except TrainingError as error:
            return {"error": str(error), "again": error.again}
        except (VersionError, OSError) as error:
            return {"error": _told(error), "again": False}
        except (CancelledError, LostError) as error:
            raise _UnrecordedError(error) from error

    try:
        came_to = DBOS.run_step({"name": name}, recorded)
    except _UnrecordedError as error:
        raise error.reason from None
    except engine_errors.DBOSUnexpectedStepError as error:
        raise TrainingError(
            "The job was begun by another release of the program, which had other stages. Try it again."
        ) from error
    if "error" in came_to:
        raise TrainingError(came_to["error"], came_to["again"])
    return came_to["result"]


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The files of versions could not be read or written: {error.strerror or error}."
    return str(error)


def _patiently(do: Callable[[], Any]) -> Any:
    """Does it, again and again while the database or the place of versions does not answer."""
    began, wait = time.monotonic(), 0.2
    while True:
        try:
            return do()
        except (DBAPIError, OSError) as error:
            if time.monotonic() - began >= _patience(error):
                raise
            log.warning("tried again in a moment", error=str(error).partition("\n")[0])
            time.sleep(wait)
            wait = min(2 * wait, 5.0)


def _patience(error: DBAPIError | OSError) -> float:
    """How long to wait for what raises this, in seconds. What a database refuses, it will refuse again."""
    if isinstance(error, OSError):
        return 0.0 if error.errno in REFUSED else STORAGE_SECONDS
    away = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return OUTAGE_SECONDS if away else 0.0
