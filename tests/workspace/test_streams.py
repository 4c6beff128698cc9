"""Streams that are read: how many a person may have, and that they end once who reads may not read any more."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from lifelearn.workspace import streams
from lifelearn.workspace.database import ago, now
from lifelearn.workspace.tables.accounts import SignIn
from lifelearn.workspace.tables.chats import Message, Status
from lifelearn.workspace.tables.organizations import Membership
from lifelearn.workspace.tables.programs import ApiKey
from waiting import HANG_SECONDS, until
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, Browser, Workspace
from workspace.programs import bearer, key_of

ASKED = {"model": "life-learn", "messages": [{"role": "user", "content": "hello there"}]}


@pytest.fixture(autouse=True)
def gate(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The model writes a first word and waits for this."""
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.02)
    workspace.inference.gate = asyncio.Event()
    return workspace.inference.gate


def removed(workspace: Workspace, anna: Browser) -> Any:
    return delete(Membership).where(Membership.user_id == anna.user_id)


def signed_out(workspace: Workspace, anna: Browser) -> Any:
    return delete(SignIn).where(SignIn.user_id == anna.user_id)


def run_out(workspace: Workspace, anna: Browser) -> Any:
    return update(SignIn).where(SignIn.user_id == anna.user_id).values(expires_at=ago(seconds=1))


def events_of(workspace: Workspace, anna: Browser, place: uuid.UUID) -> str:
    thread = ask(anna, place)
    with workspace.database.read() as db:
        answer = db.scalars(select(Message.id).where(Message.thread_id == thread, Message.role == "assistant")).one()
    return f"/o/{place}/threads/{thread}/messages/{answer}/events"


def reading(workspace: Workspace) -> int:
    return len(workspace.app.state.streams._open)


@BOTH
@pytest.mark.parametrize("ends", [removed, signed_out, run_out])
def test_an_answer_that_stands_still_ends_for_who_may_not_read_it(
    workspace: Workspace, anna: Browser, place: uuid.UUID, gate: asyncio.Event, ends: Callable[..., Any]
) -> None:
    path = events_of(workspace, anna, place)
    with ThreadPoolExecutor(1) as pool:
        page = pool.submit(anna.get, path)
        until(lambda: reading(workspace) == 1)
        with workspace.database.write() as db:
            db.execute(ends(workspace, anna))
        shown = page.result(HANG_SECONDS)
    assert shown.status_code == 200
    assert "event: done" not in shown.text
    assert reading(workspace) == 0
    workspace.portal.call(gate.set)
    assert answered(workspace).status == Status.COMPLETE  # it was asked for while they might


def revoked(db: Any, _key: uuid.UUID) -> None:
    db.execute(update(ApiKey).values(revoked_at=now()))


def expired(db: Any, _key: uuid.UUID) -> None:
    db.execute(update(ApiKey).values(expires_at=ago(seconds=1)))


def without_member(db: Any, _key: uuid.UUID) -> None:
    db.execute(delete(Membership))


@BOTH
@pytest.mark.parametrize("ends", [revoked, expired, without_member])
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_that_ends_ends_its_answers(
    workspace: Workspace, anna: Browser, place: uuid.UUID, ends: Callable[..., None], stream: bool
) -> None:
    key, token = key_of(workspace, anna, place, "chat")
    post = workspace.visitor().client.post
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, "/v1/chat/completions", json={**ASKED, "stream": stream}, headers=bearer(token))
        until(lambda: reading(workspace) == 1 and workspace.inference.asked)
        with workspace.database.write() as db:
            ends(db, key)
        told = answer.result(HANG_SECONDS)
    until(lambda: workspace.inference.closed == 1)  # the model writes for nobody
    if stream:
        assert told.status_code == 200
        assert "[DONE]" not in told.text
    else:
        assert told.status_code == 401
        assert told.json()["error"]["code"] == "invalid_api_key"


def test_streams_of_a_person_are_limited(
    workspace: Workspace, anna: Browser, place: uuid.UUID, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "OF_A_PERSON", 2)
    path = events_of(workspace, anna, place)
    _key, token = key_of(workspace, anna, place, "chat")
    with ThreadPoolExecutor(2) as pool:
        pages = [pool.submit(anna.get, path) for _ in range(2)]
        until(lambda: reading(workspace) == 2)
        refused = anna.get(path)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == str(streams.RETRY_SECONDS)
        assert "things at once already" in refused.text
        program = workspace.visitor().client.post("/v1/chat/completions", json=ASKED, headers=bearer(token))
        assert program.status_code == 429
        other = workspace.person()
        assert other.get(f"/o/{workspace.organization(other)}").status_code == 200  # nobody else's matter
        workspace.portal.call(gate.set)
        for page in pages:
            assert "event: done" in page.result(HANG_SECONDS).text
    assert anna.get(path).status_code == 200


def test_one_look_is_for_all(workspace: Workspace, anna: Browser, place: uuid.UUID, gate: asyncio.Event) -> None:
    """However many read, the database is asked as often as one reader would have it asked."""
    kept, looks = workspace.app.state.streams._gone, []

    def look(readers: set[streams.Reader]) -> set[streams.Reader]:
        looks.append(len(readers))
        found: set[streams.Reader] = kept(readers)
        return found

    workspace.app.state.streams._gone = look
    paths = [events_of(workspace, anna, place) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        pages = [pool.submit(anna.get, path) for path in paths]
        until(lambda: reading(workspace) == 3)
        until(lambda: looks)
        workspace.portal.call(gate.set)
        for page in pages:
            page.result(HANG_SECONDS)
    assert set(looks) == {1}  # three streams of one sign-in are one reader
    with workspace.database.read() as db:
        assert db.scalar(select(func.count()).select_from(Message)) == 6
