"""The database: one engine, a session for reading and one for writing, and what columns share.

SQLite and PostgreSQL behave alike: a reading session cannot write, a writing one takes its turn before it reads, so
that "database is locked" cannot happen half-way. Knows no tables.
"""

from __future__ import annotations

import asyncio
import glob
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import contextmanager_in_threadpool
from sqlalchemy import DateTime, Dialect, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

SQLITE_BUSY_SECONDS = 30
CONNECT_SECONDS = 10
IDLE_SECONDS = 20  # that a transaction may do nothing, PostgreSQL
READERS, WRITERS = 20, 10  # requests with a session at a time, in one process
POOL_SIZE, POOL_MORE = READERS + WRITERS, 30  # more, as some open a second session for a moment
READING = frozenset({"GET", "HEAD", "OPTIONS"})
BESIDE = ("", "-wal", "-shm", "-journal")  # what SQLite has, or left, beside its file
_AFTER, _TURN = "after_commit", "turn"
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class DatabaseError(Exception):
    """The database cannot be used. The text says why and what to do."""


class UtcDateTime(TypeDecorator[datetime]):
    """Points in time: aware and in UTC on both databases, though SQLite keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime}  # noqa: RUF012


def now() -> datetime:
    return datetime.now(UTC)


class Identified:
    """What every row of our own has: an id that cannot be guessed, and when it was made."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    created_at: Mapped[datetime] = mapped_column(default=now)


