"""Chats by the JSON API: written, waited for, stopped, corrected, listed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib import import_module

import pytest
from sqlalchemy import update

from lifelearn.workspace.database import now
from lifelearn.workspace.tables.chats import Status
from lifelearn.workspace.tables.programs import ApiKey
from waiting import HANG_SECONDS, until
from workspace.acme import Acme
from workspace.fakes import BOTH, Workspace
from workspace.programs import key_of


@BOTH
def test_a_chat_from_beginning_to_end(acme: Acme) -> None:
    made = acme.ask("POST", "/threads", {"content": " Where is Lyon? ", "wait": True})
    assert made.status_code == 201
    thread, question, answer = (made.json()[name] for name in ("thread", "question", "answer"))
    assert (thread["title"], thread["shared"], thread["owner_id"]) == (
        "Where is Lyon?",
        False,
        str(acme.anna.user_id),
    )
    assert (question["role"], question["content"], question["parent_id"]) == ("user", "Where is Lyon?", None)
    assert (answer["role"], answer["content"], answer["status"]) == (
        "assistant",
        "You said: Where is Lyon?",
        "complete",
    )
    assert (answer["version"], answer["model"], answer["parent_id"]) == (0, "scripted", question["id"])

    path = f"/threads/{thread['id']}"
    second = acme.ask("POST", f"{path}/messages", {"content": "And Nice?", "wait": True}).json()
    assert second["question"]["parent_id"] == answer["id"]
    branched = acme.ask("POST", f"{path}/messages", {"content": "And Metz?", "parent_id": answer["id"], "wait": True})
    assert branched.json()["question"]["parent_id"] == answer["id"]
    shown = acme.ask("GET", path).json()
    assert [each["content"] for each in shown["messages"]] == [
        "Where is Lyon?",
        "You said: Where is Lyon?",
        "And Metz?",
        "You said: And Metz?",
    ]
    assert shown["earlier"] == 0
    end = acme.ask("GET", path, last=1).json()
    assert (len(end["messages"]), end["earlier"]) == (1, 3)

    changed = acme.ask("PATCH", path, {"title": "Towns", "shared": True}).json()
    assert (changed["title"], changed["shared"]) == ("Towns", True)
    assert acme.ask("PATCH", path, {}).json() == changed
    assert acme.ask("DELETE", path).status_code == 204
    assert acme.ask("GET", path).status_code == 404


def test_a_chat_with_a_title_that_all_see(workspace: Workspace, acme: Acme) -> None:
    made = acme.ask("POST", "/threads", {"content": "Hello", "title": "Greetings", "shared": True, "wait": True}).json()
    assert (made["thread"]["title"], made["thread"]["shared"]) == ("Greetings", True)
    _id, token = key_of(workspace, acme.bert, acme.id)
    path = f"/threads/{made['thread']['id']}"
    assert acme.ask("GET", path, token=token).status_code == 200
    assert acme.ask("POST", f"{path}/messages", {"content": "Hi"}, token=token).status_code == 201
    for method, body in (("PATCH", {"title": "Mine"}), ("PATCH", {"shared": False}), ("DELETE", None)):
        assert acme.ask(method, path, body, token=token).status_code == 403


def test_an_answer_is_written_without_anybody_waiting(acme: Acme) -> None:
    made = acme.ask("POST", "/threads", {"content": "Hello"}).json()
    assert (made["answer"]["status"], made["answer"]["content"]) == ("streaming", "")
    found = acme.until(made["thread"]["id"], made["answer"]["id"], Status.COMPLETE)
    assert found["content"] == "You said: Hello"


def test_waiting_has_an_end(workspace: Workspace, acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("lifelearn.workspace.chats.api"), "WAIT_SECONDS", 0.2)
    workspace.inference.gate = asyncio.Event()
    made = acme.ask("POST", "/threads", {"content": "Hello", "wait": True})
    assert made.status_code == 201
    answer, thread = made.json()["answer"], made.json()["thread"]
    assert answer["status"] == "streaming"
    busy = acme.ask("POST", f"/threads/{thread['id']}/messages", {"content": "And?"})
    assert busy.status_code == 409
    assert workspace.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    workspace.portal.call(workspace.inference.gate.set)
    acme.until(thread["id"], answer["id"], Status.COMPLETE)


def test_who_waits_sees_no_more_than_is_theirs_at_the_end(workspace: Workspace, acme: Acme) -> None:
    workspace.inference.gate = asyncio.Event()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(acme.ask, "POST", "/threads", {"content": "Hello there", "wait": True})
        until(lambda: workspace.inference.asked)
        with workspace.database.write() as db:
            db.execute(update(ApiKey).values(revoked_at=now()))
        workspace.portal.call(workspace.inference.gate.set)
        assert waiting.result(HANG_SECONDS).status_code == 401


def test_deleting_a_chat_stops_its_answer(workspace: Workspace, acme: Acme) -> None:
    workspace.inference.gate = asyncio.Event()
    made = acme.ask("POST", "/threads", {"content": "Hello there"}).json()
    until(lambda: workspace.inference.asked)
    assert acme.ask("DELETE", f"/threads/{made['thread']['id']}").status_code == 204
    until(lambda: workspace.inference.closed == 1)


def test_stopping(workspace: Workspace, acme: Acme) -> None:
    workspace.inference.gate = asyncio.Event()
    made = acme.ask("POST", "/threads", {"content": "Hello there"}).json()
    path = f"/threads/{made['thread']['id']}/messages/{made['answer']['id']}"
    until(lambda: workspace.inference.asked)
    assert acme.ask("POST", f"{path}/stop").status_code == 202
    stopped = acme.until(made["thread"]["id"], made["answer"]["id"], Status.STOPPED)
    assert stopped["content"].strip() in ("", "You")
    assert workspace.inference.closed == 1
    assert acme.ask("POST", f"{path}/stop").status_code == 202  # again: nothing happens


def test_a_failed_answer_says_why(workspace: Workspace, acme: Acme) -> None:
    workspace.inference.state, workspace.inference.problem = "failed", "No memory left."
    answer = acme.ask("POST", "/threads", {"content": "Hello", "wait": True}).json()["answer"]
    assert (answer["status"], answer["error"]) == ("failed", "No memory left.")


@BOTH
def test_correcting_an_answer(acme: Acme) -> None:
    path = f"/threads/{acme.ids['thread']}/messages/{acme.ids['answer']}"
    marked = acme.ask("POST", f"{path}/correction", {"right_answer": "Paris"}).json()
    assert marked["right_answer"] == "Paris"
    assert datetime.fromisoformat(marked["marked_wrong_at"]) - now() < timedelta(minutes=1)
    assert acme.ask("GET", path).json() == marked
    assert acme.ask("POST", f"{path}/correction", {}).json()["right_answer"] == ""
    withdrawn = acme.ask("DELETE", f"{path}/correction").json()
    assert (withdrawn["marked_wrong_at"], withdrawn["right_answer"]) == (None, "")
    assert acme.ask("DELETE", f"{path}/correction").status_code == 200
    question = f"/threads/{acme.ids['thread']}/messages/{acme.ids['question']}"
    assert acme.ask("POST", f"{question}/correction", {}).status_code == 422


@BOTH
def test_lists_are_read_page_by_page(workspace: Workspace, acme: Acme) -> None:
    with workspace.database.write() as db:
        for _ in range(4):
            acme.chat(db, acme.anna)
        acme.chat(db, acme.bert)  # hers to see it is not
        acme.chat(db, acme.bert, shared=True)
    seen: list[str] = []
    following: str | None = ""
    while following is not None:
        page = acme.ask("GET", "/threads", limit=2, before=following).json()
        assert 0 < len(page["items"]) <= 2
        seen += [each["id"] for each in page["items"]]
        following = page["next"]
    assert len(seen) == len(set(seen)) == 6
    assert acme.ask("GET", "/threads", before="nonsense").status_code == 422


def test_searching(workspace: Workspace, acme: Acme) -> None:
    assert [each["id"] for each in acme.ask("GET", "/threads", search="oslo").json()["items"]] == [
        str(acme.ids["thread"])
    ]
    assert acme.ask("GET", "/threads", search="Bergen").json()["items"] == []
