"""The archive: a tar file that is not compressed, since weights hardly are any smaller for it; its manifest comes last.

Written under another name and moved into place when it is whole and on the disk. Read by the names of its manifest
alone: nothing else in it is looked at, no link is followed, no path is taken from it. A file at a time, in pieces.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lifelearn.learning.version import sync
from lifelearn.workspace.backup.manifest import (
    DATABASES,
    MANIFEST,
    MANIFEST_BYTES,
    ArchiveError,
    Entry,
    Manifest,
    named,
)
from lifelearn.workspace.storage import StoreError

PIECE = 1 << 20
Progress = Callable[[int, int], None]  # bytes done, of how many
Tick = Callable[[int], None]  # told how many more bytes are done


class Tally:
    """A tick that adds up, and tells how much is done of `total`, which may be known later."""

    def __init__(self, on_progress: Progress) -> None:
        self._on_progress, self._done, self.total = on_progress, 0, 0

    def __call__(self, more: int) -> None:
        self._done += more
        self._on_progress(self._done, max(self._done, self.total))


class SourceError(ArchiveError):
    """A file that is to be copied cannot be read."""


class Writer:
    """An archive that is being written. work: a folder beside it, gone afterwards."""

    def __init__(self, tar: tarfile.TarFile, work: Path, tick: Tick) -> None:
        self._tar, self.work, self._tick = tar, work, tick
        self.files: dict[str, Entry] = {}

    def add(self, name: str, source: Path) -> Entry:
        """Copies a file in, as long as it is now. Raises SourceError, and OSError where there is no room for it."""
        with _source(source) as stream:
            size = os.fstat(stream.fileno()).st_size
            told = _Told(stream, source, self._tick)
            self._tar.addfile(_member(named(name), size), told)
        self.files[name] = Entry(size=size, sha256=told.sha256)
        return self.files[name]

    def finish(self, manifest: Manifest) -> None:
        text = manifest.model_dump_json(indent=1).encode()
        self._tar.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))


@contextmanager
def written(file: Path, tick: Tick) -> Iterator[Writer]:
    """An archive that is at its name once the block has ended well; after any other end nothing is left of it.

    Raises ArchiveError where something has this name already, and for what the disk does not take.
    """
    _refuse_to_overwrite(file)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
            partial = Path(folder) / "archive"
            with _private(partial) as stream:
                with tarfile.TarFile(fileobj=stream, mode="w", copybufsize=PIECE) as tar:
                    yield Writer(tar, Path(folder), tick)
                stream.flush()
                os.fsync(stream.fileno())
            _refuse_to_overwrite(file)
            partial.replace(file)
            sync(file.parent)
    except StoreError:  # an OSError too, but not the archive's
        raise
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or error
        raise ArchiveError(f"{file} cannot be written: {reason}. Nothing is left of it.") from error


class Reader:
    """An archive whose list was read, and fits what lies in it. The files themselves are checked as they are copied."""

    def __init__(self, tar: tarfile.TarFile, file: Path, tick: Tick) -> None:
        """Raises ArchiveError."""
        self._tar, self._file, self._tick = tar, file, tick
        members = tar.getmembers()
        self._members = {member.name: member for member in members}
        last = self._members.pop(MANIFEST, None)
        if last is None or not 0 < last.size <= MANIFEST_BYTES or not last.isreg():
            raise ArchiveError(f"{file} is no backup of Life-Learn, or it is not complete.")
        self.manifest = Manifest.read(self._stream(last).read(), file)
        found = {name: member.size for name, member in self._members.items()}
        plain = all(member.isreg() and not member.issparse() for member in members)
        listed = {name: entry.size for name, entry in self.manifest.files.items()}
        database = self.manifest.database
        whole = database is None or DATABASES[database] in listed
        if not plain or not whole or len(members) != len(found) + 1 or found != listed:
            raise ArchiveError(f"{file} was changed: it does not hold the files that its {MANIFEST} lists.")

    def verify(self) -> None:
        """Reads everything. Raises ArchiveError where a file is not what it was."""
        for name in self.manifest.files:
            self._copy(name, None)

    def extract(self, name: str, to: Path) -> None:
        """Copies a file out, onto the disk. Raises ArchiveError, and OSError where it cannot be written."""
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("xb") as stream:
            self._copy(name, stream)
            stream.flush()
            os.fsync(stream.fileno())

    def _copy(self, name: str, to: IO[bytes] | None) -> None:
        told = _Told(self._stream(self._members[name]), self._file, self._tick)
        while piece := told.read(PIECE):
            if to is not None:
                to.write(piece)
        if told.sha256 != self.manifest.files[name].sha256:
            raise ArchiveError(f"{self._file} is damaged: {name} is not what it was. Take another backup.")

    def _stream(self, member: tarfile.TarInfo) -> IO[bytes]:
        stream = self._tar.extractfile(member)
        assert stream is not None
        return stream


@contextmanager
def opened(file: Path, tick: Tick) -> Iterator[Reader]:
    """Raises ArchiveError."""
    with _source(file) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                yield Reader(tar, file, tick)
        except tarfile.TarError as error:
            raise ArchiveError(f"{file} is no backup of Life-Learn, or it is not complete.") from error


class _Told:
    """A stream whose bytes are counted and hashed as they are read."""

    def __init__(self, stream: IO[bytes], file: Path, tick: Tick) -> None:
        self._stream, self._file, self._tick, self._hash = stream, file, tick, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Raises SourceError."""
        try:
            piece = self._stream.read(size)
        except OSError as error:
            raise _unreadable(self._file, error) from error
        self._hash.update(piece)
        self._tick(len(piece))
        return piece

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def _source(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> SourceError:
    return SourceError(f"{file} cannot be read: {error.strerror or error}.")


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _private(file: Path) -> IO[bytes]:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _refuse_to_overwrite(file: Path) -> None:
    if file.exists():
        raise ArchiveError(f"{file} is there already, and a backup overwrites nothing. Give another name.")
