"""What answers in the model's process, and what that process is told and tells."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lifelearn.learning.chat_model import ChatModel, ChatModelError
from lifelearn.settings import Settings
from lifelearn.workspace import model_process
from lifelearn.workspace.inference import ProcessInference
from waiting import HANG_SECONDS
from workspace.model_process import answer, child, proc, started

pytestmark = pytest.mark.check("processes")


@contextmanager
def openai_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that streams three words, and its requests with the key that they carried."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append({"key": self.headers["authorization"], **body})
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for word in ("It ", "is ", "so."):
                delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
                self.wfile.write(b"data: " + json.dumps({"id": "1", "choices": [delta]}).encode() + b"\n\n")
            last = {"index": 0, "delta": {}, "finish_reason": "stop"}
            self.wfile.write(b"data: " + json.dumps({"id": "1", "choices": [last]}).encode() + b"\n\ndata: [DONE]\n\n")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_answers_and_its_key_is_seen_by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-quite-secret-and-long"
    monkeypatch.setenv("LL_SECRET_KEY", "a secret key that the model has no use for")
    monkeypatch.setenv("OPENAI_API_KEY", key)

    async def scenario(url: str) -> None:
        async with started(Settings(inference_backend="openai", openai_base_url=url)) as inference:
            assert await answer(inference, "Is it?") == "It is so."
            process = child(inference)
            assert key not in " ".join(proc(process, "cmdline"))
            assert not [name for name in proc(process, "environ") if name.startswith(("LL_", "OPENAI"))]
            asked = [answer(inference, str(number)) for number in range(20)]
            assert set(await asyncio.gather(*asked)) == {"It is so."}

    with openai_server() as (url, seen):
        asyncio.run(scenario(url))
        assert seen[0]["key"] == f"Bearer {key}"
        assert len(seen) == 21


def test_the_mock_says_that_it_is_one_and_needs_no_torch() -> None:
    async def scenario() -> None:
        async with started(Settings(inference_backend="mock")) as inference:
            assert "not a real one" in await answer(inference, "Hi")
            assert "mock" in inference.name
            assert "libtorch" not in " ".join(proc(child(inference), "maps"))

    asyncio.run(scenario())


def test_what_takes_long_while_it_is_loading_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer said once it is loaded, or cannot be."""

    def fetching(settings: Settings, tell: Callable[[str], None]) -> ChatModel:
        tell("Fetching it …")
        raise ChatModelError("There is no network.")

    monkeypatch.setattr(model_process, "chat_model", fetching)
    inference, said = ProcessInference(Settings()), list[str]()

    def send(line: dict[str, Any]) -> None:
        inference._heard(line)
        said.append(f"{inference.state}: {inference.doing}{inference.problem}")

    model_process._serve(Settings(), queue.SimpleQueue(), send)
    assert said == ["loading: Fetching it …", "failed: There is no network."]


def test_what_libraries_print_does_not_get_between() -> None:
    """Standard output is ours alone: by Python and from below it."""
    script = (
        "import os, sys\n"
        "from lifelearn.workspace import model_process\n"
        "real = model_process.chat_model\n"
        "def talkative(*given):\n"
        "    print('loading …', flush=True)\n"
        "    os.write(1, b'from C\\n')\n"
        "    return real(*given)\n"
        "model_process.chat_model = talkative\n"
        "model_process.main()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"inference_backend": "mock"}\n')
        process.stdin.flush()
        first = process.stdout.readline()  # the model is there, so all was printed
        rest, errors = process.communicate(timeout=HANG_SECONDS)
    assert list(json.loads(first)) == ["state", "name"]
    assert rest == b""
    assert b"from C" in errors
    assert "loading …".encode() in errors
