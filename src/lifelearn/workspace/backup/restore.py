"""`lifelearn restore`: the way back, into an empty database and an empty folder.

Everything is read and checked before anything is put in place. The database comes last, in one step: without it nothing
else counts, and what a restore that broke off has put in place is taken away again.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lifelearn.learning.version import sync
from lifelearn.settings import Settings
from lifelearn.workspace.backup import postgresql
from lifelearn.workspace.backup.archive import Progress, Reader, Tally, opened
from lifelearn.workspace.backup.backup import fingerprint, key_in_use
from lifelearn.workspace.backup.manifest import DATA, DATABASES, Manifest
from lifelearn.workspace.crypto import KEY_FILE
from lifelearn.workspace.database import BESIDE, Database
from lifelearn.workspace.migrations import newest, shown
from lifelearn.workspace.storage import ORGANIZATIONS, Storage

NOT_OURS = ("lost+found",)  # what a new file system holds
STAGING = ".restoring-"  # a folder in the folder, which says of itself what it is where a restore was killed


class RestoreError(Exception):
    """An archive cannot be restored here. The text says why and what to do."""


def verify(file: Path, on_progress: Progress = lambda done, total: None) -> Manifest:
    """Reads an archive from end to end. Raises ArchiveError where it is not what it was."""
    with _opened(file, 1, on_progress) as archive:
        archive.verify()
        return archive.manifest


def restore(settings: Settings, file: Path, on_progress: Progress = lambda done, total: None) -> tuple[Manifest, str]:
    """Puts a database and versions where the settings say; gives what there was, and what is to be seen to still.

    Raises ArchiveError, RestoreError, DatabaseError, OSError, StoreError; then nothing was put there.
    """
    with _opened(file, 2, on_progress) as archive, ExitStack() as undo:
        manifest = archive.manifest
        database = _database(settings, manifest)
        undo.callback(database.close)
        _refuse_what_is_full(settings, database, manifest)
        archive.verify()
        place = settings.model_storage_dir
        work = place if isinstance(place, Path) else settings.cache_dir
        work.mkdir(parents=True, exist_ok=True)
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix=STAGING, dir=work)))
        with ExitStack() as put:
            if isinstance(place, Path):
                _fill_folder(archive, folder, place, put)
            else:
                _fill_store(archive, folder, Storage(settings), put)
            if manifest.database is not None:
                _fill_database(archive, folder, database)
            put.pop_all()
    return manifest, _left_to_do(settings, manifest)


@contextmanager
def _opened(file: Path, times: int, on_progress: Progress) -> Iterator[Reader]:
    """times: how often all of it will be read."""
    tally = Tally(on_progress)
    with opened(file, tally) as archive:
        tally.total = times * archive.manifest.size
        yield archive


def _database(settings: Settings, manifest: Manifest) -> Database:
    """Raises RestoreError where it is not of the archive's kind or the archive's schema is not known here."""
    database = Database(settings.database_url)
    if manifest.database is not None and (manifest.database == "sqlite") != database.is_sqlite:
        has, wants = ("PostgreSQL", "SQLite") if manifest.database == "sqlite" else ("SQLite", "PostgreSQL")
        raise RestoreError(
            f"The archive's database is of {wants}, and LL_DATABASE_URL names one of {has}. Restore it into {wants}: "
            "moving from one to the other is not done here."
        )
    if manifest.schema_revision is not None and manifest.schema_revision > newest():
        raise RestoreError(
            f"The archive is of a newer release ({manifest.release}, schema {manifest.schema_revision}; this one knows "
            f"up to {newest()}). Restore it with that release."
        )
    return database


def _refuse_what_is_full(settings: Settings, database: Database, manifest: Manifest) -> None:
    """Raises RestoreError where anything could be overwritten."""
    place = settings.model_storage_dir
    if isinstance(place, Path):
        found = [each.name for each in place.iterdir()] if place.exists() else []
        full = sorted(name for name in found if name not in NOT_OURS)
        if full:
            raise RestoreError(f"The folder {place} is not empty ({full[0]}), and nothing is overwritten. {_EMPTY}")
    else:
        alone = [name for name in manifest.files if name.startswith(DATA) and not name.startswith(DATA + ORGANIZATIONS)]
        if alone:
            raise RestoreError(
                f"The archive holds {alone[0].removeprefix(DATA)}, which is kept in a folder, and LL_MODEL_STORAGE_DIR="
                f"{place} is an object store. Name a folder."
            )
        if Storage(settings).organizations():
            raise RestoreError(f"LL_MODEL_STORAGE_DIR={place} is not empty, and nothing is overwritten. {_EMPTY}")
    if manifest.database == "sqlite":
        file = database.url.database
        there = [f"{file}{end}" for end in BESIDE if Path(f"{file}{end}").exists()]
        if not file or there:
            told = f"The database {there[0]} is there already" if there else "LL_DATABASE_URL names no file"
            raise RestoreError(f"{told}, and nothing is overwritten. Set LL_DATABASE_URL to another file.")
    if manifest.database == "postgresql" and not postgresql.is_empty(database):
        raise RestoreError(
            f"The database {shown(database)} is not empty, and nothing is overwritten. Make an empty one with "
            "createdb, and set LL_DATABASE_URL to it."
        )


_EMPTY = "Set LL_MODEL_STORAGE_DIR to an empty place."


def _fill_folder(archive: Reader, staging: Path, place: Path, put: ExitStack) -> None:
    """All at once, by their names in the folder."""
    for name in archive.manifest.files:
        if name.startswith(DATA):
            archive.extract(name, staging / name)
            if name.count("/") == 1:  # the key, and what was said in a terminal
                (staging / name).chmod(0o600)
    filled = staging / DATA
    for each in sorted(filled.iterdir()) if filled.exists() else []:
        put.callback(_put_back, place / each.name, each)
        each.rename(place / each.name)
    sync(place)


def _put_back(there: Path, here: Path) -> None:
    """Into what is removed."""
    if not here.exists():
        there.rename(here)


def _fill_store(archive: Reader, staging: Path, storage: Storage, put: ExitStack) -> None:
    """Version by version: they may be larger together than this machine's disk."""
    versions: dict[tuple[str, str], list[str]] = {}
    for name in archive.manifest.files:
        if name.startswith(DATA + ORGANIZATIONS):
            _, _, organization, _, version, _ = name.split("/")
            versions.setdefault((organization, version), []).append(name)
    for (organization, version), names in versions.items():
        with tempfile.TemporaryDirectory(dir=staging) as folder:
            for name in names:
                archive.extract(name, Path(folder) / Path(name).name)
            ids = uuid.UUID(organization), uuid.UUID(version)
            put.callback(storage.remove, *ids)
            storage.publish(*ids, Path(folder))


