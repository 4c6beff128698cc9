"""The workspace as one ASGI application. `create_app(settings)` makes it; `lifelearn serve` and uvicorn run it.

Each feature brings a router, and is registered here alone. The process that runs this never imports torch: the model
lives in a process of its own (inference.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.orm.exc import StaleDataError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from lifelearn.learning import private
from lifelearn.settings import Settings, load_settings
from lifelearn.workspace import operation
from lifelearn.workspace.accounts import routes as accounts
from lifelearn.workspace.admission import Admission
from lifelearn.workspace.chats import api as chats_api
from lifelearn.workspace.chats import routes as chats
from lifelearn.workspace.chats.answers import Answers
from lifelearn.workspace.completions import api as completions_api
from lifelearn.workspace.corrections import api as corrections_api
from lifelearn.workspace.corrections import routes as corrections
from lifelearn.workspace.corrections.detection import Detector
from lifelearn.workspace.corrections.progress import Watch
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database, sqlite_fault
from lifelearn.workspace.errors import ConflictError, InvalidError, ProgramError, SignedOutError, WorkspaceError
from lifelearn.workspace.guard import Guard
from lifelearn.workspace.inference import Inference, ProcessInference
from lifelearn.workspace.jobs.embedded import EmbeddedWorker
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.organizations import routes as organizations
from lifelearn.workspace.organizations.place import check_uploader
from lifelearn.workspace.origins import OtherOrigins
from lifelearn.workspace.pages import HERE, Pages, by_htmx, check_csrf, render, sign_in_path
from lifelearn.workspace.programs import organization as programs_api
from lifelearn.workspace.programs import routes as programs
from lifelearn.workspace.quotas import Quotas
from lifelearn.workspace.readiness import Readiness
from lifelearn.workspace.rendering.renderer import RENDERER
from lifelearn.workspace.rights import tighten
from lifelearn.workspace.streams import Streams
from lifelearn.workspace.versions import api as versions_api
from lifelearn.workspace.versions import routes as versions
from lifelearn.workspace.versions.compare import Comparisons
from lifelearn.workspace.versions.rechecks import Rechecks
from lifelearn.workspace.webhooks import api as webhooks_api
from lifelearn.workspace.webhooks import routes as webhooks
from lifelearn.workspace.webhooks.sending import Sender

log = structlog.get_logger("lifelearn")

PROBLEM = "application/problem+json"


def _routes() -> APIRouter:
    routes = APIRouter()
    for pages in (accounts, organizations, chats, programs, corrections, versions, webhooks):
        routes.include_router(pages.router, dependencies=[Depends(check_csrf)], include_in_schema=False)
    for calls in (programs_api, chats_api, completions_api, corrections_api, versions_api, webhooks_api):
        routes.include_router(calls.api)
    routes.include_router(operation.router, include_in_schema=False)
    return routes


ROUTES = _routes()  # for all applications of a process: FastAPI works a route out at its first use, which takes a while


def create_app(settings: Settings | None = None, inference: Inference | None = None) -> FastAPI:
    """The application, not yet started: its schema is made and its model process begun when it serves.

    inference: another way to a model, for tests.
    """
    private.umask()
    settings = settings or load_settings()
    operation.configure_logging(settings)
    app = FastAPI(
        title="Life-Learn",
        summary="A team's chat with its own model.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        routes=ROUTES.routes,
    )
    app.state.settings = settings
    app.state.database = Database(settings.database_url)
    app.state.readiness = Readiness(app.state.database)
    app.state.metrics, app.state.closing = operation.Metrics(), asyncio.Event()
    app.state.inference = operation.Measured(inference or ProcessInference(settings), app.state.metrics)
    app.state.admission = Admission(app.state.inference)
    app.state.renderer = RENDERER
    app.state.answers = Answers(
        app.state.database, app.state.inference, app.state.admission, app.state.renderer, settings
    )
    app.state.queue = LearningQueue(app.state.database, settings.inference_backend != "openai")
    app.state.detector = Detector(app.state.database, settings, app.state.queue)
    app.state.watch = Watch(app.state.database)
    app.state.worker = EmbeddedWorker(settings)
    app.state.pages = Pages(settings, Keys.of(settings), app.state.database)
    app.state.sender = Sender(app.state.database, settings, app.state.pages.keys)
    app.state.comparisons = Comparisons()
    app.state.quotas = Quotas(settings)
    app.state.streams = Streams(app.state.database)
    app.state.rechecks = Rechecks(app.state.database, app.state.admission, settings)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.add_exception_handler(WorkspaceError, _expected)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StaleDataError, _stale)
    host = urlsplit(settings.public_url).hostname or "localhost"
    hosts = [host, *(name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip())]
    app.add_middleware(
        Guard,
        hosts=hosts,
        secure=app.state.pages.secure,
        on_request=app.state.metrics.request,
        check_uploader=check_uploader,
        on_refused=_expected,
        on_bug=_bug,
        closing=app.state.closing,
    )
    if settings.cors_origins is not None:
        app.add_middleware(OtherOrigins, origins=settings.cors_origins.split(","))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    if state.database.is_sqlite and (fault := sqlite_fault()):
        log.warning(fault)
    await run_in_threadpool(tighten, state.settings, state.database)
    await run_in_threadpool(upgrade, state.database)
    if not await run_in_threadpool(lambda: state.queue.is_prepared):
        await run_in_threadpool(state.queue.prepare)
    await state.answers.start()
    await state.sender.start()
    await state.detector.start()
    await state.rechecks.start()
    await state.inference.start()  # does not wait for the model
    await state.worker.start()
    try:
        with operation.closing_on_signals(state.closing):
            async with operation.swept(state.database, state.settings):
                yield
    finally:
        await state.answers.close()
        await state.sender.stop()
        await state.watch.close()
        await state.streams.close()
        await state.detector.close()
        await state.rechecks.close()
        await state.worker.stop()
        await state.inference.stop()
        state.queue.close()
        state.database.close()


def problem(status: int, title: str, detail: str, **more: object) -> JSONResponse:
    """An error for programs, as RFC 9457 has it."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, media_type=PROBLEM)


