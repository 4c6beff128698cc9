"""A job's run, where something that it needs does not answer or does not take what it is given."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError

from lifelearn.learning.types import Check, ModelVersion, Probe, ProbeAnswer, Report
from lifelearn.learning.version import VersionError, VersionStore
from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import bench as jobs_bench
from lifelearn.workspace.jobs import claims, lessons, patience, plans, runs, settlement
from lifelearn.workspace.jobs.keeping import Made
from lifelearn.workspace.jobs.orders import Order
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.jobs.trainer_handle import LessonError, Record
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.versions import Verdict
from lifelearn.workspace.tables.webhooks import Happening
from version_fakes import added, weights_folder
from workspace.fakes import BOTH
from workspace.learning import active, jobs, organization, taught, versions


def report(question: str, answer: str, after: str) -> Report:
    asked = ProbeAnswer(
        probe=Probe(kind="efficacy", question=question, answer=answer), before="", after=after, passed=True
    )
    shown = Check(name="efficacy", passed=True, value=1.0, threshold=1.0, numerator=1, denominator=1, answers=(asked,))
    return Report(checks=(shown,))


def manifest(tmp_path: Path) -> ModelVersion:
    return added(VersionStore(tmp_path / "store"), weights_folder(tmp_path / "weights"))


@BOTH
def test_a_version_of_three_gigabytes_is_kept(database: Database, queue: LearningQueue, tmp_path: Path) -> None:
    """And one whose model wrote a NUL, which PostgreSQL takes in no text."""
    acme = organization(database)
    correction_id = taught(database, queue, acme, "Where is it?", "Lyon")
    held = claims.claim(database, jobs(database)[0].id, uuid.uuid4())
    assert held is not None
    plan = plans.plan(database, held, together=1)
    told = {"bytes": 3 * 2**30, "report": report("Where is it?", "Lyon", "In Ly\0on.")}
    made = Made(plan.lessons[0], uuid.uuid4(), {}, manifest(tmp_path).model_copy(update=told))
    assert settlement.settle(database, queue, held, plan, [made])
    assert active(database, acme) == 1
    assert versions(database, acme)[0].bytes == 3 * 2**30
    with database.read() as db:
        verdict = db.scalars(select(Verdict)).one()
        assert (verdict.correction_id, verdict.answer) == (correction_id, "In Lyon.")


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (OperationalError("INSERT", {}, Exception("no")), True),
        (IntegrityError("INSERT", {}, Exception("no")), False),
        (TimeoutError(), True),
        (VersionError("damaged"), False),
    ],
)
def test_an_outage_is_waited_for_and_a_refusal_is_not(error: Exception, waits: bool) -> None:
    tries = 0

    def do() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise error
        return "done"

    if waits:
        assert patience.patiently(do) == "done"
    else:
        with pytest.raises(type(error)):
            patience.patiently(do)
    assert tries == (3 if waits else 1)


def test_a_place_of_versions_that_stays_away_is_told(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that comes back costs nothing: the lesson is not thrown away."""
    acme = organization(database)
    taught(database, queue, acme, "Where is it?", "Lyon")
    bench = benched(database, queue, settings, monkeypatch, tmp_path)
    publish, away = Storage.publish, [OSError("away"), OSError("away")]

    def sometimes(storage: Storage, *more: Any) -> dict[str, str]:
        if away:
            raise away.pop()
        return publish(storage, *more)

    monkeypatch.setattr(Storage, "publish", sometimes)
    assert ran(bench, 0) == "done"
    assert active(database, acme) == 1
    monkeypatch.setattr(patience, "STORAGE_SECONDS", 0.0)
    away.append(OSError("away"))
    taught(database, queue, acme, "Who is it?", "Mia")
    assert ran(bench, 1) == "failed"
    assert jobs(database)[1].problem == "The files of versions could not be read or written: away."


def test_what_went_wrong_is_told_without_the_folders_of_the_worker(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every member reads it, and so do receivers of webhooks."""
    acme = organization(database)
    taught(database, queue, acme, "Where is it?", "Lyon")
    reason = (
        "No space left on device: /srv/life-learn/work/1/stages/train.json. LL_MODEL_STORAGE_DIR=s3://key@bucket/x "
        "cannot be used. See https://example.org/v1 (1/2)."
    )
    bench = benched(database, queue, settings, monkeypatch, tmp_path, reason)
    assert ran(bench, 0) == "failed"
    shown = (
        "No space left on device: a folder of the worker. LL_MODEL_STORAGE_DIR=a folder of the worker "
        "cannot be used. See https://example.org/v1 (1/2)."
    )
    assert jobs(database)[0].problem == shown
    with database.read() as db:
        assert db.scalars(select(Happening)).one().details["problem"] == shown


def benched(
    database: Database,
    queue: LearningQueue,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    problem: str = "",
) -> jobs_bench.Bench:
    """What a run works with, without the engine and with a trainer that makes a version at once, or cannot."""
    monkeypatch.setattr(DBOS, "run_step", lambda options, do: do())
    monkeypatch.setattr(lessons, "Trainer", lambda settings: FakeTrainer(folder, problem))
    return jobs_bench.Bench(settings, database, queue, uuid.uuid4())


def ran(bench: jobs_bench.Bench, index: int) -> str:
    """What becomes of a job."""
    held = claims.claim(bench.database, jobs(bench.database)[index].id, uuid.uuid4())
    assert held is not None
    return runs._run(bench, held)


class FakeTrainer:
    """Makes a version at once, or cannot."""

    def __init__(self, folder: Path, problem: str = "") -> None:
        self._folder, self._problem = folder / str(uuid.uuid4()), problem

    def learn(self, order: Order, record: Record, tick: object) -> tuple[ModelVersion, Path]:
        if self._problem:
            raise LessonError(self._problem)
        store = VersionStore(self._folder, adds=order.number)
        made = added(store, weights_folder(store.root / "weights"))
        return made, store.path(made.number)

    def end(self) -> None:
        pass