def _fill_database(archive: Reader, staging: Path, database: Database) -> None:
    if not database.is_sqlite:
        archive.extract(DATABASES["postgresql"], staging / "dump")
        postgresql.restored(database, staging / "dump")
        return
    file = Path(database.url.database or "").absolute()
    with tempfile.TemporaryDirectory(prefix=STAGING, dir=file.parent) as folder:
        archive.extract(DATABASES["sqlite"], Path(folder) / file.name)
        (Path(folder) / file.name).chmod(0o600)
        os.link(Path(folder) / file.name, file)  # which never overwrites
        sync(file.parent)


def _left_to_do(settings: Settings, manifest: Manifest) -> str:
    keys = key_in_use(settings)
    if manifest.key is None or (keys is not None and fingerprint(keys) == manifest.key):
        return ""
    if DATA + KEY_FILE in manifest.files:
        return (
            "LL_SECRET_KEY is set, and the archive holds another key: with yours, second factors and webhooks' secrets "
            "cannot be read. Unset LL_SECRET_KEY before you start the workspace; the key lies beside the versions."
        )
    how = "is not what it was" if keys else "was set, and is not in the archive"
    return (
        f"LL_SECRET_KEY {how}: without the same key second factors and webhooks' secrets cannot be read. Set it before "
        "you start the workspace."
    )
