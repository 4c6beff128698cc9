"""Queued corrections of many organisations, drained by a worker with the scripted model, in order.

python tests/load/drain.py [--corrections 1000] [--organizations 50] [--jobs 4] [--database URL] [--json FILE]

Without --database on SQLite, and where PostgreSQL is installed on a server of its own, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parents[1]))

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.migrations import tables, upgrade
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.versions import Activation, Version
from workspace.learning import WorkerProcess, organization, taught
from workspace.postgresql import NotInstalledError, server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corrections", type=int, default=1000)
    parser.add_argument("--organizations", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=4, help="that the worker runs at a time")
    parser.add_argument("--database", default="")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    told = []
    with ExitStack() as stack:
        for url in [asked.database] if asked.database else databases(stack):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            settings = Settings(
                database_url=url,
                model_storage_dir=folder / "models",
                inference_backend="mock",
                worker_jobs=asked.jobs,
            )
            told.append(drain(settings, asked.corrections, asked.organizations, folder))
            print(json.dumps(told[-1], indent=1), flush=True)
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(told, indent=1) + "\n")


def databases(stack: ExitStack) -> Iterator[str]:
    yield f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/drain.db"
    try:
        url = stack.enter_context(server()).replace("/NAME", "/postgres")
    except NotInstalledError as error:
        print(error, file=sys.stderr)
    else:
        yield url


def drain(settings: Settings, corrections: int, organizations: int, folder: Path) -> dict[str, object]:
    tables()
    database = Database(settings.database_url)
    upgrade(database)
    queue = LearningQueue(database)
    queue.prepare()
    places = [organization(database, f"Organisation {i}") for i in range(organizations)]
    began = time.monotonic()
    wanted: dict[uuid.UUID, list[uuid.UUID]] = {place: [] for place in places}
    for i in range(corrections):
        place = places[i % organizations]
        wanted[place].append(taught(database, queue, place, f"Question {i}?", str(i)))
    queued = time.monotonic() - began
    worker = WorkerProcess(settings, folder / "worker.log")
    began = time.monotonic()
    most_at_once = 0
    while True:
        with database.read() as db:
            left = db.scalar(select(func.count()).where(Correction.state.in_(("queued", "learning")))) or 0
            running = db.execute(
                select(func.count()).where(Job.state == "running").group_by(Job.organization_id)
            ).scalars()
            most_at_once = max([most_at_once, *running])
        if not left:
            break
        time.sleep(0.5)
    seconds = time.monotonic() - began
    worker.end()
    with database.read() as db:
        learned = db.scalar(select(func.count()).where(Correction.state == "learned")) or 0
        versions = db.scalar(select(func.count()).select_from(Version)) or 0
        activations = db.scalar(select(func.count()).select_from(Activation)) or 0
        in_order = all(
            [db.get_one(Correction, each).version for each in wanted[place]] == list(range(1, len(wanted[place]) + 1))
            for place in places
        )
    queue.close()
    database.close()
    return {
        "database": database.url.get_backend_name(),
        "corrections": corrections,
        "organizations": organizations,
        "queueing_seconds": round(queued, 1),
        "drain_seconds": round(seconds, 1),
        "learned": learned,
        "versions": versions,
        "activations": activations,
        "in_order": in_order,
        "most_at_once_in_an_organization": most_at_once,
    }


if __name__ == "__main__":
    main()
