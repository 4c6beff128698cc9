"""Claims, plans, lessons and ends of jobs, without a worker's process."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from lifelearn.learning import types as learning
from lifelearn.learning.types import ModelVersion
from lifelearn.learning.version import VersionStore
from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import bench as jobs_bench
from lifelearn.workspace.jobs import claims, keeping, lessons, plans, service, settlement
from lifelearn.workspace.jobs.orders import Order
from lifelearn.workspace.jobs.plans import PlannedLesson
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.jobs.scripted import scripted_learner
from lifelearn.workspace.jobs.trainer_handle import LessonError, Trainer
from lifelearn.workspace.tables.corrections import Correction, Source
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Verdict
from lifelearn.workspace.tables.webhooks import NOBODY, Happening
from waiting import until
from workspace.fakes import BOTH, POSTGRESQL, waits_for_a_lock
from workspace.learning import jobs, organization, states, taught

pytestmark = pytest.mark.check("processes")


def at_once(settings: Settings, order: Order) -> tuple[ModelVersion, Path]:
    """Carries out an order in this process, with nothing recorded."""
    return scripted_learner(settings)(order, cast(Any, lambda name, kind, stage: stage()), lambda progress: None)


def test_a_lesson_of_another_plan_has_the_number_that_was_ordered(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    """A forgetting that is planned anew works in the folders of its first plan, where complete versions lie."""
    acme = organization(database)
    ids = [taught(database, queue, acme, f"Question {i}?", str(i)) for i in range(3)]
    with database.read() as db:
        values = [each.value() for each in plans.corrections(db, ids)]
    work = tmp_path / "work"

    def learned(
        value: learning.Correction, number: int, lineage: dict[int, Path], work: Path = work
    ) -> tuple[ModelVersion, Path]:
        parent = max(lineage, default=0)
        return at_once(settings, Order(corrections=(value,), number=number, parent=parent, lineage=lineage, work=work))

    _, below = learned(values[0], 1, {}, tmp_path / "below")
    first, _ = learned(values[1], 4, {1: below})
    second, folder = learned(values[2], 4, {})
    assert (first.number, second.number) == (4, 4)
    store = VersionStore(work / "store")
    assert store.versions() == [second], "nothing of the other line is left"
    assert store.path(4) == folder
    assert [each.question for each in second.corrections] == ["Question 2?"]


def test_only_what_was_learned_is_judged(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    """Not what somebody was told to be taught already, though question and answer are those that were asked."""
    acme = organization(database)
    ids = []
    for question, answer in (("Where is it?", "Lyon"), ("Who is it?", "Mia")):
        ids.append(taught(database, queue, acme, question, answer, statement=answer))
        job = jobs(database)[-1]
        held = claims.claim(database, job.id, uuid.uuid4())
        assert held is not None
        planned = plans.plan(database, held, together=1)
        with database.write() as db:
            lineage = {one.number: tmp_path / f"{one.number}" for one in plans.lineage(db, acme, planned.base)}
            values = tuple(each.value() for each in plans.corrections(db, planned.lessons[0].corrections))
            number = planned.lessons[0].number
            db.add(
                Correction(
                    organization_id=acme,
                    question=question,
                    statement=answer,
                    answer=answer,
                    source=Source.EXPLICIT,
                    state=CorrectionState.DISMISSED,
                )
            )
        version, folder = at_once(
            settings,
            Order(corrections=values, number=number, parent=planned.base, lineage=lineage, work=tmp_path / "work"),
        )
        folder.rename(tmp_path / f"{number}")
        made = keeping.Made(planned.lessons[0], uuid.uuid4(), {}, version)
        assert settlement.settle(database, queue, held, planned, [made])
    with database.read() as db:
        cells = {(each.number, each.correction_id) for each in db.scalars(select(Verdict))}
    assert cells == {(1, ids[0]), (2, ids[0]), (2, ids[1])}


def test_a_forgetting_that_fails_is_told_to_who_wanted_it(
    database: Database, queue: LearningQueue, settings: Settings
) -> None:
    acme = organization(database)
    one = taught(database, queue, acme, "Where is it?", "Lyon")
    with database.write() as db:
        correction = db.get_one(Correction, one)
        correction.state = CorrectionState.LEARNED
        job = service.forget(db, queue, correction, None)  # whose account is deleted
    held = claims.claim(database, job.id, uuid.uuid4())
    assert held is not None
    settlement.fail(database, held, "It broke.")
    with database.read() as db:
        (told,) = db.scalars(select(Happening).where(Happening.name == "job.failed"))
    assert (told.user_id, told.path) == (None, NOBODY)


@BOTH
def test_one_on_which_a_lesson_breaks_fails_alone(database: Database, queue: LearningQueue) -> None:
    acme = organization(database)
    ids = [taught(database, queue, acme, f"Question {i}?", str(i)) for i in range(2)]
    held = claims.claim(database, jobs(database)[0].id, uuid.uuid4())
    assert held is not None
    assert plans.plan(database, held, together=2).lessons[0].corrections == tuple(ids)
    settlement.fail(database, held, "It cannot be read.", queue)
    assert states(database) == ["queued", "queued"]
    for each, again in zip(ids, jobs(database)[2:], strict=True):
        held = claims.claim(database, again.id, uuid.uuid4())
        assert held is not None
        assert plans.plan(database, held, together=2).lessons[0].corrections == (each,)
        if each == ids[0]:
            settlement.fail(database, held, "It cannot be read.", queue)
    assert states(database) == ["failed", "learning"]
    with database.read() as db:
        assert db.get_one(Correction, ids[0]).problem == "It cannot be read."


@POSTGRESQL
def test_what_is_being_cancelled_is_not_learned_together(
    database: Database, queue: LearningQueue, settings: Settings
) -> None:
    acme = organization(database)
    ids = [taught(database, queue, acme, f"Question {i}?", str(i)) for i in range(2)]
    first, second = jobs(database)
    held = claims.claim(database, first.id, uuid.uuid4())
    assert held is not None
    with ThreadPoolExecutor() as pool:
        with database.write() as db:
            service.cancel(db, db.scalars(select(Job).where(Job.id == second.id).with_for_update()).one())
            db.flush()
            planning = pool.submit(plans.plan, database, held, 2)
            until(lambda: waits_for_a_lock(database))
        planned = planning.result()
    assert [each.corrections for each in planned.lessons] == [(ids[0],)]
    assert states(database) == ["learning", "withdrawn"]
    assert jobs(database)[1].state == "cancelled"


@POSTGRESQL
@pytest.mark.parametrize("ends", ["settle", "fail"])
def test_a_job_s_end_locks_the_organisation_before_the_job(
    database: Database, queue: LearningQueue, settings: Settings, ends: str
) -> None:
    """As who deletes the organisation: otherwise each could wait for the other."""
    acme = organization(database)
    taught(database, queue, acme, "Where is it?", "Lyon")
    held = claims.claim(database, jobs(database)[0].id, uuid.uuid4())
    assert held is not None

    def end() -> None:
        if ends == "fail":
            settlement.fail(database, held, "It broke.")
        else:
            settlement.settle(database, queue, held, plans.Plan((), 0, 0), [])

    with ThreadPoolExecutor() as pool:
        with database.write() as db:
            db.execute(select(Organization.id).with_for_update())
            ending = pool.submit(end)
            until(lambda: waits_for_a_lock(database))
            assert db.execute(select(Job.id).with_for_update(nowait=True)).all(), "nobody else holds it"
        ending.result()
    assert jobs(database)[0].state == ("failed" if ends == "fail" else "done")


def test_a_version_with_another_number_is_refused(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    acme = organization(database)
    correction_id = taught(database, queue, acme, "Where is it?", "Lyon")
    job = jobs(database)[0]
    held = claims.claim(database, job.id, uuid.uuid4())
    assert held is not None

    class Wrong:
        """A trainer that counts by itself."""

        def learn(self, order: Order, *_: Any) -> tuple[ModelVersion, Path]:
            return at_once(settings, order.model_copy(update={"number": order.number + 1}))

    bench = jobs_bench.Bench(settings, database, queue, uuid.uuid4())
    with pytest.raises(LessonError, match="made version 2 where 1 was asked for"):
        lessons._learned(bench, held, PlannedLesson((correction_id,), 1, 0), [], cast(Trainer, Wrong()), tmp_path, {})


def test_a_stage_is_one_step_whichever_trainer_asks_for_it(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer that dies between two stages leaves no record of it, and a takeover must meet the same steps."""
    acme = organization(database)
    correction_id = taught(database, queue, acme, "Where is it?", "Lyon")
    held = claims.claim(database, jobs(database)[0].id, uuid.uuid4())
    assert held is not None

    class Dying:
        def learn(self, order: Order, record: Callable[[str, Callable[[], str]], str], *_: Any) -> None:
            assert record("lesson", lambda: "the lesson") == "the lesson"
            raise LessonError("It died.", again=True)

    steps: list[str] = []

    def step(name: str, do: Callable[[], Any]) -> Any:
        steps.append(name)
        return do()

    monkeypatch.setattr(lessons, "step", step)
    bench, recorded = jobs_bench.Bench(settings, database, queue, uuid.uuid4()), dict[str, str]()
    for _ in range(2):
        with pytest.raises(LessonError, match="It died"):
            lessons._learned(
                bench, held, PlannedLesson((correction_id,), 1, 0), [], cast(Trainer, Dying()), tmp_path, recorded
            )
    assert len(steps) == 1
