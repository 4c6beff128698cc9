"""Finding corrections that a visitor may see: one, a list, those that wait for review."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from sqlalchemy import or_
from sqlalchemy.orm import Session, joinedload

from lifelearn.workspace.errors import NotFoundError
from lifelearn.workspace.organizations.access import corrections_seen_by
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.paging import paged
from lifelearn.workspace.searching import contains, words_of
from lifelearn.workspace.tables.corrections import Correction, State


def correction_of(db: Session, place: Place, correction_id: uuid.UUID) -> Correction:
    """Raises NotFoundError, also for one that the visitor may not see yet."""
    found = db.scalar(
        corrections_seen_by(place).where(Correction.id == correction_id).options(joinedload(Correction.author))
    )
    if found is None:
        raise NotFoundError
    return found


def listed(
    db: Session,
    place: Place,
    states_wanted: Iterable[State] = (),
    search: str = "",
    before: str = "",
    limit: int = 50,
) -> tuple[list[Correction], str]:
    """What the visitor sees, newest first, and the cursor of the next page; "" for the last.

    search: words in question or answers. before: a cursor. Raises InvalidError for what is none.
    """
    query = corrections_seen_by(place)
    if wanted := tuple(states_wanted):
        query = query.where(Correction.state.in_(wanted))
    for word in words_of(search):
        columns = (Correction.question, Correction.statement, Correction.wrong)
        query = query.where(or_(*(contains(column, word) for column in columns)))
    return paged(db, query.options(joinedload(Correction.author)), Correction, before, limit)


def waiting_for_review(db: Session, place: Place, limit: int) -> list[Correction]:
    """Those that wait for an admin, the oldest first."""
    query = (
        corrections_seen_by(place)
        .where(Correction.state == State.REVIEW)
        .order_by(Correction.created_at, Correction.id)
    )
    return list(db.scalars(query.options(joinedload(Correction.author)).limit(limit)))
