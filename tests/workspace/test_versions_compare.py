"""Two versions side by side, and where two texts differ."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from functools import partial
from typing import Any

import pytest
from fastapi import Response
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, update

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.workspace import streams
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.streams import Reader
from lifelearn.workspace.tables.accounts import SignIn
from lifelearn.workspace.tables.organizations import Membership, Organization
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.throttle import Limit
from lifelearn.workspace.versions import compare
from lifelearn.workspace.versions.compare import Comparison, Side, conversation_of, differences
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH, Browser, Workspace
from workspace.versioned import corrected, learned, made
from workspace.xss import VECTORS, problems_in

EVENTS = {"accept": "text/event-stream", "HX-Request": "true"}


@pytest.fixture
def place(workspace: Workspace, place: uuid.UUID) -> uuid.UUID:
    learned(workspace, place, 2)
    return place


def events_of(text: str) -> list[tuple[str, str]]:
    found = []
    for block in text.split("\n\n")[:-1]:
        name, *data = block.split("\n")
        found.append((name.removeprefix("event: "), "\n".join(line.removeprefix("data: ") for line in data)))
    return found


def test_the_form_has_what_is_likely_meant(anna: Browser, place: uuid.UUID, workspace: Workspace) -> None:
    page = anna.get(f"/o/{place}/compare").text
    assert '<option value="2" selected>Version 2 (active)</option>' in page
    assert '<option value="1" selected>Version 1</option>' in page  # its parent
    assert "What is thing 1?" in page  # learned, to be asked
    page = anna.get(f"/o/{place}/compare?a=0&b=1&question=Why%3F").text
    assert '<option value="0" selected>' in page
    assert ">Why?</textarea>" in page
    assert workspace.inference.asked == []  # a link alone makes nothing work


@BOTH
def test_both_answers_are_streamed_side_by_side(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    with workspace.database.write() as db:
        db.execute(update(Organization).values(instructions="Be brief.", temperature=0.9, max_tokens=77))
    folders = [Storage(workspace.app.state.settings).fetch(version) for version in _versions(workspace, place)]
    answers = iter(["We have 20 days.", "We have 25 days."])
    workspace.inference.reply = lambda _conversation: next(answers)
    answer = anna.post(f"/o/{place}/compare", {"a": "1", "b": "2", "question": " How many?\n"}, headers=EVENTS)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    said = {side: "".join(json.loads(data) for name, data in events if name == side) for side in "ab"}
    assert said == {"a": "We have 20 days.", "b": "We have 25 days."}
    firsts = [name for name, _ in events]
    assert firsts.index("b") < len(firsts) - 1 - firsts[::-1].index("a")  # side by side, and not one after the other
    assert events[-1][0] == "done"
    assert "We have <del>20</del> days." in events[-1][1]
    assert "We have <ins>25</ins> days." in events[-1][1]
    (conversation, sampling, weights), (same, again, others) = workspace.inference.asked
    assert [(turn.role, turn.content) for turn in conversation] == [("system", "Be brief."), ("user", "How many?")]
    assert (conversation, sampling) == (same, again)
    assert (sampling.temperature, sampling.max_tokens) == (0.0, 77)
    assert [weights, others] == folders


def test_a_page_for_those_without_script(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    answer = anna.post(f"/o/{place}/compare", {"a": "0", "b": "2", "question": "How many?"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "You said: How many?" in answer.text
    assert "Both give the same answer, word for word." in answer.text
    assert [weights is None for _, _, weights in workspace.inference.asked] == [True, False]


@pytest.mark.parametrize("headers", [EVENTS, {}], ids=["events", "page"])
def test_one_fails_and_the_other_answers(
    workspace: Workspace, anna: Browser, place: uuid.UUID, headers: dict[str, str]
) -> None:
    calls = iter(range(2))

    def reply(_conversation: Any) -> str:
        if next(calls) == 0:
            raise ChatModelError("The model's process ended.")
        return "Fine."

    workspace.inference.reply = reply
    answer = anna.post(f"/o/{place}/compare", {"a": "1", "b": "2", "question": "Hm?"}, headers=headers)
    assert answer.status_code == 200
    assert "The model&#39;s process ended." in answer.text
    assert "Fine." in answer.text
    assert "same answer" not in answer.text


@pytest.mark.parametrize("headers", [EVENTS, {}], ids=["events", "page"])
@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"question": ""}, 422),
        ({"question": " \n "}, 422),
        ({"question": "x" * 4001}, 422),
        ({"a": "3"}, 404),
        ({"a": "x"}, 422),
        ({"a": "-1"}, 422),
        ({"b": "99999999999"}, 422),
        ({"temperature": "2"}, 422),
    ],
    ids=str,
)
def test_what_cannot_be_compared(
    workspace: Workspace,
    anna: Browser,
    place: uuid.UUID,
    form: dict[str, str],
    status: int,
    headers: dict[str, str],
) -> None:
    sent = {"a": "1", "b": "2", "question": "How many?", **form}
    answer = anna.post(f"/o/{place}/compare", sent, headers=headers)
    assert answer.status_code == status
    assert workspace.inference.asked == []
    if "question" in form and not headers:
        assert 'aria-invalid="true"' in answer.text


def test_versions_of_others_are_not_found(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    elsewhere = workspace.organization(workspace.person("eve@example.org"), "Other")
    for index in range(3):
        made(workspace, elsewhere, corrected(workspace, elsewhere, f"{index}?", "x y"))
    assert anna.post(f"/o/{place}/compare", {"a": "3", "b": "1", "question": "?!"}).status_code == 404
    assert anna.post(f"/o/{elsewhere}/compare", {"a": "3", "b": "1", "question": "?!"}).status_code == 404
    assert workspace.inference.asked == []


def test_a_member_may_not_ask_without_end(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "COMPARISONS", Limit("compare", most=2, seconds=60))
    form = {"a": "1", "b": "2", "question": "How many?"}
    answers = [anna.post(f"/o/{place}/compare", form) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "retry-after" in answers[-1].headers


def test_damaged_files_are_said_to_be_so(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    folder = Storage(workspace.app.state.settings).fetch(_versions(workspace, place)[0])
    (folder / "adapter_model.safetensors").unlink()
    answer = anna.post(f"/o/{place}/compare", {"a": "1", "b": "2", "question": "How many?"})
    assert answer.status_code == 503
    assert str(folder) not in answer.text


def test_what_models_say_is_text(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    for vector in VECTORS[::6]:
        workspace.inference.reply = partial(lambda said, _conversation: said, vector)
        for headers in (EVENTS, {}):
            answer = anna.post(f"/o/{place}/compare", {"a": "1", "b": "2", "question": vector}, headers=headers)
            page = events_of(answer.text)[-1][1] if headers else answer.text
            assert problems_in(page) == [], vector


# Ends


class Reading:
    """A comparison without a server: what it sends, and a reader who can leave."""

    def __init__(self, workspace: Workspace, place: uuid.UUID, anna: Browser) -> None:
        self.workspace, self.left = workspace, asyncio.Event()
        self.sent: list[Any] = []
        with workspace.database.read() as db:
            organization = db.get_one(Organization, place)
            sign_in = db.query(SignIn).filter_by(user_id=anna.user_id).one()
        self.response = Comparison(
            (Side(0, None), Side(0, None)),
            conversation_of(organization, "How many?"),
            Sampling(20),
            workspace.app.state.admission,
            workspace.app.state.streams,
            Reader(place, anna.user_id, sign_in.id),
            workspace.app.state.comparisons,
            lambda sides: Response("|".join(f"{side.text}{side.problem}" for side in sides)),
            events=True,
        )
        self.task = workspace.portal.start_task_soon(self._run)

    async def _run(self) -> None:
        async def receive() -> dict[str, Any]:
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self.response({"type": "http", "state": {"ended": self.left}}, receive, send)

    def leave(self) -> None:
        self.workspace.portal.call(self.left.set)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


def test_leaving_stops_the_model(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    workspace.inference.gate = asyncio.Event()  # never opened
    reading = Reading(workspace, place, anna)
    until(lambda: reading.text.count("You ") == 2)
    assert workspace.inference.closed == 0
    assert len(workspace.app.state.comparisons.running) == 1
    reading.leave()
    reading.task.result(HANG_SECONDS)
    assert workspace.inference.closed == 2
    assert workspace.app.state.comparisons.running == {}


def test_a_newer_comparison_of_a_member_ends_the_older(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    workspace.inference.gate = asyncio.Event()
    older = Reading(workspace, place, anna)
    until(lambda: older.text.count("You ") == 2)
    newer = Reading(workspace, place, anna)
    older.task.result(HANG_SECONDS)
    assert "you began another comparison" in older.text
    assert workspace.inference.closed == 2
    until(lambda: newer.text.count("You ") == 2)
    workspace.portal.call(workspace.inference.gate.set)
    newer.task.result(HANG_SECONDS)
    assert newer.text.endswith("event: done\ndata: You said: How many?|You said: How many?\n\n")


@pytest.mark.parametrize("gone", [Membership, SignIn])
def test_who_may_not_read_any_more_reads_no_more(
    workspace: Workspace, anna: Browser, place: uuid.UUID, gone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.05)
    workspace.inference.gate = asyncio.Event()
    reading = Reading(workspace, place, anna)
    until(lambda: reading.text.count("You ") == 2)
    time.sleep(0.2)
    assert workspace.inference.closed == 0  # still a member
    with workspace.database.write() as db:
        db.execute(delete(gone).where(gone.user_id == anna.user_id))
    reading.task.result(HANG_SECONDS)
    assert workspace.inference.closed == 2
    assert "event: done" not in reading.text


def test_a_comparison_takes_no_longer_than_it_may(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "MOST_SECONDS", 0.2)
    workspace.inference.gate = asyncio.Event()
    reading = Reading(workspace, place, anna)
    reading.task.result(HANG_SECONDS)
    assert "it took too long" in reading.text
    assert workspace.inference.closed == 2


def test_a_process_compares_only_so_much(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "RUNNING_MOST", 0)
    answer = anna.post(f"/o/{place}/compare", {"a": "1", "b": "2", "question": "How many?"}, headers=EVENTS)
    assert answer.status_code == 503
    assert "Too many comparisons" in answer.text


# Differences


@given(st.text(max_size=80), st.text(max_size=80))
def test_differences_keep_every_letter(before: str, after: str) -> None:
    left, right = differences(before, after)
    assert "".join(text for text, _ in left) == before
    assert "".join(text for text, _ in right) == after
    if before == after:
        assert not any(differs for _, differs in (*left, *right))


def test_differences_are_of_words() -> None:
    left, right = differences("The hotline is 12 34, on weekdays.", "The new hotline is 56 78, on weekdays.")
    assert [text for text, differs in left if differs] == ["12 34"]
    assert [text for text, differs in right if differs] == ["new", "56 78"]


def test_long_texts_are_left_whole() -> None:
    long = "word " * 5000
    assert differences(long, "word") == ([(long, False)], [("word", False)])


@pytest.mark.parametrize("words", [199, 1_000])
def test_differences_of_texts_that_repeat_themselves_are_found(words: int) -> None:
    """As a small model writes them. Cubic time would take a minute of the web process."""
    before = " ".join(["no"] * words)
    after = " ".join((["no", "yes"] * words)[:words])
    for old, new in ((before, after), (before, after[:400]), (before[:400], after)):
        left, right = differences(old, new)
        assert ("".join(text for text, _ in left), "".join(text for text, _ in right)) == (old, new)


def _versions(workspace: Workspace, place: uuid.UUID) -> list[Any]:
    with workspace.database.read() as db:
        return db.query(Version).filter_by(organization_id=place).order_by(Version.number).all()
