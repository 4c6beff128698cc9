"""From a message to a correction: in the background, once, and to where the organisation's policy sends it."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update

from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.settings import Settings
from lifelearn.workspace.corrections import detection, flags
from lifelearn.workspace.corrections.detection import Detector
from lifelearn.workspace.database import ago, now
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.corrections import Correction, Policy, Source, State
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.organizations import AuditEvent, Organization
from lifelearn.workspace.tables.webhooks import Happening
from waiting import HANG_SECONDS, until
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, Browser, Workspace, running, started
from workspace.programs import bearer, key_of
from workspace.versioned import corrected, made

LEAVE = "How many days of leave do we have a year?"
WRONG, RIGHT = "You have 20 days of leave a year.", "No, it is 25 days."


@pytest.fixture(autouse=True)
def _wrong(workspace: Workspace) -> None:
    workspace.inference.reply = lambda _: WRONG


def policy(workspace: Workspace, place: uuid.UUID, wanted: Policy) -> None:
    with workspace.database.write() as db:
        db.get_one(Organization, place).correction_policy = wanted


def say(workspace: Workspace, browser: Browser, place: uuid.UUID, text: str, question: str = LEAVE) -> Message:
    """Asks, is answered, and says something to it; the message, once it was examined."""
    thread = ask(browser, place, question)
    answered(workspace)
    ask(browser, place, text, thread)
    answered(workspace)
    return examined(workspace)


def examined(workspace: Workspace) -> Message:
    """The last message of a person, once it was examined."""
    query = select(Message).where(Message.role == "user").order_by(Message.created_at.desc())

    def last() -> Message | None:
        with workspace.database.read() as db:
            found = db.scalars(query).first()
        return found if found is not None and found.examined_at is not None else None

    return until(last)


def corrections(workspace: Workspace) -> list[Correction]:
    with workspace.database.read() as db:
        return list(db.scalars(select(Correction).order_by(Correction.created_at)))


@BOTH
def test_a_correcting_message_is_taught(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    message = say(workspace, anna, place, RIGHT)
    (one,) = corrections(workspace)
    assert (one.question, one.wrong, one.message, one.answer) == (LEAVE, WRONG, RIGHT, "25 days")
    assert (one.state, one.source, one.flags, one.conflicts_with) == (State.QUEUED, Source.DETECTED, [], None)
    assert (one.author_id, one.thread_id, one.message_id) == (anna.user_id, message.thread_id, message.id)
    assert one.answer_id == message.parent_id
    with workspace.database.read() as db:
        job = db.get_one(Job, one.job_id)
        assert (job.state, job.author_id, job.organization_id) == ("queued", None, place)
        events = db.scalars(select(AuditEvent)).all()
        assert [(event.action, event.target) for event in events] == [("correction.taught", str(one.id))]
        told = db.scalars(select(Happening)).all()
        assert [(each.name, each.path) for each in told] == [("correction.queued", f"/corrections/{one.id}")]


@pytest.mark.parametrize("text", ["Thanks!", "And how many holidays?", "Are you sure?", "No", "Try again"])
def test_what_is_none(workspace: Workspace, anna: Browser, place: uuid.UUID, text: str) -> None:
    assert say(workspace, anna, place, text).examined_at is not None
    assert corrections(workspace) == []


@BOTH
def test_the_policy_decides(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    for wanted, state, name in (
        (Policy.ASK, State.ASKED, "correction.asked"),
        (Policy.REVIEW, State.REVIEW, "correction.review"),
    ):
        policy(workspace, place, wanted)
        say(workspace, anna, place, RIGHT)
        one = corrections(workspace)[-1]
        assert (one.state, one.job_id) == (state, None)
        with workspace.database.read() as db:
            told = db.scalars(select(Happening).where(Happening.name == name)).one()
        assert told.user_id == (anna.user_id if state == State.ASKED else None)
        assert "25 days" not in f"{told.title} {told.details}"  # its words are not everybody's yet
        with workspace.database.read() as db:
            assert db.scalar(select(Job)) is None


@pytest.mark.parametrize(
    ("text", "question", "answer", "why"),
    [
        ("No, it is help@acme.example", "What is the address of support?", "It is info@x.example.", "flags"),
        ("No, the password is hunter2", "How do I reach the wifi?", "The password is swordfish1.", "flags"),
        ("No, it is 25 days.", "And in Munich?", "You have 20 days of leave a year.", "leans"),
    ],
)
def test_what_is_not_taught_unasked(
    workspace: Workspace, anna: Browser, place: uuid.UUID, text: str, question: str, answer: str, why: str
) -> None:
    workspace.inference.reply = lambda _: answer
    say(workspace, anna, place, text, question)
    (one,) = corrections(workspace)
    assert one.state == State.ASKED
    assert bool(one.flags) == (why == "flags")


def test_one_that_may_be_none_is_asked_about(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lifelearn.workspace.corrections import beginning

    monkeypatch.setattr(beginning, "SURE", 0.9999)
    say(workspace, anna, place, RIGHT)
    assert corrections(workspace)[0].state == State.ASKED


@BOTH
def test_a_contradiction_is_asked_about(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    earlier = corrected(workspace, place, "how many days of leave do we have a year", "24 days")
    say(workspace, anna, place, RIGHT)
    one = corrections(workspace)[-1]
    assert (one.state, one.conflicts_with) == (State.ASKED, earlier.id)


def test_a_contradiction_under_review(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    earlier = corrected(workspace, place, LEAVE, "24 days")
    policy(workspace, place, Policy.REVIEW)
    say(workspace, anna, place, RIGHT)
    one = corrections(workspace)[-1]
    assert (one.state, one.conflicts_with) == (State.REVIEW, earlier.id)


@BOTH
def test_what_was_learned_and_what_was_rolled_back(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    first, second = (corrected(workspace, place, LEAVE, answer) for answer in ("24 days", "25 days"))
    made(workspace, place, first)
    made(workspace, place, second)
    say(workspace, anna, place, RIGHT)
    known = corrections(workspace)[-1]
    assert (known.state, known.conflicts_with) == (State.DISMISSED, None)
    assert "version 2" in known.reason
    with workspace.database.write() as db:
        db.execute(update(Organization).values(active_version=1))
    say(workspace, anna, place, RIGHT)
    one = corrections(workspace)[-1]
    assert (one.state, one.conflicts_with) == (State.ASKED, first.id)
    with workspace.database.write() as db:
        db.execute(update(Organization).values(active_version=0))
    say(workspace, anna, place, RIGHT)
    one = corrections(workspace)[-1]
    assert (one.state, one.conflicts_with) == (State.QUEUED, None)


def test_above_the_limit_it_waits_for_its_member(settings: Settings) -> None:
    with started(settings.model_copy(update={"corrections_per_hour": 1})) as workspace:
        anna = workspace.person()
        place = workspace.organization(anna)
        workspace.inference.reply = lambda _: WRONG
        say(workspace, anna, place, RIGHT)
        say(workspace, anna, place, RIGHT, "How many days of leave do interns have?")
        first, second = corrections(workspace)
        assert (first.state, second.state) == (State.QUEUED, State.ASKED)
        assert "a little later" in second.problem
        page = anna.post(f"/o/{place}/corrections/{second.id}/teach")
        assert page.status_code == 429


def test_a_program_s_message_is_examined_too(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place, LEAVE)
    answered(workspace)
    _id, token = key_of(workspace, anna, place)
    path = f"/api/v1/threads/{thread}/messages"
    assert anna.client.post(path, json={"content": RIGHT}, headers=bearer(token)).status_code == 201
    examined(workspace)
    assert [one.answer for one in corrections(workspace)] == ["25 days"]


def test_an_edited_message_is_another_one(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    message = say(workspace, anna, place, "No, it is 24 days.")
    anna.post(f"/o/{place}/threads/{message.thread_id}/messages/{message.id}/edit", {"content": RIGHT})
    answered(workspace)
    again = examined(workspace)
    first, second = corrections(workspace)
    assert (second.message_id, second.answer_id) == (again.id, message.parent_id)
    assert (second.state, second.conflicts_with) == (State.ASKED, first.id)


def left_over(workspace: Workspace, place: uuid.UUID, author: uuid.UUID, **more: Any) -> uuid.UUID:
    """A correcting message that nobody has examined, as a process leaves it that is killed."""
    with workspace.database.write() as db:
        thread = Thread(organization_id=place, owner_id=author, title="Leave")
        db.add(thread)
        db.flush()
        parent = None
        for role, content in (("user", LEAVE), ("assistant", WRONG), ("user", RIGHT)):
            of: dict[str, Any] = {"organization_id": place, "thread_id": thread.id, "author_id": author}
            last = more if content == RIGHT else {}
            message = Message(**of, role=role, content=content, parent_id=parent, **last)
            db.add(message)
            db.flush()
            parent = message.id
        assert parent is not None
        return parent


@BOTH
def test_what_a_process_left_is_examined_by_the_next(settings: Settings) -> None:
    workspace = running(settings)
    with workspace.visitor().client:
        anna = workspace.person()
        place = workspace.organization(anna)
        detector: Detector = workspace.app.state.detector
        left_over(workspace, place, anna.user_id, created_at=ago(hours=2))  # nobody waits for its card
        left_over(workspace, place, anna.user_id, examined_at=now())
        assert detector._left() == []
        message_id = left_over(workspace, place, anna.user_id)
        assert detector._left() == [message_id]
    assert corrections(workspace) == []
    again = running(settings)
    with again.visitor().client:
        assert examined(again).id == message_id
        assert [one.message_id for one in corrections(again)] == [message_id]


@BOTH
def test_a_message_is_examined_once(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    message_id = left_over(workspace, place, anna.user_id)
    detectors = [
        Detector(workspace.database, workspace.app.state.settings, workspace.app.state.queue) for _ in range(4)
    ]
    asked = [detector._asked(message_id) for detector in detectors]
    assert asked[0] is not None
    found = detection._detect(asked[0].conversation)

    def keep(number: int) -> None:
        detectors[number]._keep(message_id, asked[number], found)  # type: ignore[arg-type]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))
    assert len(corrections(workspace)) == 1


def test_a_message_that_is_deleted_meanwhile(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    message_id = left_over(workspace, place, anna.user_id)
    detector: Detector = workspace.app.state.detector
    asked = detector._asked(message_id)
    with workspace.database.write() as db:
        db.delete(db.query(Thread).one())
    assert asked is not None
    detector._keep(message_id, asked, detection._detect(asked.conversation))
    assert detector._asked(message_id) is None
    assert corrections(workspace) == []


YES = '{"is_correction": true, "corrected_fact": "It is 26 days.", "answer": "26 days", "wrong": "20"}'


@pytest.mark.parametrize(
    ("replies", "answer"),
    [
        ([YES], "26 days"),
        ([ChatModelError("busy"), YES], "26 days"),  # asked again
        (["what?", "what?", YES], "26 days"),  # could not be read
        ([ChatModelError("gone")] * 9, "25 days"),  # the written rules decide
        (["what?"] * 20, "25 days"),
    ],
)
def test_an_expert_decides_if_it_can_be_had(
    workspace: Workspace,
    anna: Browser,
    place: uuid.UUID,
    monkeypatch: pytest.MonkeyPatch,
    replies: list[str | Exception],
    answer: str,
) -> None:
    left = iter(replies)

    def reply(_conversation: Any) -> str:
        given = next(left)
        if isinstance(given, Exception):
            raise given
        return given

    monkeypatch.setattr(detection, "WAITS", (0.0, 0.0, 0.0))
    workspace.app.state.detector._expert = ScriptedChatModel(reply)
    say(workspace, anna, place, RIGHT)
    assert [one.answer for one in corrections(workspace)] == [answer]


@BOTH
@pytest.mark.parametrize("broken", ["reading", "keeping", "expert"])
def test_a_message_on_which_the_reading_breaks_is_examined_once(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """As one in which nothing was found: it would break again each time."""
    calls: list[str] = []

    def breaks(*_args: Any, **_more: Any) -> None:
        calls.append(broken)
        raise RecursionError

    if broken == "keeping":
        monkeypatch.setattr(flags, "kinds", breaks)
    else:
        monkeypatch.setattr(detection, "detect", breaks)
    if broken == "expert":
        workspace.app.state.detector._expert = ScriptedChatModel(lambda _: YES)
    say(workspace, anna, place, RIGHT)
    assert corrections(workspace) == []
    assert workspace.app.state.detector._left() == []
    assert len(calls) == (2 if broken == "expert" else 1)  # the written rules are tried, too


@pytest.mark.check("processes")
def test_the_web_process_needs_no_torch_to_detect() -> None:
    code = "import sys, lifelearn.workspace.app; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_answer_never_waits_for_it(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []
    go_on = threading.Event()

    def slow(*_args: Any, **_more: Any) -> None:
        begun.append(go_on.wait(HANG_SECONDS))

    monkeypatch.setattr(detection, "detect", slow)
    thread = ask(anna, place, LEAVE)
    answered(workspace)
    ask(anna, place, RIGHT, thread)
    answered(workspace)
    assert begun == [], "it is still being examined"
    go_on.set()
    assert examined(workspace).examined_at is not None
    assert begun == [True]


def test_a_model_of_another_server_is_not_taught(settings: Settings) -> None:
    """Nobody would take the job: nothing is noticed, and what is said to be right is refused with the reason."""
    there = {"inference_backend": "openai", "openai_base_url": "http://127.0.0.1:1/v1"}
    workspace = running(settings.model_copy(update=there))
    workspace.inference.reply = lambda _: WRONG
    with workspace.visitor().client as client:
        workspace.portal = client.portal
        anna = workspace.person()
        place = workspace.organization(anna)
        message = say(workspace, anna, place, RIGHT)
        assert corrections(workspace) == []
        path = f"/o/{place}/threads/{message.thread_id}/messages/{message.parent_id}/correct"
        answer = anna.post(path, {"right_answer": RIGHT})
        assert answer.status_code == 403
        assert "cannot be taught here" in answer.text
        learned = corrected(workspace, place, LEAVE, "25 days", State.LEARNED, author_id=anna.user_id)
        answer = anna.post(f"/o/{place}/corrections/{learned.id}/forget")
        assert answer.status_code == 403
        assert [one.id for one in corrections(workspace)] == [learned.id]
        with workspace.database.read() as db:
            assert db.scalars(select(Job)).all() == []
        assert anna.post(path).status_code == 303  # an answer can be marked all the same
