"""The load test: 200 signed-in people who read and list, while 300 event streams are open. Loopback only.

    python tests/load/run.py [--users 200] [--streams 300] [--seconds 60] [--database URL] [--json FILE]

Starts a server of its own with the scripted model on an empty database (SQLite in a temporary folder unless a URL is
given), fills it, lets locust run, and prints the figures. The exit status is 1 if any request failed or the 95th
percentile is above 250 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from people import fill
from server import served, tell

from lifelearn.workspace.database import Database

HERE = Path(__file__).parent
P95_MS = 250


async def hold(port: int, people: list[dict[str, Any]], count: int, seconds: float) -> int:
    """Keeps event streams open; gives how many of them still are at the end."""

    async def one(person: dict[str, Any]) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [f"GET {person['stream']} HTTP/1.1", f"Host: localhost:{port}", "Accept: text/event-stream"]
        writer.write("\r\n".join([*lines, f"Cookie: lifelearn={person['token']}", "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.splitlines()[0]:
            return False
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                if not await asyncio.wait_for(reader.read(65536), left):
                    return False
            except TimeoutError:
                break
        writer.close()
        return True

    opened = await asyncio.gather(*(one(people[n % len(people)]) for n in range(count)), return_exceptions=True)
    return sum(each is True for each in opened)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--database", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lifelearn-load-"))
    url = options.database or f"sqlite:///{folder}/load.db"
    database = Database(url)
    people = fill(database, options.users)
    database.close()
    (folder / "people.json").write_text(json.dumps(people))
    with served(url, folder, LL_INFERENCE_BACKEND="mock") as server:
        figures = run(options, server.port, people, folder)
        figures["web_process_mib"] = server.mib
    figures["database"] = database.url.get_backend_name()
    figures["locked"] = server.told("database is locked")
    tell(figures, options.json)
    good = not figures["failed"] and not figures["locked"] and figures["p95_ms"] <= P95_MS
    return 0 if good and figures["streams_open"] == options.streams else 1


def run(options: argparse.Namespace, port: int, people: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Locust and the streams at once; the figures."""
    shape = ["-u", str(options.users), "-r", "40", "-t", f"{options.seconds}s"]
    where = [
        "--host",
        f"http://localhost:{port}",
        "--csv",
        str(folder / "load"),
        "--only-summary",
        "--loglevel",
        "ERROR",
    ]
    # People come within five seconds and are counted from then on, while the streams, opened before, stay open.
    command = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--headless", "--reset-stats"]
    found: list[int] = []
    holding = threading.Thread(
        target=lambda: found.append(asyncio.run(hold(port, people, options.streams, options.seconds + 10)))
    )
    holding.start()
    time.sleep(8)
    environment = {**os.environ, "LOAD_PEOPLE": str(folder / "people.json")}
    locust = subprocess.Popen([*command, *shape, *where], env=environment, stdout=subprocess.DEVNULL)
    try:
        locust.wait(options.seconds + 60)
    finally:
        locust.kill()
    holding.join()
    [streams] = found
    with (folder / "load_stats.csv").open() as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    total = rows["Aggregated"]
    return {
        "users": options.users,
        "seconds": options.seconds,
        "requests": int(total["Request Count"]),
        "failed": int(total["Failure Count"]),
        "requests_per_second": round(float(total["Requests/s"]), 1),
        "p50_ms": float(total["50%"]),
        "p95_ms": float(total["95%"]),
        "p95_ms_by_page": {name: float(row["95%"]) for name, row in rows.items() if name != "Aggregated"},
        "streams_open": streams,
    }


if __name__ == "__main__":
    sys.exit(main())
