"""Health, metrics and logs: who may see what, what they say, and that no secret is in them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import func, select

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Message
from lifelearn.settings import Settings
from lifelearn.workspace import operation
from lifelearn.workspace.database import ago, now
from lifelearn.workspace.tables.accounts import SignIn, User
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH, ScriptedInference, Workspace, running

pytestmark = pytest.mark.usefixtures("logs_as_before")

TOKEN = "a-token-for-prometheus"


def client(workspace: Workspace, address: str = "127.0.0.1", name: str = "localhost") -> TestClient:
    """Who asks from an address, by a name of the server's."""
    found = TestClient(workspace.app, base_url=f"http://{name}:8080", client=(address, 5000))
    found.portal = workspace.portal
    return found


# Health


def test_healthz_asks_nobody(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace.database, "check", lambda: pytest.fail("the database was asked"))
    workspace.inference.state = "failed"
    answer = client(workspace, "203.0.113.5", "10.0.0.7").get("/healthz")  # by address, as probes ask
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


@BOTH
def test_readyz(workspace: Workspace) -> None:
    probe = client(workspace, "203.0.113.5", "10.0.0.7")
    assert probe.get("/readyz").json() == {"status": "ready", "database": "ok", "model": "ready"}
    workspace.inference.state = "loading"
    answer = probe.get("/readyz")
    assert (answer.status_code, answer.json()["model"]) == (200, "loading"), "pages can be shown"
    workspace.inference.doing = "Fetching it …"
    assert "doing" not in probe.get("/readyz").json()
    assert client(workspace).get("/readyz").json()["doing"] == "Fetching it …"
    workspace.inference.state, workspace.inference.problem = "failed", "The folder /srv/model holds no model."
    answer = probe.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "database": "ok", "model": "failed"}
    assert client(workspace).get("/readyz").json()["problem"] == "The folder /srv/model holds no model."


