"""Pages of other sites: off unless they are named, then for programs' addresses alone, errors and streams included."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium

from lifelearn.settings import Settings
from lifelearn.workspace import guard
from lifelearn.workspace.origins import OtherOrigins
from lifelearn.workspace.programs import caller
from waiting import HANG_SECONDS
from workspace.fakes import ScriptedInference, Workspace
from workspace.live import live
from workspace.programs import bearer, key_of

TOOLS = "https://tools.example.org"
pytestmark = pytest.mark.settings(cors_origins=f"{TOOLS},http://localhost:5173")

HELLO = {"model": "life-learn", "messages": [{"role": "user", "content": "hello there"}]}
ALLOWED = "access-control-allow-origin"
SENT = "authorization,content-type,user-agent,x-stainless-os,x-stainless-retry-count,x-stainless-some-day"


def preflight(workspace: Workspace, path: str = "/v1/chat/completions", **changes: str) -> Any:
    headers = {
        "Origin": TOOLS,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": SENT,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return workspace.visitor().client.options(path, headers={name: value for name, value in headers.items() if value})


def headers_of_cors(answer: Any) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.settings(cors_origins=None)
def test_nothing_is_said_to_other_sites_unless_they_are_named(workspace: Workspace) -> None:
    for answer in (preflight(workspace), workspace.visitor().get("/v1/models", headers={"Origin": TOOLS})):
        assert answer.status_code in (401, 405)
        assert headers_of_cors(answer) == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/threads", "/api/openapi.json", "/v1/no-such-thing"])
def test_a_browser_asks_before_and_is_answered_without_a_key(workspace: Workspace, path: str) -> None:
    answer = preflight(workspace, path, Host="called.otherwise.example")
    assert answer.status_code == 200
    assert answer.headers[ALLOWED] == TOOLS
    assert "Origin" in answer.headers["vary"]
    assert {"GET", "POST", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    allowed = {each.strip().lower() for each in answer.headers["access-control-allow-headers"].split(",")}
    assert set(SENT.split(",")) <= allowed
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("private", ["", "true"])
@pytest.mark.parametrize("sent", ["", "authorization", "x-stainless-lang"])
def test_what_a_browser_asks_may_be_short(workspace: Workspace, sent: str, private: str) -> None:
    changes = {"Access_Control_Request_Headers": sent, "Access_Control_Request_Private_Network": private}
    assert preflight(workspace, **changes).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://tools.example.org"},
        {"Origin": f"{TOOLS}:8443"},
        {"Origin": f"{TOOLS}.evil.example"},
        {"Access_Control_Request_Headers": "cookie"},
        {"Access_Control_Request_Headers": "authorization, x-forwarded-for"},
        {"Access_Control_Request_Headers": "x-stainless-os\x7f"},
        {"Access_Control_Request_Method": "TRACE"},
    ],
)
def test_what_is_not_allowed_is_not(workspace: Workspace, changes: dict[str, str]) -> None:
    answer = preflight(workspace, **changes)
    assert answer.status_code == 400
    if "Origin" in changes:
        assert ALLOWED not in answer.headers
        plain = workspace.visitor().get("/v1/models", headers={"Origin": changes["Origin"]})
        assert ALLOWED not in plain.headers


@pytest.mark.parametrize("path", ["/", "/sign-in", "/account", "/metrics", "/healthz", "/v1", "/apis", "/static/x.css"])
def test_pages_are_not_for_other_sites(workspace: Workspace, path: str) -> None:
    workspace.person()
    for answer in (preflight(workspace, path), workspace.visitor().get(path, headers={"Origin": TOOLS})):
        assert headers_of_cors(answer) == []
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_key_counts_and_a_cookie_does_not(workspace: Workspace) -> None:
    anna = workspace.person()
    _id, key = key_of(workspace, anna, workspace.organization(anna), "chat", "read")
    headers = {"Origin": TOOLS, "Sec-Fetch-Site": "cross-site"}
    refused = anna.client.post("/v1/chat/completions", json=HELLO, headers=headers)
    assert refused.status_code == 401
    answer = anna.client.post("/v1/chat/completions", json=HELLO, headers={**headers, **bearer(key)})
    assert answer.status_code == 200
    for each in (refused, answer):
        assert each.headers[ALLOWED] == TOOLS
        assert "access-control-allow-credentials" not in each.headers
        assert "set-cookie" not in each.headers
        exposed = set(each.headers["access-control-expose-headers"].split(", "))
        assert exposed == {"Retry-After", "WWW-Authenticate", "X-Request-ID"}


def test_errors_can_be_read_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = workspace.person()
    _id, key = key_of(workspace, anna, workspace.organization(anna), "chat", "read")
    client, mine = workspace.visitor().client, {"Origin": TOOLS, **bearer(key)}

    def told(status: int, method: str, path: str, **more: Any) -> Any:
        answer = client.request(method, path, **{"headers": mine, **more})
        assert answer.status_code == status, answer.text
        assert answer.headers[ALLOWED] == TOOLS
        assert answer.headers["x-request-id"]
        return answer

    assert "www-authenticate" in told(401, "GET", "/v1/models", headers={"Origin": TOOLS}).headers
    told(400, "GET", "/v1/models", headers={**mine, "Host": "called.otherwise.example"})
    told(404, "GET", "/api/v1/no-such-thing")
    told(405, "PUT", "/v1/models")
    told(413, "POST", "/v1/chat/completions", content=b"x" * (guard.BODY_BYTES + 1))
    with monkeypatch.context() as patch:
        patch.setattr("lifelearn.workspace.programs.caller.keys.caller", lambda *_: 1 / 0)
        told(500, "GET", "/v1/models")
    monkeypatch.setattr(caller, "CALLS", 0)
    assert int(told(429, "GET", "/v1/models").headers["retry-after"]) > 0


@pytest.mark.settings(cors_origins="*")
def test_any_site_where_that_is_wished(workspace: Workspace) -> None:
    for answer in (
        preflight(workspace, Origin="https://anywhere.example"),
        workspace.visitor().get("/v1/models", headers={"Origin": "null"}),
    ):
        assert answer.headers[ALLOWED] == "*"
        assert "access-control-allow-credentials" not in answer.headers


def test_a_stream_passes_as_it_comes() -> None:
    """Each part is sent on before the next one is there."""
    sent: list[Any] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": number < 2})
            assert sent[-1]["body"] == b"%d" % number

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": [(b"origin", TOOLS.encode())]}
    asyncio.run(OtherOrigins(application, [TOOLS])(scope, receive, send))
    assert len(sent) == 4
    assert (ALLOWED.encode(), TOOLS.encode()) in sent[0]["headers"]


ASK = """async ([url, key, body]) => {
    const headers = {'Authorization': `Bearer ${key}`, 'Content-Type': 'application/json', 'X-Stainless-OS': 'Linux'};
    const answer = await fetch(url, {method: 'POST', headers, body: JSON.stringify({...body, stream: true})});
    const reader = answer.body.getReader(), text = new TextDecoder();
    let said = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) said += text.decode(part.value);
    return [answer.status, answer.headers.get('X-Request-ID'), said];
}"""


class Blank(http.server.BaseHTTPRequestHandler):
    """A site with one empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.mark.check("browser")
