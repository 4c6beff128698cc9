"""Files of a version, streamed from the disk as they are sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from lifelearn.learning.types import Lesson

CHUNK_BYTES = 1 << 20


class _Sink(io.RawIOBase):
    """Where a zip file is written to; what it holds is taken out again and again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(part))
        return len(part)

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def as_zip(folder: Path, names: Sequence[str], moment: datetime) -> Iterator[bytes]:
    """The files, uncompressed as weights do not shrink, a part at a time."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            about = zipfile.ZipInfo(name, moment.timetuple()[:6])
            about.external_attr = 0o644 << 16
            with (folder / name).open("rb") as file, archive.open(about, "w", force_zip64=True) as entry:
                while part := file.read(CHUNK_BYTES):
                    entry.write(part)
                    yield sink.take()
    yield sink.take()


def as_lines(lesson: Lesson) -> Iterator[str]:
    """The rows that were trained on, one JSON object a line."""
    for row in lesson.rows:
        yield row.model_dump_json() + "\n"
