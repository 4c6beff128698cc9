"""From an acknowledged correction to a version, by real worker processes and the scripted model, on both databases."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from sqlalchemy import select, update

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database, now
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Reason, Verdict, Version
from lifelearn.workspace.versions.service import activate
from waiting import until
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, PASSWORD, Workspace
from workspace.learning import (
    WorkerProcess,
    activations,
    active,
    jobs,
    kill_quietly,
    organization,
    pids,
    states,
    taught,
    versions,
)

pytestmark = pytest.mark.check("processes")


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    made = WorkerProcess(settings, tmp_path / "worker.log")
    yield made
    made.end()


@BOTH
def test_from_correction_to_version(
    database: Database, queue: LearningQueue, settings: Settings, worker: WorkerProcess
) -> None:
    acme = organization(database)
    one = taught(database, queue, acme, "Where is it?", "Lyon")
    two = taught(database, queue, acme, "How long is it?", "25 days")
    bad = taught(database, queue, acme, "Who is it?", "FAIL")
    until(lambda: not {"queued", "learning"} & set(states(database)))
    assert states(database) == ["learned", "learned", "failed"]
    assert active(database, acme) == 2
    first, second, third = versions(database, acme)
    assert [(v.number, v.parent, v.passed) for v in (first, second, third)] == [
        (1, 0, True),
        (2, 1, True),
        (3, 2, False),
    ]
    assert [(each.number, each.previous) for each in activations(database, acme)] == [(1, 0), (2, 1)]
    folder = Storage(settings).fetch(second)
    assert set(second.files) == {each.name for each in folder.iterdir()}
    with database.read() as db:
        cells = {(each.number, each.correction_id): each.holds for each in db.scalars(select(Verdict))}
        failed = db.get_one(Correction, bad)
        assert failed.version == 3
        assert failed.problem.startswith("The new version did not pass: efficacy 0 of 1 (100% needed)")
    assert cells[1, one]
    assert cells[2, two]
    assert not cells[3, bad]
    assert {job.state for job in jobs(database)} == {"done", "failed"}
    until(lambda: not list((settings.folder / "work").iterdir()))  # the trainer tidies up after its last word


@BOTH
def test_first_in_first_out(database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path) -> None:
    places = [organization(database, name) for name in ("A", "B", "C")]
    asked = [(place, taught(database, queue, place, f"Question {i}?", str(i))) for i in range(5) for place in places]
    workers = [WorkerProcess(settings, tmp_path / f"{i}.log") for i in range(2)]
    until(lambda: set(states(database)) == {"learned"})
    for each in workers:
        each.end()
    with database.read() as db:
        for place in places:
            wanted = [correction for at, correction in asked if at == place]
            got = [db.get_one(Correction, each).version for each in wanted]
            assert got == [1, 2, 3, 4, 5]


@BOTH
def test_cancelling(database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path) -> None:
    acme = organization(database)
    ids = [taught(database, queue, acme, f"Question {i}?", str(i)) for i in range(3)]
    with database.write() as db:
        service.cancel(db, service.job_of(db, acme, db.get_one(Correction, ids[1]).job_id or uuid.uuid4()))
    assert states(database) == ["queued", "withdrawn", "queued"]
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    until(lambda: states(database)[0] == "learning", every=0.005)
    with database.write() as db:
        service.cancel(db, service.job_of(db, acme, db.get_one(Correction, ids[0]).job_id or uuid.uuid4()))
    until(lambda: states(database)[2] == "learned")
    worker.end()
    # The first one may have been past its last look when it was asked to end.
    assert states(database)[0] in ("withdrawn", "learned")
    assert states(database)[1:] == ["withdrawn", "learned"]


@BOTH
def test_forgetting_learns_the_later_ones_again(
    database: Database, queue: LearningQueue, settings: Settings, worker: WorkerProcess
) -> None:
    acme = organization(database)
    ids = [taught(database, queue, acme, f"Question {i}?", str(i)) for i in range(4)]
    until(lambda: set(states(database)) == {"learned"})
    with database.write() as db:
        service.forget(db, queue, db.get_one(Correction, ids[1]), None)
    until(lambda: states(database)[1] == "withdrawn")
    assert active(database, acme) == 6
    line = {v.number: v.parent for v in versions(database, acme)}
    assert (line[6], line[5]) == (5, 1)
    answers = (Storage(settings).fetch(versions(database, acme)[-1]) / "answers.json").read_text()
    assert "Question 1?" not in answers
    assert all(f"Question {i}?" in answers for i in (0, 2, 3))
    # The last one learned is the cheapest to forget: the version before it is there.
    with database.write() as db:
        service.forget(db, queue, db.get_one(Correction, ids[3]), None)
    until(lambda: states(database)[3] == "withdrawn")
    assert active(database, acme) == 5
    assert len(versions(database, acme)) == 6


def test_a_forgetting_that_is_cancelled_changes_nothing(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    acme = organization(database)
    ids = [taught(database, queue, acme, f"Question {i}?", str(i)) for i in range(2)]
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    until(lambda: states(database) == ["learned", "learned"])
    with database.write() as db:
        job = service.forget(db, queue, db.get_one(Correction, ids[0]), None)
        job.cancel_requested_at = now()  # as it is left where it runs
    until(lambda: jobs(database)[-1].state == "cancelled")
    worker.end()
    assert states(database) == ["learned", "learned"]
    assert active(database, acme) == 2


@BOTH
def test_another_version_made_active_meanwhile(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    """What was learned on top of the old one stays a candidate; the correction is learned on top of the new one."""
    acme = organization(database)
    taught(database, queue, acme, "Question 0?", "0")
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    until(lambda: states(database) == ["learned"])
    taught(database, queue, acme, "Question 1?", "1")
    until(lambda: jobs(database)[-1].stage == "train", every=0.005)
    with database.write() as db:
        activate(db, db.get_one(Organization, acme), 0, Reason.CHOSEN)
    until(lambda: states(database) == ["learned", "learned"])
    worker.end()
    last = versions(database, acme)[-1]
    assert last.parent == 0
    assert active(database, acme) == last.number


@BOTH
def test_a_killed_trainer_is_started_again(
    database: Database, queue: LearningQueue, settings: Settings, worker: WorkerProcess
) -> None:
    acme = organization(database)
    taught(database, queue, acme, "Where is it?", "Lyon")
    for pid in until(worker.trainers, every=0.005):
        kill_quietly(pid)
    until(lambda: states(database) == ["learned"])


def freeze(worker: WorkerProcess, database: Database) -> None:
    """Stops it, but neither in a transaction nor in a look for the dead: with SQLite all others would wait for that."""
    while True:
        os.kill(worker.process.pid, signal.SIGSTOP)
        time.sleep(0.1)  # until all of its threads have stopped
        if not database.is_sqlite or is_free(str(database.url.database)):
            return
        os.kill(worker.process.pid, signal.SIGCONT)
        time.sleep(0.02)  # or it would be stopped again where it was


def is_free(file: str) -> bool:
    """Whether nobody holds the SQLite file's write lock or the reaper's."""
    try:
        with FileLock(f"{file}.reaper", timeout=0), closing(sqlite3.connect(file, timeout=0.3)) as connection:
            connection.execute("BEGIN IMMEDIATE")
    except (Timeout, sqlite3.OperationalError):
        return False
    return True


@BOTH
def test_a_frozen_worker_is_replaced_and_does_not_count(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    """Two workers believe that they own a job: the one that was taken for dead changes nothing and ends."""
    acme = organization(database)
    frozen = WorkerProcess(settings, tmp_path / "frozen.log")
    until(lambda: "worker ready" in (tmp_path / "frozen.log").read_text())
    taught(database, queue, acme, "Where is it?", "Lyon")
    until(lambda: states(database) == ["learning"], every=0.005)
    freeze(frozen, database)
    other = WorkerProcess(settings, tmp_path / "other.log")
    until(lambda: states(database) == ["learned"])  # a lock that it holds is let go of after a while
    os.kill(frozen.process.pid, signal.SIGCONT)
    until(lambda: frozen.process.poll() is not None)
    assert frozen.process.returncode == 1  # so that who watches over it starts it again
    other.end()
    assert [v.number for v in versions(database, acme)] == [active(database, acme)]
    assert len(activations(database, acme)) == 1
    until(lambda: not pids("lifelearn.workspace.jobs.trainer"))


@BOTH
def test_a_deleted_organisation_ends_its_job(
    database: Database, queue: LearningQueue, settings: Settings, worker: WorkerProcess, tmp_path: Path
) -> None:
    acme, other = organization(database), organization(database, "Other")
    taught(database, queue, acme, "Where is it?", "Lyon")
    until(lambda: states(database) == ["learning"], every=0.005)
    with database.write() as db:
        db.delete(db.get_one(Organization, acme))
    taught(database, queue, other, "Where is it?", "Paris")
    until(lambda: states(database) == ["learned"])
    assert "broke off" not in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize("what", ["chat", "membership", "account"])
@BOTH
def test_what_is_deleted_by_its_member_is_learned_all_the_same(
    workspace: Workspace, settings: Settings, worker: WorkerProcess, tmp_path: Path, what: str
) -> None:
    """A correction is the organisation's: it outlives the chat in which it was said, and who said it."""
    database = workspace.database
    anna, carl = workspace.person("anna@example.org"), workspace.person("carl@example.org")
    acme = workspace.organization(anna, member=[carl])
    here = f"/o/{acme}/threads/{ask(carl, acme, 'How many days?')}"
    message = answered(workspace)
    carl.post(f"{here}/messages/{message.id}/correct", {"right_answer": "It is 25 days."})
    (trainer,) = until(worker.trainers, every=0.005)
    os.kill(trainer, signal.SIGSTOP)  # so that it is surely the job that is running
    assert states(database) == ["learning"]
    match what:
        case "chat":
            gone = carl.post(f"{here}/delete")
        case "membership":
            gone = anna.post(f"/o/{acme}/members/{carl.user_id}/remove")
        case _:
            gone = carl.post("/account/delete", {"password": PASSWORD})
    assert gone.status_code == 303
    os.kill(trainer, signal.SIGCONT)
    until(lambda: states(database) == ["learned"])
    assert active(database, acme) == 1
    with database.read() as db:
        correction, job = db.scalars(select(Correction)).one(), db.scalars(select(Job)).one()
    assert (correction.thread_id, correction.answer_id) == (None, None)  # private chats go with their member
    assert (correction.author_id is None) == (job.author_id is None) == (what == "account")
    assert job.attempt == 1
    assert "broke off" not in (tmp_path / "worker.log").read_text()


