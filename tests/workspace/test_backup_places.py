"""Where a backup is put: secrets, places that are not elsewhere, PostgreSQL's programs, the commands."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url

from lifelearn.settings import Settings
from lifelearn.workspace.backup.backup import backup
from lifelearn.workspace.backup.manifest import ArchiveError
from lifelearn.workspace.backup.restore import RestoreError, restore
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database, DatabaseError
from lifelearn.workspace.migrations import upgrade
from workspace.archived import database_of, files, filled, lifelearn, names, rows
from workspace.fakes import BOTH, POSTGRESQL, Workspace

# Secrets


def test_the_key_travels_where_it_was_generated(
    settings: Settings, database: Database, elsewhere: Settings, target: Path
) -> None:
    sealed = Keys.of(settings).seal("of the second factor")
    backup(settings, target)
    assert restore(elsewhere, target)[1] == ""
    assert Keys.of(elsewhere).unseal(sealed) == "of the second factor"
    assert (elsewhere.folder / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "told"), [("k" * 32, ""), ("x" * 32, "not what it was"), (None, "was set, and is not in")]
)
def test_a_key_that_was_set_stays_outside_and_is_asked_for(
    settings: Settings, database: Database, elsewhere: Settings, target: Path, key: str | None, told: str
) -> None:
    assert Keys.of(settings)  # one is generated, and then another is set
    backup(Settings(**{**settings.model_dump(), "secret_key": "k" * 32}), target)
    assert b"k" * 32 not in target.read_bytes()
    left = restore(Settings(**{**elsewhere.model_dump(), "secret_key": key}), target)[1]
    assert (bool(left), told in left) == (bool(told), True)
    assert not (elsewhere.folder / "secret_key").exists()


# Places that are refused


@BOTH
def test_nothing_is_overwritten(workspace: Workspace, settings: Settings, elsewhere: Settings, target: Path) -> None:
    filled(workspace)
    backup(settings, target)
    with pytest.raises(ArchiveError, match="is there already, and a backup overwrites nothing"):
        backup(settings, target)
    elsewhere.folder.mkdir(parents=True)
    (elsewhere.folder / "mine").write_text("mine")
    with pytest.raises(RestoreError, match=r"is not empty \(mine\), and nothing is overwritten"):
        restore(elsewhere, target)
    assert files(elsewhere.folder) == {"mine": b"mine"}
    (elsewhere.folder / "mine").unlink()
    (elsewhere.folder / "lost+found").mkdir()  # of a new file system
    with database_of(elsewhere) as database:
        upgrade(database)
    before = rows(elsewhere)
    with pytest.raises(RestoreError, match=r"is there already|is not empty, and nothing is overwritten"):
        restore(elsewhere, target)
    assert (rows(elsewhere), files(elsewhere.folder)) == (before, {})


def test_the_rest_of_another_database_is_not_taken_into_the_new_one(
    settings: Settings, database: Database, elsewhere: Settings, target: Path
) -> None:
    backup(settings, target)
    name = make_url(elsewhere.database_url).database
    left = Path(f"{name}-wal")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of another")
    with pytest.raises(RestoreError, match=r"workspace\.db-wal is there already"):
        restore(elsewhere, target)


@BOTH
def test_the_other_kind_of_database_is_refused(
    settings: Settings, database: Database, elsewhere: Settings, target: Path, tmp_path: Path
) -> None:
    backup(settings, target)
    sqlite = settings.database_url.startswith("sqlite")
    other = "postgresql://nobody@localhost/none" if sqlite else f"sqlite:///{tmp_path}/other.db"
    with pytest.raises(RestoreError, match="moving from one to the other is not done here"):
        restore(Settings(**{**elsewhere.model_dump(), "database_url": other}), target)


# PostgreSQL's programs


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which alone programs are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@POSTGRESQL
def test_programs_that_are_missing_or_too_old_are_told(
    database: Database, settings: Settings, target: Path, programs: Path
) -> None:
    with pytest.raises(DatabaseError, match=r"pg_dump is not installed\. Install PostgreSQL's programs"):
        backup(settings, target)
    script(programs / "pg_dump", "echo 'pg_dump (PostgreSQL) 9.6.1'")
    with pytest.raises(DatabaseError, match=r"pg_dump is of release 9, and the server of release \d+"):
        backup(settings, target)
    assert names(target.parent) == set()


@POSTGRESQL
def test_the_password_is_in_no_argument(
    database: Database, settings: Settings, elsewhere: Settings, target: Path, programs: Path, tmp_path: Path
) -> None:
    for name in ("pg_dump", "pg_restore"):
        found = shutil.which(name, path=os.defpath)
        assert found
        script(
            programs / name,
            f'echo "$@" >>{tmp_path}/arguments; echo "$PGPASSWORD" >>{tmp_path}/password',
            f'exec {found} "$@"',
        )
    there, here = (
        Settings(**{**each.model_dump(), "database_url": each.database_url.replace("lifelearn@", "lifelearn:hush%40@")})
        for each in (settings, elsewhere)
    )
    backup(there, target)
    restore(here, target)
    assert "hush" not in (tmp_path / "arguments").read_text()
    assert set((tmp_path / "password").read_text().split()) == {"hush@"}


def script(file: Path, *lines: str) -> None:
    file.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    file.chmod(0o755)


@POSTGRESQL
def test_a_server_that_does_not_answer_is_told_without_its_password(settings: Settings, target: Path) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://anna:hush@127.0.0.1:9/none"})
    with pytest.raises(DatabaseError, match=r"postgresql\+psycopg://anna:\*\*\*@127.0.0.1:9/none cannot be backed up"):
        backup(away, target)


# The commands


@pytest.mark.check("processes")
def test_from_the_command_line(workspace: Workspace, settings: Settings, elsewhere: Settings, target: Path) -> None:
    filled(workspace)
    done = lifelearn("backup", target.parent, settings=settings)  # a folder: it is named by the time
    (at,) = target.parent.iterdir()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Written: {at} (1 organisation, 2 versions, ")
    assert at.name.startswith(f"lifelearn-{time.gmtime().tm_year}")
    done = lifelearn("restore", at, "--check", settings=elsewhere)
    assert (done.returncode, done.stdout.partition(" ")[0]) == (0, "Sound:")
    assert not elsewhere.folder.exists()
    done = lifelearn("restore", at, settings=elsewhere)
    assert (done.returncode, done.stdout.partition(" ")[0], done.stderr) == (0, "Restored:", "")
    done = lifelearn("restore", at, settings=elsewhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing is overwritten" in done.stderr
    assert "Traceback" not in done.stderr
