"""A workspace for each test, on SQLite; on PostgreSQL too for tests that ask for `database_url` to be both."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.migrations import upgrade
from workspace.fakes import Workspace, running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of the tests' own, reached through a socket in its folder; the start of a URL."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(programs[-1]) if programs else "")
    if not initdb:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    # Not in pytest's folder: that is root's alone, again with each run of pytest that begins beside this one.
    folder = Path(tempfile.mkdtemp(prefix="lifelearn-postgresql-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = next(each for each in pwd.getpwall() if each.pw_name in ("postgres", "nobody"))
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = folder / "data"
    quiet: dict[str, Any] = {"capture_output": True, "cwd": "/", **as_user}
    subprocess.run([initdb, "-D", data, "-U", "lifelearn", "--auth=trust", "--no-sync"], check=True, **quiet)
    control = str(Path(initdb).with_name("pg_ctl"))
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
    subprocess.run([control, "-D", data, "-o", options, "-l", folder / "log", "-w", "start"], check=True, **quiet)
    try:
        yield f"postgresql://lifelearn@/NAME?host={folder}"
    finally:
        subprocess.run([control, "-D", data, "-m", "immediate", "stop"], check=True, **quiet)
        shutil.rmtree(folder)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path}/workspace.db"
        return
    server: str = request.getfixturevalue("postgresql")
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = server.replace("/NAME", "/postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield server.replace("/NAME", f"/{name}")
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
