"""`lifelearn serve` as a process: how it starts, what it says, and how it ends. uvicorn by itself serves it too."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lifelearn.settings import Settings
from lifelearn.workspace import serve as serving
from waiting import HANG_SECONDS, until

pytestmark = pytest.mark.check("processes")

SERVE = [sys.executable, "-m", "lifelearn", "serve", "--port", "0"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A folder of its own and the mock, which needs no model."""
    return {
        **os.environ,
        "LL_DATABASE_URL": f"sqlite:///{folder}/workspace.db",
        "LL_MODEL_STORAGE_DIR": str(folder / "models"),
        "LL_INFERENCE_BACKEND": "mock",
        **more,
    }


class Server:
    def __init__(self, process: subprocess.Popen[str], port: int, line: str, log: Path | None = None) -> None:
        self.process, self.port, self.line, self.log = process, port, line, log

    def ask(self, path: str, method: str = "GET", of: str = "127.0.0.1", **headers: str) -> tuple[int, str]:
        """of: the address of this machine that asks."""
        # A port that is chosen before it is known where to could be the server's own, and be answered by itself.
        source = None if of == "127.0.0.1" else (of, 0)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, HANG_SECONDS, source)
        connection.request(method, path, headers={"Host": f"localhost:{self.port}", **headers})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its status and the rest of what it said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=HANG_SECONDS)
        return self.process.returncode, out + (err if self.log is None else self.log.read_text())