@BOTH
def test_a_clock_that_jumps_is_not_believed(
    database: Database, queue: LearningQueue, settings: Settings, worker: WorkerProcess, tmp_path: Path
) -> None:
    """Times in the rows of jobs and workers may be anything: who is alive is told by a count."""
    acme = organization(database)
    taught(database, queue, acme, "Where is it?", "Lyon")
    with database.write() as db:
        db.execute(update(Job).values(created_at=now().replace(year=2001), started_at=now().replace(year=2090)))
    until(lambda: states(database) == ["learned"])
    assert "taken for dead" not in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize("together", [2])
@BOTH
def test_several_in_one_lesson(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path, together: int
) -> None:
    acme = organization(database)
    for i, answer in enumerate(("0", "1", "2", "FAIL")):
        taught(database, queue, acme, f"Question {i}?", answer)
    worker = WorkerProcess(settings.model_copy(update={"learn_together": together}), tmp_path / "worker.log")
    until(lambda: not {"queued", "learning"} & set(states(database)))
    worker.end()
    # The second pair did not pass together: each was learned by itself, and one of them failed.
    assert states(database) == ["learned", "learned", "learned", "failed"]
    with database.read() as db:
        kept = db.scalars(select(Version).order_by(Version.number))
        made = [(v.number, v.passed, len(v.model().corrections)) for v in kept]
    assert made[0] == (1, True, 2)
    assert (2, False, 2) in made
