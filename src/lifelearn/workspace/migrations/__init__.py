"""The database's schema, by Alembic: revisions in versions/, applied at start-up, all or none.

Processes that start at once take turns. SQLite is copied before a change. `python -m lifelearn.workspace.migrations
WHAT` writes the next revision from the tables, to be read before it is kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

import lifelearn.workspace.tables  # noqa: F401  # so that they are known
from lifelearn.workspace.database import Base, Database, DatabaseError, UtcDateTime

if TYPE_CHECKING:  # Alembic is imported where something is to be done: mostly it is not
    from alembic.config import Config

log = structlog.get_logger("lifelearn.migrations")

HERE = Path(__file__).parent
TURN = 5_171_983  # the advisory lock's number, PostgreSQL


def upgrade(database: Database) -> None:
    """Brings the schema up to date. Raises DatabaseError where that cannot be."""
    if _is_up_to_date(database):
        return
    begun = False
    try:
        with _turn(database) as connection:
            begun = True
            _upgrade(database, connection)
    except DBAPIError as error:
        told = "could not be brought up to date and is as it was" if begun else "cannot be used"
        advice = "" if begun else f" {_advice(database, error)}"
        raise DatabaseError(f"The database {shown(database)} {told}: {_first_line(error)}{advice}") from error


def _is_up_to_date(database: Database) -> bool:
    """A quick look: whether it has the last revision."""
    try:
        with database.engine.connect() as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == newest()
    except SQLAlchemyError:  # it is empty, or does not answer, which the second look says
        return False


def newest() -> str:
    """The last revision that this release knows: they are numbered."""
    return max((file.name[1:5] for file in (HERE / "versions").glob("r*.py")), default="")


def _upgrade(database: Database, connection: Connection) -> None:
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = configured(connection)
    script = ScriptDirectory.from_config(config)
    (head,) = script.get_heads()
    found = MigrationContext.configure(connection).get_current_revision()
    if found == head:
        return
    if found is not None and found not in {each.revision for each in script.walk_revisions()}:
        raise DatabaseError(
            f"The database {shown(database)} is of a newer release (its schema is {found}, this release knows up to "
            f"{head}). Install that release, or restore the copy from before."
        )
    if found is not None:
        log.info("the database is brought up to date", found=found, to=head, copy=_copied(database, found))
    command.upgrade(config, "head")


def tables() -> MetaData:
    """All tables as the code has them."""
    return Base.metadata


def options() -> dict[str, Any]:
    """How Alembic compares and writes; for env.py and the tests."""
    ours = tables()

    def include(name: str | None, kind: str, _parents: object) -> bool:
        """Other programs' tables are none of our business."""
        return kind != "table" or name in ours.tables

    def plain(kind: str, item: object, _context: object) -> str | bool:
        """Revisions name no class of ours: it may be another one by then."""
        return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False

    return {"target_metadata": ours, "include_name": include, "render_item": plain, "render_as_batch": True}


def configured(connection: Connection) -> Config:
    """Alembic's settings: there is no file of them."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _turn(database: Database) -> Iterator[Connection]:
    """One transaction that no other process has at the same time."""
    with database.engine.connect() as connection:
        if database.is_sqlite:
            # A table that is rebuilt is dropped, which would delete the rows that refer to its rows.
            _foreign_keys(connection, "OFF")
            connection.execution_options(write=True)
        try:
            with connection.begin():
                if not database.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": TURN})
                yield connection
                if database.is_sqlite and (lost := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
                    raise DatabaseError(f"The database {shown(database)} has rows that refer to none: {lost[:5]}.")
        finally:
            if database.is_sqlite:
                _foreign_keys(connection, "ON")


def _foreign_keys(connection: Connection, on: str) -> None:
    """Past SQLAlchemy: within a transaction it has no effect."""
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA foreign_keys = {on}")


def _copied(database: Database, revision: str) -> str:
    """The file with a copy from before; with PostgreSQL there are better ways, and none is made."""
    file = database.file
    if file is None:
        return "none; restore your own backup to go back"
    copy = file.with_name(f"{file.name}.before-{revision}")
    copy.touch(mode=0o600)  # before anything is in it
    source, target = sqlite3.connect(file), sqlite3.connect(copy)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
    return str(copy)


def shown(database: Database) -> str:
    """Its address, without the password."""
    return database.url.render_as_string(hide_password=True)


def _advice(database: Database, error: DBAPIError) -> str:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the rest says more than is asked
    if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return "Check LL_DATABASE_URL."
    folder = Path(database.url.database or "").absolute().parent
    return (
        f"This user must be able to write to its file and to the folder {folder}. Begin in such a folder, or set "
        "LL_DATABASE_URL to a file in one."
    )


def _first_line(error: DBAPIError) -> str:
    line = (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
    return line if line.endswith(".") else f"{line}."
