"""Serving the application: one process that answers the web, beside the one that holds the model.

uvicorn with limits for visitors who are slow or many. Behind a proxy, FORWARDED_ALLOW_IPS (uvicorn's own) names the
proxies whose word on a visitor's address is taken; unset, nobody's is.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.middleware.proxy_headers import _TrustedHosts
from uvicorn.protocols.http.h11_impl import H11Protocol

from lifelearn.settings import Settings
from lifelearn.workspace.app import create_app
from lifelearn.workspace.database import Database
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.throttle import network

HEAD_BYTES = 32 << 10  # of a request, before its body
HEAD_SECONDS = 15.0  # in which it must have come
KEEP_ALIVE_SECONDS = 75  # longer than common proxies keep a connection
END_SECONDS = 10  # that open requests have to end when the server does
CONNECTIONS = 4000  # at a time; more are told to come back
OF_AN_ADDRESS = 1000  # of them, from one address: an office behind one is many people
BUSY = b"Too many connections from your address. Close some, or try again soon."
BACKLOG = 1024


class ServeError(Exception):
    """The server cannot start. The text says why and what to do."""


def serve(settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serves until it is told to end. say: told, in a line, where the workspace is once it is there.

    port: 0 takes a free one.
    """
    listening = _listening(host, port)
    _check_versions(settings)
    port = listening.getsockname()[1]
    if "public_url" not in settings.model_fields_set:
        settings = settings.model_copy(update={"public_url": f"http://localhost:{port}"})
    app = create_app(settings)
    upgrade(app.state.database)  # here, where an error is a sentence; once more at the start costs nothing
    _allow_many_files()
    _Protocol.of = Addresses(os.environ.get("FORWARDED_ALLOW_IPS", ""))
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers="FORWARDED_ALLOW_IPS" in os.environ,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=END_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # how the process ends once the server has
    server = _Server(config, lambda: say(_where(settings, app.state.database)))
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _where(settings: Settings, database: Database) -> str:
    url = database.url
    kept = str(Path(url.database or "").absolute()) if database.is_sqlite else url.render_as_string(hide_password=True)
    place = settings.model_storage_dir
    versions = place if isinstance(place, str) else place.absolute()
    return f"Life-Learn is at {settings.public_url} (database: {kept}, versions: {versions}). Ctrl-C ends it."


def _check_versions(settings: Settings) -> None:
    """Raises ServeError where the worker beside this process could keep no version, instead of at the first lesson."""
    folder = settings.model_storage_dir
    if isinstance(folder, str) or settings.worker == "elsewhere" or settings.inference_backend == "openai":
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ServeError(
            f"Nothing can be kept in {folder.absolute()}, the folder of versions: {error.strerror}. Begin in a folder "
            "that this user may write to, or set LL_MODEL_STORAGE_DIR to such a folder."
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise ServeError(f"There is no host {host!r}. Give an address of this machine, such as 127.0.0.1.") from error
    except OSError as error:
        told = {
            errno.EADDRINUSE: f"Port {port} is in use. Stop what uses it, or choose another with --port.",
            errno.EACCES: f"Port {port} is not allowed to this user. Choose one from 1024 on with --port.",
            errno.EADDRNOTAVAIL: f"This machine has no address {host}. Give one that it has, such as 127.0.0.1.",
        }
        told_otherwise = f"Cannot listen on {host}, port {port}: {error.strerror}."
        raise ServeError(told.get(error.errno or 0, told_otherwise)) from error


def _allow_many_files() -> None:
    """Each connection is a file: as many as this user may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 4 * CONNECTIONS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class Addresses:
    """How many connections each address has. proxies: who speaks for many, as FORWARDED_ALLOW_IPS names them."""

    def __init__(self, proxies: str = "") -> None:
        self._proxies = _TrustedHosts(proxies)
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Counts a connection, where there is room for it; whether there was."""
        if self._open[network(address)] >= OF_AN_ADDRESS and address not in self._proxies:
            return False
        self._open[network(address)] += 1
        return True

    def leave(self, address: str) -> None:
        """Counts one less, of those that had room."""
        self._open[network(address)] -= 1
        self._open += Counter()  # without those that have none


class _Protocol(H11Protocol):
    """uvicorn's, which waits for a request's head only so long, and takes only so many connections from an address."""

    _head: asyncio.TimerHandle | None = None
    _from: str | None = None
    of = Addresses()  # of all connections of the process

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""  # a socket of this machine has none
        if address and not self.of.enter(address):
            head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(BUSY)}\r\nRetry-After: 10\r\n"
            transport.write(f"{head}Content-Type: text/plain\r\nConnection: close\r\n\r\n".encode() + BUSY)
            transport.close()
            return
        self._from = address or None
        self._idle = self.conn.their_state  # as it is before a head is complete
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head is not None:
            self._head.cancel()
        if self._from is not None:
            self.of.leave(self._from)
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Starts the clock where a head is not complete, and stops it where one is."""
        waits = self.conn.their_state is self._idle and self.timeout_keep_alive_task is None
        if waits and self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)
        elif not waits and self._head is not None:
            self._head.cancel()
            self._head = None
