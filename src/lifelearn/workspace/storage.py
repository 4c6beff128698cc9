"""Where versions are kept: a folder each, in a shared folder or in an object store, written once and never changed.

A version's folder is named by an id that nobody else uses, and counts only once its row is in the database; what has no
row is a left-over. Files are checked by their hash when they are first opened in a process, wherever they come from.
Knows no tables but `Version`.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lifelearn.learning.version import VersionError, sha256, sync
from lifelearn.settings import Settings
from lifelearn.workspace.database import as_id
from lifelearn.workspace.tables.versions import Version

ORGANIZATIONS = "organizations"  # a folder for each, named by its id
SMALL = ("manifest.json", "lesson.json")  # what is needed of a version's ancestors

_checked: set[tuple[str, str]] = set()
_lock = threading.Lock()


class StoreError(VersionError, OSError):
    """An object store does not answer, or refuses. The same again may do better."""


class Storage:
    """The versions of all organisations."""

    def __init__(self, settings: Settings) -> None:
        place = settings.model_storage_dir
        self._folder = place if isinstance(place, Path) else None
        self._url = place if isinstance(place, str) else ""
        self._cache = settings.cache_dir / "versions"

    def publish(self, organization_id: uuid.UUID, version_id: uuid.UUID, folder: Path) -> dict[str, str]:
        """Copies a complete version in; returns its files with their hashes. Whole or not at all in a folder.

        Raises OSError where they cannot be written now; the same again may do better.
        """
        files = {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.is_file()}
        if self._folder is None:
            with self._system() as (system, root):
                target = f"{root}/{path_of(organization_id, version_id)}"
                system.makedirs(target, exist_ok=True)
                for name in files:
                    system.put_file(str(folder / name), f"{target}/{name}")
            return files
        target_folder = self._folder / path_of(organization_id, version_id)
        partial = target_folder.with_name(f".{version_id}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in files:
            shutil.copyfile(folder / name, partial / name)
            sync(partial / name)
        shutil.rmtree(target_folder, ignore_errors=True)
        partial.replace(target_folder)
        sync(target_folder.parent)
        return files

    def fetch(self, version: Version, names: Iterable[str] | None = None) -> Path:
        """A local folder with the version's files, or with those named, each as it was when it was made.

        Raises VersionError where one is missing or was changed, and OSError where they cannot be had now.
        """
        files = {name: version.files[name] for name in (names or version.files) if name in version.files}
        return self.fetch_files(version.organization_id, version.id, files, version.number)

    def fetch_files(
        self, organization_id: uuid.UUID, version_id: uuid.UUID, files: Mapping[str, str], number: int
    ) -> Path:
        """The same for a version that has no row yet."""
        path = path_of(organization_id, version_id)
        folder = (self._folder or self._cache) / path
        if self._folder is None:
            self._download(path, folder, files)
        for name, known in files.items():
            _check(folder / name, known, number)
        return folder

    def remove(self, organization_id: uuid.UUID, version_id: uuid.UUID | None = None) -> None:
        """Removes a version, or all that an organisation has here."""
        path = path_of(organization_id, version_id) if version_id else f"{ORGANIZATIONS}/{organization_id}"
        if self._folder is None:
            with self._system() as (system, root):
                if system.exists(f"{root}/{path}"):
                    system.rm(f"{root}/{path}", recursive=True)
        for place in (self._folder, self._cache):
            if place is not None:
                shutil.rmtree(place / path, ignore_errors=True)

    def organizations(self) -> set[uuid.UUID]:
        """Those that have a folder here, or in the cache of this machine."""
        cached = (each.name for each in (self._cache / ORGANIZATIONS).glob("*"))
        return _ids([*self._names(ORGANIZATIONS), *cached])

    def versions(self, organization_id: uuid.UUID) -> set[uuid.UUID]:
        """What is in an organisation's folder, whether the database knows it or not."""
        return _ids(self._names(_versions(organization_id)))

    def _names(self, path: str) -> list[str]:
        if self._folder is not None:
            folder = self._folder / path
            return [each.name for each in folder.iterdir()] if folder.is_dir() else []
        with self._system() as (system, root):
            where = f"{root}/{path}"
            found = system.ls(where, detail=False) if system.exists(where) else []
        return [str(name).rstrip("/").rpartition("/")[2] for name in found]

    def _download(self, path: str, folder: Path, files: Mapping[str, str]) -> None:
        missing = [name for name in files if not (folder / name).exists()]
        if not missing:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with self._system() as (system, root):
            for name in missing:
                partial = folder / f".{name}.{os.getpid()}.{threading.get_ident()}"
                try:
                    with suppress(FileNotFoundError):  # what is missing is told by name when it is checked
                        system.get_file(f"{root}/{path}/{name}", str(partial))
                        partial.replace(folder / name)
                finally:
                    partial.unlink(missing_ok=True)

    @contextmanager
    def _system(self) -> Iterator[tuple[Any, str]]:
        """The object store, and the path in it. Raises StoreError for whatever it cannot do in here.

        It keeps no listings: they would hide what other processes have put there, from being removed too.
        """
        import fsspec  # type: ignore[import-untyped]

        try:
            system, root = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
            yield system, str(root).rstrip("/")
        except Exception as error:  # no package, no server, no rights: each store has errors of its own
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise StoreError(f"LL_MODEL_STORAGE_DIR={self._url} cannot be used: {told}") from error


def path_of(organization_id: uuid.UUID, version_id: uuid.UUID) -> str:
    """A version's folder in the storage."""
    return f"{_versions(organization_id)}/{version_id}"


def _versions(organization_id: uuid.UUID) -> str:
    return f"{ORGANIZATIONS}/{organization_id}/versions"


def _ids(names: Iterable[str]) -> set[uuid.UUID]:
    """Those of the names that are ids: the others are not ours."""
    return {found for name in names if (found := as_id(name))}


def _check(file: Path, known: str, number: int) -> None:
    """Once for each file in a process: they are never changed in place."""
    key = (str(file), known)
    with _lock:
        if key in _checked and file.exists():
            return
    if not file.exists():
        raise VersionError(f"Version {number} lacks its file {file.name}.")
    if sha256(file) != known:
        raise VersionError(f"The file {file.name} of version {number} is damaged: its hash is not what it was.")
    with _lock:
        _checked.add(key)
