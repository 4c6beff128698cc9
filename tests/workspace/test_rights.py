"""What a workspace keeps is its user's alone, whatever the umask that it was started with, and from the first byte."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifelearn import cli
from lifelearn.learning import private
from lifelearn.settings import Settings
from lifelearn.workspace import model_process
from lifelearn.workspace.app import create_app
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import trainer, worker
from lifelearn.workspace.migrations import _copied, upgrade
from lifelearn.workspace.rights import tighten
from workspace.fakes import started


@pytest.fixture(autouse=True)
def _open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def with_tables() -> bool:
    return False


def opened(folder: Path) -> dict[str, str]:
    """What others could read or write in a folder, with its mode."""
    return {
        str(path.relative_to(folder)): f"{stat.S_IMODE(path.lstat().st_mode):o}"
        for path in folder.rglob("*")
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    }


def test_a_workspace_makes_nothing_that_others_can_read(settings: Settings, tmp_path: Path) -> None:
    with started(settings) as workspace:
        workspace.person()
        made = {path.name for path in tmp_path.rglob("*")}
        assert {"workspace.db", "workspace.db-wal", "workspace.db-shm", "secret_key"} <= made
        assert opened(tmp_path) == {}


def test_a_database_by_itself_and_its_copies(settings: Settings, tmp_path: Path) -> None:
    database = Database(settings.database_url)
    upgrade(database)
    _copied(database, "0001")
    assert [file.name for file in database.files if file.exists()] == [
        "workspace.db", "workspace.db-wal", "workspace.db-shm", "workspace.db.before-0001",
    ]  # fmt: skip
    assert opened(tmp_path) == {}
    database.close()


def test_what_an_earlier_release_left_open_is_closed(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings.model_copy(update={"cache_dir": tmp_path / "cache"})
    database = Database(settings.database_url)
    upgrade(database)
    base = settings.cache_dir / "SmolLM2-135M-Instruct"
    for folder in (settings.folder / "organizations" / "one", settings.cache_dir / "versions", base):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text("")
    for name in ("workspace.db-journal", "workspace.db.reaper", "workspace.db.before-0001", "another.db"):
        (tmp_path / name).write_text("")
    for name in ("workspace.db", "workspace.db-wal", "workspace.db-shm"):
        (tmp_path / name).chmod(0o644)
    tighten(settings, database)
    assert sorted(opened(tmp_path)) == [
        "another.db", "cache", "cache/SmolLM2-135M-Instruct", "cache/SmolLM2-135M-Instruct/model.safetensors",
    ], "what is nobody's secret, or not ours"  # fmt: skip
    assert f"{tmp_path}/workspace.db was open to other users" in caplog.text
    with database.read() as db:
        assert db.connection().exec_driver_sql("PRAGMA quick_check").scalar() == "ok"
    database.close()


@pytest.mark.parametrize(
    "begin", [cli.main, create_app, worker.main, trainer.main, model_process.main], ids=lambda each: each.__module__
)
def test_each_process_begins_with_it(begin: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    class FirstError(Exception):
        pass

    def first() -> None:
        raise FirstError

    monkeypatch.setattr(private, "umask", first)
    with pytest.raises(FirstError):
        begin()


def test_what_a_command_writes(tmp_path: Path) -> None:
    place = tmp_path / "learned"
    environment = {**os.environ, "LL_MODEL_STORAGE_DIR": str(place)}
    subprocess.run([sys.executable, "-m", "lifelearn", "rollback", "0"], check=True, env=environment, umask=0)
    assert [path.name for path in place.iterdir()] == ["active"]
    assert opened(tmp_path) == {}
