"""`lifelearn backup`: the database as it is at one moment, then the versions that it names, then the terminal's data.

Versions are written once, and are complete before the database names them: so what a snapshot names can be copied
afterwards, however long that takes, unless its organisation is deleted meanwhile. Then all is begun again.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from importlib.metadata import version as release
from pathlib import Path

from lifelearn.learning.version import WEIGHTS, VersionError, VersionStore
from lifelearn.settings import Settings
from lifelearn.workspace.backup import snapshot
from lifelearn.workspace.backup.archive import Progress, SourceError, Tally, Writer, written
from lifelearn.workspace.backup.manifest import DATA, DATABASES, Kind, Manifest
from lifelearn.workspace.backup.snapshot import Contents, Kept
from lifelearn.workspace.crypto import KEY_FILE, Keys
from lifelearn.workspace.database import Database
from lifelearn.workspace.storage import ORGANIZATIONS, Storage, StoreError, path_of

TRIES = 5
# Beside the terminal's versions, and copied in this order: a version is complete before it is made the active one, and
# active before the journal calls it learned.
TERMINAL = ("journal.jsonl", "active")


class BackupError(Exception):
    """There is nothing to back up, or it cannot be. The text says why and what to do."""


class _GoneError(Exception):
    """A version went with its organisation, after the snapshot."""


def backup(settings: Settings, file: Path, on_progress: Progress = lambda done, total: None) -> tuple[Path, Manifest]:
    """Writes an archive while the workspace goes on; gives its name and what is in it.

    file: a new file, or a folder, in which it is named by the time. Raises BackupError, ArchiveError, DatabaseError,
    VersionError; then there is no archive.
    """
    if file.is_dir():
        file /= f"lifelearn-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    database = _database(settings)
    try:
        for _ in range(TRIES):
            try:
                return file, _written(settings, database, file, on_progress)
            except _GoneError:
                continue
        raise BackupError("Organisations were deleted again and again while they were copied. Try again.")
    finally:
        if database is not None:
            database.close()


def key_in_use(settings: Settings) -> Keys | None:
    """What seals this installation's secrets; None where no key was made yet. None is made here."""
    file = None if isinstance(settings.model_storage_dir, str) else settings.folder / KEY_FILE
    return Keys.of(settings) if settings.secret_key or (file and file.exists()) else None


def fingerprint(keys: Keys) -> str:
    """What tells a key from others, and does not tell the key."""
    return keys.sign("backup", "")


def _database(settings: Settings) -> Database | None:
    """The workspace's; None where there is none, only the terminal's data. Raises BackupError."""
    database = Database(settings.database_url)
    if not database.is_sqlite or (database.url.database and Path(database.url.database).exists()):
        return database
    place = settings.model_storage_dir
    configured = "database_url" in settings.model_fields_set or isinstance(place, str)
    if configured or (settings.folder / ORGANIZATIONS).exists():
        raise BackupError(
            f"There is no database {database.url.database}. Set LL_DATABASE_URL to the workspace's, or begin where its "
            "file lies."
        )
    if not any((settings.folder / name).exists() for name in (*TERMINAL, "versions")):
        raise BackupError(
            f"There is nothing to back up: no database {database.url.database}, and nothing learned in {place}. Set "
            "LL_DATABASE_URL and LL_MODEL_STORAGE_DIR, or begin where their files lie."
        )
    return None


def _written(settings: Settings, database: Database | None, file: Path, on_progress: Progress) -> Manifest:
    tally = Tally(on_progress)
    with written(file, tally) as archive:
        at = datetime.now(UTC)
        kind: Kind | None = None
        contents = Contents(None, 0, [])
        if database is not None:
            kind = "sqlite" if database.is_sqlite else "postgresql"
            copy = archive.work / "database"
            contents = snapshot.taken(database, copy)
            tally.total = copy.stat().st_size + sum(version.size for version in contents.versions)
            archive.add(DATABASES[kind], copy)
            copy.unlink()
            _add_versions(settings, database, contents.versions, archive)
        terminal = _add_terminal(settings, archive)
        keys = key_in_use(settings) if database is not None else None
        if keys is not None and settings.secret_key is None:
            archive.add(DATA + KEY_FILE, settings.folder / KEY_FILE)
        manifest = Manifest(
            release=release("lifelearn"),
            created_at=at.isoformat(timespec="seconds"),
            database=kind,
            schema_revision=contents.revision,
            organizations=contents.organizations,
            versions=len(contents.versions),
            terminal_versions=terminal,
            key=fingerprint(keys) if keys is not None else None,
            files=archive.files,
        )
        archive.finish(manifest)
    return manifest


def _add_versions(settings: Settings, database: Database, versions: list[Kept], archive: Writer) -> None:
    """Each file as it was when the version was made. Raises BackupError, StoreError, _GoneError."""
    fetched = archive.work / "fetched"
    storage = Storage(settings.model_copy(update={"cache_dir": fetched}))  # what an object store gives is not kept
    for version in versions:
        try:
            folder = _fetched(storage, version)
            for name, known in version.files.items():
                inside = f"{DATA}{path_of(version.organization_id, version.id)}/{name}"
                if archive.add(inside, folder / name).sha256 != known:
                    raise VersionError(f"The file {name} of version {version.number} was changed while it was copied.")
        except StoreError:
            raise
        except (VersionError, SourceError) as error:
            if not snapshot.still_there(database, version):
                raise _GoneError from error
            raise BackupError(
                f"{error} It is one of organisation {version.organization_id}. No backup was made: put the file back "
                "from an earlier one."
            ) from error
        shutil.rmtree(fetched, ignore_errors=True)


def _fetched(storage: Storage, version: Kept) -> Path:
    try:
        return storage.fetch_files(version.organization_id, version.id, version.files, version.number)
    except StoreError:
        raise
    except OSError as error:
        raise SourceError(f"Version {version.number} cannot be read: {error.strerror or error}.") from error


def _add_terminal(settings: Settings, archive: Writer) -> int:
    """What the chat in a terminal has learned, as a crash would leave it; how many versions. Raises VersionError."""
    if isinstance(settings.model_storage_dir, str):
        return 0
    for name in TERMINAL:
        if (settings.folder / name).exists():
            archive.add(DATA + name, settings.folder / name)
    store = VersionStore(settings.folder)
    versions = store.versions()
    for version in versions:
        weights = store.weights(version.number)
        assert weights is not None
        for file in sorted(each for each in weights.glob("[!.]*") if each.is_file()):
            entry = archive.add(f"{DATA}versions/{weights.name}/{file.name}", file)
            if file.name in WEIGHTS and entry.sha256 != version.sha256:
                raise BackupError(
                    f"The file {file} is damaged: its hash is not what it was. No backup was made: put it back from "
                    f"an earlier one, or remove the folder {weights}."
                )
    return len(versions)
