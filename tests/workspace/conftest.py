"""A workspace for each test, on SQLite; on PostgreSQL too for tests that ask for `database_url` to be both."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from sqlalchemy import Engine, create_engine

from lifelearn.settings import Settings
from lifelearn.workspace.chats import shown
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.rendering.renderer import RENDERER
from waiting import HANG_SECONDS
from workspace.fakes import Workspace, running
from workspace.live import ARGUMENTS, CHROMIUM
from workspace.postgresql import NotInstalledError, created, server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of the tests' own; the start of a URL."""
    try:
        with server() as url:
            yield url
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser that waits for what must come, however slow the machine is."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (apt-get install chromium)")
    expect.set_options(timeout=1000 * HANG_SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def _made_ready(url: str) -> None:
    made = Database(url)
    upgrade(made)
    LearningQueue(made).prepare()
    made.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database that has its tables, to be copied."""
    file = tmp_path_factory.mktemp("template") / "workspace.db"
    _made_ready(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgresql_template(postgresql: str) -> str:
    """The name of the same on PostgreSQL."""
    with psycopg.connect(postgresql.replace("/NAME", "/postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE with_tables")
    _made_ready(postgresql.replace("/NAME", "/with_tables"))
    return "with_tables"


@pytest.fixture
def with_tables() -> bool:
    """Whether a test's database has its tables from the start. A module that is about making them says no."""
    return True


@pytest.fixture
def database_url(request: pytest.FixtureRequest, with_tables: bool, tmp_path: Path) -> Iterator[str]:
    if getattr(request, "param", "sqlite") == "sqlite":
        if with_tables:
            shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "workspace.db")
        yield f"sqlite:///{tmp_path}/workspace.db"
        return
    template = request.getfixturevalue("postgresql_template") if with_tables else "template1"
    with created(request.getfixturevalue("postgresql"), template) as url:
        yield url


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
            url = made.enter_context(created(request.getfixturevalue("postgresql")))
        there = {"model_storage_dir": tmp_path / "restored" / "models", "cache_dir": tmp_path / "restored" / "cache"}
        yield Settings(**{**settings.model_dump(), **there, "database_url": url})


@pytest.fixture(scope="session", autouse=True)
def _answers_rendered_at_any_speed() -> Iterator[None]:
    """By one process for all tests, for which they wait as long as it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lifelearn.workspace.rendering.renderer.HANGS", HANG_SECONDS)
        patch.setattr(RENDERER, "patience", HANG_SECONDS)
        patch.setattr(shown, "PAGE_SECONDS", HANG_SECONDS)
        yield
    RENDERER.close()


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    """Each test has a database of its own; what a statement compiles to is the same for all of a kind."""
    first: dict[str, Engine] = {}

    def made(*args: Any, **options: Any) -> Engine:
        engine = create_engine(*args, **options)
        like = first.setdefault(engine.dialect.name, engine)
        engine.dialect, engine._compiled_cache = like.dialect, like._compiled_cache
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lifelearn.workspace.database.create_engine", made)
        yield
