"""The journal of a data folder: which corrections were acknowledged, and what became of each.

One JSON object a line, only ever appended, on the disk before `acknowledge` returns: from then on the
correction survives a crash at any point. It knows nothing of models and versions. A last line torn by
a crash was never acknowledged and is dropped; any other line that cannot be read is an error.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import ValidationError

from lifelearn.learning.types import Correction, Value

Outcome = Literal["learned", "rejected", "failed", "withdrawn"]


class JournalError(Exception):
    """The journal could not be written or read. The text says what is kept and what to do."""


class Entry(Value):
    """One line: an acknowledged correction, or the outcome of one.

    outcome: "learned" and live; "rejected" by verification, kept as candidate `version`; "withdrawn" by
    the user; "failed" records an attempt that broke off: the correction stays pending.
    """

    at: str
    event: Literal["acknowledged", "settled"]
    id: str
    correction: Correction | None = None
    outcome: Outcome | None = None
    version: int | None = None
    reason: str = ""


class Journal:
    """The journal at `path`; it and its folder are made when the first entry is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def acknowledge(self, correction: Correction) -> None:
        """Keeps the correction for good; one that is pending already is not written twice."""
        if all(waiting.id != correction.id for waiting in self.pending()):
            self._append(Entry(at=_now(), event="acknowledged", id=correction.id, correction=correction))

    def settle(self, correction_id: str, outcome: Outcome, version: int | None, reason: str) -> None:
        """Notes what became of a correction."""
        self._append(
            Entry(at=_now(), event="settled", id=correction_id, outcome=outcome, version=version, reason=reason)
        )

    def pending(self) -> list[Correction]:
        """The corrections that were acknowledged and are still to be learned, oldest first."""
        waiting: dict[str, Correction] = {}
        for entry in self.entries():
            if entry.correction is not None:
                waiting[entry.id] = entry.correction
            elif entry.outcome != "failed":
                waiting.pop(entry.id, None)
        return list(waiting.values())

    def failures(self) -> dict[str, str]:
        """Why the latest attempt broke off, by the id of a pending correction."""
        waiting = {correction.id for correction in self.pending()}
        return {entry.id: entry.reason for entry in self.entries() if entry.id in waiting and entry.outcome == "failed"}

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(f"The journal {self.path} cannot be read: {error.strerror}.") from error
        lines = raw.split(b"\n")
        torn = lines.pop()  # what follows the last newline: nothing, or a write that never ended
        entries = [self._parse(line, number) for number, line in enumerate(lines, start=1) if line.strip()]
        with suppress(ValidationError):
            entries += [Entry.model_validate_json(torn)] if torn else []
        return entries

    def _parse(self, line: bytes, number: int) -> Entry:
        try:
            return Entry.model_validate_json(line)
        except ValidationError as error:
            raise JournalError(
                f"Line {number} of the journal {self.path} is damaged. Repair that line, or move it to another file; "
                "the other lines are still good."
            ) from error

    def _append(self, entry: Entry) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"):
                _write_line(self.path, entry.model_dump_json(exclude_none=True).encode())
        except OSError as error:
            kept = (
                "The correction was not kept: give it again"
                if entry.event == "acknowledged"
                else "The correction's outcome was not noted"
            )
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "the disk is full" if full else (error.strerror or str(error))
            advice = "free some space first" if full else "check that the folder can be written"
            raise JournalError(f"The journal {self.path} could not be written: {reason}. {kept}; {advice}.") from error


def journal_of(folder: Path) -> Journal:
    """The journal of a data folder."""
    return Journal(folder / "journal.jsonl")


def _write_line(path: Path, line: bytes) -> None:
    """Appends a line and waits until it is on the disk; on a fault the file is as it was before."""
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = _repaired_end(descriptor)
        os.lseek(descriptor, end, os.SEEK_SET)
        try:
            _write_all(descriptor, line + b"\n")
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)
    if new:
        _sync_folder(path.parent)


def _repaired_end(descriptor: int) -> int:
    """Where the next line starts; a torn last line is cut off, a whole one that lacks its newline gets it."""
    length = os.fstat(descriptor).st_size
    os.lseek(descriptor, 0, os.SEEK_SET)
    content = os.read(descriptor, length) if length else b""
    whole = content.rfind(b"\n") + 1
    if whole == length:
        return length
    try:
        Entry.model_validate_json(content[whole:])
    except ValidationError:
        os.ftruncate(descriptor, whole)
        return whole
    os.lseek(descriptor, length, os.SEEK_SET)
    _write_all(descriptor, b"\n")
    return length + 1


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    """Makes a new file's name survive a power cut; not every system can, and then it is left at that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