@contextmanager
def served(folder: Path, command: list[str] | None = None, **more: str) -> Iterator[Server]:
    log = folder / "serve.log"  # a pipe that nobody empties would stop it in the end
    with log.open("w") as stream:
        process = subprocess.Popen(
            command or SERVE,
            env=environment(folder, **more),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Server(process, int(re.findall(r":(\d+)", line)[0]), line, log)
    finally:
        process.kill()
        process.communicate()


def test_it_says_where_it_is_and_ends_when_told(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert server.line == (
            f"Life-Learn is at http://localhost:{server.port} (database: {tmp_path}/workspace.db, versions: "
            f"{tmp_path}/models). Ctrl-C ends it.\n"
        )
        assert server.ask("/healthz") == (200, '{"status":"alive"}')
        status, body = server.ask("/readyz")
        assert (status, json.loads(body)["database"]) == (200, "ok")
        assert server.ask("/metrics")[0] == 200
        assert server.ask("/metrics", **{"X-Forwarded-For": "127.0.0.1"})[0] == 403
        assert server.ask("/", Host="evil.example")[0] == 400
        child = children(server.process.pid)
        assert len(child) == 2  # the model and the worker
        status, out = server.end()
        assert status == 0
        assert "Traceback" not in out
        assert "error" not in out.lower()
        assert not any(alive(pid) for pid in child)


def test_connections_of_one_address_leave_room_for_the_others(tmp_path: Path) -> None:
    """Requests whose bodies never come, as many as one address may have, and more."""
    with served(tmp_path) as server, ExitStack() as held:
        head = f"POST /sign-in HTTP/1.1\r\nHost: localhost:{server.port}\r\nContent-Length: 9\r\n\r\n".encode()
        for _ in range(serving.OF_AN_ADDRESS):
            slow = held.enter_context(socket.create_connection(("127.0.0.1", server.port), HANG_SECONDS))
            slow.sendall(head)
        assert server.ask("/healthz") == (503, serving.BUSY.decode())
        assert server.ask("/healthz", of="127.0.0.2")[0] == 200
        assert server.ask("/sign-in", of="127.0.0.2")[0] == 200
        held.close()  # they leave
        until(lambda: server.ask("/healthz")[0] == 200)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().split()[2] != "Z"


def test_ctrl_c_ends_it_without_a_trace(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        server.ask("/healthz")
        status, out = server.end(signal.SIGINT)
        assert status == 0
        assert "Traceback" not in out


def test_uvicorn_serves_it_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    app = "lifelearn.workspace.app:create_app"
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", app, "--factory", "--port", str(port)],
        env=environment(tmp_path, LL_LOG_FORMAT="json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server = Server(process, port, "")
        end = time.monotonic() + HANG_SECONDS
        while True:
            try:
                assert server.ask("/readyz")[0] == 200
                break
            except (ConnectionError, http.client.HTTPException):  # also of a socket that has found itself
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.05)
        server.ask("/sign-in/with-a-secret-in-the-path")
        _, out = server.end()
        assert "Traceback" not in out
        assert "with-a-secret-in-the-path" not in out
        assert '"event": "request"' in out
    finally:
        process.kill()
        process.communicate()


def refused(folder: Path, *arguments: str, **more: str) -> str:
    """What it says where it cannot start: one line, and status 1."""
    command = [sys.executable, "-m", "lifelearn", "serve", *arguments]
    done = subprocess.run(
        command,
        env=environment(folder, **more),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if not re.match(r"\d{4}-", line)]  # without the log
    assert len(told) == 1, done.stderr
    return told[0]


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert refused(tmp_path, "--port", port) == (
            f"Port {port} is in use. Stop what uses it, or choose another with --port."
        )
    assert not (tmp_path / "workspace.db").exists(), "nothing is made before it is clear that it can serve"


@pytest.mark.parametrize(
    ("host", "told"), [("192.0.2.1", "This machine has no address"), ("no.such.host.invalid", "There is no host")]
)
def test_an_address_that_is_not_ours_is_a_sentence(tmp_path: Path, host: str, told: str) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/workspace.db", model_storage_dir=tmp_path)
    with pytest.raises(serving.ServeError, match=told):
        serving.serve(settings, host, 0, print)


def test_a_database_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    url = "postgresql://anna:hunter2@127.0.0.1:1/x"
    told = refused(tmp_path, "--port", "0", LL_DATABASE_URL=url)
    assert told.startswith("The database postgresql+psycopg://anna:***@127.0.0.1:1/x cannot be used:")
    assert told.endswith("Check LL_DATABASE_URL.")
    (tmp_path / "text.db").write_text("just a text " * 200)
    told = refused(tmp_path, "--port", "0", LL_DATABASE_URL=f"sqlite:///{tmp_path}/text.db")
    assert "file is not a database" in told


NOWHERE = Path("/proc")  # where nobody can write, root included
KEY = "a secret key of at least 32 characters"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "Nothing can be kept in /proc/models, the folder of versions: "),
        ({"LL_WORKER": "elsewhere"}, "The secret key cannot be kept in /proc/models: "),
        ({"LL_WORKER": "elsewhere", "LL_SECRET_KEY": KEY}, "unable to open database file. This user must be able to"),
        ({"LL_DATABASE_URL": "sqlite:////proc/none/x.db"}, "The database's folder /proc/none cannot be made: "),
    ],
)
def test_a_folder_where_nothing_can_be_written_is_a_sentence(tmp_path: Path, more: dict[str, str], told: str) -> None:
    if "LL_DATABASE_URL" in more:
        more = {**more, "LL_MODEL_STORAGE_DIR": str(tmp_path)}
    line = refused(NOWHERE, "--port", "0", **more)
    assert told in line
    assert "in a folder that this user may write to" in line or "to such a folder" in line or "to a file in one" in line


