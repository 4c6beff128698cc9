"""Throttling: in the database, so that processes count together; in its own transactions, so that failures count."""

from __future__ import annotations

from sqlalchemy import delete

from lifelearn.workspace.accounts.tables import Throttle
from lifelearn.workspace.database import Database, ago, now
from lifelearn.workspace.errors import TooManyError


def throttle(database: Database, key: str, most: int, seconds: int) -> None:
    """Counts one attempt under `key`. Raises TooManyError above `most` within `seconds`."""
    with database.write() as db:
        row = db.get(Throttle, key, with_for_update=True)
        if row is None or row.since < ago(seconds=seconds):
            db.merge(Throttle(key=key, since=now(), count=1))
            return
        row.count += 1
        too_many, left = row.count > most, seconds - int((now() - row.since).total_seconds())
    if too_many:
        raise TooManyError(f"Too many attempts. Try again in {_words(max(left, 1))}.", max(left, 1))


def forget(database: Database, key: str) -> None:
    """Starts counting afresh, after a success."""
    with database.write() as db:
        db.execute(delete(Throttle).where(Throttle.key == key))


def sweep(database: Database, seconds: int = 86_400) -> None:
    """Removes counts that no longer matter."""
    with database.write() as db:
        db.execute(delete(Throttle).where(Throttle.since < ago(seconds=seconds)))


def _words(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 90 else f"{-(-seconds // 60)} minutes"
