"""Running it: health, metrics, what is done now and then, and the end that waits for nobody who only listens.

Metrics are the application's own, so that several in one process do not mix. Knows no features but their sweeps.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import signal
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, Enum, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Conversation
from lifelearn.settings import Settings
from lifelearn.workspace import logs
from lifelearn.workspace.accounts import service as accounts
from lifelearn.workspace.database import Database
from lifelearn.workspace.inference import Inference, State
from lifelearn.workspace.organizations import ending as organizations
from lifelearn.workspace.readiness import OK, Readiness
from lifelearn.workspace.versions import service as versions
from lifelearn.workspace.webhooks import service as webhooks

log = structlog.get_logger("lifelearn.operation")
router = APIRouter()

STATES: tuple[State, ...] = ("loading", "ready", "failed")
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
FIRST_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)
SWEEP_SECONDS = 600.0
SWEEP_AFTER = 10.0  # seconds after the start
FORWARDING = ("forwarded", "x-forwarded-for", "x-real-ip", "via")  # headers that proxies set


def configure_logging(settings: Settings) -> None:
    logs.configure(settings.log_format)


# Health


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """The process is alive; asks neither the database nor the model."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """Whether requests can be answered: the database takes a change, and the model is there or still being loaded."""
    inference: Inference = request.app.state.inference
    readiness: Readiness = request.app.state.readiness
    told: dict[str, str] = {"database": await readiness.database(), "model": inference.state}
    if _may_look_inside(request):  # what is said may name folders and servers
        said = {"doing": inference.doing, "problem": inference.problem}
        told |= {name: text for name, text in said.items() if text}
    ready = told["database"] == OK and inference.state != "failed"
    return JSONResponse({"status": "ready" if ready else "not ready", **told}, 200 if ready else 503)


# Metrics


class Metrics:
    """What Prometheus reads of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Histogram(
            "lifelearn_request_seconds",
            "Requests by route, the length of event streams included.",
            ("method", "route", "status"),
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )
        self.running = Gauge(
            "lifelearn_answers_running", "Answers asked of the model, waiting ones included.", registry=self.registry
        )
        self.first = Histogram(
            "lifelearn_first_token_seconds",
            "From asking a model that is ready to the first piece of its answer.",
            buckets=FIRST_SECONDS,
            registry=self.registry,
        )
        self.model = Enum("lifelearn_model", "Whether the model can answer.", states=STATES, registry=self.registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in METHODS else "other"  # a visitor makes up as many as they like
        self.requests.labels(known, route, f"{status // 100}xx").observe(seconds)


class Measured:
    """An Inference whose answers are counted."""

    def __init__(self, inference: Inference, metrics: Metrics) -> None:
        self._inference, self._metrics = inference, metrics

    @property
    def state(self) -> State:
        return self._inference.state

    @property
    def name(self) -> str:
        return self._inference.name

    @property
    def doing(self) -> str:
        return self._inference.doing

    @property
    def problem(self) -> str:
        return self._inference.problem

    async def start(self) -> None:
        await self._inference.start()

    async def stop(self) -> None:
        await self._inference.stop()

    async def stream(
        self, conversation: Conversation, sampling: Sampling, weights: Path | None = None, of: str = ""
    ) -> AsyncGenerator[str]:
        asked, waits = time.perf_counter(), self.state == "ready"
        stream = self._inference.stream(conversation, sampling, weights, of)
        with self._metrics.running.track_inprogress():
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    if waits:
                        self._metrics.first.observe(time.perf_counter() - asked)
                        waits = False
                    yield piece


@router.get("/metrics")
def metrics(request: Request) -> Response:
    settings: Settings = request.app.state.settings
    if not _may_look_inside(request):
        if settings.metrics_token is not None:
            told = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse("Send the token of LL_METRICS_TOKEN as a bearer.", 401, told)
        return PlainTextResponse("Only for this machine itself; LL_METRICS_TOKEN opens it to others.", 403)
    found: Metrics = request.app.state.metrics
    found.model.state(request.app.state.inference.state)
    return Response(generate_latest(found.registry), media_type=CONTENT_TYPE_LATEST)


def _may_look_inside(request: Request) -> bool:
    """Whether who asks has the token; where there is none, whether it is this machine itself, and no proxy on it."""
    settings: Settings = request.app.state.settings
    if settings.metrics_token is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        wanted = settings.metrics_token.get_secret_value()
        return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), wanted.encode())
    if any(name in request.headers for name in FORWARDING):
        return False
    local_name = request.url.hostname == "localhost" or _is_loopback(request.url.hostname or "")
    return local_name and request.client is not None and _is_loopback(request.client.host)


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


# Now and then


@asynccontextmanager
async def swept(database: Database, settings: Settings) -> AsyncIterator[None]:
    """Removes what has expired, every ten minutes while the application runs."""
    task = asyncio.create_task(_sweep_forever(database, settings))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sweep_forever(database: Database, settings: Settings) -> None:
    wait = SWEEP_AFTER
    while True:
        await asyncio.sleep(wait)
        await asyncio.to_thread(sweep, database, settings)
        wait = SWEEP_SECONDS


def sweep(database: Database, settings: Settings) -> None:
    """Removes what has expired or belongs to nobody. What fails is logged, and tried again the next time."""
    for what, do in (
        ("accounts", lambda: accounts.sweep(database)),
        ("folders", lambda: organizations.sweep_folders(database, settings)),
        ("happenings", lambda: webhooks.sweep(database)),
        ("versions", lambda: versions.sweep_versions(database, settings)),
    ):
        try:
            do()
        except Exception:
            log.exception("not swept", what=what)


# The end


@contextmanager
def closing_on_signals(closing: asyncio.Event) -> Iterator[None]:
    """Sets `closing` as soon as the process is asked to end.

    The server waits for open answers before it ends the application, and event streams are open for ever: the guard
    ends them when `closing` is set.
    """
    if threading.current_thread() is not threading.main_thread():  # signals come there only
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def asked(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(closing.set)
        server: Any = before[signal.Signals(number)]
        server(number, frame)

    ours = [number for number, server in before.items() if callable(server)]
    for number in ours:
        signal.signal(number, asked)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is asked:
                signal.signal(number, before[number])
