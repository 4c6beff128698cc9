"""The database's sessions, the guard in front of every route, and errors as each kind of visitor can use them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.exc import DBAPIError

from lifelearn.settings import Settings
from lifelearn.workspace import app
from lifelearn.workspace.database import Database, DatabaseError, after_commit, commit, sqlite_fault
from lifelearn.workspace.errors import TooManyError
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.pages import own_path
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.throttles import Throttle
from lifelearn.workspace.throttle import throttle
from waiting import HANG_SECONDS
from workspace.fakes import BOTH, ORIGIN, Workspace, running


@BOTH
def test_a_reading_session_cannot_write(workspace: Workspace) -> None:
    with workspace.database.write() as db:
        db.add(User(email="a@example.org", name="A"))
    with workspace.database.read() as db:
        user = db.scalars(select(User)).one()
        assert user.created_at.tzinfo is not None
        user.name = "B"
        with pytest.raises(DBAPIError):
            db.flush()


@BOTH
def test_a_writing_session_keeps_all_or_nothing(workspace: Workspace) -> None:
    def fails() -> None:
        with workspace.database.write() as db:
            db.add(User(email="a@example.org", name="A"))
            db.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    with workspace.database.read() as db:
        assert db.scalars(select(User)).all() == []


@BOTH
def test_what_comes_after_a_change_comes_once_it_is_kept(workspace: Workspace) -> None:
    """At the end of the session or before, and once."""
    done: list[str] = []

    def fails() -> None:
        with workspace.database.write() as db:
            after_commit(db, lambda: done.append("never"))
            raise RuntimeError

    with workspace.database.write() as db:
        after_commit(db, lambda: done.append("at the end"))
    with workspace.database.write() as db:
        after_commit(db, lambda: done.append("before"))
        commit(db)
        assert done == ["at the end", "before"]
    with pytest.raises(RuntimeError):
        fails()
    assert done == ["at the end", "before"]


@BOTH
def test_writers_wait_for_one_another(workspace: Workspace) -> None:
    """Each attempt counts, whatever the others do; nobody is told that the database is locked."""
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            for _ in range(5):
                throttle(workspace.database, "key", most=1000, seconds=60)
        except Exception as error:
            errors.append(error)

    throttle(workspace.database, "key", most=1000, seconds=60)
    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with workspace.database.read() as db:
        assert db.scalars(select(Throttle)).one().count == 41


def test_too_many_attempts_are_refused(workspace: Workspace) -> None:
    for _ in range(3):
        throttle(workspace.database, "key", most=3, seconds=60)
    with pytest.raises(TooManyError, match="Try again in"):
        throttle(workspace.database, "key", most=3, seconds=60)


@pytest.mark.parametrize(
    ("given", "followed"),
    [
        ("/o/1?x=2", "/o/1?x=2"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nb", "/"),
        ("", "/"),
        (None, "/"),
    ],
)
def test_only_paths_of_this_site_are_followed(given: str | None, followed: str) -> None:
    assert own_path(given) == followed


def test_headers_of_every_answer(workspace: Workspace) -> None:
    answer = workspace.visitor().get("/nowhere")
    assert answer.status_code == 404
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]


def test_another_host_is_refused(workspace: Workspace) -> None:
    assert workspace.visitor().get("/nowhere", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_changes_from_other_sites_are_refused(workspace: Workspace, headers: dict[str, str]) -> None:
    assert workspace.person().post("/sign-out", headers=headers).status_code == 403


def test_a_body_that_is_too_large_is_refused(workspace: Workspace) -> None:
    big = b"x" * (2 << 20)
    assert workspace.person().client.post("/sign-in", content=big).status_code == 413
    parts = (big[: 1 << 19] for _ in range(4))  # without a length
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert workspace.person().client.post("/sign-out", content=parts, headers=form).status_code == 413


def test_errors_for_programs_are_json(workspace: Workspace) -> None:
    answer = workspace.visitor().get("/api/v1/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert workspace.visitor().get("/v1/nowhere").json()["error"]["type"] == "invalid_request_error"


@BOTH
def test_more_requests_than_connections_and_threads_do_not_block_each_other(workspace: Workspace) -> None:
    """Each needs both a connection and, now and then, a thread; there are 60 of the one and 40 of the other."""
    anna = workspace.person()
    organization = workspace.organization(anna)
    cookies = {workspace.pages.cookie: anna.client.cookies[workspace.pages.cookie]}

    async def all_at_once() -> list[int]:
        transport = httpx2.ASGITransport(workspace.app)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, cookies=cookies) as client:
            paths = [f"/o/{organization}/{page}" for page in ("threads", "members", "model")] * 50
            asked = asyncio.gather(*(client.get(path, timeout=None) for path in paths))
            return [answer.status_code for answer in await asyncio.wait_for(asked, HANG_SECONDS)]

    assert set(workspace.portal.call(all_at_once)) == {200}


# SQLite's log


def test_sqlite_without_a_write_ahead_log_is_refused(tmp_path: Path) -> None:
    """Without memory that processes share there is none, as on a network share."""
    database = Database(f"sqlite:///file:{tmp_path}/workspace.db?vfs=unix-none&uri=true")
    with pytest.raises(DatabaseError, match=r"cannot use a write-ahead log .* stays 'delete'.* LL_DATABASE_URL"):
        upgrade(database)
    with pytest.raises(DatabaseError):
        database.check()


def test_sqlite_with_one_is_taken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifelearn.workspace.database.create_engine", create_engine)  # the tests' own is in a hurry
    database = Database(settings.database_url)
    with database.read() as db:
        assert db.connection().exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert db.connection().exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.close()


@pytest.mark.parametrize(
    ("release", "faulty"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_a_release_of_sqlite_with_a_known_fault_is_told(release: tuple[int, ...], faulty: bool) -> None:
    told = sqlite_fault(release)
    assert bool(told) == faulty
    assert not told or ".".join(map(str, release)) in told


@pytest.mark.parametrize("fault", ["", "SQLite 3.0.0 has a fault."])
def test_it_is_told_at_the_start(
    settings: Settings, fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "sqlite_fault", lambda: fault)
    with running(settings).visitor().client:
        pass
    assert ("has a fault" in capsys.readouterr().err) == bool(fault)
