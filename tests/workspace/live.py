"""A workspace on a port of this machine, for browsers and for clients that need a real server."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from fastapi import FastAPI

from lifelearn.settings import Settings
from lifelearn.workspace.app import create_app
from lifelearn.workspace.inference import Inference
from waiting import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Nothing of the browser's own goes to the network, and it runs as root in a container.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Live:
    """A server in a thread; `url` is where it is."""

    def __init__(self, server: uvicorn.Server, url: str, app: FastAPI) -> None:
        self.server, self.url, self.app = server, url, app
        self.loop: asyncio.AbstractEventLoop | None = None

    def call(self, do: Any, *arguments: Any) -> None:
        """Calls something in the server's event loop."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(do, *arguments)


@contextmanager
def live(settings: Settings, inference: Inference | None = None) -> Iterator[Live]:
    """A workspace that knows where it is."""
    listening = _listening()
    public_url = f"http://localhost:{listening.getsockname()[1]}"
    app = create_app(settings.model_copy(update={"public_url": public_url}), inference)
    with serving(app, listening) as found:
        yield found


@contextmanager
def serving(app: FastAPI, listening: socket.socket | None = None) -> Iterator[Live]:
    """Any application."""
    listening = listening or _listening()
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
    found = Live(uvicorn.Server(config), f"http://localhost:{listening.getsockname()[1]}", app)

    async def serve() -> None:
        found.loop = asyncio.get_running_loop()
        await found.server.serve([listening])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    until(lambda: found.server.started or not thread.is_alive())
    assert found.server.started, "the server did not start"
    try:
        yield found
    finally:
        found.server.should_exit = True
        with suppress(RuntimeError):
            thread.join(15)
        listening.close()


def _listening() -> socket.socket:
    """A port of this machine's own choice."""
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    return found
