"""Cursors: the row that a page ended with is told and read again to the microsecond, whatever its time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as some

from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.paging import cursor, read_cursor
from lifelearn.workspace.tables.versions import Activation, Reason
from lifelearn.workspace.versions import service
from workspace.fakes import Workspace


@given(some.datetimes(datetime(1970, 1, 1), datetime(2999, 12, 31)), some.uuids())
def test_a_cursor_is_read_as_it_was_told(moment: datetime, row_id: uuid.UUID) -> None:
    at = moment.replace(tzinfo=UTC)
    assert read_cursor(cursor(at, row_id)) == (at, row_id)
    assert cursor(at.astimezone(timezone(timedelta(hours=5))), row_id) == cursor(at, row_id)


@pytest.mark.parametrize("text", ["", "x", "1-", f"-1-{'0' * 32}", f"{'9' * 18}-{'0' * 32}", f"١-{'0' * 32}"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="Start at the newest"):
        read_cursor(text, "Start at the newest.")


def test_rows_of_one_moment_are_told_once_each(workspace: Workspace) -> None:
    place = workspace.organization(workspace.person())
    moment = datetime(2026, 5, 4, 3, 2, 1, 123457, UTC)
    with workspace.database.write() as db:
        for _ in range(7):
            made = Activation(organization_id=place, number=0, previous=0, reason=Reason.CHOSEN)
            made.created_at = moment
            db.add(made)
    told: list[uuid.UUID] = []
    before = ""
    with workspace.database.read() as db:
        while True:
            found, before = service.activations(db, place, before, 3)
            told += [each.id for each in found]
            if not before:
                break
    assert len(told) == len(set(told)) == 7
