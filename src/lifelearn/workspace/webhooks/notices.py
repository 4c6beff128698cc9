"""Notices in the page: what happened in an organisation, for everybody there or for one member, and what is new."""

from __future__ import annotations

import re
import uuid
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Database
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.paging import paged
from lifelearn.workspace.tables.organizations import Membership
from lifelearn.workspace.tables.webhooks import NOBODY, Happening, Seen
from lifelearn.workspace.webhooks.administration import PAGE
from lifelearn.workspace.webhooks.service import TEST

MOST_COUNTED = 99
FOR_ADMINS = ("correction.review",)  # leads where others may not look

# Within the organisation: no address elsewhere, and no way up.
_PATH = re.compile(r"(/[A-Za-z0-9_-]+)+(\?[A-Za-z0-9_=&-]*)?(#[A-Za-z0-9_-]+)?")


def notices(db: Session, place: Place, before: str = "", most: int = PAGE) -> tuple[list[Happening], str]:
    """What the visitor may see, newest first, and the cursor of the next page."""
    return paged(db, select(Happening).where(*_for(place)), Happening, before, most)


def unseen(db: Session, place: Place) -> int:
    """How many are new; not counted beyond MOST_COUNTED + 1."""
    new = select(Happening.id).where(*_for(place), Happening.created_at > _until(place)).limit(MOST_COUNTED + 1)
    return db.scalar(select(func.count()).select_from(new.subquery())) or 0


def seen_until(db: Session, place: Place) -> datetime | None:
    """Up to when the visitor has seen them."""
    return db.scalar(select(_until(place)))


def mark_seen(database: Database, organization_id: uuid.UUID, user_id: uuid.UUID, until: datetime) -> None:
    """Never takes it back: of two pages at once the later notice counts."""
    with database.write() as db:
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        made = insert(Seen).values(organization_id=organization_id, user_id=user_id, until=until)
        db.execute(
            made.on_conflict_do_update(
                index_elements=[Seen.organization_id, Seen.user_id],
                set_={"until": made.excluded.until},
                where=Seen.until < made.excluded.until,
            )
        )


def link_of(where: str, path: str) -> str:
    """The address that a notice leads to, within the organisation at `where`; that itself for any other path."""
    return where + path if _PATH.fullmatch(path) else where


def _for(place: Place) -> tuple[ColumnElement[bool], ...]:
    return (
        Happening.organization_id == place.organization.id,
        or_(Happening.user_id.is_(None), Happening.user_id == place.user.id),
        Happening.name != TEST,
        Happening.path != NOBODY,
        *(() if place.may_admin else (Happening.name.not_in(FOR_ADMINS),)),
    )


def _until(place: Place) -> ColumnElement[datetime]:
    """Up to when they are seen: at first, those of before the visitor came."""
    seen, joined = (
        select(column).where(of.organization_id == place.organization.id, of.user_id == place.user.id).scalar_subquery()
        for column, of in ((Seen.until, Seen), (Membership.created_at, Membership))
    )
    return func.coalesce(seen, joined)
