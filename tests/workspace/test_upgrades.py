"""A newer release takes over what an older one left: half-done jobs, queued corrections, records that it cannot read.

Releases are copies of the package in which some text is another; each works by a process of its own.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOSClient, DBOSPortableJSONSerializer
from sqlalchemy import text

import lifelearn
from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.queue import APPLICATION, LearningQueue, engine_url, workflow_id
from lifelearn.workspace.tables.corrections import Correction
from waiting import until
from workspace.fakes import BOTH
from workspace.learning import WorkerProcess, activations, active, jobs, organization, states, taught, versions

pytestmark = pytest.mark.check("processes")

RUNS, LESSONS, SCRIPTED, TRAINER = (f"workspace/jobs/{name}.py" for name in ("runs", "lessons", "scripted", "trainer"))
# The older release trains for so long that it is met in the middle; its workflow reads otherwise, as does its hash.
OLDER = {
    SCRIPTED: ("STEP_SECONDS = 0.01", "STEP_SECONDS = 5.0"),
    RUNS: ('return "nothing to do"', 'return "nothing"'),
}
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = depends_on = None


def upgrade() -> None:
    for table in ("jobs", "corrections"):
        with op.batch_alter_table(table, recreate="always" if op.get_bind().dialect.name == "sqlite" else "auto") as batch:
            batch.add_column(sa.Column("weather", sa.String(), nullable=False, server_default="fair"))
"""  # noqa: E501  # on SQLite both tables are built anew, with what refers to them


def release(folder: Path, changes: Mapping[str, tuple[str, str]]) -> Path:
    """A copy of the package. changes: by file, what is replaced by what."""
    ours = Path(lifelearn.__file__).parent
    shutil.copytree(ours, folder / "lifelearn", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (now, then) in changes.items():
        file = folder / "lifelearn" / name
        code = file.read_text()
        assert code.count(now) == 1, f"{name} does not say {now!r} once any more"
        file.write_text(code.replace(now, then))
    return folder


def with_revision(folder: Path) -> Path:
    """The release with one revision of the schema more."""
    revisions = folder / "lifelearn" / "workspace" / "migrations" / "versions"
    before = max(file.name[1:5] for file in revisions.glob("r*.py"))
    name = f"{int(before) + 1:04}"
    (revisions / f"r{name}_trial.py").write_text(REVISION.format(revision=name, before=before))
    return folder


@contextmanager
def working(settings: Settings, release: Path) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(settings, release / "worker.log", ["env", f"PYTHONPATH={release}"])
    try:
        yield worker
    finally:
        worker.end()


def recorded(database: Database, job_id: uuid.UUID) -> dict[str, Any]:
    """When each step of a job's run was done."""
    serializer = DBOSPortableJSONSerializer()
    client = DBOSClient(system_database_url=engine_url(database), serializer=serializer, application_name=APPLICATION)
    steps = client.list_workflow_steps(workflow_id(job_id))
    client.destroy()
    return {step["function_name"]: step["completed_at_epoch_ms"] for step in steps}


def left_in_training(database: Database, settings: Settings, older: Path) -> dict[str, Any]:
    """Has the older release killed in the middle of the first job's training; gives what it had recorded."""
    with working(settings, older) as worker:
        until(lambda: jobs(database)[0].progress.get("step"))
        worker.kill()
    return recorded(database, jobs(database)[0].id)


@BOTH
def test_a_newer_release_goes_on_with_what_an_older_one_began(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    """At the stage where it was, with what was waiting behind it, and with a schema that was changed at start."""
    acme = organization(database)
    for i in range(3):
        taught(database, queue, acme, f"Question {i}?", str(i))
    before = left_in_training(database, settings, release(tmp_path / "older", OLDER))
    assert "lesson:1" in before
    assert "train:1" not in before
    assert states(database) == ["learning", "queued", "queued"]
    newer = with_revision(release(tmp_path / "newer", {RUNS: ('return "nothing to do"', 'return "no work"')}))
    with working(settings, newer):
        until(lambda: states(database) == ["learned"] * 3)
    with database.read() as db:
        assert db.execute(text("SELECT weather FROM corrections")).all() == [("fair",)] * 3
    first, *others = jobs(database)
    assert (first.attempt, [other.attempt for other in others]) == (2, [1, 1])
    assert before.items() <= recorded(database, first.id).items()  # nothing was done twice
    assert [each.number for each in activations(database, acme)] == [1, 2, 3]
    assert active(database, acme) == 3


@BOTH
def test_a_stage_that_an_older_release_recorded_otherwise_is_made_again(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    acme = organization(database)
    taught(database, queue, acme, "Where is it?", "Lyon")
    older = {**OLDER, TRAINER: ("Said(result=result.model_dump_json())", 'Said(result=\'{"shape": "another"}\')')}
    assert "lesson:1" in left_in_training(database, settings, release(tmp_path / "older", older))
    with working(settings, release(tmp_path / "newer", {})):
        until(lambda: states(database) == ["learned"])
    assert [each.number for each in versions(database, acme)] == [1]
    assert (jobs(database)[0].attempt, active(database, acme)) == (2, 1)


@BOTH
def test_a_job_whose_stages_were_others_fails_in_plain_words_and_can_be_taught_again(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    acme = organization(database)
    correction_id = taught(database, queue, acme, "Where is it?", "Lyon")
    older = {**OLDER, TRAINER: ("self._say(Said(stage=name))", 'self._say(Said(stage=f"old-{name}"))')}
    assert "old-lesson:1" in left_in_training(database, settings, release(tmp_path / "older", older))
    with working(settings, release(tmp_path / "newer", {})):
        until(lambda: states(database) == ["failed"])
        with database.write() as db:
            correction = db.get_one(Correction, correction_id)
            assert "another release" in correction.problem
            service.teach(db, queue, correction, None)
        until(lambda: states(database) == ["learned"])
    assert active(database, acme) == 1
