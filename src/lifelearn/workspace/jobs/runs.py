"""The durable run of a job: the one workflow, whose steps are the stages of `learn()`.

Only queue.py, steps.py and this module know the engine (DBOS). What a step returns is recorded by the engine; a run
that is killed begins again from the top, by any worker, and gets recorded results until it reaches what is missing. So
everything here and in lessons.py is a step, or harmless to do twice. Traps of the engine and the ways round them:
decisions/0011.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from functools import partial
from pathlib import Path

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from lifelearn.learning.version import VersionError
from lifelearn.workspace.database import IDLE_SECONDS
from lifelearn.workspace.jobs import claims, plans, settlement
from lifelearn.workspace.jobs.bench import Bench
from lifelearn.workspace.jobs.claims import CancelledError, Claim, LostError
from lifelearn.workspace.jobs.lessons import versions_made
from lifelearn.workspace.jobs.patience import patiently
from lifelearn.workspace.jobs.plans import Plan
from lifelearn.workspace.jobs.queue import APPLICATION, APPLICATION_VERSION, QUEUE, WORKFLOW, engine_url, workflow_id
from lifelearn.workspace.jobs.steps import problem_of, step
from lifelearn.workspace.jobs.trainer_handle import LessonError

POLL_SECONDS = 0.5  # how often the queue is looked at
PLANS = 5  # a job is planned anew so often, where other versions are made active meanwhile
RECOVERIES = 100  # of one run; the engine's guard against runs that kill their worker, see decisions/0011

# A path, or the object store's address; no other URL.
_PLACE = re.compile(r"(?<![\w:/~])~?(?:/[\w.@+~-]+)+(?<!\.)|(?<=LL_MODEL_STORAGE_DIR=)\S+")

log = structlog.get_logger("lifelearn.jobs")

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
    held = patiently(lambda: claims.claim(bench.database, uuid.UUID(job_id), bench.worker_id))
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
        patiently(lambda: settlement.cancelled(bench.database, held))
        how = "cancelled"
    except LostError:
        log.info("the job is not ours any more")
        return "lost"  # what is in the work folder may be another's
    except Exception as error:
        problem = problem_of(error)
        if not isinstance(error, LessonError | VersionError | OSError):
            log.exception("job broke off")
            problem = "The job broke off by a fault of the program. The log of the worker says more."
        log.warning("job failed", problem=problem)
        try:
            shown = _PLACE.sub("a folder of the worker", problem)  # which one is the log's
            # A disk that is full or a version that is gone is no correction's fault.
            queue = None if isinstance(error, VersionError | OSError) else bench.queue
            patiently(lambda: settlement.fail(bench.database, held, shown, queue))
        except LostError:
            return "lost"
        how = "failed"
    shutil.rmtree(work, ignore_errors=True)
    return how


def _learn_until_settled(bench: Bench, held: Claim, work: Path) -> None:
    together = bench.settings.learn_together
    for _ in range(PLANS):
        planned = Plan.of_json(step("plan", lambda: plans.plan(bench.database, held, together).as_json()))
        made = versions_made(bench, held, planned, work)
        settle = partial(settlement.settle, bench.database, bench.queue, held, planned, made)
        if patiently(settle):
            log.info("job done", versions=[each.planned.number for each in made])
            return
    raise LessonError("Other versions were made active again and again while it was learned. Try again.")
