"""Answers while they are written: followed, left and come back to, stopped, interrupted; also by two processes."""

from __future__ import annotations

import asyncio
import re
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from sqlalchemy import delete, select, update

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.types import Conversation
from lifelearn.workspace.admission import Admission
from lifelearn.workspace.chats import answers as module
from lifelearn.workspace.chats import following as chats_following
from lifelearn.workspace.chats.answers import Answers, State
from lifelearn.workspace.chats.asked import AGAIN_TEMPERATURE
from lifelearn.workspace.database import ago, now
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.threads import writing
from waiting import HANG_SECONDS, until
from workspace.chatting import answered, ask, latest
from workspace.fakes import BOTH, Browser, Workspace
from workspace.versioned import corrected, made

T = TypeVar("T")
WORDS = "one two three four five"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.05)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)


def on_loop(workspace: Workspace, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs it on the application's event loop."""

    async def bounded() -> T:
        return await asyncio.wait_for(work(), HANG_SECONDS)

    result: T = workspace.portal.call(bounded)
    return result


def answers_of(workspace: Workspace) -> Answers:
    answers: Answers = workspace.app.state.answers
    return answers


def gate(workspace: Workspace) -> asyncio.Event:
    """Holds answers after their first word."""
    workspace.inference.gate = asyncio.Event()
    workspace.inference.reply = lambda _: WORDS
    return workspace.inference.gate


def started(workspace: Workspace, browser: Browser, place: uuid.UUID) -> Message:
    """An answer of which the first word is saved."""
    ask(browser, place)
    until(lambda: latest(workspace).content != "")
    return latest(workspace)


async def collected(states: AsyncIterator[State]) -> list[State]:
    return [state async for state in states]


@pytest.fixture
def anna(workspace: Workspace) -> Browser:
    return workspace.person()


@pytest.fixture
def place(workspace: Workspace, anna: Browser) -> uuid.UUID:
    return workspace.organization(anna)


@BOTH
def another(workspace: Workspace) -> Answers:
    """Those of another process on the same database."""
    admission = Admission(workspace.inference)
    state = workspace.app.state
    return Answers(workspace.database, workspace.inference, admission, state.renderer, state.settings)


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
    answer = started(workspace, anna, place)
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
    answer = started(workspace, anna, place)
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
    answer = started(workspace, anna, place)
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
    started(workspace, anna, place)
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


@BOTH
def test_another_process_follows_and_stops(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    gate(workspace)
    answer = started(workspace, anna, place)
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
    answer = started(workspace, anna, place)
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
    answer = started(workspace, anna, place)

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
    answer = started(workspace, anna, place)
    assert anna.post(f"/o/{place}/threads/{answer.thread_id}/delete").status_code == 303
    until(lambda: workspace.inference.closed == 1)
    assert anna.get(f"/o/{place}/threads/{answer.thread_id}/messages/{answer.id}/events").status_code == 404


def test_closing_saves(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    gate(workspace)
    answer = started(workspace, anna, place)
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


def test_the_process_takes_only_so_many(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    gate(workspace)
    started(workspace, anna, place)
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


# The stream of events


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
    text_so_far, shown = chats_following._text_so_far, threading.Event()

    async def shows(*arguments: Any) -> tuple[str, bool]:
        html, over = await text_so_far(*arguments)
        if html:
            shown.set()
        return html, over

    monkeypatch.setattr(chats_following, "_text_so_far", shows)
    threading.Thread(target=lambda: shown.wait(HANG_SECONDS) and do(), daemon=True).start()


@BOTH
def test_events(workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = gate(workspace)
    workspace.inference.reply = lambda _: "**one** `<b>`\n\nthree"
    answer = started(workspace, anna, place)
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

    monkeypatch.setattr(chats_following, "CHECK_SECONDS", 0.0)
    opened = gate(workspace)
    workspace.inference.reply = lambda _: "one secret"
    answer = started(workspace, anna, place)

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
    answer = started(workspace, anna, place)

    def remove() -> None:
        with workspace.database.write() as db:
            db.execute(delete(Thread))

    once_shown(monkeypatch, remove)
    found = events(anna.get(f"/o/{place}/threads/{answer.thread_id}/messages/{answer.id}/events").text)
    assert found[-1][0] == "done"
    assert "This message is gone." in found[-1][1]


def test_a_thread_is_not_gone_on_with_while_it_is_answered(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    gate(workspace)
    answer = started(workspace, anna, place)
    thread = f"/o/{place}/threads/{answer.thread_id}"
    assert anna.post(f"{thread}/messages", {"content": "More"}).status_code == 409
    assert anna.post(f"{thread}/messages/{answer.id}/regenerate").status_code == 409
    assert anna.post(f"{thread}/messages/{answer.id}/correct").status_code == 422
    with workspace.database.read() as db:
        assert len(db.scalars(select(Message)).all()) == 2
