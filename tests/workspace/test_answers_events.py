"""The stream of events by which a page shows an answer while it is written."""

from __future__ import annotations

import asyncio
import re
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import delete

from lifelearn.workspace.chats import following
from lifelearn.workspace.tables.chats import Thread
from waiting import HANG_SECONDS
from workspace.answering import begun, gate
from workspace.chatting import answered, ask, latest
from workspace.fakes import BOTH, Browser, Workspace

pytestmark = pytest.mark.usefixtures("quick_answers")


def events(text: str) -> list[tuple[str, str]]:
    """The events of a stream: their names and data."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            name = next((line[7:] for line in lines if line.startswith("event: ")), "message")
            found.append((name, "\n".join(line[6:] for line in lines if line.startswith("data: "))))
    return found


def once_shown(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Has something done beside as soon as a reader is shown an answer's text."""
    text_so_far, shown = following._text_so_far, threading.Event()

    async def shows(*arguments: Any) -> tuple[str, bool]:
        html, over = await text_so_far(*arguments)
        if html:
            shown.set()
        return html, over

    monkeypatch.setattr(following, "_text_so_far", shows)
    threading.Thread(target=lambda: shown.wait(HANG_SECONDS) and do(), daemon=True).start()


@BOTH
def test_events(workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = gate(workspace)
    workspace.inference.reply = lambda _: "**one** `<b>`\n\nthree"
    answer = begun(workspace, anna, place)
    path = f"/o/{place}/threads/{answer.thread_id}/messages/{answer.id}/events"
    assert path in anna.get(f"/o/{place}/threads/{answer.thread_id}").text
    once_shown(monkeypatch, lambda: workspace.portal.call(opened.set))
    response = anna.get(path, headers={"Accept": "text/event-stream"})
    assert response.headers["content-type"].startswith("text/event-stream")
    found = events(response.text)
    assert found[0] == ("message", "<p><strong>one</strong></p>\n")
    assert [name for name, _ in found].count("done") == 1
    name, shown = found[-1]
    assert name == "done"
    assert shown.startswith(f'<li id="m-{answer.id}">')
    assert "<code>&lt;b&gt;</code>" in shown
    assert "sse-connect" not in shown
    assert "base model" in shown
    assert 'id="announcer" hx-swap-oob="innerHTML">Answer: **one**' in shown
    later = events(anna.get(path).text)  # who comes back is told the end, once
    assert [name for name, _ in later] == ["done"]
    assert re.sub("csrf.*?>", "", later[0][1]) == re.sub("csrf.*?>", "", shown)


def test_events_say_that_the_model_is_loading(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = asyncio.Event()
    stream = workspace.inference.stream

    async def waiting(*asked: Any) -> AsyncIterator[str]:
        await ready.wait()
        async for piece in stream(*asked):
            yield piece

    monkeypatch.setattr(workspace.inference, "stream", waiting)
    workspace.inference.state = "loading"
    assert "still loading" in anna.get(f"/o/{place}").text
    assert "still loading" in anna.get(f"/o/{place}/model-state").text
    workspace.inference.doing = "Fetching it …"
    assert "Fetching it … You can write already" in anna.get(f"/o/{place}/model-state").text
    thread = ask(anna, place)
    once_shown(monkeypatch, lambda: workspace.portal.call(ready.set))
    found = events(anna.get(f"/o/{place}/threads/{thread}/messages/{latest(workspace).id}/events").text)
    assert found[0][0] == "message"
    assert "still loading" in found[0][1]
    assert found[-1][0] == "done"
    workspace.inference.state = "ready"
    assert anna.get(f"/o/{place}/model-state").text.strip() == ""


def test_who_may_no_longer_read_is_sent_no_more(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lifelearn.workspace.tables.accounts import SignIn

    monkeypatch.setattr(following, "CHECK_SECONDS", 0.0)
    opened = gate(workspace)
    workspace.inference.reply = lambda _: "one secret"
    answer = begun(workspace, anna, place)

    def sign_out() -> None:
        with workspace.database.write() as db:
            db.execute(delete(SignIn))
        workspace.portal.call(opened.set)

    once_shown(monkeypatch, sign_out)
    text = anna.get(f"/o/{place}/threads/{answer.thread_id}/messages/{answer.id}/events").text
    assert "one" in text
    assert "secret" not in text
    assert answered(workspace).content == "one secret"  # written all the same


def test_the_gone_message_ends_the_stream(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate(workspace)
    answer = begun(workspace, anna, place)

    def remove() -> None:
        with workspace.database.write() as db:
            db.execute(delete(Thread))

    once_shown(monkeypatch, remove)
    found = events(anna.get(f"/o/{place}/threads/{answer.thread_id}/messages/{answer.id}/events").text)
    assert found[-1][0] == "done"
    assert "This message is gone." in found[-1][1]
