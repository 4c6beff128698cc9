"""Answers while they are written: followed, stopped, failed, limited, and with what they are asked for."""

from __future__ import annotations

import asyncio
import uuid
from itertools import pairwise

import pytest
from sqlalchemy import select, update

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.types import Conversation
from lifelearn.workspace.chats import answers as module
from lifelearn.workspace.chats.answers import State
from lifelearn.workspace.chats.asked import AGAIN_TEMPERATURE
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.chats import Message, Status
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.threads import writing
from waiting import until
from workspace.answering import WORDS, answers_of, begun, collected, gate, on_loop
from workspace.chatting import answered, ask, latest
from workspace.fakes import BOTH, Browser, Workspace
from workspace.versioned import corrected, made

pytestmark = pytest.mark.usefixtures("quick_answers")


def test_an_answer_is_written_without_a_reader(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    ask(anna, place, "Hello  there")
    answer = answered(workspace)
    assert (answer.status, answer.content) == (Status.COMPLETE, "You said: Hello  there")
    assert (answer.model, answer.version) == ("scripted", 0)
    assert answer.author_id == anna.user_id
    assert workspace.inference.asked[0][1].max_tokens == 256


@BOTH
def test_readers_come_and_go(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    opened = gate(workspace)
    answer = begun(workspace, anna, place)
    answers = answers_of(workspace)

    async def read() -> tuple[list[State], list[State]]:
        leaving = answers.follow(answer.id)
        first = await anext(leaving)
        assert first == State("one ", Status.STREAMING)
        await leaving.aclose()  # type: ignore[attr-defined]
        staying = [asyncio.create_task(collected(answers.follow(answer.id))) for _ in range(2)]
        await asyncio.sleep(0.05)
        opened.set()
        one, two = await asyncio.gather(*staying)
        return one, two

    for states in on_loop(workspace, read):
        assert states[0].text == "one "
        assert states[-1] == State(WORDS, Status.COMPLETE)
        assert all(later.text.startswith(earlier.text) for earlier, later in pairwise(states))
        assert [state.status for state in states[:-1]] == [Status.STREAMING] * (len(states) - 1)
    assert on_loop(workspace, lambda: collected(answers.follow(answer.id))) == [State(WORDS, Status.COMPLETE)]
    assert latest(workspace).content == WORDS


def test_who_writes_does_not_poll(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = gate(workspace)
    answer = begun(workspace, anna, place)
    answers = answers_of(workspace)
    monkeypatch.setattr(answers, "_read", lambda _: pytest.fail("asked the database"))

    async def read() -> list[State]:
        reading = asyncio.create_task(collected(answers.follow(answer.id)))
        await asyncio.sleep(0.1)
        opened.set()
        return await reading

    assert on_loop(workspace, read)[-1].text == WORDS


@BOTH
def test_stopping_keeps_what_there_is(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    gate(workspace)
    answer = begun(workspace, anna, place)
    path = f"/o/{place}/threads/{answer.thread_id}/messages/{answer.id}"
    assert anna.htmx("POST", f"{path}/stop").status_code == 204
    stopped = answered(workspace)
    assert (stopped.status, stopped.content, stopped.error) == (Status.STOPPED, "one ", "")
    assert workspace.inference.closed == 1
    assert anna.post(f"{path}/stop").status_code == 303  # again: nothing
    assert "Stopped before its end" in anna.get(f"/o/{place}/threads/{answer.thread_id}").text


def test_stopping_at_once(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    """Before the task has had its first turn."""
    gate(workspace)
    begun(workspace, anna, place)
    with workspace.database.write() as db:
        answer = db.get_one(Message, latest(workspace).id)
        waiting = Message(organization_id=place, thread_id=answer.thread_id, parent_id=answer.parent_id,
                          role="assistant", status=Status.STREAMING)  # fmt: skip
        db.add(waiting)
    answers = answers_of(workspace)

    async def both() -> list[State]:
        answers.begin(waiting.id)
        answers.stop(waiting.id)
        return await collected(answers.follow(waiting.id))

    assert on_loop(workspace, both)[-1] == State("", Status.STOPPED)
    assert len(workspace.inference.asked) == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ChatModelError("The server does not answer. Try again."), "The server does not answer. Try again."),
        (RuntimeError("secret of /etc"), "Something went wrong on our side. Try again."),
    ],
)
def test_errors_are_told_in_the_message(
    workspace: Workspace, anna: Browser, place: uuid.UUID, error: Exception, told: str
) -> None:
    def fail(_: Conversation) -> str:
        raise error

    workspace.inference.reply = fail
    thread = ask(anna, place)
    answer = answered(workspace)
    assert (answer.status, answer.error) == (Status.FAILED, told)
    page = anna.get(f"/o/{place}/threads/{thread}").text
    assert told in page
    assert "Try again</button>" in page
    workspace.inference.reply = lambda _: "Now it works."
    assert anna.post(f"/o/{place}/threads/{thread}/messages/{answer.id}/regenerate").status_code == 303
    assert answered(workspace).content == "Now it works."


def test_an_empty_answer_is_an_error(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    workspace.inference.reply = lambda _: ""
    ask(anna, place)
    assert "gave no answer" in answered(workspace).error


def test_a_model_that_failed(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    workspace.inference.state, workspace.inference.problem = "failed", "There is no such model."
    assert "There is no such model." in anna.get(f"/o/{place}").text
    ask(anna, place)
    assert answered(workspace).error == "There is no such model."


def test_a_version_that_is_missing(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    with workspace.database.write() as db:
        db.execute(update(Organization).where(Organization.id == place).values(active_version=7))
    ask(anna, place)
    answer = answered(workspace)
    assert answer.status == Status.FAILED
    assert "damaged or missing" in answer.error
    assert "/" not in answer.error


def test_what_a_database_refuses_is_left_out(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    workspace.inference.reply = lambda _: "a\x00b \ud800c"
    ask(anna, place)
    assert answered(workspace).content == "ab ?c"


def test_the_process_takes_only_so_many(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    gate(workspace)
    begun(workspace, anna, place)
    answer = anna.post(f"/o/{place}/threads", {"content": "More"})
    assert answer.status_code == 503
    assert "Too many answers" in answer.text


def test_a_user_has_only_so_many_written_at_once(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    opened = gate(workspace)
    for _ in range(writing.RUNNING_MOST):
        ask(anna, place)
    refused = anna.post(f"/o/{place}/threads", {"content": "More"})
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "5"
    ben = workspace.person("ben@example.org")
    ask(ben, workspace.organization(ben))
    workspace.portal.call(opened.set)
    until(lambda: anna.post(f"/o/{place}/threads", {"content": "More"}).status_code == 303)


def test_messages_are_throttled(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    for _ in range(writing.MESSAGES.most):
        ask(anna, place)
        answered(workspace)
    assert anna.post(f"/o/{place}/threads", {"content": "More"}).status_code == 429


def test_answers_made_again_differ_by_chance_only_where_they_would_not(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    thread = ask(anna, place)
    again = f"/o/{place}/threads/{thread}/messages/{answered(workspace).id}/regenerate"
    anna.post(again)
    answered(workspace)
    with workspace.database.write() as db:  # as if an earlier version had given both
        db.execute(update(Message).where(Message.role == "assistant").values(version=3))
    anna.post(again)
    answered(workspace)
    samplings: list[Sampling] = [sampling for _, sampling, _ in workspace.inference.asked]
    assert [sampling.temperature for sampling in samplings] == [0, AGAIN_TEMPERATURE, 0]
    assert len({sampling.seed for sampling in samplings}) == 3


def test_the_active_version_answers_as_the_organisation_has_it(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    version = [made(workspace, place, corrected(workspace, place, f"Question {n}?")) for n in range(2)][-1]
    with workspace.database.write() as db:
        values = {"instructions": "Be brief.", "temperature": 0.4, "max_tokens": 9}
        db.execute(update(Organization).where(Organization.id == place).values(**values))
    thread = ask(anna, place, "Hi")
    assert answered(workspace).version == 2
    conversation, sampling, weights = workspace.inference.asked[0]
    assert [(turn.role, turn.content) for turn in conversation] == [("system", "Be brief."), ("user", "Hi")]
    folder = Storage(workspace.app.state.settings).fetch(version)
    assert (sampling.temperature, sampling.max_tokens, weights) == (0.4, 9, folder)
    assert "version 2" in anna.get(f"/o/{place}/threads/{thread}").text


def test_a_thread_is_not_gone_on_with_while_it_is_answered(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    gate(workspace)
    answer = begun(workspace, anna, place)
    thread = f"/o/{place}/threads/{answer.thread_id}"
    assert anna.post(f"{thread}/messages", {"content": "More"}).status_code == 409
    assert anna.post(f"{thread}/messages/{answer.id}/regenerate").status_code == 409
    assert anna.post(f"{thread}/messages/{answer.id}/correct").status_code == 422
    with workspace.database.read() as db:
        assert len(db.scalars(select(Message)).all()) == 2
