"""Answers of other processes, dead ones too, and answers whose chat or process ends."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import delete, update

from lifelearn.workspace.chats.answers import State
from lifelearn.workspace.database import ago, now
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.threads import writing
from waiting import until
from workspace.answering import WORDS, another, answers_of, begun, collected, gate, on_loop
from workspace.chatting import answered, ask, latest
from workspace.fakes import BOTH, Browser, Workspace

pytestmark = pytest.mark.usefixtures("quick_answers")


@BOTH
def test_another_process_follows_and_stops(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    gate(workspace)
    answer = begun(workspace, anna, place)
    other = another(workspace)

    async def elsewhere() -> list[State]:
        await other.start()
        following = other.follow(answer.id)
        first = await anext(following)
        other.stop(answer.id)
        return [first, *await collected(following)]

    states = on_loop(workspace, elsewhere)
    assert states[0] == State("one ", Status.STREAMING)
    assert states[-1] == State("one ", Status.STOPPED)
    until(lambda: workspace.inference.closed == 1)
    assert latest(workspace).status == Status.STOPPED


@BOTH
def test_another_process_sees_the_end(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    opened = gate(workspace)
    answer = begun(workspace, anna, place)
    other = another(workspace)

    async def elsewhere() -> list[State]:
        reading = asyncio.create_task(collected(other.follow(answer.id)))
        await asyncio.sleep(0.1)
        opened.set()
        return await reading

    assert on_loop(workspace, elsewhere)[-1] == State(WORDS, Status.COMPLETE)


def test_an_answer_of_another_process_that_rests_costs_its_readers_no_look(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many follow: one query looks after all of them."""
    ask(anna, place)
    answer = answered(workspace)
    with workspace.database.write() as db:
        db.execute(update(Message).where(Message.id == answer.id).values(status=Status.STREAMING, saved_at=now()))
    other = another(workspace)
    looks: list[uuid.UUID] = []
    rested: list[int] = []
    read = other._read

    def counted(answer_id: uuid.UUID) -> State | None:
        looks.append(answer_id)
        return read(answer_id)

    monkeypatch.setattr(other, "_read", counted)

    async def elsewhere() -> None:
        readers = [asyncio.create_task(collected(other.follow(answer.id))) for _ in range(20)]
        while len(looks) < len(readers):  # each when it comes, and once more as something may have changed by then
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.0)
        settled = len(looks)
        await asyncio.sleep(0.5)  # some twenty-five polls
        rested.append(len(looks) - settled)
        for reader in readers:
            reader.cancel()
        await other.close()

    on_loop(workspace, elsewhere)
    assert rested == [0]


def test_what_a_dead_process_left_is_marked(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    def left(**more: Any) -> Message:
        return Message(organization_id=place, thread_id=thread, role="assistant", status=Status.STREAMING, **more)

    thread = ask(anna, place)
    answered(workspace)
    old, long = ago(seconds=writing.LEFT_SECONDS + 5), ago(hours=2)
    with workspace.database.write() as db:
        dead = left(content="half", created_at=long, saved_at=old)
        never = left(created_at=old)
        alive = left(content="half", created_at=long, saved_at=now())
        fresh = left()
        db.add_all([dead, never, alive, fresh])
    answers_of(workspace).mark_interrupted()
    with workspace.database.read() as db:
        found = [db.get_one(Message, each.id) for each in (dead, never, alive, fresh)]
    assert [each.status for each in found] == ["interrupted", "interrupted", "streaming", "streaming"]
    assert found[0].content == "half"


def test_whoever_looks_marks_what_is_left(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    """No start-up is needed: with several processes one may die while others live."""
    thread = ask(anna, place)
    answer = answered(workspace)
    values = {"status": Status.STREAMING, "saved_at": ago(seconds=writing.LEFT_SECONDS + 5)}
    with workspace.database.write() as db:
        db.execute(update(Message).where(Message.id == answer.id).values(**values))
    events = anna.get(f"/o/{place}/threads/{thread}/messages/{answer.id}/events").text
    assert events.count("event: done") == 1
    assert "was interrupted" in events
    assert latest(workspace).status == Status.INTERRUPTED
    with workspace.database.write() as db:
        db.execute(update(Message).where(Message.id == answer.id).values(**values))
    ask(anna, place, "Go on", thread)  # is no conflict
    assert answered(workspace).content == "You said: Go on"


@BOTH
@pytest.mark.parametrize("what", [Thread, Organization])
def test_deleted_while_it_is_written(
    workspace: Workspace, anna: Browser, place: uuid.UUID, what: type[Thread | Organization]
) -> None:
    gate(workspace)
    answer = begun(workspace, anna, place)

    async def read() -> list[State]:
        reading = asyncio.create_task(collected(answers_of(workspace).follow(answer.id)))
        await asyncio.sleep(0.02)

        def remove() -> None:
            with workspace.database.write() as db:
                db.execute(delete(what))

        await asyncio.to_thread(remove)
        return await reading

    assert on_loop(workspace, read)[-1].status == Status.STOPPED
    assert workspace.inference.closed == 1
    second = workspace.organization(anna, "Second")
    workspace.inference.gate = None
    ask(anna, second)
    assert answered(workspace).status == Status.COMPLETE


def test_deleted_by_its_page(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    gate(workspace)
    answer = begun(workspace, anna, place)
    assert anna.post(f"/o/{place}/threads/{answer.thread_id}/delete").status_code == 303
    until(lambda: workspace.inference.closed == 1)
    assert anna.get(f"/o/{place}/threads/{answer.thread_id}/messages/{answer.id}/events").status_code == 404


def test_closing_saves(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    gate(workspace)
    answer = begun(workspace, anna, place)
    answers = answers_of(workspace)

    async def close() -> list[State]:
        reading = asyncio.create_task(collected(answers.follow(answer.id)))
        await asyncio.sleep(0)
        await answers.close()
        await answers.close()
        return await reading

    assert on_loop(workspace, close)[-1].status == Status.INTERRUPTED
    found = latest(workspace)
    assert (found.status, found.content) == (Status.INTERRUPTED, "one ")
    assert anna.post(f"/o/{place}/threads", {"content": "More"}).status_code == 503