def as_id(text: str) -> uuid.UUID | None:
    """The id that a text is; None for any other text."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def ago(**parts: float) -> datetime:
    return now() - timedelta(**parts)


def ahead(**parts: float) -> datetime:
    return now() + timedelta(**parts)


def after_commit(db: Session, do: Callable[[], None]) -> None:
    """Has `do` called once the changes of a session are kept; never if they are not. It must not raise."""
    db.info.setdefault(_AFTER, []).append(do)


def commit(db: Session) -> None:
    """Ends the transaction of a session before its block ends, its changes kept, so that nobody waits for what follows;
    what is to come after that comes. A request gives its turn to the next one.

    Nothing can be asked of the session from there on; what was loaded stays readable.
    """
    db.flush()
    transaction = db.connection().get_transaction()
    assert transaction is not None
    transaction.commit()
    if (give_back := db.info.pop(_TURN, None)) is not None:
        give_back()
    _after_commit(db)


def _after_commit(db: Session) -> None:
    for do in db.info.pop(_AFTER, ()):
        do()


class Database:
    """The engine behind two kinds of session; each session is one transaction."""

    def __init__(self, url: str) -> None:
        """Makes the folder of a SQLite file; connects later. Raises DatabaseError where it cannot be made."""
        self.url = make_url(url)
        if self.url.drivername == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.file is not None:
            folder = self.file.absolute().parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseError(
                    f"The database's folder {folder} cannot be made: {error.strerror}. Set LL_DATABASE_URL to a file "
                    "in a folder that this user may write to."
                ) from error
        self.engine = self._engine()
        self.read_turns, self.write_turns = asyncio.Semaphore(READERS), asyncio.Semaphore(WRITERS)

    @property
    def file(self) -> Path | None:
        """SQLite's; None on PostgreSQL, in memory, and where the URL has options for SQLite."""
        name = self.url.database or ""
        return Path(name) if self.is_sqlite and name and not name.startswith((":", "file:")) else None

    @property
    def files(self) -> list[Path]:
        """What SQLite and we have, or may have, on the disk of it; copies from before a change of the schema, too."""
        file = self.file
        if file is None:
            return []
        beside = [file.with_name(file.name + end) for end in (*BESIDE, ".reaper")]
        return [*beside, *sorted(file.parent.glob(f"{glob.escape(file.name)}.before-*"))]

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that cannot change the database. On SQLite it sees one state of it; on PostgreSQL each query sees
        what is kept by then."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("PRAGMA query_only = ON")
            else:
                connection.execute(text("SET TRANSACTION READ ONLY"))
            try:
                with Session(connection, expire_on_commit=False, autoflush=False) as session:
                    yield session
            finally:
                connection.rollback()
                if self.is_sqlite:
                    connection.exec_driver_sql("PRAGMA query_only = OFF")

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are kept if the block ends well, all or none."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                connection.execution_options(write=True)
            with connection.begin(), Session(connection, expire_on_commit=False) as session:
                yield session
                session.flush()
        _after_commit(session)

    def check(self) -> None:
        """Raises an error of SQLAlchemy's where the database does not answer."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def check_writing(self) -> None:
        """Raises an error of SQLAlchemy's where nothing can be kept. One row is written as it is, and to the disk: that
        it may be written shows neither a full disk nor one that was mounted read-only since."""
        with self.write() as db:
            if not self.is_sqlite:
                db.execute(text(f"SET LOCAL statement_timeout = '{CONNECT_SECONDS}s'"))
            db.execute(text("UPDATE alembic_version SET version_num = version_num"))

    def close(self) -> None:
        self.engine.dispose()

    def _engine(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(
                self.url,
                pool_size=POOL_SIZE,
                max_overflow=POOL_MORE,
                pool_pre_ping=True,
                hide_parameters=True,  # errors are logged, values may be secret
                connect_args={
                    "connect_timeout": CONNECT_SECONDS,
                    # A process that stands still in the middle of a transaction must not hold its locks for ever.
                    "options": f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
                },
            )
        engine = create_engine(
            self.url,
            pool_size=POOL_SIZE,
            max_overflow=POOL_MORE,
            hide_parameters=True,
            connect_args={"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def _connect(connection: sqlite3.Connection, _record: Any) -> None:
            connection.isolation_level = None  # transactions begin where we say so, below
            with suppress(OSError):
                if self.file is not None and not self.file.stat().st_size:  # before anything is in it, or beside it
                    self.file.chmod(0o600)
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode not in ("wal", "memory"):
                raise DatabaseError(
                    f"SQLite cannot use a write-ahead log for {self.url.database}: its journal stays {mode!r}, as on a "
                    "network share, or where it may only be read. Several processes write it at a time, which is not "
                    "safe without. Name a file on a disk of this machine by LL_DATABASE_URL, or PostgreSQL."
                )
            for pragma in ("synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            # A writer that began as a reader is refused at once when another wrote in between: it asks first.
            immediate = connection.get_execution_options().get("write")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine


def sqlite_fault(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str:
    """What is known against a release of SQLite, in sentences for the log; "" where nothing is.

    Its "WAL-reset bug", from 3.7.0 on (sqlite.org/wal.html). Not refused: see docs/decisions/0017.
    """
    if version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45):
        return ""
    return (
        f"SQLite {'.'.join(map(str, version[:3]))} has a fault, unless your system's maker has mended it: where two "
        "processes write and tidy up the write-ahead log at the very same moment, which is rare, changes can be lost "
        "and the database damaged. Take a Python with SQLite 3.51.3 or newer (or 3.50.7, or 3.44.6), or PostgreSQL by "
        "LL_DATABASE_URL; and make backups (lifelearn backup)."
    )


def database_of(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _session(request: Request) -> AsyncIterator[Session]:
    """A session for the length of a request; a request that may not change anything gets one that cannot.

    Requests wait for their turn here, where they hold neither a thread nor a connection: otherwise some would hold all
    connections and wait for a thread, while others hold all threads and wait for a connection.
    """
    database = database_of(request)
    reads = request.method in READING
    turns = database.read_turns if reads else database.write_turns
    await turns.acquire()
    held, loop = [turns], asyncio.get_running_loop()

    def give_back() -> None:
        with suppress(IndexError):  # it was given back already
            loop.call_soon_threadsafe(held.pop().release)

    try:
        async with contextmanager_in_threadpool(database.read() if reads else database.write()) as session:
            session.info[_TURN] = give_back
            yield session
    finally:
        give_back()


# "function": committed before the answer is sent, so that the next request sees what this one did.
Db = Annotated[Session, Depends(_session, scope="function")]
