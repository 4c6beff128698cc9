"""What the pages of versions have in common: their paths' numbers, their words, a version's files. Knows no routes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path as Folder
from typing import Annotated, Any

import structlog
from fastapi import Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from sqlalchemy.orm import Session

from lifelearn.learning.types import Lesson, ModelVersion
from lifelearn.learning.version import LESSON, VersionError
from lifelearn.workspace.database import commit
from lifelearn.workspace.errors import UnavailableError
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions import report, service
from lifelearn.workspace.versions.service import MOST_NUMBER, called

log = structlog.get_logger("lifelearn.versions")

MOST_PAGES = 1_000_000

Number = Annotated[int, Path(ge=0, le=MOST_NUMBER)]
Made = Annotated[int, Path(ge=1, le=MOST_NUMBER)]  # 0, the base, has no report and no files
Page = Annotated[int, Query(ge=1, le=MOST_PAGES)]
Until = Annotated[int | None, Query(ge=0, le=MOST_NUMBER)]
Cursor = Annotated[str, Query(max_length=100)]


def words() -> dict[str, Any]:
    return {
        "called": called,
        "size": report.size,
        "duration": report.duration,
        "share": service.share,
        "failure": service.failure,
        "asks": report.ASKS,
        "value_of": report.value,
        "threshold_of": report.threshold,
    }


def manifest_of(found: Version) -> ModelVersion:
    try:
        return found.model()
    except ValidationError:
        log.exception("manifest", version=str(found.id))
        raise UnavailableError(
            f"The report of version {found.number} cannot be read: it is damaged, or of another release."
        ) from None


def fetched(request: Request, found: Version, names: Iterable[str] | None = None) -> Folder:
    """The folder with a version's files, or with those named. They may be far away: end the transaction before."""
    try:
        return Storage(request.app.state.settings).fetch(found, names)
    except (VersionError, OSError):  # its text names folders of this machine
        log.exception("version", number=found.number)
        raise damaged(found.number) from None


def damaged(number: int) -> UnavailableError:
    return UnavailableError(f"The files of version {number} are damaged or missing. Tell who runs this server.")


def lesson_of(request: Request, db: Session, found: Version) -> Lesson:
    commit(db)
    file = fetched(request, found, [LESSON]) / LESSON
    try:
        return Lesson.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        log.exception("lesson", version=str(found.id))
        raise damaged(found.number) from None


def download(parts: Iterator[str] | Iterator[bytes], name: str, media_type: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts, media_type=media_type, headers=headers)
