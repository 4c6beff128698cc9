"""A worker: takes jobs from the queue and runs them, here or on another host.

`lifelearn worker` runs one in the foreground; the workspace starts one beside itself (embedded.py), which ends when its
standard input does. Each says that it is alive by counting; whoever sees a count stand still takes over what that
worker ran. No clock of another host is read for that.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from filelock import FileLock, Timeout
from sqlalchemy import Connection, delete, make_url, select, text, update
from sqlalchemy.exc import DBAPIError

from lifelearn.learning import private
from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings, SettingsError
from lifelearn.workspace import logs
from lifelearn.workspace.database import Database, DatabaseError, ago, as_id
from lifelearn.workspace.jobs import claims, settlement
from lifelearn.workspace.jobs.bench import Bench, work_root
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.organizations.ending import sweep_folders
from lifelearn.workspace.rights import tighten
from lifelearn.workspace.tables.jobs import Job, State, Worker

BEAT_SECONDS = 1.0
DEAD_SECONDS = 15.0  # a worker of another host whose count stands still for so long is gone
REAP_SECONDS = 2.0
BLIND_SECONDS = 3 * REAP_SECONDS  # without a look; then nobody's count was watched
SWEEP_SECONDS = 600.0
STRAY_SECONDS = 60.0  # a job without a run is younger than that while its transaction is being kept
KEEP_DAYS = 30.0  # the engine's records of runs
TURN = 5_171_984  # the advisory lock's number, PostgreSQL: one reaper at a time

log = structlog.get_logger("lifelearn.worker")


class WorkerError(Exception):
    """The worker cannot start. The text says why and what to do."""


def main() -> None:
    """The embedded worker: settings on standard input, and its end is the worker's."""
    private.umask()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the web process, which closes our input when it is done
    first = sys.stdin.buffer.readline()
    if not first:
        return
    settings = Settings(**json.loads(first))
    logs.configure(settings.log_format)
    stopping = threading.Event()

    def read() -> None:
        for _ in sys.stdin.buffer:
            pass
        stopping.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        run(settings, stopping)
    except (DatabaseError, WorkerError, DBAPIError) as error:
        log.error("the worker cannot work", problem=str(error).splitlines()[0])
        os._exit(1)  # not waiting for the thread that reads


def run(settings: Settings, stopping: threading.Event, say: Callable[[str], None] = lambda _: None) -> None:
    """Takes jobs until `stopping` is set or SIGTERM comes. Jobs that run then are left to the next worker, which goes
    on at the first stage that is missing."""
    from lifelearn.workspace.jobs import runs  # loads the engine, which takes a while

    if settings.inference_backend == "openai":
        raise WorkerError("A model of another server cannot be taught here. Set LL_INFERENCE_BACKEND=local.")
    with suppress(ValueError):  # not in the main thread, in tests
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    database = Database(settings.database_url)
    tighten(settings, database)
    upgrade(database)
    queue = LearningQueue(database)
    queue.prepare()
    worker_id = uuid.uuid4()
    with _alive(database, worker_id) as beating:
        runs.launch(Bench(settings, database, queue, worker_id))
        log.info("worker ready", worker_id=str(worker_id), jobs=settings.worker_jobs)
        where = make_url(settings.database_url).render_as_string(hide_password=True)
        say(f"Learning from {where}, {settings.worker_jobs} job at a time. Ctrl-C ends it.")
        reaper = Reaper(database, worker_id)
        next_sweep = time.monotonic() + SWEEP_SECONDS
        while not stopping.wait(REAP_SECONDS) and beating():
            try:
                reaper.look()
                if time.monotonic() > next_sweep:
                    next_sweep = time.monotonic() + SWEEP_SECONDS
                    runs.forget_old_runs(KEEP_DAYS)
                    sweep_work(settings, database)
                    with suppress(OSError, VersionError):  # of an object store; tried again the next time
                        sweep_folders(database, settings)
            except DBAPIError as error:
                log.warning("the database does not answer", error=str(error).splitlines()[0])
    # Trainers end as their input closes; what the engine waits for is another worker's. A worker that was taken for
    # dead has failed, so that who watches over it starts it again.
    os._exit(0 if stopping.is_set() else 1)


