"""Patience with the database and with the place of versions: what does not answer is tried again."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

OUTAGE_SECONDS = 600.0  # the database may be gone for so long
STORAGE_SECONDS = 120.0  # and so long the place of versions
REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)  # what no waiting mends

log = structlog.get_logger("lifelearn.jobs")


def patiently(do: Callable[[], Any]) -> Any:
    """Does it, again and again while the database or the place of versions does not answer."""
    began, wait = time.monotonic(), 0.2
    while True:
        try:
            return do()
        except (DBAPIError, OSError) as error:
            if time.monotonic() - began >= _patience(error):
                raise
            log.warning("tried again in a moment", error=str(error).partition("\n")[0])
            time.sleep(wait)
            wait = min(2 * wait, 5.0)


def _patience(error: DBAPIError | OSError) -> float:
    """How long to wait for what raises this, in seconds. What a database refuses, it will refuse again."""
    if isinstance(error, OSError):
        return 0.0 if error.errno in REFUSED else STORAGE_SECONDS
    away = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return OUTAGE_SECONDS if away else 0.0
