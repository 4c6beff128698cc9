"""Lists, newest first, a page at a time: where a page ends is told by a cursor, and read again. Knows no tables.

A cursor is a moment, in microseconds since 1970, and a row's id: "1764072000000000-" and 32 digits.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from lifelearn.workspace.database import Identified
from lifelearn.workspace.errors import InvalidError

GONE = "This page of the list does not exist. Start at its beginning."
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = TypeVar("Row", bound=Identified)


def paged(
    db: Session,
    query: Select[Row],
    table: type[Row],
    before: str,
    most: int,
    gone: str = GONE,
    by: InstrumentedAttribute[datetime] | None = None,
) -> tuple[list[Row], str]:
    """Rows of a table, newest first, and the cursor of the next page; "" for the last.

    before: such a cursor; "" for the first page. by: the moment that counts; when the row was made, if not said.
    Raises InvalidError, which says `gone`, for what is no cursor.
    """
    moment: InstrumentedAttribute[Any] = table.created_at if by is None else by
    if before:
        query = query.where(older(moment, table.id, *read_cursor(before, gone)))
    found = db.scalars(query.order_by(moment.desc(), table.id.desc()).limit(most + 1)).all()
    shown = list(found[:most])
    return shown, cursor(getattr(shown[-1], moment.key), shown[-1].id) if len(found) > most else ""


def older(moment: Any, row_id: Any, at: datetime, at_id: uuid.UUID) -> ColumnElement[bool]:
    """Of two columns: whether the row comes after the one of (at, at_id) in a list with the newest first."""
    return or_(moment < at, and_(moment == at, row_id < at_id))


def cursor(moment: datetime, row_id: uuid.UUID) -> str:
    return f"{(moment - EPOCH) // timedelta(microseconds=1)}-{row_id.hex}"


def read_cursor(text: str, gone: str = GONE) -> tuple[datetime, uuid.UUID]:
    """What `cursor` was given. Raises InvalidError, which says `gone`, for what is no cursor."""
    found = re.fullmatch(r"(\d{1,17})-([0-9a-f]{32})", text, re.ASCII)
    if found is None:
        raise InvalidError(gone)
    return EPOCH + timedelta(microseconds=int(found[1])), uuid.UUID(found[2])
