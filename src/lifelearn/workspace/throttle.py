"""Throttling: in the database, so that processes count together, and before it is known how an attempt ends.

A form counts in its own session and commits before it looks whether the attempt was right: a failure counts then, and
attempts at the same moment cannot all pass. Of addresses and accounts only a hash is kept.
An address is counted after its network, and in its one form: a visitor adds no more rows than the network may.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, literal, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from lifelearn.workspace.crypto import hash_token
from lifelearn.workspace.database import Database, UtcDateTime, ago, now
from lifelearn.workspace.errors import TooManyError
from lifelearn.workspace.tables.throttles import Throttle


@dataclass(frozen=True)
class Limit:
    """At most `most` attempts within `seconds`, for each who makes them."""

    name: str
    most: int
    seconds: int

    def count(self, db: Session, who: str) -> None:
        """Counts one attempt. Raises TooManyError above the limit; the caller commits before it goes on."""
        count(db, self._key(who), self.most, self.seconds)

    def forgive(self, db: Session, who: str) -> None:
        """Takes one attempt back: it was right. The failures before it stay counted."""
        db.execute(
            update(Throttle)
            .where(Throttle.key == self._key(who), Throttle.count > 0)
            .values(count=Throttle.count - 1)
            .execution_options(synchronize_session=False)
        )

    def _key(self, who: str) -> str:
        return f"{self.name}:{hash_token(who)[:32]}"


def count(db: Session, key: str, most: int, seconds: int, by: int = 1) -> None:
    """Counts an attempt under `key`, or `by` of them, in one statement. Raises TooManyError above `most` within
    `seconds`."""
    insert = sqlite.insert if db.get_bind().dialect.name == "sqlite" else postgresql.insert
    moment, over = now(), Throttle.since < ago(seconds=seconds)
    counted, since = db.execute(
        insert(Throttle)
        .values(key=key, since=moment, count=by)
        .on_conflict_do_update(
            index_elements=[Throttle.key],
            set_={
                "count": case((over, by), else_=Throttle.count + by),
                "since": case((over, literal(moment, UtcDateTime())), else_=Throttle.since),
            },
        )
        .returning(Throttle.count, Throttle.since)
    ).one()
    if counted > most:
        raise _too_many(since, seconds)


def throttle(database: Database, key: str, most: int, seconds: int) -> None:
    """The same in a transaction of its own. Not for a changing request before `commit(db)`: it would wait for itself
    on SQLite."""
    refused = None
    with database.write() as db:
        try:
            count(db, key, most, seconds)
        except TooManyError as error:
            refused = error
    if refused is not None:
        raise refused


def forget(database: Database, key: str) -> None:
    """Starts counting afresh, after a success."""
    with database.write() as db:
        db.execute(delete(Throttle).where(Throttle.key == key))


def sweep(database: Database, seconds: int = 2 * 86_400) -> None:
    """Removes counts that no longer matter; none matters for longer than a day."""
    with database.write() as db:
        db.execute(delete(Throttle).where(Throttle.since < ago(seconds=seconds)))


def network(address: str) -> str:
    """What counts as one visitor: an IPv4 address, or the network of an IPv6 one, of which a visitor has many."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))


def _too_many(since: datetime, seconds: int) -> TooManyError:
    left = max(seconds - int((now() - since).total_seconds()), 1)
    return TooManyError(f"Too many attempts. Try again in {_words(left)}.", left)


def _words(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 90 else f"{-(-seconds // 60)} minutes"
