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
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import Database, ahead, now
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.tables.accounts import SignIn, User
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import Membership, Organization, Role

HERE = Path(__file__).parent
P95_MS = 250
PER_ORGANIZATION, THREADS, TURNS = 10, 8, 10


def fill(database: Database, users: int) -> list[dict[str, Any]]:
    """People in organisations of ten, each with chats of ten messages; one unfinished answer each, to be followed."""
    upgrade(database)
    people: list[dict[str, Any]] = []
    with database.write() as db:
        for number in range(users):
            if number % PER_ORGANIZATION == 0:
                organization = Organization(name=f"Team {number // PER_ORGANIZATION}", base_model="bundled")
                db.add(organization)
                db.flush()
            user = User(email=f"user{number}@example.org", name=f"User {number}")
            db.add(user)
            db.flush()
            role = Role.MEMBER if number % PER_ORGANIZATION else Role.OWNER
            db.add(Membership(organization_id=organization.id, user_id=user.id, role=role))
            token = new_token()
            times = {"last_seen_at": now(), "expires_at": ahead(days=1), "confirmed_at": now()}
            db.add(SignIn(user_id=user.id, token_hash=hash_token(token), **times))
            threads = [add_thread(db, organization.id, user.id, n) for n in range(THREADS)]
            people.append({"organization": str(organization.id), "token": token, "threads": threads})
    with database.write() as db:
        for person in people:
            thread = db.get_one(Thread, uuid.UUID(person["threads"][0]))
            waiting = Message(
                organization_id=thread.organization_id,
                thread_id=thread.id,
                parent_id=thread.leaf_id,
                role="assistant",
                status=Status.STREAMING,
                created_at=ahead(hours=1),  # not taken for the rest of a dead process
            )
            db.add(waiting)
            db.flush()
            person["stream"] = f"/o/{person['organization']}/threads/{thread.id}/messages/{waiting.id}/events"
    return people


def add_thread(db: Any, organization_id: uuid.UUID, user_id: uuid.UUID, number: int) -> str:
    thread = Thread(organization_id=organization_id, owner_id=user_id, title=f"Leave and hotlines {number}")
    db.add(thread)
    db.flush()
    parent: uuid.UUID | None = None
    for turn in range(TURNS):
        role = "assistant" if turn % 2 else "user"
        text = f"Turn {turn}. How many days of **paid leave** are there?\n\n| days | who |\n|---|---|\n| 25 | all |\n"
        message = Message(
            organization_id=organization_id, thread_id=thread.id, parent_id=parent, role=role, content=text
        )
        db.add(message)
        db.flush()
        parent = message.id
    thread.leaf_id = parent
    return str(thread.id)


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LL_DATABASE_URL": url,
        "LL_INFERENCE_BACKEND": "mock",
        "LL_MODEL_STORAGE_DIR": str(folder / "models"),
        "LL_PUBLIC_URL": f"http://localhost:{port}",
        "LOAD_PEOPLE": str(folder / "people.json"),
    }
    command = [sys.executable, "-m", "lifelearn", "serve", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait(port, server)
            figures = run(options, port, people, environment, folder)
            figures["web_process_mib"] = memory_mib(server.pid)
        finally:
            server.terminate()
            server.wait(30)
    figures["database"] = database.url.get_backend_name()
    figures["locked"] = (folder / "server.log").read_text("utf-8", "replace").count("database is locked")
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    good = not figures["failed"] and not figures["locked"] and figures["p95_ms"] <= P95_MS
    return 0 if good and figures["streams_open"] == options.streams else 1


def memory_mib(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return round(int(line.split()[1]) / 1024)


def wait(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if server.poll() is not None:
            sys.exit("the server ended at once; its log is beside the database")
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("the server did not become ready")


def run(
    options: argparse.Namespace, port: int, people: list[dict[str, Any]], environment: dict[str, str], folder: Path
) -> dict[str, Any]:
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
