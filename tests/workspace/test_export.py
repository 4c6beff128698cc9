"""Chats as files: brought along from ChatGPT, taken away as JSON and Markdown."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from lifelearn.workspace.chats import chatgpt, uploads
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.organizations import AuditEvent
from lifelearn.workspace.threads.tree import branch
from waiting import HANG_SECONDS
from workspace.chatgpt import SIMPLE, conversation, node, upload
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, Workspace

# Import


@BOTH
def test_import(workspace: Workspace) -> None:
    anna, ben = workspace.person(), workspace.person("ben@example.org")
    place = workspace.organization(anna, member=[ben])
    other = conversation(node("a", None, "user", "<script>alert(1)</script>"), title="</title>", conversation_id="c2")
    answer = upload(anna, place, json.dumps([SIMPLE, other, {"mapping": {}}]).encode())
    assert answer.status_code == 200, answer.text
    assert "2 chats imported" in answer.text
    assert "1 × conversations without messages" in answer.text
    with workspace.database.read() as db:
        thread = db.scalars(select(Thread).where(Thread.title == "Leave")).one()
        assert (thread.owner_id, thread.shared, thread.organization_id) == (anna.user_id, False, place)
        turns = branch(db, thread)
        assert [turn.message.content for turn in turns] == ["How many days?", "25 days."]
        assert (turns[1].number, len(turns[1].siblings)) == (2, 2)
        assert turns[0].message.author_id == anna.user_id
        event = db.scalars(select(AuditEvent)).one()
        assert (event.action, event.details) == ("chats.imported", {"chats": 2, "messages": 5})
    page = anna.get(f"/o/{place}/threads/{thread.id}")
    assert "25 days." in page.text
    assert "ChatGPT" in page.text
    assert ben.get(f"/o/{place}/threads/{thread.id}").status_code == 404
    assert "Leave" not in ben.htmx("GET", f"/o/{place}/threads").text


@BOTH
def test_importing_again_brings_nothing_twice(workspace: Workspace) -> None:
    anna, ben = workspace.person(), workspace.person("ben@example.org")
    place, second = workspace.organization(anna, member=[ben]), workspace.organization(anna, "Second")
    data = json.dumps([SIMPLE, SIMPLE]).encode()
    assert "1 chat imported" in upload(anna, place, data).text
    again = upload(anna, place, data).text
    assert "0 chats imported" in again
    assert "imported before" in again
    assert "1 chat imported" in upload(ben, place, data).text  # his own
    assert "1 chat imported" in upload(anna, second, data).text
    with workspace.database.read() as db:
        assert len(db.scalars(select(Thread)).all()) == 3


def test_an_imported_chat_goes_on(workspace: Workspace) -> None:
    anna = workspace.person()
    place = workspace.organization(anna)
    upload(anna, place, json.dumps([SIMPLE]).encode())
    with workspace.database.read() as db:
        thread = db.scalars(select(Thread)).one()
    answer = anna.post(f"/o/{place}/threads/{thread.id}/messages", {"content": "And now?"})
    assert answer.status_code == 303, answer.text
    assert answered(workspace).content == "You said: And now?"
    conversation, _, _ = workspace.inference.asked[-1]
    assert [turn.content for turn in conversation] == ["How many days?", "25 days.", "And now?"]


def test_bad_uploads_are_told(workspace: Workspace) -> None:
    anna = workspace.person()
    place = workspace.organization(anna)
    answer = upload(anna, place, b"<html>")
    assert answer.status_code == 422
    assert "begins with a list" in answer.text
    assert anna.post(f"/o/{place}/import").status_code == 422
    assert anna.post(f"/o/{place}/import", {"file": "text"}).status_code == 422
    assert upload(anna, place, b"[]", owner_id=str(uuid.uuid4())).status_code == 422
    assert "0 chats imported" in upload(anna, place, b"[]").text


def test_import_is_for_members_with_a_token(workspace: Workspace) -> None:
    anna, eve = workspace.person(), workspace.person("eve@example.org")
    place = workspace.organization(anna)
    data = json.dumps([SIMPLE]).encode()
    assert upload(eve, place, data).status_code == 404
    assert upload(workspace.visitor(), place, data).status_code == 401
    files = {"file": ("conversations.json", data, "application/json")}
    assert anna.client.post(f"/o/{place}/import", files=files).status_code == 403
    with workspace.database.read() as db:
        assert db.scalars(select(Message)).all() == []


def test_imports_are_throttled(workspace: Workspace) -> None:
    anna = workspace.person()
    place = workspace.organization(anna)
    codes = [upload(anna, place, b"[]").status_code for _ in range(21)]
    assert codes == [200] * 20 + [429]


# Export


@BOTH
def test_export(workspace: Workspace) -> None:
    anna = workspace.person(name="Anna Ä")
    place = workspace.organization(anna)
    thread = ask(anna, place, "How many days? 😀")
    first = answered(workspace)
    workspace.inference.reply = lambda _: "25 days."
    anna.post(f"/o/{place}/threads/{thread}/messages/{first.id}/regenerate")
    answered(workspace)
    anna.post(f"/o/{place}/threads/{thread}/messages/{first.id}/correct", {"right_answer": "30 days\nreally"})
    answer = anna.get(f"/o/{place}/threads/{thread}/export.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="how-many-days.json"'
    told = answer.json()
    assert told["title"] == "How many days? 😀"
    question, *answers = told["messages"]
    assert (question["role"], question["author"], question["parent_id"]) == ("user", "Anna Ä", None)
    assert [each["parent_id"] for each in answers] == [question["id"]] * 2
    assert [each["right_answer"] for each in answers] == ["30 days\nreally", ""]
    assert told["shown_until"] == answers[1]["id"]
    answer = anna.get(f"/o/{place}/threads/{thread}/export.md")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="how-many-days.md"'
    assert "# How many days? 😀\n" in answer.text
    assert "25 days." in answer.text
    assert "You said" not in answer.text  # of the other branch
    anna.post(f"/o/{place}/threads/{thread}/branch/{first.id}")
    assert "> Marked as wrong. Right is: 30 days\n> really" in anna.get(f"/o/{place}/threads/{thread}/export.md").text


@pytest.mark.parametrize("title", ['a"; filename="x.html', "../../etc/passwd", "\r\nX-Header: 1", "你好", "é" * 200])
def test_names_of_files_are_harmless(workspace: Workspace, title: str) -> None:
    anna = workspace.person()
    place = workspace.organization(anna)
    thread = ask(anna, place, title)
    answered(workspace)
    answer = anna.get(f"/o/{place}/threads/{thread}/export.json")
    assert answer.status_code == 200
    assert "x-header" not in answer.headers
    name = answer.headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('"')
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert name.endswith(".json")


@BOTH
def test_nobody_waits_for_a_file_that_is_read(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for the turn of who writes, and not for more files than are read at a time."""
    anna, ben = workspace.person(), workspace.person("ben@example.org")
    place = workspace.organization(anna, member=[ben])
    monkeypatch.setattr(workspace.database, "write_turns", asyncio.Semaphore(1))
    reading, goes_on = threading.Event(), threading.Event()
    kept = chatgpt.read

    def read_slowly(*arguments: Any) -> Any:
        reading.set()
        assert goes_on.wait(HANG_SECONDS)
        return kept(*arguments)

    monkeypatch.setattr(chatgpt, "read", read_slowly)
    monkeypatch.setattr(uploads, "_IMPORTING", threading.BoundedSemaphore(1))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(upload, anna, place, json.dumps([SIMPLE]).encode())
        assert reading.wait(HANG_SECONDS)
        assert ben.post("/account", {"name": "Benjamin", "theme": "dark"}).status_code == 303
        second = upload(ben, place, json.dumps([SIMPLE]).encode())
        assert second.status_code == 429
        assert "Other imports are being read" in second.text
        goes_on.set()
        assert "1 chat imported" in first.result(HANG_SECONDS).text
    assert "1 chat imported" in upload(ben, place, json.dumps([SIMPLE]).encode()).text