def test_a_page_of_another_site_in_a_real_browser(chromium: Chromium, settings: Settings) -> None:
    """`Cross-Origin-Resource-Policy: same-origin` is no hindrance to what is asked in this way."""
    inference = ScriptedInference()
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    origin = f"http://localhost:{site.server_port}"
    try:
        for named in (origin, None):
            with live(settings.model_copy(update={"cors_origins": named}), inference) as server:
                workspace = Workspace(server.app, inference)
                anna = workspace.person()
                _id, key = key_of(workspace, anna, workspace.organization(anna), "chat")
                page = chromium.new_context().new_page()
                page.set_default_timeout(1000 * HANG_SECONDS)
                page.goto(f"{origin}/")
                asked = [f"{server.url}/v1/chat/completions", key, HELLO]
                if named is None:
                    with pytest.raises(Exception, match="Failed to fetch"):
                        page.evaluate(ASK, asked)
                    continue
                status, request_id, said = page.evaluate(ASK, asked)
                parts = [json.loads(each[6:]) for each in said.split("\n\n") if each.startswith("data: {")]
                words = [part["choices"][0]["delta"].get("content") or "" for part in parts]
                assert (status, "".join(words)) == (200, "You said: hello there")
                assert request_id
    finally:
        site.shutdown()
        site.server_close()