class Reaper:
    """Finds what workers that are gone have left, and has it taken up."""

    def __init__(self, database: Database, worker_id: uuid.UUID) -> None:
        self._database, self._me = database, worker_id
        self._seen: dict[uuid.UUID, tuple[int, float]] = {}
        self._looked = 0.0

    def look(self) -> None:
        """Once around; does nothing while another does it."""
        from lifelearn.workspace.jobs import runs

        with _turn(self._database) as ours:
            if not ours:
                self._looked = time.monotonic()
                return
            running = runs.executors_with_runs()  # before the workers are read: who runs something is among them
            with self._database.read() as db:
                workers = list(db.scalars(select(Worker)))
            if time.monotonic() - self._looked > BLIND_SECONDS:  # the database was away, and for the others, too
                self._seen.clear()
            self._looked = time.monotonic()
            dead = {worker.id for worker in workers if self._is_dead(worker)}
            living = {worker.id for worker in workers} - dead | {self._me}
            stray = {each for each in running if as_id(each) not in living}
            if stray:
                log.info("taking over", workers=sorted(stray))
                runs.adopt(sorted(stray))
            if dead:
                with self._database.write() as db:
                    db.execute(delete(Worker).where(Worker.id.in_(dead)))
            self._fail_given_up()

    def _is_dead(self, worker: Worker) -> bool:
        """Of this host, one that has let go of its lock; of any, one whose count stands still."""
        if worker.id == self._me:
            return False
        beat, since = self._seen.get(worker.id, (-1, 0.0))
        if beat != worker.beat:
            since = time.monotonic()
            self._seen[worker.id] = (worker.beat, since)
        here = worker.host == socket.gethostname() and _lock_file(worker.id).exists()
        return (here and not _is_held(worker.id)) or time.monotonic() - since > DEAD_SECONDS

    def _fail_given_up(self) -> None:
        """Jobs that the engine will do nothing more for, and whose end nobody wrote: they fail, in plain words."""
        from lifelearn.workspace.jobs import runs

        with self._database.read() as db:
            query = select(Job.id).where(
                Job.state.in_((State.QUEUED, State.RUNNING)), Job.created_at < ago(seconds=STRAY_SECONDS)
            )
            found = db.scalars(query.order_by(Job.created_at).limit(200)).all()
        for job_id in found:
            if not runs.is_over(job_id):
                continue
            held = claims.claim(self._database, job_id, self._me)
            if held is not None:
                with suppress(claims.LostError):
                    settlement.fail(self._database, held, "The job was given up after its workers died. Try it again.")


@contextmanager
def _alive(database: Database, worker_id: uuid.UUID) -> Iterator[Callable[[], bool]]:
    """Says that this worker is there, and counts on a thread of its own. Gives whether it still may work: a worker that
    others took for dead ends."""
    lock = FileLock(_lock_file(worker_id))
    lock.acquire()
    with database.write() as db:
        db.add(Worker(id=worker_id, host=socket.gethostname(), pid=os.getpid()))
    ended, taken_for_dead = threading.Event(), threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                with database.write() as db:
                    counted = db.execute(
                        update(Worker).where(Worker.id == worker_id).values(beat=Worker.beat + 1).returning(Worker.beat)
                    ).scalar()
            except DBAPIError:
                continue
            if counted is None:
                log.error("this worker was taken for dead, and ends")
                taken_for_dead.set()
                return

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield lambda: not taken_for_dead.is_set()
    finally:
        ended.set()
        with suppress(DBAPIError), database.write() as db:
            db.execute(delete(Worker).where(Worker.id == worker_id))
        lock.release()
        _lock_file(worker_id).unlink(missing_ok=True)


@contextmanager
def _turn(database: Database) -> Iterator[bool]:
    """Whether it is this process's turn: no other has it at the same time."""
    if database.is_sqlite:
        try:
            with FileLock(f"{database.url.database}.reaper", timeout=0):
                yield True
        except Timeout:
            yield False
        return
    connection: Connection
    with database.engine.connect() as connection:
        ours = connection.execute(text("SELECT pg_try_advisory_lock(:turn)"), {"turn": TURN}).scalar()
        try:
            yield bool(ours)
        finally:
            if ours:
                connection.execute(text("SELECT pg_advisory_unlock(:turn)"), {"turn": TURN})


def sweep_work(settings: Settings, database: Database) -> int:
    """Removes work folders of jobs that have ended or are gone. Returns how many."""
    root = work_root(settings)
    folders = {folder.name: folder for folder in root.iterdir() if as_id(folder.name)} if root.is_dir() else {}
    with database.read() as db:
        running = {str(each) for each in db.scalars(select(Job.id).where(Job.state.in_((State.QUEUED, State.RUNNING))))}
    left = folders.keys() - running
    for name in left:
        shutil.rmtree(folders[name], ignore_errors=True)
    return len(left)


def check(settings: Settings) -> None:
    """Raises WorkerError or SettingsError where a worker of its own has nothing to work on."""
    if settings.database_url.startswith("sqlite"):
        raise WorkerError(
            "A worker of its own needs PostgreSQL: SQLite is for one machine, where `lifelearn serve` learns itself. "
            "Set LL_DATABASE_URL."
        )
    if isinstance(settings.model_storage_dir, Path) and not settings.model_storage_dir.is_dir():
        raise SettingsError(
            f"LL_MODEL_STORAGE_DIR={settings.model_storage_dir} is not there. It is to be the folder that the "
            "workspace uses, shared between the machines, or an object store."
        )


def _lock_file(worker_id: uuid.UUID) -> Path:
    folder = Path(tempfile.gettempdir()) / f"life-learn-workers-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if why := private.why_not_ours(folder.lstat(), os.getuid()):
        raise WorkerError(f"Who can write the folder {folder} could end or hold workers, and {why}. Remove it.")
    return folder / f"{worker_id}.lock"


def _is_held(worker_id: uuid.UUID) -> bool:
    """Whether a process of this host holds it: the system lets go of it however a process ends."""
    lock = FileLock(_lock_file(worker_id), timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True


if __name__ == "__main__":
    main()
