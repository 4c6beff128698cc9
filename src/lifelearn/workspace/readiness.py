"""Whether the database takes what is to be kept: found out by a real write, once a second at most, however many ask.

One look is taken at a time, in a thread of its own. Where the database hangs, that thread hangs and nothing else does:
who asks is told so, at once from then on, until the look has ended. Knows the database alone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from lifelearn.workspace.database import Database, DatabaseError

FRESH_SECONDS = 1.0  # a look is taken not more often
LIMIT_SECONDS = 10.0  # what takes longer does not answer
OK = "ok"
SILENT = "does not answer"

# By the names of SQLite's errors, and PostgreSQL's numbers.
REASONS = {
    "SQLITE_READONLY": "it is read-only",
    "25006": "it is read-only",
    "SQLITE_FULL": "the disk is full",
    "53100": "the disk is full",
    "SQLITE_IOERR": "the disk fails",
    "58030": "the disk fails",
    "SQLITE_BUSY": "something else holds it",
    "57014": "something else holds it",
}

log = structlog.get_logger("lifelearn.operation")


class Readiness:
    """For one event loop. clock: seconds that never go back, for tests."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._look: Future[str] | None = None
        self._began = 0.0

    async def database(self) -> str:
        """OK, or what is wrong, in words that name no file and no server."""
        look, now = self._look, self._clock()
        if look is None or (look.done() and now - self._began >= FRESH_SECONDS):
            look, self._began = Future(), now
            self._look = look
            threading.Thread(target=self._find_out, args=(look,), daemon=True, name="readiness").start()
        with suppress(TimeoutError):
            if not look.done():
                left = self._began + LIMIT_SECONDS - now
                return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(look)), left)
        return look.result() if look.done() else SILENT

    def _find_out(self, look: Future[str]) -> None:
        try:
            look.set_result(self._found())
        except Exception:
            log.exception("the database cannot be looked at")
            look.set_result(SILENT)

    def _found(self) -> str:
        try:
            self._database.check()
        except (SQLAlchemyError, DatabaseError) as error:
            log.error("the database does not answer", error=str(error))
            return SILENT
        try:
            self._database.check_writing()
        except SQLAlchemyError as error:
            log.error("the database cannot be written", error=str(error))
            return f"cannot be written: {_reason(error)}"
        return OK


def _reason(error: SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    code = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None) or ""
    return next((words for start, words in REASONS.items() if code.startswith(start)), "the log says why")
