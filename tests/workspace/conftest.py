"""A workspace for each test, on SQLite; on PostgreSQL too for tests that ask for `database_url` to be both."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect, sync_playwright
from sqlalchemy import Engine, create_engine, event

from lifelearn.settings import Settings
from lifelearn.workspace import logs
from lifelearn.workspace.chats import answers, shown
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.rendering.renderer import RENDERER
from lifelearn.workspace.webhooks import sending
from waiting import HANG_SECONDS
from workspace.acme import Acme
from workspace.deliveries import make_organization
from workspace.fakes import Browser, Workspace, started
from workspace.hooks import Hooks
from workspace.live import ARGUMENTS, CHROMIUM
from workspace.postgresql import NotInstalledError, created, server
from workspace.provider import FakeProvider, provided
from workspace.receiver import Receiver
from workspace.team import Team


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "settings(name=value, …): what a test's workspace has otherwise than others")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of the tests' own; the start of a URL."""
    try:
        with server() as url:
            yield url
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
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
def settings(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Settings:
    """A module or a test may have some otherwise: `pytest.mark.settings(name=value)`."""
    otherwise: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("settings"))):  # the test's own has the last word
        otherwise |= mark.kwargs
    made = Settings(
        database_url=database_url,
        model_storage_dir=tmp_path / "models",
        inference_backend="mock",
        public_url="http://testserver",
        worker="elsewhere",  # what learns is started by the tests that want it
    )
    return made.model_copy(update=otherwise)


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    with started(settings) as found:
        yield found


@pytest.fixture
def anna(workspace: Workspace) -> Browser:
    return workspace.person()


@pytest.fixture
def place(workspace: Workspace, anna: Browser) -> uuid.UUID:
    """The organisation that Anna owns."""
    return workspace.organization(anna)


@pytest.fixture
def ben(workspace: Workspace, place: uuid.UUID) -> Browser:
    """A member of it."""
    found = workspace.person("ben@example.org")
    workspace.join(place, found)
    return found


@pytest.fixture
def team(workspace: Workspace) -> Team:
    return Team(workspace)


@pytest.fixture
def hooks(workspace: Workspace) -> Hooks:
    return Hooks(workspace)


@pytest.fixture
def acme(workspace: Workspace) -> Acme:
    return Acme(workspace)


@pytest.fixture(scope="session")
def _provider() -> Iterator[FakeProvider]:
    with provided() as found:
        yield found


@pytest.fixture
def provider(_provider: FakeProvider) -> FakeProvider:
    _provider.forget()
    return _provider


@pytest.fixture
def quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SAVE_SECONDS", 0.05)
    monkeypatch.setattr(answers, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(answers, "POLL_SECONDS", 0.02)


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
def organization_id(database: Database) -> uuid.UUID:
    """An organisation, without an application."""
    return make_organization(database)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def quick_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(sending, "RETRY_SECONDS", 6 * (0.01,))
    monkeypatch.setattr(sending, "GRACE_SECONDS", 0.2)


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    root = logging.getLogger()
    for handler in [each for each in root.handlers if each.get_name() == logs.HANDLER]:
        root.removeHandler(handler)


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
def _quick_databases() -> Iterator[None]:
    """Each test has a database of its own. What a statement compiles to is the same for all of a kind; and none
    has to outlive a power cut, so that no test of SQLite waits for a disk."""
    first: dict[str, Engine] = {}

    def made(*args: Any, **options: Any) -> Engine:
        engine = create_engine(*args, **options)
        like = first.setdefault(engine.dialect.name, engine)
        engine.dialect, engine._compiled_cache = like.dialect, like._compiled_cache
        if engine.dialect.name == "sqlite":
            event.listen(engine, "checkout", lambda connection, *_: connection.execute("PRAGMA synchronous = OFF"))
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lifelearn.workspace.database.create_engine", made)
        yield
