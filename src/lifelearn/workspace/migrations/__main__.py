"""Writes the next revision: what the tables have and the revisions so far do not. For developers."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from lifelearn.workspace.database import Database
from lifelearn.workspace.migrations import configured, upgrade


def main(what: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'empty.db'}")
        with database.engine.connect() as connection:
            config = configured(connection)
            count = len(list(ScriptDirectory.from_config(config).walk_revisions()))
            if count:
                upgrade(database)
            with connection.begin():
                command.revision(config, what, autogenerate=True, rev_id=f"{count + 1:04}")
        database.close()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or sys.exit("Say in a few words what changes."))