def test_readyz_without_a_database(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def fails() -> None:
        raise OperationalError("SELECT 1", {}, Exception("could not connect to db.internal as admin"))

    monkeypatch.setattr(workspace.database, "check", fails)
    answer = client(workspace).get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "database": "does not answer", "model": "ready"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_they_only_tell(workspace: Workspace, path: str) -> None:
    assert workspace.person().client.post(path).status_code == 405


# Metrics


@pytest.mark.parametrize(
    ("address", "name", "headers", "status"),
    [
        ("127.0.0.1", "localhost", {}, 200),
        ("127.0.0.1", "127.0.0.1", {}, 200),
        ("::1", "localhost", {}, 200),
        ("::ffff:127.0.0.1", "localhost", {}, 200),
        ("203.0.113.5", "localhost", {}, 403),
        ("testclient", "localhost", {}, 403),
        ("127.0.0.1", "testserver", {}, 403),  # a proxy here that passes the name on
        ("127.0.0.1", "localhost", {"X-Forwarded-For": "127.0.0.1"}, 403),  # one that says for whom it asks
        ("127.0.0.1", "localhost", {"Forwarded": "for=203.0.113.5"}, 403),
        ("203.0.113.5", "localhost", {"X-Forwarded-For": "127.0.0.1"}, 403),  # somebody who would like to be here
        ("203.0.113.5", "localhost", {"Authorization": "Bearer "}, 403),
    ],
)
def test_metrics_without_a_token_are_for_this_machine(
    workspace: Workspace, address: str, name: str, headers: dict[str, str], status: int
) -> None:
    answer = client(workspace, address, name).get("/metrics", headers=headers)
    assert answer.status_code == status
    assert ("lifelearn_model" in answer.text) == (status == 200)


@pytest.mark.parametrize(
    ("given", "status"),
    [(f"Bearer {TOKEN}", 200), (f"bearer {TOKEN}", 200), ("Bearer wrong", 401), (TOKEN, 401), ("", 401)],
)
def test_metrics_with_a_token(settings: Settings, given: str, status: int) -> None:
    workspace = running(settings.model_copy(update={"metrics_token": SecretStr(TOKEN)}))
    with workspace.visitor().client:
        for address in ("203.0.113.5", "127.0.0.1"):
            answer = client(workspace, address).get("/metrics", headers={"Authorization": given})
            assert answer.status_code == status
            assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


def sample(workspace: Workspace, name: str, **labels: str) -> float:
    return float(workspace.app.state.metrics.registry.get_sample_value(name, labels) or 0)


def test_requests_are_counted_by_route_and_status(workspace: Workspace) -> None:
    visitor = client(workspace)
    for path in ("/healthz", "/healthz", "/o/11111111-1111-1111-1111-111111111111", "/nowhere", "/elsewhere"):
        visitor.get(path, follow_redirects=False)
    visitor.request("BREW", "/nowhere")
    visitor.get("/healthz", headers={"Host": "evil.example"})
    visitor.get("/nowhere", headers={"Host": "evil.example"})
    count = "lifelearn_request_seconds_count"
    assert sample(workspace, count, method="GET", route="/healthz", status="2xx") == 3
    assert sample(workspace, count, method="GET", route="-", status="4xx") == 3
    assert sample(workspace, count, method="other", route="-", status="4xx") == 1
    assert "11111111" not in visitor.get("/metrics").text, "each path would be a row of its own"


def test_answers_are_counted_and_timed(workspace: Workspace) -> None:
    inference = workspace.app.state.inference
    asked = (Message(role="user", content="one two three"),)

    async def scenario() -> None:
        workspace.inference.gate = asyncio.Event()
        stream = inference.stream(asked, Sampling(max_tokens=9))
        assert await anext(stream) == "You "
        assert sample(workspace, "lifelearn_answers_running") == 1
        await stream.aclose()
        assert sample(workspace, "lifelearn_answers_running") == 0
        assert workspace.inference.closed == 1, "closing it closes the model's"
        workspace.inference.gate = None
        workspace.inference.state = "loading"
        assert "".join([piece async for piece in inference.stream(asked, Sampling(max_tokens=9))]).endswith("three")

    asyncio.run(scenario())
    assert sample(workspace, "lifelearn_first_token_seconds_count") == 1, "loading is not the model's speed"
    workspace.inference.state = "failed"
    text = client(workspace).get("/metrics").text
    assert 'lifelearn_model{lifelearn_model="failed"} 1.0' in text
    assert 'lifelearn_model{lifelearn_model="ready"} 0.0' in text


def test_each_application_has_its_own_metrics(settings: Settings) -> None:
    first, second = running(settings), running(settings)
    first.app.state.metrics.request("GET", "/x", 200, 0.1)
    assert sample(second, "lifelearn_request_seconds_count", method="GET", route="/x", status="2xx") == 0


# Logs

SECRETS = [
    "hunter2-and-more",
    "c2Vzc2lvbi10b2tlbi1vZi1hbm5h",
    "sk-proj-abcdefghijklmnop",
    "U3VwZXJTZWNyZXRUb2tlbkZvckludml0ZXMxMjM0NTY3",
    "pw-in-url",
    "oidc-code-9876",
]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_secret_of_a_request_is_logged(
    settings: Settings, log_format: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent in every place that a request has, to a route that logs all it can and then fails."""
    password, token, key, invite, in_url, code = SECRETS
    router = APIRouter()

    @router.post("/trial/{where}")
    async def trial(request: Request, where: str) -> None:
        form = dict(await request.form())
        local_variable = form["password"]
        log = structlog.get_logger("trial")
        log.warning("got", headers=dict(request.headers), raw=request.headers.raw, form=form, url=str(request.url))
        log.warning(
            f"password={local_variable} and Cookie: lifelearn={token}", api_key=key, nested={"totp_secret": key}
        )
        logging.getLogger("some.library").warning("GET /invites/%s with Bearer %s", invite, token)
        logging.getLogger("some.library").error("cannot reach postgresql://anna:%s@db/x", in_url)
        raise RuntimeError(f"cannot use token={token} of {key}")

    workspace = running(settings.model_copy(update={"log_format": log_format}))
    workspace.app.include_router(router)
    with workspace.visitor().client:
        visitor = TestClient(workspace.app, base_url="http://testserver", raise_server_exceptions=False)
        visitor.portal = workspace.portal
        answer = visitor.post(
            f"/trial/{invite}?code={code}&state={token}&page=2",
            data={"password": password, "csrf": token, "name": "Anna"},
            headers={"Authorization": f"Bearer {key}", "Cookie": f"lifelearn={token}", "X-Request-ID": "trial-1"},
        )
    assert answer.status_code == 500
    out = capsys.readouterr().err
    for secret in SECRETS:
        assert secret not in out
    for shown in ("Anna", "page=2", "cannot use token=***", "/trial/{where}", "some.library"):
        assert shown in out
    if log_format == "json":
        lines = [json.loads(line) for line in out.splitlines()]
        assert {"event", "level", "timestamp", "logger"} <= set.intersection(*(set(line) for line in lines))
        of_request = [line for line in lines if line["event"] in ("got", "request", "bug")]
        assert {line["request_id"] for line in of_request} == {"trial-1"}
        assert any(line["event"] == "bug" and "RuntimeError" in line["exception"] for line in lines)


def test_errors_of_the_database_do_not_quote_values(
    workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    operation.configure_logging(settings)
    try:
        with workspace.database.write() as db:
            for _ in range(2):
                db.add(User(email="twice@example.org", name="A", password_hash="hash-of-a-password"))
            db.flush()
    except Exception:
        structlog.get_logger("trial").exception("bug")
    out = capsys.readouterr().err
    assert "IntegrityError" in out
    assert "hash-of-a-password" not in out


def test_libraries_and_the_server_log_the_same_way(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler())  # as uvicorn comes
    logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler())
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # another test's server may have said otherwise
    json_settings = settings.model_copy(update={"log_format": "json"})
    for _ in range(2):
        operation.configure_logging(json_settings)  # twice, and still a line for each event
    logging.getLogger("uvicorn.error").info("Started")
    logging.getLogger("uvicorn.access").info('127.0.0.1 - "GET /invites/secret HTTP/1.1" 200')
    structlog.get_logger("lifelearn").info("odd", text="a\x1b[31m\rb", tokens=3, max_tokens=4)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["Started", "odd"]
    assert lines[1]["text"] == "a?[31m?b"
    assert (lines[1]["tokens"], lines[1]["max_tokens"]) == (3, 4), "numbers of tokens are no secret"


# Now and then, and the end


@BOTH
def test_what_has_expired_is_swept(workspace: Workspace, settings: Settings) -> None:
    anna = workspace.person()
    old = settings.folder / "organizations" / "00000000-0000-0000-0000-000000000001"
    old.mkdir(parents=True)
    with workspace.database.write() as db:
        times = {"last_seen_at": now(), "expires_at": ago(seconds=1), "confirmed_at": now()}
        db.add(SignIn(user_id=anna.user_id, token_hash="expired", **times))
    operation.sweep(workspace.database, settings)
    with workspace.database.read() as db:
        assert db.scalar(select(func.count()).select_from(SignIn)) == 1
    assert not old.exists()


def test_a_sweep_that_fails_does_not_keep_the_others(
    workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lifelearn.workspace.accounts import service as accounts
    from lifelearn.workspace.organizations import ending

    swept: list[str] = []

    def fails(database: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(accounts, "sweep", fails)
    monkeypatch.setattr(ending, "sweep_folders", lambda *arguments: swept.append("folders"))
    operation.sweep(workspace.database, settings)
    assert swept == ["folders"]


def test_sweeping_goes_on_while_the_application_runs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[object] = []
    monkeypatch.setattr(operation, "SWEEP_AFTER", 0.01)
    monkeypatch.setattr(operation, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(operation, "sweep", lambda *arguments: swept.append(arguments))
    with running(settings).visitor().client:
        until(lambda: len(swept) >= 3)
    count = len(swept)
    time.sleep(0.05)
    assert len(swept) == count


def test_event_streams_end_when_the_server_does_and_downloads_do_not(settings: Settings) -> None:
    """As a server sees it: the application ends a stream of events by itself, and finishes any other answer."""
    workspace = running(settings, ScriptedInference())
    go_on = asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        yield "first"
        await go_on.wait()
        yield "last"

    @workspace.app.get("/trial/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(parts(), media_type="text/event-stream")

    @workspace.app.get("/trial/download")
    async def download() -> StreamingResponse:
        return StreamingResponse(parts(), media_type="text/plain")

    async def ask(path: str, out: list[str]) -> None:
        received: asyncio.Queue[Any] = asyncio.Queue()
        received.put_nowait({"type": "http.request", "body": b"", "more_body": False})

        async def send(message: Any) -> None:
            out.append(message.get("body", b"").decode())

        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(b"host", b"testserver")], "client": ("127.0.0.1", 1), "server": ("testserver", 80),
        }  # fmt: skip
        await workspace.app(scope, received.get, send)

    async def scenario() -> None:
        streamed: list[str] = []
        loaded: list[str] = []
        async with asyncio.timeout(HANG_SECONDS), asyncio.TaskGroup() as group:
            stream = group.create_task(ask("/trial/events", streamed))
            group.create_task(ask("/trial/download", loaded))
            while "first" not in streamed or "first" not in loaded:
                await asyncio.sleep(0.01)
            workspace.app.state.closing.set()
            await stream
            assert "last" not in streamed
            go_on.set()
        assert loaded == ["", "first", "last", ""]

    asyncio.run(scenario())


def test_what_goes_wrong_unexpectedly_has_the_headers_of_every_answer(workspace: Workspace) -> None:
    @workspace.app.get("/trial/bug")
    def bug() -> PlainTextResponse:
        raise RuntimeError

    answer = workspace.visitor().get("/trial/bug", headers={"X-Request-ID": "abc"})
    assert answer.status_code == 500
    assert "abc" in answer.text
    assert answer.headers["x-request-id"] == "abc"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
