"""Bodies: read whole before anything is done for a request, within a size and a time, and large ones from members."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from lifelearn.workspace import guard, serve
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH, Browser, Workspace
from workspace.who_may import OPEN, PAGES, PROGRAMS

ROUTES = [*PAGES, *PROGRAMS, *OPEN]


class Drip:
    """A request whose body begins and does not end."""

    def __init__(
        self, workspace: Workspace, method: str, path: str, cookie: str = "", length: int = 1000, **more: str
    ) -> None:
        self.status, self.read = 0, 0
        headers = {
            "host": "testserver", "content-type": "application/x-www-form-urlencoded", "content-length": str(length),
            "cookie": cookie, **more,
        }  # fmt: skip
        self.scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
            "client": ("192.0.2.1", 1), "server": ("testserver", 80), "scheme": "http", "http_version": "1.1",
            "root_path": "",
        }  # fmt: skip
        self.app = workspace.app
        self.task = workspace.portal.start_task_soon(self._run)

    async def _run(self) -> None:
        await self.app(self.scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        self.read += 1
        if self.read > 1:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"csrf=", "more_body": True}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)


@BOTH
def test_nobody_waits_for_bodies_that_drip_at_every_route(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 2 * HANG_SECONDS)
    name = workspace.pages.cookie
    ids = {"organization_id": place, "number": 1, "token": "x" * 20, "model": "life-learn"}
    drips = []
    for method, path in ROUTES:
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        filled = path.format(**{each: ids.get(each, uuid.uuid4()) for each in names})
        for cookie in ("", f"{name}={anna.client.cookies.get(name)}"):
            drips.append(Drip(workspace, method, filled, cookie))
    until(lambda: all(each.read > 1 or each.task.done() for each in drips))
    waits = sum(not each.task.done() for each in drips)
    assert waits == len(drips)
    for number in range(12):  # more than may write at once
        assert anna.post(f"/o/{place}/threads", {"content": f"Hello {number}"}).status_code in (200, 303)
        assert anna.get(f"/o/{place}/threads").status_code == 200
        assert anna.post("/account", {"name": f"Anna {number}", "theme": "dark"}).status_code == 303
    assert sum(not each.task.done() for each in drips) == waits
    for each in drips:
        each.task.cancel()


def test_a_body_that_takes_too_long_is_told_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """In all, not from part to part."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    for path in ("/sign-out", "/api/v1/threads", "/v1/chat/completions"):
        drip = Drip(workspace, "POST", path)
        drip.task.result(HANG_SECONDS)
        assert drip.status == 408


def test_a_large_body_is_read_from_members_alone(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    name, ben = workspace.pages.cookie, workspace.person("ben@example.org")
    path = f"/o/{place}/import"
    for cookie, status in (("", 401), (f"{name}=made-up", 401), (f"{name}={ben.client.cookies.get(name)}", 404)):
        drip = Drip(workspace, "POST", path, cookie, 60 << 20)
        drip.task.result(HANG_SECONDS)
        assert (drip.status, drip.read) == (status, 0)
    drip = Drip(workspace, "POST", path, f"{name}={anna.client.cookies.get(name)}", 60 << 20)
    until(lambda: drip.read > 1)
    drip.task.cancel()
    for length in (guard.BODY_BYTES + 1, 1 << 50):
        drip = Drip(workspace, "POST", "/sign-in", "", length)
        drip.task.result(HANG_SECONDS)
        assert (drip.status, drip.read) == (413, 0)


def test_large_bodies_are_counted_until_their_requests_are_done(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    name, ben = workspace.pages.cookie, workspace.person("ben@example.org")
    bens = workspace.organization(ben, "Other")

    def drip(browser: Browser, where: uuid.UUID) -> Drip:
        cookie = f"{name}={browser.client.cookies.get(name)}"
        return Drip(workspace, "POST", f"/o/{where}/import", cookie, 60 << 20)

    mine = [drip(anna, place) for _ in range(guard.UPLOADS_OF_ONE)]
    until(lambda: all(each.read > 1 for each in mine))
    refused = drip(anna, place)
    refused.task.result(HANG_SECONDS)
    assert (refused.status, refused.read) == (429, 0)
    another = drip(ben, bens)
    until(lambda: another.read > 1)
    for each in mine:
        each.task.cancel()
    again = drip(anna, place)
    until(lambda: again.read > 1 or again.task.done())
    assert not again.task.done()
    for each in (another, again):
        each.task.cancel()


def test_a_length_beside_parts_gives_no_more_time(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(guard, "BYTES_A_SECOND", guard.IMPORT_BYTES * 10)
    name = workspace.pages.cookie
    cookie = f"{name}={anna.client.cookies.get(name)}"
    drip = Drip(workspace, "POST", f"/o/{place}/import", cookie, 10**15, **{"transfer-encoding": "chunked"})
    drip.task.result(HANG_SECONDS)
    assert drip.status == 408


def test_a_body_of_many_parts_comes_whole(workspace: Workspace, anna: Browser) -> None:
    content = "csrf=" + anna.csrf + "&theme=dark&name=" + "Anna" + "+" * 70
    parts = (content[at : at + 7].encode() for at in range(0, len(content), 7))
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert anna.client.post("/account", content=parts, headers=form).status_code == 303


def test_connections_are_counted_by_who_may_be_behind_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "OF_AN_ADDRESS", 2)
    addresses = serve.Addresses("203.0.113.0/24, 2001:db8::1")
    assert [addresses.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert addresses.enter("192.0.2.2")
    addresses.leave("192.0.2.1")
    assert addresses.enter("192.0.2.1")
    # Who has an IPv6 network has all of its addresses.
    assert [addresses.enter(f"2001:db8:1::{each}") for each in range(3)] == [True, True, False]
    assert addresses.enter("2001:db8:2::1")
    # A proxy speaks for everybody.
    assert all(addresses.enter(each) for each in ["203.0.113.9", "2001:db8::1"] * 5)
    assert all(serve.Addresses("*").enter("192.0.2.1") for _ in range(5))
