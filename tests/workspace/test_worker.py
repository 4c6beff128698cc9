"""Who is taken for dead, and what a worker trusts and passes on."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from lifelearn.settings import Settings
from lifelearn.workspace.children import handed_over
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import runs, trainer_handle, worker
from lifelearn.workspace.jobs.worker import DEAD_SECONDS, REAP_SECONDS, Reaper, WorkerError
from lifelearn.workspace.tables.jobs import Worker
from workspace.fakes import BOTH


class Clock:
    """Time as a test tells it, and a database that is away for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.away = 1_000.0, False
        monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(runs, "executors_with_runs", self._running)

    def _running(self) -> set[str]:
        if self.away:
            raise OperationalError("SELECT", {}, Exception("away"))
        return set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def other(database: Database) -> uuid.UUID:
    """A worker of another host."""
    with database.write() as db:
        made = Worker(host="elsewhere", pid=1)
        db.add(made)
        db.flush()
        return made.id


def living(database: Database) -> list[uuid.UUID]:
    with database.read() as db:
        return list(db.scalars(select(Worker.id)))


@BOTH
def test_a_count_that_stands_still_is_a_dead_worker_s(database: Database, clock: Clock) -> None:
    one, reaper = other(database), Reaper(database, uuid.uuid4())
    began = clock.now
    while clock.now - began <= DEAD_SECONDS:
        reaper.look()
        assert living(database) == [one]
        clock.now += REAP_SECONDS
    reaper.look()
    assert living(database) == []


@BOTH
def test_an_outage_of_the_database_is_nobody_s_death(database: Database, clock: Clock) -> None:
    """Nobody can count while it is away. Who is there counts again soon after."""
    one, reaper = other(database), Reaper(database, uuid.uuid4())
    reaper.look()
    clock.away = True
    for _ in range(30):
        clock.now += REAP_SECONDS
        with pytest.raises(OperationalError):
            reaper.look()
    clock.away = False
    for _ in range(5):  # it may take a while until its next connection
        clock.now += REAP_SECONDS
        reaper.look()
    with database.write() as db:
        db.execute(update(Worker).values(beat=Worker.beat + 1))
    for _ in range(int(DEAD_SECONDS / REAP_SECONDS)):
        clock.now += REAP_SECONDS
        reaper.look()
        assert living(database) == [one]


def test_somebody_else_s_folder_of_locks_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert worker._lock_file(uuid.uuid4()).parent.stat().st_mode & 0o777 == 0o700
    ours = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: ours + 1)
    with pytest.raises(WorkerError, match=rf"life-learn-workers-{ours + 1} could .* it belongs to another"):
        worker._lock_file(uuid.uuid4())


def test_a_folder_of_locks_that_others_can_write_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    folder = worker._lock_file(uuid.uuid4()).parent
    folder.chmod(0o777)
    with pytest.raises(WorkerError, match="others can write it"):
        worker._lock_file(uuid.uuid4())
    folder.chmod(0o700)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorkerError, match="it is a link"):
        worker._lock_file(uuid.uuid4())


def test_a_trainer_is_told_what_it_needs_and_no_password(settings: Settings) -> None:
    told = settings.model_copy(
        update={"database_url": "postgresql://me:secret@host/db", "train_max_steps": 7, "train_seed": 3}
    )
    handed = handed_over(told, trainer_handle.NEEDED)
    assert "secret" not in json.dumps(handed)
    assert Settings(**handed).recipe() == told.recipe()
    assert reads(told) <= trainer_handle.NEEDED


def reads(settings: Settings) -> set[str]:
    """The settings that a recipe is made of."""
    found: set[str] = set()

    class Reading:
        def __getattr__(self, name: str) -> Any:
            found.add(name)
            return getattr(settings, name)

    Settings.recipe(Reading())  # type: ignore[arg-type]
    return found
