"""What an organisation may keep: chats, text, imports, corrections that wait. The operator sets how much.

Each refusal says what was reached. A quota is looked at before something is kept, so that what is kept at the same
moment may go over it by that.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

from fastapi import Request
from sqlalchemy import ColumnElement, LargeBinary, Select, cast, func, select
from sqlalchemy.orm import Session

from lifelearn.settings import Settings
from lifelearn.workspace import throttle
from lifelearn.workspace.errors import QuotaError, TooManyError
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.corrections import OPEN, TAUGHT, Correction

MB = 1_000_000
DAY = 86_400
KNOWN_SECONDS = 60.0  # that a sum over all messages is good for
OF_ONE_AUTHOR = 10  # the share of what may wait that is one author's
FULL_SECONDS = 2.0  # the same where it refuses: somebody may be deleting chats


class Quotas:
    """For all organisations of one process; from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stored: dict[uuid.UUID, tuple[float, int]] = {}  # when it was summed, and bytes
        self._lock = threading.Lock()

    def check_thread(self, db: Session, organization_id: uuid.UUID, more: int = 1) -> None:
        """Raises QuotaError where there is no room for another chat, or for what is said in it."""
        most = self._settings.quota_threads
        if _reaches(db, select(Thread.id).where(Thread.organization_id == organization_id), most):
            raise QuotaError(
                f"This organisation keeps {most:,} chats, as many as it may. Delete some, or ask who runs this server "
                "for more (LL_QUOTA_THREADS)."
            )
        self.check_text(db, organization_id, more)

    def check_text(self, db: Session, organization_id: uuid.UUID, more: int = 1) -> None:
        """Counts `more` bytes of messages that are about to be kept. Raises QuotaError where there is no room."""
        most = self._settings.quota_stored_mb
        with self._lock:
            summed, stored = self._stored.get(organization_id, (-KNOWN_SECONDS, 0))
        known = KNOWN_SECONDS if stored + more <= most * MB else FULL_SECONDS
        if time.monotonic() - summed >= known:
            summed, stored = time.monotonic(), _stored(db, organization_id)
        has_room = stored + more <= most * MB
        with self._lock:
            self._stored[organization_id] = summed, stored + more * has_room
        if not has_room:
            raise QuotaError(
                f"The chats of this organisation hold {stored // MB:,} of the {most:,} MB that they may. Delete some, "
                "or ask who runs this server for more (LL_QUOTA_STORED_MB)."
            )

    def count_import(self, db: Session, organization_id: uuid.UUID, size: int) -> None:
        """Counts a file of `size` bytes. Raises QuotaError where that is more than may come in within a day."""
        most = self._settings.quota_imported_mb
        try:
            throttle.count(db, f"imported:{organization_id}", most * MB // 1000, DAY, -(-size // 1000))
        except TooManyError as error:
            raise QuotaError(
                f"This organisation may import {most:,} MB within a day, and this file goes over it. Import it "
                "tomorrow, or ask who runs this server for more (LL_QUOTA_IMPORTED_MB)."
            ) from error


def bytes_of(text: str) -> int:
    """As it is kept."""
    return len(text.encode("utf-8", "replace"))


def quotas_of(request: Request) -> Quotas:
    quotas: Quotas = request.app.state.quotas
    return quotas


def check_correction(db: Session, settings: Settings, organization_id: uuid.UUID, author_id: uuid.UUID | None) -> None:
    """Raises QuotaError where as many corrections wait as may: for their authors, for an admin, or to be learned. Of
    one author as many as a tenth: nobody keeps the others from correcting."""
    most, waits = settings.quota_corrections, Correction.state.in_((*OPEN, *TAUGHT))
    waiting = select(Correction.id).where(Correction.organization_id == organization_id, waits)
    if _reaches(db, waiting.where(Correction.author_id == author_id), share := max(1, most // OF_ONE_AUTHOR)):
        raise QuotaError(
            f"{share:,} corrections of yours wait, as many as one person's may. Decide about some, or wait until some "
            "are learned."
        )
    if _reaches(db, waiting, most):
        raise QuotaError(
            f"{most:,} corrections of this organisation wait, as many as may. Decide about some, or wait until some "
            "are learned; who runs this server can allow more (LL_QUOTA_CORRECTIONS)."
        )


def _reaches(db: Session, rows: Select[Any], most: int) -> bool:
    """Whether there are as many, without counting those beyond."""
    return db.scalar(select(func.count()).select_from(rows.limit(most).subquery())) == most


def _stored(db: Session, organization_id: uuid.UUID) -> int:
    """Bytes of messages and of corrections."""
    on_sqlite = db.get_bind().dialect.name == "sqlite"

    def size(column: Any) -> ColumnElement[int]:  # SQLite has octet_length from 3.43 on
        return func.length(cast(column, LargeBinary)) if on_sqlite else func.octet_length(column)

    said = Correction.question, Correction.wrong, Correction.message, Correction.statement
    messages = select(func.sum(size(Message.content))).where(Message.organization_id == organization_id)
    texts = sum(map(size, said[1:]), size(said[0]))
    corrections = select(func.sum(texts)).where(Correction.organization_id == organization_id)
    return sum(int(db.scalar(each) or 0) for each in (messages, corrections))
