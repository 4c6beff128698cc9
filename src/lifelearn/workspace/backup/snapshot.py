"""One state of the database, as a file, while others go on writing; and what of it a backup must know.

SQLite: pages are copied in one reading transaction, under which writers go on, and which keeps the copying from
beginning again with each change. PostgreSQL: pg_dump and the questions asked here see one exported snapshot.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from lifelearn.workspace.backup import postgresql
from lifelearn.workspace.database import Database, DatabaseError
from lifelearn.workspace.migrations import newest, shown
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Version

PAGES = 2048  # copied at a time


@dataclass(frozen=True)
class Kept:
    """A version that the snapshot names. files: name -> SHA-256."""

    id: uuid.UUID
    organization_id: uuid.UUID
    number: int
    files: Mapping[str, str]
    size: int


@dataclass(frozen=True)
class Contents:
    """What is in a snapshot. revision: of the schema; None where nobody has made one yet."""

    revision: str | None
    organizations: int
    versions: list[Kept]


def taken(database: Database, to: Path) -> Contents:
    """Writes the database, as it is at one moment, to a file. Raises DatabaseError, and OSError for a full disk."""
    try:
        if database.is_sqlite:
            _copied(Path(database.url.database or ""), to)
            return _of_copy(to)
        with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # while pg_dump works
            name = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            contents = _contents(connection)
            postgresql.dumped(database, str(name), to)
            return contents
    except (DBAPIError, sqlite3.Error) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise DatabaseError(f"The database {shown(database)} cannot be backed up: {reason.rstrip('.')}.") from error


def still_there(database: Database, version: Kept) -> bool:
    """Whether the database names the version now."""
    with database.read() as db:
        return db.scalar(select(Version.id).where(Version.id == version.id)) is not None


def _copied(source: Path, to: Path) -> None:
    """sqlite3's own way to copy a database in use; in one transaction it need not begin again when others write."""
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=30)) as there:
        there.isolation_level = None
        there.execute("BEGIN")
        there.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it sees one state
        with closing(sqlite3.connect(to)) as here:
            there.backup(here, pages=PAGES, progress=_between)
            (problem,) = here.execute("PRAGMA quick_check(1)").fetchone()
            here.execute("PRAGMA journal_mode = DELETE")  # one file
    if problem != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({problem})")


def _between(_status: int, _remaining: int, _total: int) -> None:
    """Called between two steps: where Python runs, Ctrl-C is heard."""


def _of_copy(file: Path) -> Contents:
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.connect() as connection:
            return _contents(connection)
    finally:
        engine.dispose()


def _contents(connection: Connection) -> Contents:
    there = set(inspect(connection).get_table_names())
    revision = None
    if "alembic_version" in there:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is not None and revision > newest():
        raise DatabaseError(
            f"The database is of a newer release (its schema is {revision}, this release knows up to {newest()}). "
            "Back it up with that release."
        )
    count, versions = 0, []
    if Organization.__tablename__ in there:
        count = connection.execute(select(func.count()).select_from(Organization)).scalar_one()
    if Version.__tablename__ in there:
        query = select(Version.id, Version.organization_id, Version.number, Version.files, Version.bytes)
        versions = [Kept(*row) for row in connection.execute(query.order_by(Version.organization_id, Version.number))]
    return Contents(revision, count, versions)
