"""PostgreSQL's own programs, pg_dump and pg_restore: found, of a release that fits, and told the way to the database.

The password goes by their environment: others see arguments.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from lifelearn.workspace.children import environment
from lifelearn.workspace.database import Database, DatabaseError
from lifelearn.workspace.migrations import shown

_PLAIN = ("--no-owner", "--no-privileges", "--no-comments")  # whoever restores owns it


def dumped(database: Database, snapshot: str, to: Path) -> None:
    """Has pg_dump write what a snapshot shows, in its own format, which is compressed. Raises DatabaseError."""
    program = _program("pg_dump", database)
    _run(database, [program, *_PLAIN, "--format=custom", f"--snapshot={snapshot}", f"--file={to}"], "dumped")


def restored(database: Database, dump: Path) -> None:
    """Has pg_restore fill an empty database, all or nothing. Raises DatabaseError."""
    program = _program("pg_restore", database)
    _run(database, [program, *_PLAIN, "--single-transaction", "--exit-on-error", str(dump)], "filled")


def is_empty(database: Database) -> bool:
    """Whether there is no table, view or sequence of anybody's."""
    query = """
        SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    """
    try:
        with database.engine.connect() as connection:
            return connection.execute(text(query)).scalar() == 0
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise DatabaseError(
            f"The database {shown(database)} cannot be used: {reason.rstrip('.')}. It is to be there, and empty: "
            "make it with createdb, and check LL_DATABASE_URL."
        ) from error


def _program(name: str, database: Database) -> str:
    """Raises DatabaseError where it is not installed, or too old for the server."""
    found = shutil.which(name)
    with database.engine.connect() as connection:
        server = int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10_000
    if found is None:
        raise DatabaseError(f"{name} is not installed. Install PostgreSQL's programs for clients, release {server} on.")
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    release = re.search(r"\) (\d+)", told.stdout)
    if release is None or int(release[1]) < server:
        has = release[1] if release else "unknown"
        raise DatabaseError(
            f"{name} is of release {has}, and the server of release {server}. Install PostgreSQL's programs for "
            f"clients, release {server} on."
        )
    return found


def _run(database: Database, command: list[str], done: str) -> None:
    way = {**database.url.translate_connect_args(username="user", database="dbname"), **database.url.query}
    password = way.pop("password", None)
    done_by = subprocess.run(  # noqa: S603
        [*command, f"--dbname={make_conninfo(**way)}"],
        env={**environment(), **({"PGPASSWORD": str(password)} if password else {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done_by.returncode:
        lines = [line for line in done_by.stderr.splitlines() if "error:" in line] or done_by.stderr.splitlines()
        reason = lines[0].partition("error: ")[2] or lines[0] if lines else f"status {done_by.returncode}"
        raise DatabaseError(
            f"The database {shown(database)} could not be {done}: {Path(command[0]).name} says: {reason.rstrip('.')}."
        )
