"""Lists, newest first, a page at a time: where a page ends is told by a cursor, and read again. Knows no tables."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Select, and_, or_
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Identified
from lifelearn.workspace.errors import InvalidError

GONE = "This page of the list does not exist. Start at its beginning."

Row = TypeVar("Row", bound=Identified)


def paged(
    db: Session, query: Select[Row], table: type[Row], before: str, most: int, gone: str = GONE
) -> tuple[list[Row], str]:
    """Rows of a table, newest first, and the cursor of the next page; "" for the last.

    before: such a cursor; "" for the first page. Raises InvalidError, which says `gone`, for what is none.
    """
    if before:
        moment, row_id = _read(before, gone)
        earlier = and_(table.created_at == moment, table.id < row_id)
        query = query.where(or_(table.created_at < moment, earlier))
    found = db.scalars(query.order_by(table.created_at.desc(), table.id.desc()).limit(most + 1)).all()
    shown = list(found[:most])
    return shown, f"{shown[-1].created_at.isoformat()}_{shown[-1].id}" if len(found) > most else ""


def _read(cursor: str, gone: str) -> tuple[datetime, uuid.UUID]:
    moment, _, row_id = cursor.partition("_")
    try:
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError(moment)
        return at.astimezone(UTC), uuid.UUID(row_id)
    except (ValueError, OverflowError):
        raise InvalidError(gone) from None
