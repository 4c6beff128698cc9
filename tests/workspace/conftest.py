"""A workspace for each test, on SQLite; on PostgreSQL too for tests that ask for `database_url` to be both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.migrations import upgrade
from workspace.fakes import Workspace, running
from workspace.postgresql import NotInstalledError, server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of the tests' own; the start of a URL."""
    try:
        with server() as url:
            yield url
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path}/workspace.db"
        return
    with _created(request.getfixturevalue("postgresql")) as url:
        yield url


@contextmanager
def _created(start: str) -> Iterator[str]:
    """A database for a while."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = start.replace("/NAME", "/postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield start.replace("/NAME", f"/{name}")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        model_storage_dir=tmp_path / "models",
        inference_backend="mock",
        public_url="http://testserver",
        worker="elsewhere",  # what learns is started by the tests that want it
    )


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    found = running(settings)
    with found.visitor().client as client:  # start-up and shutdown
        found.portal = client.portal
        yield found


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The workspace's, made ready, without an application on it."""
    made = Database(settings.database_url)
    upgrade(made)
    LearningQueue(made).prepare()
    yield made
    made.close()


@pytest.fixture
def queue(database: Database) -> Iterator[LearningQueue]:
    made = LearningQueue(database)
    yield made
    made.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where a backup goes, with nothing beside it."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "today.tar"


@pytest.fixture
def elsewhere(settings: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Where a restore goes: another folder and another database of the same kind."""
    with ExitStack() as made:
        url = f"sqlite:///{tmp_path}/restored/workspace.db"
        if not settings.database_url.startswith("sqlite"):
            url = made.enter_context(_created(request.getfixturevalue("postgresql")))
        there = {"model_storage_dir": tmp_path / "restored" / "models", "cache_dir": tmp_path / "restored" / "cache"}
        yield Settings(**{**settings.model_dump(), **there, "database_url": url})
