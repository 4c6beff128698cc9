"""The schema that revisions make is the one that the tables say; nothing is lost on the way, whoever starts at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from lifelearn.settings import Settings
from lifelearn.workspace import migrations
from lifelearn.workspace.database import Database, DatabaseError, ahead, now
from lifelearn.workspace.migrations import options, tables, upgrade
from lifelearn.workspace.tables.accounts import PasswordReset, SignIn, User
from waiting import HANG_SECONDS
from workspace.fakes import BOTH, running

HEADER = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = depends_on = None


def upgrade() -> None:
"""


@pytest.fixture
def with_tables() -> bool:
    return False


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    yield found
    found.close()


def revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def script() -> ScriptDirectory:
    return ScriptDirectory(str(migrations.HERE))


Add = Callable[[str], str]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Adds a revision after the last one, with these statements; returns its name."""
    folder = tmp_path / "versions"
    folder.mkdir()
    configured = migrations.configured

    def with_more(connection: object) -> object:
        config = configured(connection)  # type: ignore[arg-type]
        config.set_main_option("version_locations", f"{migrations.HERE / 'versions'}\n{folder}")
        config.set_main_option("path_separator", "newline")
        return config

    monkeypatch.setattr(migrations, "configured", with_more)
    monkeypatch.setattr(migrations, "_is_up_to_date", lambda database: False)  # which looks at the real folder
    names = [str(script().get_current_head())]

    def add(statements: str) -> str:
        name = f"{int(names[-1]) + 1:04}"
        body = HEADER.format(revision=name, before=names[-1]) + "".join(
            f"    {line}\n" for line in statements.split("\n")
        )
        (folder / f"r{name}_trial.py").write_text(body)
        names.append(name)
        return name

    return add


@BOTH
def test_revisions_make_what_the_tables_say(database: Database) -> None:
    upgrade(database)
    with database.engine.connect() as connection:
        connection.execute(text("CREATE TABLE somebody_elses (id INTEGER PRIMARY KEY)"))
        context = MigrationContext.configure(connection, opts={**options(), "compare_type": True})
        differences = compare_metadata(context, tables())
    assert differences == [], "write a revision: python -m lifelearn.workspace.migrations WHAT"
    assert revision(database) == script().get_current_head()


@BOTH
def test_constraints_have_the_names_of_the_tables(database: Database) -> None:
    """By which later revisions find them; a comparison does not look at names."""
    upgrade(database)
    found = inspect(database.engine)
    for table in tables().tables.values():
        keys = {str(key["name"]) for key in found.get_foreign_keys(table.name)}
        assert keys == {str(key.name) for key in table.foreign_key_constraints}
        on_delete = {key["name"]: key["options"].get("ondelete") for key in found.get_foreign_keys(table.name)}
        assert on_delete == {key.name: key.ondelete for key in table.foreign_key_constraints}


@BOTH
def test_an_upgrade_that_has_nothing_to_do_changes_nothing(database: Database, tmp_path: Path) -> None:
    upgrade(database)
    with database.write() as db:
        db.add(User(email="a@example.org", name="A"))
    upgrade(database)
    with database.read() as db:
        assert db.scalars(select(User.email)).all() == ["a@example.org"]
    assert not list(tmp_path.glob("*.before-*"))


START = """
import sys
from lifelearn.workspace.database import Database
from lifelearn.workspace.migrations import upgrade
sys.stdin.readline()
upgrade(Database(sys.argv[1]))
"""


@pytest.mark.check("processes")
@BOTH
def test_processes_that_start_at_once_take_turns(database_url: str) -> None:
    command = [sys.executable, "-c", START, database_url]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        assert process.communicate(timeout=HANG_SECONDS)[1] == ""
        assert process.returncode == 0
    database = Database(database_url)
    assert revision(database) == script().get_current_head()
    database.close()


@BOTH
def test_threads_that_start_at_once_take_turns(database: Database, add: Add) -> None:
    """Each revision is applied once."""
    upgrade(database)
    add("op.execute(\"INSERT INTO throttles (key, since, count) SELECT 'seen', CURRENT_TIMESTAMP, 1\")")
    errors: list[BaseException] = []

    def start() -> None:
        try:
            upgrade(database)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with database.read() as db:
        assert db.execute(text("SELECT count FROM throttles")).all() == [(1,)]


def person(database: Database) -> None:
    """A user with rows that are deleted with them."""
    with database.write() as db:
        user = User(email="a@example.org", name="A")
        db.add(user)
        db.flush()
        db.add(PasswordReset(user_id=user.id, token_hash="x", expires_at=ahead(days=1)))
        times = {"last_seen_at": now(), "expires_at": ahead(days=1), "confirmed_at": now()}
        db.add(SignIn(user_id=user.id, token_hash="x", **times))


@BOTH
def test_a_table_that_is_rebuilt_keeps_what_refers_to_it(database: Database, add: Add, tmp_path: Path) -> None:
    upgrade(database)
    person(database)
    before = revision(database)
    name = add(
        'with op.batch_alter_table("users", recreate="auto") as batch:\n'
        '    batch.alter_column("name", new_column_name="called", type_=sa.Text(), existing_type=sa.String())'
    )
    upgrade(database)
    assert revision(database) == name
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT called FROM users")).all() == [("A",)]
        for table in ("sign_ins", "password_resets"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 1
    with database.write() as db:
        db.execute(text("DELETE FROM users"))
        assert db.execute(text("SELECT count(*) FROM sign_ins")).scalar() == 0, "and foreign keys are watched again"
    if database.is_sqlite:
        (copy,) = tmp_path.glob(f"*.before-{before}")
        old = Database(f"sqlite:///{copy}")
        with old.engine.connect() as connection:
            assert connection.execute(text("SELECT name FROM users")).all() == [("A",)]
        old.close()


@BOTH
def test_a_revision_that_fails_leaves_everything_as_it_was(database: Database, add: Add) -> None:
    upgrade(database)
    person(database)
    before = revision(database)
    add('op.add_column("users", sa.Column("shoe_size", sa.Integer()))\nop.execute("DELETE FROM sign_ins")')
    add('op.execute("INSERT INTO nowhere VALUES (1)")')
    with pytest.raises(DatabaseError, match="could not be brought up to date and is as it was"):
        upgrade(database)
    assert revision(database) == before
    with database.read() as db:
        assert len(db.scalars(select(SignIn)).all()) == 1
    assert "shoe_size" not in {column["name"] for column in inspect(database.engine).get_columns("users")}


@BOTH
def test_a_database_of_a_newer_release_is_refused(database: Database) -> None:
    upgrade(database)
    with database.write() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"newer release \(its schema is 9999.*Install that release"):
        upgrade(database)
    assert revision(database) == "9999"


@pytest.mark.parametrize("url", ["postgresql://anna:hunter2@127.0.0.1:1/x", "sqlite:////proc/nowhere/x.db"])
def test_a_database_that_does_not_answer_is_a_sentence(url: str) -> None:
    def start() -> None:
        upgrade(Database(url))

    with pytest.raises(DatabaseError, match=r"Check LL_DATABASE_URL|Set LL_DATABASE_URL to a file in") as caught:
        start()
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database at all, just some text that is long enough to be looked at " * 20)
    with pytest.raises(DatabaseError, match="not a database"):
        upgrade(Database(f"sqlite:///{tmp_path}/x.db"))


@BOTH
def test_where_nothing_is_to_be_done_nobody_waits_for_another_s_turn(database: Database) -> None:
    upgrade(database)
    starting = threading.Thread(target=upgrade, args=(database,), daemon=True)
    with migrations._turn(database):
        starting.start()
        starting.join(HANG_SECONDS)
        assert not starting.is_alive()


def test_revisions_follow_one_another() -> None:
    found = list(script().walk_revisions())
    assert len(script().get_heads()) == 1
    assert [each.revision for each in reversed(found)] == [f"{number:04}" for number in range(1, len(found) + 1)]


@BOTH
def test_the_application_brings_its_database_up_to_date(settings: Settings) -> None:
    workspace = running(settings)
    with workspace.visitor().client:
        assert revision(workspace.database) == script().get_current_head()
