"""A workspace of its own on loopback, as the load tests start one. Knows nothing of what is done to it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from lifelearn.workspace.crypto import Keys


@dataclass(frozen=True)
class Served:
    """A server: its port, its process, its secret, and its log."""

    port: int
    pid: int
    secret: str
    log: Path

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def mib(self) -> int:
        """Memory of the web process."""
        return memory_mib(self.pid)

    def told(self, text: str) -> int:
        """How often the log has it."""
        return self.log.read_text("utf-8", "replace").count(text)

    def browser(self, token: str, of: str | None = None) -> httpx2.Client:
        """Of who is signed in by this token. of: the address that it comes from."""
        return httpx2.Client(
            base_url=self.url,
            cookies={"lifelearn": token},
            headers={"X-CSRF-Token": Keys(self.secret).sign("csrf", token)},
            transport=httpx2.HTTPTransport(local_address=of),
            timeout=300,
        )

    def wait_for_model(self) -> None:
        while httpx2.get(f"{self.url}/readyz").json()["model"] != "ready":
            time.sleep(0.2)


@contextmanager
def served(url: str, folder: Path, **settings: str) -> Iterator[Served]:
    """A server on a database, with its versions and its log in a folder."""
    secret = secrets.token_urlsafe(48)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LL_DATABASE_URL": url,
        "LL_MODEL_STORAGE_DIR": str(folder / "models"),
        "LL_PUBLIC_URL": f"http://localhost:{port}",
        "LL_SECRET_KEY": secret,
        **settings,
    }
    command = [sys.executable, "-m", "lifelearn", "serve", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            found = Served(port, process.pid, secret, folder / "server.log")
            _wait(found, process)
            yield found
        finally:
            process.terminate()
            process.wait(60)


def _wait(found: Served, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1_200):  # two minutes: whatever else the machine does
        if process.poll() is not None:
            sys.exit(f"the server ended at once; its log is {found.log}")
        try:
            with urllib.request.urlopen(f"{found.url}/healthz", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("the server did not become ready")


def memory_mib(pid: int | str) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return round(int(line.split()[1]) / 1024)


def tell(figures: Any, file: Path | None) -> None:
    """Prints what was found, and writes it where it was asked for."""
    print(json.dumps(figures, indent=1))
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(figures, indent=1) + "\n")
