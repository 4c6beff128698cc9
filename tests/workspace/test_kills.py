"""kill -9 of web, worker and trainer at any moment, again and again, while corrections are taught and versions chosen.

What must hold at every moment: an organisation's active version is a complete one whose files are as they were made.
And at the end: every acknowledged correction has come to a version or to a stated failure, no process and no file is
left over. `LL_TEST_KILLS=200` kills more often than the tests do by default.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from dbos import DBOSClient, DBOSPortableJSONSerializer
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.queue import APPLICATION, LearningQueue, engine_url
from lifelearn.workspace.jobs.worker import sweep_work
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Activation, Version
from lifelearn.workspace.versions.service import sweep_versions
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH
from workspace.learning import WebProcess, kill_quietly, organization, pids, states, taught

KILLS = int(os.environ.get("LL_TEST_KILLS", "6"))
ORGANIZATIONS = 3

pytestmark = [pytest.mark.check("processes"), pytest.mark.timeout(90 + 12 * KILLS)]


def whole(database: Database, settings: Settings) -> None:
    """The active version of each organisation is complete, passed, and the one that was activated last."""
    last = (
        select(Activation.number)
        .where(Activation.organization_id == Organization.id)
        .order_by(Activation.created_at.desc(), Activation.id)
        .limit(1)
        .scalar_subquery()
    )
    with database.read() as db:
        # In one statement: on PostgreSQL a second one would see what was activated meanwhile.
        for place, number in db.execute(select(Organization, last)).all():
            assert place.active_version == (number or 0)
            if place.active_version:
                where = (Version.organization_id == place.id, Version.number == place.active_version)
                version = db.scalars(select(Version).where(*where)).one()
                assert version.passed
                folder = Storage(settings).fetch(version)
                assert {"manifest.json", "lesson.json", "adapter_model.safetensors"} <= {
                    each.name for each in folder.iterdir()
                }


@pytest.fixture
def start_web(settings: Settings, tmp_path: Path) -> Iterator[Callable[[], WebProcess]]:
    """Starts the web process; none is left, however the test ends."""
    started: list[WebProcess] = []

    def start() -> WebProcess:
        started.append(WebProcess(settings, tmp_path / "web.log"))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@BOTH
def test_killed_again_and_again(database: Database, settings: Settings, start_web: Callable[[], WebProcess]) -> None:
    seed = int(os.environ.get("LL_TEST_SEED", "0"))
    rng = random.Random(seed)
    queue = LearningQueue(database)
    places = [organization(database, f"Organisation {i}") for i in range(ORGANIZATIONS)]
    acknowledged: list[uuid.UUID] = []
    web = start_web()
    killed = {"web": 0, "worker": 0, "trainer": 0}
    for kill in range(KILLS):
        place = rng.choice(places)
        answer = "FAIL" if rng.random() < 0.1 else str(kill)
        acknowledged.append(taught(database, queue, place, f"Question {kill}?", answer))
        what = rng.choices(["web", "worker", "trainer"], [1, 2, 2])[0]
        module = "jobs.trainer" if what == "trainer" else "jobs.worker"
        found = until(partial(pids, f"lifelearn.workspace.{module}"), every=0.01)
        time.sleep(rng.uniform(0.0, 1.5 if what == "web" else 0.6))
        killed[what] += 1
        if what == "web":
            web.kill()
            web = start_web()
        else:
            kill_quietly(rng.choice(found))
        whole(database, settings)
    until(lambda: not {"queued", "learning"} & set(states(database)), every=0.5, hang=HANG_SECONDS + 2 * KILLS)
    web.end()
    print(killed)
    assert all(killed.values())
    whole(database, settings)
    with database.read() as db:
        for each in acknowledged:
            correction = db.get_one(Correction, each)
            assert correction.state == "learned" or (correction.state == "failed" and correction.problem)
            assert "another release" not in correction.problem  # a run that meets steps which it does not expect
            if correction.state == "learned":
                where = (Version.organization_id == correction.organization_id, Version.number == correction.version)
                learned = [known.id for known in db.scalars(select(Version).where(*where)).one().model().corrections]
                assert learned == [str(correction.id)]
        assert {job.state for job in db.scalars(select(Job))} <= {"done", "failed"}
        for place in places:  # each version once, none twice
            numbers = db.scalars(select(Version.number).where(Version.organization_id == place)).all()
            assert sorted(numbers) == list(range(1, len(numbers) + 1))
    # No process and no file is left over.
    for module in ("worker", "trainer"):
        until(partial(lambda name: not pids(f"lifelearn.workspace.jobs.{name}"), module))
    sweep_work(settings, database)
    sweep_versions(database, settings)
    work = settings.folder / "work"
    assert not work.exists() or not list(work.iterdir())
    with database.read() as db:
        for place in places:
            kept = set(db.scalars(select(Version.id).where(Version.organization_id == place)))
            assert Storage(settings).versions(place) == kept
    queue.close()


def _teach_and_break_off(database: Database, queue: LearningQueue, place: uuid.UUID) -> None:
    about = {"question": "?", "statement": "x", "answer": "x", "source": "explicit", "state": "asked"}
    with database.write() as db:
        made = Correction(organization_id=place, **about)
        db.add(made)
        db.flush()
        service.teach(db, queue, made, None)
        db.add(Correction(organization_id=uuid.uuid4(), **about))
        db.flush()


@BOTH
def test_teaching_is_all_or_nothing(database: Database, settings: Settings) -> None:
    """A correction whose transaction is not kept is never learned; one that is kept has its run."""
    queue = LearningQueue(database)
    place = organization(database)
    with pytest.raises(SQLAlchemyError):
        _teach_and_break_off(database, queue, place)
    client = DBOSClient(
        system_database_url=engine_url(database), serializer=DBOSPortableJSONSerializer(), application_name=APPLICATION
    )
    assert client.list_workflows() == []
    taught(database, queue, place, "Where?", "here")
    assert len(client.list_workflows()) == 1
    client.destroy()
    queue.close()
