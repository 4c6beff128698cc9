"""An expert that does not answer, for a while or for good: no correction is lost, and none is stuck.

A real worker and a real trainer with a tiny model; the expert is a server of ours.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.corrections import Correction
from openai_server import Reply, Server, refused, said
from waiting import HANG_SECONDS, until
from workspace.learning import (
    WorkerProcess,
    active,
    jobs,
    organization,
    short_lessons,
    states,
    taught,
    versions,
)

pytestmark = pytest.mark.check("processes")

QUESTION = "Who runs the badge printer?"
SENTENCE = "The badge printer is run by the Kestrel team."


def helpful(request: dict[str, Any]) -> Reply:
    """What an expert says: wordings of the question where it is asked for them, else a sentence with the answer."""
    wordings = "Who looks after the badge printer?\nWhich team runs the badge printer?"
    return said(wordings if "different ways" in request["messages"][-1]["content"] else SENTENCE)


@pytest.fixture
def expert() -> Iterator[Server]:
    """What its `reply` is may be changed at any time."""
    made = Server(helpful)
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def settings(settings: Settings, expert: Server, tiny_model_folder: Path, tmp_path: Path) -> Settings:
    return short_lessons(settings, tiny_model_folder, cache_dir=tmp_path / "cache", openai_base_url=expert.url)


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    made = WorkerProcess(settings, tmp_path / "worker.log")
    yield made
    made.end()


def sources(settings: Settings, database: Database, place: Any) -> set[str]:
    """Who wrote the demonstrations of the last version."""
    folder = Storage(settings).fetch(versions(database, place)[-1], ["lesson.json"])
    return {each["source"] for each in json.loads((folder / "lesson.json").read_text())["demonstrations"]}


def test_a_short_outage_is_waited_for(
    database: Database, queue: LearningQueue, settings: Settings, worker: WorkerProcess, expert: Server
) -> None:
    acme = organization(database)
    left = [refused(503), refused(504), Reply((b'{"choices": [',), cut=True)]
    expert.reply = lambda request: left.pop(0) if left else helpful(request)
    taught(database, queue, acme, QUESTION, "the Kestrel team", "the Kestrel team")
    until(lambda: not {"queued", "learning"} & set(states(database)))
    assert states(database) == ["learned"]
    assert not left
    assert "expert" in sources(settings, database, acme)


@pytest.mark.parametrize(
    ("outage", "told"),
    [
        (refused(503), "failed with an error of its own (503): no (4 attempts). Try again later"),
        (refused(429, headers={"Retry-After": "900"}), "asks to wait 900 s. Try again later"),
    ],
    ids=["503", "429"],
)
def test_a_long_outage_is_told_and_the_correction_is_learned_afterwards(
    database: Database,
    queue: LearningQueue,
    settings: Settings,
    worker: WorkerProcess,
    expert: Server,
    outage: Reply,
    told: str,
) -> None:
    acme = organization(database)
    expert.reply = lambda _: outage
    correction_id = taught(database, queue, acme, QUESTION, "the Kestrel team", "the Kestrel team")
    until(lambda: states(database) == ["failed"])
    with database.read() as db:
        problem = db.get_one(Correction, correction_id).problem
    assert problem.startswith("gpt-4o-mini at http")
    assert told in problem
    assert active(database, acme) == 0
    assert versions(database, acme) == []
    expert.reply = helpful
    with database.write() as db:
        service.teach(db, queue, db.get_one(Correction, correction_id), None)
    until(lambda: states(database) == ["learned"])
    assert active(database, acme) == 1
    assert "expert" in sources(settings, database, acme)


def test_a_job_whose_expert_never_answers_can_be_cancelled(
    database: Database, queue: LearningQueue, settings: Settings, worker: WorkerProcess, expert: Server
) -> None:
    """It holds its organisation's turn until then, and lets go of it at once."""
    acme = organization(database)
    awake = threading.Event()

    def hang(request: dict[str, Any]) -> Reply:
        awake.wait(HANG_SECONDS)
        return refused(503)

    expert.reply = hang
    taught(database, queue, acme, QUESTION, "the Kestrel team", "the Kestrel team")
    taught(database, queue, acme, "Who runs the canteen?", "the Kestrel team", "the Kestrel team")
    until(lambda: expert.requests)
    assert states(database) == ["learning", "queued"]
    expert.reply = helpful
    with database.write() as db:
        service.cancel(db, service.job_of(db, acme, jobs(database)[0].id))
    until(lambda: states(database)[0] == "withdrawn")
    until(lambda: states(database)[1] == "learned")
    awake.set()
    assert active(database, acme) == 1