@pytest.mark.parametrize("kept", [b"", b"too short\n", b"\xff\xfe"])
def test_a_secret_key_that_is_too_short_is_a_sentence(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "secret_key"
    file.write_bytes(kept)
    told = refused(tmp_path, "--port", "0")
    assert told.startswith(f"The secret key in {file} is too short: it needs 32 characters at least.")
    assert "set LL_SECRET_KEY" in told
    assert file.read_bytes() == kept


def test_the_address_is_not_changed_where_it_is_configured(tmp_path: Path) -> None:
    with served(tmp_path, LL_PUBLIC_URL="http://127.0.0.1:8099") as server:
        assert "Life-Learn is at http://127.0.0.1:8099 " in server.line


def test_the_web_process_is_small_and_has_no_torch(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        for path in ("/", "/sign-in", "/healthz", "/metrics", "/static/workspace.css", "/api/openapi.json"):
            server.ask(path)
        proc = Path(f"/proc/{server.process.pid}")
        assert "libtorch" not in (proc / "maps").read_text()
        resident = int(re.findall(r"VmRSS:\s+(\d+) kB", (proc / "status").read_text())[0]) / 1024
        assert resident < 200


def test_no_module_of_the_web_process_imports_torch_or_a_parser_of_markdown() -> None:
    """Both have processes of their own."""
    code = (
        "import sys, lifelearn.workspace.serve\n"
        "heavy = ('torch', 'transformers', 'peft', 'numpy', 'datasets', 'markdown_it', 'latex2mathml', 'nh3')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_slow_head_is_not_waited_for(tmp_path: Path) -> None:
    """Neither a first one nor one on a connection that was used before; who is in time is not disturbed."""
    script = (
        "from lifelearn.settings import load_settings\n"
        "from lifelearn.workspace import serve\n"
        "serve.HEAD_SECONDS = 5\n"
        "serve.serve(load_settings(), '127.0.0.1', 0, lambda line: print(line, flush=True))\n"
    )
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(tmp_path, [sys.executable, "-c", script]) as server:

        def connected() -> socket.socket:
            return socket.create_connection(("127.0.0.1", server.port), timeout=HANG_SECONDS)

        def answered(each: socket.socket) -> bool:
            each.sendall(request)
            got = b""
            while not got.endswith(b'"alive"}'):
                part = each.recv(4096)
                assert part
                got += part
            return got.startswith(b"HTTP/1.1 200")

        with connected() as silent, connected() as first, connected() as second, connected() as kept:
            first.sendall(request[:20])
            for each in (second, kept):
                assert answered(each)
            second.sendall(request[:20])
            for slow in (silent, first, second):
                assert slow.recv(4096) == b"", "closed"
            assert answered(kept), "an idle connection may be kept"


def test_a_head_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=HANG_SECONDS)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (2 * serving.HEAD_BYTES))
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
        connection.close()
        assert server.ask("/healthz")[0] == 200


STREAMS = """
import asyncio, sys
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from lifelearn.settings import load_settings
from lifelearn.workspace import serve

real = serve.create_app

def with_streams(settings):
    app = real(settings)

    @app.get("/trial/events")
    async def events():
        async def parts():
            yield "data: first\\n\\n"
            await asyncio.sleep(600)
        return StreamingResponse(parts(), media_type="text/event-stream")

    @app.get("/trial/download")
    async def download():
        async def parts():
            yield "first,"
            await asyncio.sleep(1.5)
            yield "last"
        return StreamingResponse(parts(), media_type="text/plain")

    close = app.state.answers.close
    async def closed():
        await close()
        print("answers are saved", flush=True)
    app.state.answers.close = closed
    return app

serve.create_app = with_streams
serve.serve(load_settings(), "127.0.0.1", 0, lambda line: print(line, flush=True))
"""


def test_open_streams_do_not_keep_it_and_downloads_are_finished(tmp_path: Path) -> None:
    def begun(path: str) -> tuple[http.client.HTTPConnection, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=HANG_SECONDS)
        connection.request("GET", path, headers={"Host": "localhost"})
        return connection, connection.getresponse()

    with served(tmp_path, [sys.executable, "-c", STREAMS]) as server:
        asked = [begun("/trial/events") for _ in range(5)]
        for _, answer in asked:
            assert answer.read(5) == b"data:"
        connection, download = begun("/trial/download")
        assert download.read(6) == b"first,"
        server.process.send_signal(signal.SIGTERM)
        for _, answer in asked:
            answer.read()  # ends, and in order: an answer cut off would raise
        assert download.read() == b"last"
        out, _ = server.process.communicate(timeout=HANG_SECONDS)
        assert server.log is not None
        err = server.log.read_text()
        assert server.process.returncode == 0, err
        assert "answers are saved" in out
        assert "Traceback" not in err
        assert "without completing" not in err
        for each, _ in [*asked, (connection, None)]:
            each.close()
