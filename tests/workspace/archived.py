"""What is in a database and in a folder, to be compared with what a restore made of it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, Table, create_engine, inspect, select

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from workspace.fakes import Workspace
from workspace.versioned import corrected, made


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    with closing(Database(settings.database_url)) as found:
        yield found


def rows(settings: Settings) -> dict[str, list[Any]]:
    """Everything that is in a database, by table."""
    engine = create_engine(Database(settings.database_url).url)
    schemas = [None] if engine.dialect.name == "sqlite" else [None, "dbos"]
    found = {}
    with engine.connect() as connection:
        for schema in schemas:
            for name in inspect(connection).get_table_names(schema=schema):
                table = Table(name, MetaData(), schema=schema, autoload_with=connection)
                found[f"{schema}.{name}"] = sorted(map(repr, connection.execute(select(table))))
    engine.dispose()
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def foreign_keys_are_sound(settings: Settings) -> bool:
    """PostgreSQL has checked them as pg_restore made them."""
    with database_of(settings) as database:
        if not database.is_sqlite:
            return True
        with database.engine.connect() as connection:
            return not connection.exec_driver_sql("PRAGMA foreign_key_check").all()


def filled(workspace: Workspace, name: str = "Acme", count: int = 2) -> uuid.UUID:
    """An organisation with versions."""
    owner = workspace.person(f"{name.lower()}@example.org")
    place = workspace.organization(owner, name)
    for number in range(count):
        made(workspace, place, corrected(workspace, place, f"{name}'s question {number}?"))
    return place


def lifelearn(*arguments: object, settings: Settings) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "LL_DATABASE_URL": settings.database_url,
        "LL_MODEL_STORAGE_DIR": str(settings.model_storage_dir),
    }
    return subprocess.run(
        [sys.executable, "-m", "lifelearn", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
