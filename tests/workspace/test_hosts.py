"""Workers on other hosts, and a database that goes away: network namespaces of this machine, and a door to PostgreSQL.

The door is a relay on a TCP port of ours that can be shut: what is behind it is the tests' own PostgreSQL.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import make_url

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.tables.corrections import Correction
from waiting import until
from workspace.fakes import POSTGRESQL
from workspace.learning import (
    WorkerProcess,
    activations,
    active,
    kill_quietly,
    organization,
    pids,
    states,
    taught,
    versions,
)

pytestmark = [
    pytest.mark.check("processes"),
    POSTGRESQL,
]
OUTAGE_SECONDS = float(os.environ.get("LL_TEST_OUTAGE", "8"))


class Door:
    """Relays TCP connections to a Unix socket while it is open."""

    def __init__(self, address: str, target: str) -> None:
        self._target = target
        self._pairs: list[socket.socket] = []
        self._listening = socket.create_server((address, 0))
        self.port: int = self._listening.getsockname()[1]
        self.is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Cuts all connections, and takes no others."""
        self.is_open = False
        for each in self._pairs:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.shut()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if not self.is_open:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._relay, args=(one, other), daemon=True).start()

    @staticmethod
    def _relay(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while part := one.recv(1 << 16):
                other.sendall(part)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


def through(settings: Settings, address: str, port: int) -> Settings:
    """The same database by way of a door."""
    url = make_url(settings.database_url)
    there = f"postgresql://lifelearn@{address}:{port}/{url.database}?connect_timeout=3"
    return settings.model_copy(update={"database_url": there})


def socket_of(settings: Settings) -> str:
    folder = make_url(settings.database_url).query["host"]
    assert isinstance(folder, str)
    return f"{folder}/.s.PGSQL.5432"


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[str, list[str]]]:
    """The address of this host, and two others that reach it, each by a link of its own."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    mark = uuid.uuid4().hex[:4]
    names = [f"ll-{mark}-{i}" for i in range(2)]
    bridge = f"llb{mark}"
    run("ip", "link", "add", bridge, "type", "bridge")
    run("ip", "addr", "add", "10.213.7.1/24", "dev", bridge)
    run("ip", "link", "set", bridge, "up")
    for i, name in enumerate(names):
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"lv{mark}{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"lv{mark}{i}", "master", bridge)
        run("ip", "link", "set", f"lv{mark}{i}", "up")
        run("ip", "-n", name, "addr", "add", f"10.213.7.{i + 2}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
    try:
        yield "10.213.7.1", names
    finally:
        for name in names:
            run("ip", "netns", "del", name)
        run("ip", "link", "del", bridge)


def on(host: str) -> list[str]:
    """What runs a command on another host: its own network, and its own name."""
    return ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh"]


def test_a_worker_of_another_host_learns(
    database: Database, queue: LearningQueue, settings: Settings, hosts: tuple[str, list[str]], tmp_path: Path
) -> None:
    """And when its link is cut for good, a third host goes on; what the first one still does counts no more."""
    address, names = hosts
    door = Door(address, socket_of(settings))
    far = through(settings, address, door.port)
    acme = organization(database)
    first = WorkerProcess(far, tmp_path / "first.log", on(names[0]))
    taught(database, queue, acme, "Question 0?", "0")
    until(lambda: states(database) == ["learned"])
    taught(database, queue, acme, "Question 1?", "1")
    until(lambda: states(database)[1] == "learning", every=0.005)
    run("ip", "-n", names[0], "link", "set", "eth0", "down")
    second = WorkerProcess(far, tmp_path / "second.log", on(names[1]))
    try:
        until(lambda: states(database) == ["learned", "learned"])
        assert [each.number for each in activations(database, acme)] == [1, 2]
        run("ip", "-n", names[0], "link", "set", "eth0", "up")
        until(lambda: first.process.poll() is not None)  # it sees that it was taken for dead
        assert active(database, acme) == 2
        assert [each.number for each in versions(database, acme)] == [1, 2]
    finally:
        first.kill()
        second.end()
        door.close()
        for pid in pids("lifelearn.workspace.jobs.trainer"):
            kill_quietly(pid)


def test_the_database_goes_away_and_comes_back(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    door = Door("127.0.0.1", socket_of(settings))
    worker = WorkerProcess(through(settings, "127.0.0.1", door.port), tmp_path / "worker.log")
    acme = organization(database)
    taught(database, queue, acme, "Question 0?", "0")
    until(lambda: states(database)[0] == "learning", every=0.005)
    door.shut()
    threading.Timer(OUTAGE_SECONDS, door.open).start()
    taught(database, queue, acme, "Question 1?", "1")
    try:
        until(lambda: states(database) == ["learned", "learned"])
        assert [each.number for each in activations(database, acme)] == [1, 2]
        assert worker.process.poll() is None
    finally:
        worker.end()
        door.close()


def test_a_full_disk_is_told_and_nothing_is_lost(
    database: Database, queue: LearningQueue, settings: Settings, tmp_path: Path
) -> None:
    """No file can grow: the correction fails with the reason, and is learned when there is room."""
    acme = organization(database)
    correction_id = taught(database, queue, acme, "Question 0?", "0")
    worker = WorkerProcess(settings, None, ["prlimit", "--fsize=40"])
    until(lambda: states(database) == ["failed"])
    worker.end()
    with database.write() as db:
        correction = db.get_one(Correction, correction_id)
        assert "File too large" in correction.problem
        service.teach(db, queue, correction, None)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    until(lambda: states(database) == ["learned"])
    worker.end()
    assert active(database, acme) == 1