def _shown(request: Request, error: WorkspaceError, **more: object) -> Response:
    """An error as who asked can use it: OpenAI's form under /v1, a problem under /api, else a page."""
    path = request.url.path
    if path.startswith("/v1/"):
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(error.status)
        told = {"message": error.message, "type": kind, "param": None, "code": code}
        if isinstance(error, ProgramError):
            told |= {"param": error.param, "code": error.code}
        response: Response = JSONResponse({"error": told}, error.status)
    elif path.startswith("/api/"):
        response = problem(error.status, error.title, error.message, **more)
    else:
        response = render(request, "error.html", {"error": error}, error.status)
        if by_htmx(request):  # beside what is there, instead of in its place
            response.headers.update({"HX-Retarget": "#notices", "HX-Reswap": "innerHTML", "HX-Push-Url": "false"})
    response.headers.update(error.headers)
    return response


async def _expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, WorkspaceError)
    browses = not request.url.path.startswith(("/api/", "/v1/"))
    if isinstance(error, SignedOutError) and browses:
        where = sign_in_path(request)
        if by_htmx(request):
            return Response(status_code=401, headers={"HX-Redirect": where})
        if request.method == "GET" and "text/event-stream" not in request.headers.get("accept", ""):
            return RedirectResponse(where, 303)
    more = {"fields": error.fields} if isinstance(error, InvalidError) and error.fields else {}
    return await run_in_threadpool(_shown, request, error, **more)


async def _unreadable(request: Request, error: Exception) -> Response:
    """What was sent does not fit the route: which field, and what is wrong with it; never the value itself."""
    assert isinstance(error, RequestValidationError)
    fields = {".".join(str(part) for part in each["loc"][1:]): str(each["msg"]) for each in error.errors()}
    if any(each["loc"][0] == "path" for each in error.errors()):
        return await _http(request, HTTPException(404))
    told = "; ".join(f"{name}: {text}" if name else text for name, text in fields.items())
    if request.url.path.startswith("/v1/"):
        return await _expected(request, ProgramError(told, param=next(iter(fields)) or None))
    return await _expected(request, InvalidError(told, fields))


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses: no such page, no such method."""
    assert isinstance(error, HTTPException)
    shown = WorkspaceError(
        {404: "There is nothing here, or it is not yours to see."}.get(error.status_code, str(error.detail))
    )
    shown.status, shown.title = (
        error.status_code,
        {404: "Not found", 405: "Not that way"}.get(error.status_code, shown.title),
    )
    shown.headers = dict(error.headers or {})
    return await run_in_threadpool(_shown, request, shown)


async def _stale(request: Request, error: Exception) -> Response:
    log.info("stale", what=str(error))
    return await _expected(
        request, ConflictError("Somebody else changed this meanwhile. Load the page again and look.")
    )


async def _bug(request: Request, error: Exception) -> Response:
    log.error("bug", exc_info=error)
    shown = WorkspaceError(
        f"Something went wrong on our side. It is logged under {request.state.request_id}; trying again may help."
    )
    shown.status, shown.title = 500, "That should not have happened"
    return await run_in_threadpool(_shown, request, shown)
