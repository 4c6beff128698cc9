"""Ready is what can be written: found out by writing, seldom, by one at a time, and said without names of places."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from lifelearn.workspace import readiness
from lifelearn.workspace.database import Database
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.readiness import FRESH_SECONDS, Readiness
from waiting import HANG_SECONDS
from workspace.fakes import BOTH, POSTGRESQL, Workspace


class Counted:
    """A database that counts how often it is written, at a time that a test tells; `hangs` holds it up."""

    def __init__(self) -> None:
        self.now, self.writes = 1_000.0, 0
        self.hangs = threading.Event()
        self.hangs.set()

    def check(self) -> None:
        pass

    def check_writing(self) -> None:
        self.writes += 1
        assert self.hangs.wait(HANG_SECONDS)

    @property
    def readiness(self) -> Readiness:
        return Readiness(self, lambda: self.now)  # type: ignore[arg-type]


@BOTH
def test_a_real_change_is_kept(database: Database) -> None:
    def state() -> Any:
        with database.read() as db:
            if database.is_sqlite:
                return Path(f"{database.file}-wal").read_bytes()
            return db.connection().exec_driver_sql("SELECT xmin::text FROM alembic_version").scalar()

    before = state()
    assert asyncio.run(Readiness(database).database()) == "ok"
    assert state() != before


def test_it_is_written_once_a_second_however_many_ask() -> None:
    counted = Counted()

    async def ask() -> None:
        asked = counted.readiness
        for second in range(3):
            told = await asyncio.gather(*(asked.database() for _ in range(50)))
            told += [await asked.database() for _ in range(50)]
            assert set(told) == {"ok"}
            assert counted.writes == second + 1
            counted.now += FRESH_SECONDS

    asyncio.run(ask())


def test_nothing_piles_up_where_the_database_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LIMIT_SECONDS", 0.01)
    counted = Counted()
    counted.hangs.clear()

    async def ask() -> None:
        asked = counted.readiness
        assert set(await asyncio.gather(*(asked.database() for _ in range(50)))) == {"does not answer"}
        counted.now += 10 * FRESH_SECONDS
        assert await asked.database() == "does not answer"
        assert counted.writes == 1
        looks = [thread for thread in threading.enumerate() if thread.name == "readiness"]
        assert len(looks) == 1
        counted.hangs.set()
        looks[0].join(HANG_SECONDS)
        monkeypatch.setattr(readiness, "LIMIT_SECONDS", HANG_SECONDS)
        counted.now += FRESH_SECONDS
        assert await asked.database() == "ok"
        assert counted.writes == 2

    asyncio.run(ask())


@pytest.mark.parametrize("error", [OperationalError("SELECT 1", {}, Exception("db.internal")), RuntimeError("/srv")])
def test_whatever_is_wrong_is_said(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()

    def fails() -> None:
        raise error

    monkeypatch.setattr(counted, "check", fails)
    assert asyncio.run(counted.readiness.database()) == "does not answer"


def probed(workspace: Workspace) -> tuple[int, dict[str, str]]:
    """By who may not look inside, after what is known is no longer fresh."""
    workspace.app.state.readiness = Readiness(workspace.database)
    answer = workspace.visitor().get("/readyz")
    return answer.status_code, answer.json()


def test_a_database_that_may_only_be_read(database: Database) -> None:
    with database.write():
        pass  # its log is there, which a reader could not make
    reader = Database(f"sqlite:///file:{database.file}?mode=ro&uri=true")
    assert asyncio.run(Readiness(reader).database()) == "cannot be written: it is read-only"
    reader.close()


def test_the_answer_when_nothing_can_be_written(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probed(workspace) == (200, {"status": "ready", "database": "ok", "model": "ready"})
    reader = Database(f"sqlite:///file:{workspace.database.file}?mode=ro&uri=true")
    monkeypatch.setattr(workspace.database, "engine", reader.engine)
    told = {"status": "not ready", "database": "cannot be written: it is read-only", "model": "ready"}
    assert probed(workspace) == (503, told)
    reader.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    database = Database(f"sqlite:///{small_disk}/workspace.db")
    upgrade(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert asyncio.run(Readiness(database).database()) == "ok"
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    with (small_disk / "filling").open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(bytes(1 << 12)):
            pass
    assert asyncio.run(Readiness(database).database()) == "cannot be written: the disk is full"
    (small_disk / "filling").unlink()
    assert asyncio.run(Readiness(database).database()) == "ok"
    database.close()


@POSTGRESQL
def test_postgresql_whose_transactions_are_read_only(workspace: Workspace, postgresql: str) -> None:
    name = workspace.database.url.database
    with psycopg.connect(postgresql.replace("/NAME", "/postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
    workspace.database.engine.dispose()  # new connections have it
    told = {"status": "not ready", "database": "cannot be written: it is read-only", "model": "ready"}
    assert probed(workspace) == (503, told)
    with psycopg.connect(postgresql.replace("/NAME", "/postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'.encode())
    workspace.database.engine.dispose()
    assert probed(workspace)[0] == 200
