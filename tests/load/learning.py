"""Learning in the workspace, with the real default model: seconds from teaching to the live version with nothing else
going on, beside those of the demo; and the time to the first token and of pages while a lesson trains. Loopback only.

    python tests/load/learning.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parents[1]))

from people import PER_ORGANIZATION, fill
from server import served, tell

from lifelearn.terminal.facts import FACTS
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.tables.chats import Message
from workspace.learning import states, taught, versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="where the version that was learned is left")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lifelearn-learning-"))
    url = f"sqlite:///{folder}/learning.db"
    database = Database(url)
    person, *_, other = fill(database, PER_ORGANIZATION + 1)
    with served(url, folder) as server:
        server.wait_for_model()
        quiet = learned_quietly(database, uuid.UUID(other["organization"]))
        figures = measure(server.browser(person["token"]), database, person["organization"])
        figures["web_process_mib"] = server.mib
    database.close()
    demo = seconds_of_demo(folder)
    figures |= {"quiet_seconds": round(quiet, 1), "demo_seconds": demo, "quiet_vs_demo": round(quiet / demo, 2)}
    if options.keep and (made := list((folder / "models").glob("organizations/*/versions/*"))):
        shutil.rmtree(options.keep, ignore_errors=True)
        shutil.copytree(made[0], options.keep)
    tell(figures, options.json)


def learned_quietly(database: Database, organization: uuid.UUID) -> float:
    """Seconds from teaching the demo's fact to its live version."""
    began = time.monotonic()
    teach(database, organization)
    while states(database, organization)[0] in ("queued", "learning"):
        time.sleep(0.1)
    assert states(database, organization) == ["learned"]
    return time.monotonic() - began


def seconds_of_demo(folder: Path) -> float:
    """Of the same fact, from the correction to the live version."""
    command = [
        sys.executable,
        "-m",
        "lifelearn",
        "demo",
        "--data",
        str(folder / "demo"),
        "--json",
        str(folder / "demo.json"),
    ]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    seconds: float = json.loads((folder / "demo.json").read_text())["seconds"]["correction_to_result"]
    return seconds


def teach(database: Database, organization: uuid.UUID) -> None:
    fact = FACTS["leave"]
    with closing(LearningQueue(database)) as queue:
        taught(database, queue, organization, fact.question, "25 days", fact.correction.partition(". ")[2])


def measure(client: httpx2.Client, database: Database, organization: str) -> dict[str, Any]:
    before = [first_token(client, database, organization, n) for n in range(5)]
    began = time.monotonic()
    teach(database, uuid.UUID(organization))
    pages: list[float] = []
    firsts: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            started = time.perf_counter()
            client.get(f"/o/{organization}/threads").raise_for_status()
            pages.append(time.perf_counter() - started)

    looking = threading.Thread(target=look)
    looking.start()
    n = 100
    while states(database, uuid.UUID(organization))[0] in ("queued", "learning"):
        firsts.append(first_token(client, database, organization, n))
        n += 1
        time.sleep(3)  # a member may send thirty messages a minute
    seconds = time.monotonic() - began
    ended.set()
    looking.join()
    made = versions(database, uuid.UUID(organization))
    return {
        "state": states(database, uuid.UUID(organization))[0],
        "seconds_to_version": round(seconds, 1),
        "seconds_of_stages": round(made[0].seconds, 1) if made else None,
        "first_token_ms_before": round(statistics.median(before) * 1000),
        "first_token_ms_median": round(statistics.median(firsts) * 1000),
        "first_token_ms_p95": round(sorted(firsts)[int(0.95 * len(firsts))] * 1000),
        "pages": len(pages),
        "page_ms_p95": round(sorted(pages)[int(0.95 * len(pages))] * 1000),
    }


def first_token(client: httpx2.Client, database: Database, organization: str, n: int) -> float:
    """Seconds from sending a message to the first piece of its answer in the page."""
    started = time.perf_counter()
    asked = f"Tell me something about the year {1900 + n}."
    client.post(f"/o/{organization}/threads", data={"content": asked}, follow_redirects=False)
    with database.read() as db:
        question = db.scalars(select(Message).where(Message.content == asked)).one()
        answer = db.scalars(select(Message).where(Message.parent_id == question.id)).one()
    where = f"/o/{organization}/threads/{answer.thread_id}/messages/{answer.id}"
    with client.stream("GET", f"{where}/events", headers={"Accept": "text/event-stream"}) as events:
        for line in events.iter_lines():
            if line.startswith("event: message") or line.startswith("event: done"):
                break
    first = time.perf_counter() - started
    client.post(f"{where}/stop")
    return first


if __name__ == "__main__":
    main()
