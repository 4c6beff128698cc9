"""Corrections on the pages: the card in a chat, what may be said to it by whom, review, progress, and forgetting."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, func, select, update

from lifelearn.settings import Settings
from lifelearn.workspace.corrections import progress
from lifelearn.workspace.database import now
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.corrections import TAUGHT, Correction, Policy, Source, State
from lifelearn.workspace.tables.jobs import Job, Kind
from lifelearn.workspace.tables.jobs import State as JobState
from lifelearn.workspace.tables.organizations import AuditEvent, Membership, Organization
from lifelearn.workspace.tables.webhooks import Happening
from waiting import HANG_SECONDS, until
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, POSTGRESQL, Browser, Workspace, running, waits_for_a_lock
from workspace.versioned import corrected, made
from workspace.xss import VECTORS, problems_in

LEAVE = "How many days of leave do we have a year?"
WRONG = "You have 20 days of leave a year."


class Team:
    """An organisation: anna owns it, ben is an admin, carl and dora are members; eve is of another one."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.anna, self.ben, self.carl, self.dora, self.eve = (
            workspace.person(f"{name}@example.org") for name in ("anna", "ben", "carl", "dora", "eve")
        )
        self.id = workspace.organization(self.anna, admin=[self.ben], member=[self.carl, self.dora])
        self.elsewhere = workspace.organization(self.eve, "Other")
        self.url = f"/o/{self.id}"
        workspace.inference.reply = lambda _: WRONG

    def policy(self, wanted: Policy) -> None:
        with self.workspace.database.write() as db:
            db.get_one(Organization, self.id).correction_policy = wanted

    def make(self, author: Browser, state: State = State.ASKED, question: str = LEAVE, **more: Any) -> Correction:
        values = {"wrong": WRONG, "source": Source.DETECTED, "author_id": author.user_id, **more}
        return corrected(self.workspace, self.id, question, values.pop("answer", "25 days"), state, **values)

    def now(self, correction: Correction) -> Correction:
        with self.workspace.database.read() as db:
            return db.get_one(Correction, correction.id)

    def of(self, correction: Correction) -> str:
        return f"{self.url}/corrections/{correction.id}"

    def job(self, correction: Correction, state: JobState, **more: Any) -> uuid.UUID:
        """A job that learns it, as a worker leaves it."""
        with self.workspace.database.write() as db:
            job = Job(organization_id=self.id, kind=Kind.LEARN, state=state, **more)
            db.add(job)
            db.flush()
            db.get_one(Correction, correction.id).job_id = job.id
            return job.id

    def jobs(self) -> int:
        with self.workspace.database.read() as db:
            return db.scalar(select(func.count()).select_from(Job)) or 0

    def actions(self) -> list[str]:
        with self.workspace.database.read() as db:
            return list(db.scalars(select(AuditEvent.action).order_by(AuditEvent.created_at)))

    def told(self) -> list[tuple[str, uuid.UUID | None]]:
        with self.workspace.database.read() as db:
            rows = db.scalars(select(Happening).order_by(Happening.created_at))
            return [(each.name, each.user_id) for each in rows]


@pytest.fixture
def team(workspace: Workspace) -> Team:
    return Team(workspace)


# Stated under an answer


def answer_of(team: Team, browser: Browser, shared: bool = False) -> tuple[str, Message]:
    thread = ask(browser, team.id, LEAVE)
    answer = answered(team.workspace)
    if shared:
        browser.post(f"{team.url}/threads/{thread}/share", {"shared": "true"})
    return f"{team.url}/threads/{thread}", answer


@BOTH
def test_correct_this_teaches(team: Team) -> None:
    url, answer = answer_of(team, team.carl)
    fragment = team.carl.htmx("POST", f"{url}/messages/{answer.id}/correct", {"right_answer": "It is 25 days."}).text
    with team.workspace.database.read() as db:
        one = db.scalars(select(Correction)).one()
        marked = db.get_one(Message, answer.id)
    assert (one.question, one.wrong, one.statement, one.answer) == (LEAVE, WRONG, "It is 25 days.", "25 days")
    assert (one.state, one.source, one.confidence) == (State.QUEUED, Source.EXPLICIT, 1.0)
    assert (one.answer_id, one.message_id, one.author_id) == (answer.id, None, team.carl.user_id)
    assert (marked.right_answer, marked.marked_wrong_at is not None) == ("It is 25 days.", True)
    assert f'id="c-{one.id}"' in fragment
    assert "Marked as wrong" in fragment
    assert "queued" in fragment
    assert "next in line" in fragment
    assert f'sse-connect="{team.of(one)}/events"' in fragment
    assert team.actions() == ["answer.marked_wrong", "correction.taught"]
    with team.workspace.database.read() as db:
        assert db.get_one(Job, one.job_id).author_id == team.carl.user_id


def test_marking_without_saying_what_is_right_teaches_nothing(team: Team) -> None:
    url, answer = answer_of(team, team.carl)
    fragment = team.carl.htmx("POST", f"{url}/messages/{answer.id}/correct").text
    assert "learns nothing from this alone" in fragment
    with team.workspace.database.read() as db:
        assert db.scalar(select(Correction)) is None


@pytest.mark.parametrize("text", ["wrong!", "Is it 25?", "try again", "No", "No, it is 25 days, not 25 days."])
def test_what_says_nothing_right_is_refused(team: Team, text: str) -> None:
    url, answer = answer_of(team, team.carl)
    refused = team.carl.htmx("POST", f"{url}/messages/{answer.id}/correct", {"right_answer": text})
    assert refused.status_code == 422
    with team.workspace.database.read() as db:
        assert db.scalar(select(Correction)) is None
        assert db.get_one(Message, answer.id).marked_wrong_at is None


@BOTH
def test_taking_it_back(team: Team) -> None:
    url, answer = answer_of(team, team.carl, shared=True)
    path = f"{url}/messages/{answer.id}/correct"
    team.carl.post(path, {"right_answer": "It is 25 days."})
    assert team.dora.post(path, {"withdraw": "true"}).status_code == 403  # who did not say it
    assert team.carl.post(path, {"withdraw": "true"}).status_code == 303
    with team.workspace.database.read() as db:
        one = db.scalars(select(Correction)).one()
        assert (one.state, db.get_one(Job, one.job_id).state) == (State.WITHDRAWN, "cancelled")
        assert db.get_one(Message, answer.id).marked_wrong_at is None
    team.carl.post(path, {"right_answer": "It is 26 days."})
    assert team.ben.post(path, {"withdraw": "true"}).status_code == 303  # an admin
    assert team.told()[-1] == ("correction.withdrawn", team.carl.user_id)


def test_said_again_it_replaces_what_was_said_before(team: Team) -> None:
    url, answer = answer_of(team, team.carl)
    path = f"{url}/messages/{answer.id}/correct"
    for text in ("It is 24 days.", "It is 25 days.", "it is 25 days"):
        assert team.carl.post(path, {"right_answer": text}).status_code == 303
    with team.workspace.database.read() as db:
        found = db.scalars(select(Correction).order_by(Correction.created_at)).all()
    assert [(each.answer, each.state) for each in found] == [("24 days", State.WITHDRAWN), ("25 days", State.QUEUED)]
    page = team.carl.get(url).text
    assert page.count('class="card') == 1


def test_under_review_it_waits_for_an_admin(team: Team) -> None:
    team.policy(Policy.REVIEW)
    url, answer = answer_of(team, team.carl)
    team.carl.post(f"{url}/messages/{answer.id}/correct", {"right_answer": "It is 25 days."})
    with team.workspace.database.read() as db:
        assert db.scalars(select(Correction)).one().state == State.REVIEW
    assert "waits for review" in team.carl.get(url).text


# The card in the chat


def test_the_card_comes_to_the_page_that_is_open(team: Team) -> None:
    thread = ask(team.carl, team.id, LEAVE)
    answered(team.workspace)
    posted = team.carl.htmx("POST", f"{team.url}/threads/{thread}/messages", {"content": "No, it is 25 days."}).text
    (slot,) = re.findall(r'hx-get="([^"]+/correction)"', posted)
    until(lambda: 'class="card' in team.carl.htmx("GET", slot).text)
    shown = team.carl.htmx("GET", slot).text
    assert "being learned" in shown or "queued" in shown
    assert team.dora.get(slot).status_code == 404  # a private chat
    assert team.eve.get(slot).status_code == 404
    answered(team.workspace)
    assert 'class="card' in team.carl.get(f"{team.url}/threads/{thread}").text
    ask(team.carl, team.id, "Thanks", thread)
    answered(team.workspace)
    last = team.carl.get(f"{team.url}/threads/{thread}").text
    for message in re.findall(r'id="m-([0-9a-f-]+)"', last)[-2:]:
        found = team.carl.get(f"{team.url}/threads/{thread}/messages/{message}/correction")
        assert 'class="card' not in found.text


@BOTH
def test_the_author_decides(team: Team) -> None:
    one = team.make(team.carl)
    page = team.carl.get(team.of(one)).text
    assert "needs your word" in page
    assert "Not a correction" in page
    answer = team.carl.htmx("POST", f"{team.of(one)}/teach")
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith(f'<section class="card queued" id="c-{one.id}"')
    assert team.now(one).state == State.QUEUED
    assert team.now(one).decided_by == team.carl.user_id
    assert team.carl.post(f"{team.of(one)}/teach").status_code == 409
    assert team.jobs() == 1
    second = team.make(team.carl, question="Who is our CEO?")
    assert team.carl.post(f"{team.of(second)}/dismiss").status_code == 303
    assert team.now(second).state == State.DISMISSED
    assert team.carl.post(f"{team.of(second)}/dismiss").status_code == 409
    assert team.carl.post(f"{team.of(second)}/teach").status_code == 303  # after all
    assert team.now(second).state == State.QUEUED
    assert team.actions() == ["correction.taught", "correction.dismissed", "correction.taught"]


def test_it_is_taught_once_however_often_the_button_is_pressed(team: Team) -> None:
    one = team.make(team.carl)
    browsers = [team.workspace.person("carl@example.org") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda each: each.post(f"{team.of(one)}/teach").status_code, browsers))
    assert sorted(answers) == [303, 409, 409, 409]
    assert team.jobs() == 1


@pytest.mark.parametrize(
    ("form", "statement", "answer"),
    [
        ({"statement": "We have 26 days."}, "We have 26 days.", "26 days"),
        ({"statement": "We have 26 days.", "answer": "25 days"}, "We have 26 days.", "26 days"),  # left as it was
        ({"statement": "It is 25 days.", "answer": "26 days"}, "26 days", "26 days"),
        ({"statement": "We have 26 paid days.", "answer": "26 paid days"}, "We have 26 paid days.", "26 paid days"),
        ({"question": "How many days of leave do interns have?"}, "It is 25 days.", "25 days"),
    ],
)
def test_what_is_right_can_be_changed(team: Team, form: dict[str, str], statement: str, answer: str) -> None:
    one = team.make(team.carl)
    assert team.carl.post(f"{team.of(one)}/teach", form).status_code == 303
    changed = team.now(one)
    assert (changed.statement.rstrip("."), changed.answer) == (statement.rstrip("."), answer)
    assert changed.question == form.get("question", LEAVE)
    assert changed.state == State.QUEUED


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"statement": " "}, "Say what is right."),
        ({"statement": "wrong"}, "does not say what is right"),
        ({"question": " ? "}, "Say which question"),
        ({"statement": "We have 26 days.", "answer": "27 days"}, "does not say this"),
        ({"statement": "x" * 4001}, "At most 4,000 characters"),
        ({"answer": "x " * 4000}, "At most 4,000 characters"),
        ({"question": "x" * 32_001}, "At most 32,000 characters"),
    ],
)
def test_a_form_with_a_mistake_comes_back_with_what_was_entered(team: Team, form: dict[str, str], said: str) -> None:
    one = team.make(team.carl)
    for answer in (
        team.carl.htmx("POST", f"{team.of(one)}/teach", form),
        team.carl.post(f"{team.of(one)}/teach", form),
    ):
        assert answer.status_code == 422
        assert said in answer.text
        assert all(value.strip()[:50] in answer.text for value in form.values())
    same = team.now(one)
    assert (same.state, same.question, same.answer) == (State.ASKED, LEAVE, "25 days")
    assert team.jobs() == 0


@BOTH
def test_a_contradiction_needs_its_own_button(team: Team) -> None:
    earlier = team.make(team.dora, State.LEARNED, answer="24 days")
    made(team.workspace, team.id, earlier)
    one = team.make(team.carl)
    shown = team.carl.htmx("POST", f"{team.of(one)}/teach")
    assert shown.status_code == 422
    assert "Replace the old one" in shown.text
    assert team.now(one).state == State.ASKED
    with team.workspace.database.write() as db:
        db.get_one(Correction, one.id).conflicts_with = earlier.id
    page = team.carl.get(team.of(one)).text
    assert "It is 24 days." in page
    assert "Replace the old one" in page
    assert team.carl.post(f"{team.of(one)}/teach", {"replace": "true"}).status_code == 303
    assert (team.now(one).state, team.now(one).conflicts_with) == (State.QUEUED, earlier.id)


def test_a_contradiction_that_came_up_while_it_waited(team: Team) -> None:
    one = team.make(team.carl)
    other = team.make(team.dora, State.QUEUED, answer="24 days")
    assert team.carl.post(f"{team.of(one)}/teach").status_code == 422
    with team.workspace.database.write() as db:
        db.get_one(Correction, other.id).state = State.WITHDRAWN
    assert team.carl.post(f"{team.of(one)}/teach").status_code == 303
    assert team.now(one).conflicts_with is None


def test_what_is_flagged_is_shown_and_needs_its_own_button(team: Team) -> None:
    one = team.make(team.carl, question="What is the address of support?", answer="help@acme.example", flags=["email"])
    page = team.carl.get(team.of(one)).text
    assert "an e-mail address: <code>help@acme.example</code>" in page
    assert "Teach anyway" in page
    assert team.carl.post(f"{team.of(one)}/teach").status_code == 422
    assert team.carl.post(f"{team.of(one)}/teach", {"replace": "true"}).status_code == 422
    assert team.carl.post(f"{team.of(one)}/teach", {"anyway": "true"}).status_code == 303
    second = team.make(team.carl, question="Where do I write to?", answer="the front desk")
    form = {"statement": "Write to desk@acme.example.", "answer": ""}
    assert team.carl.post(f"{team.of(second)}/teach", form).status_code == 422  # flagged by what was entered
    assert team.carl.post(f"{team.of(second)}/teach", {**form, "anyway": "true"}).status_code == 303
    assert team.now(second).flags == ["email"]


def test_a_question_that_leans_on_others_says_so(team: Team) -> None:
    one = team.make(team.carl, question="And in Munich?")
    assert "Write it out in full" in team.carl.get(team.of(one)).text


# Review


@BOTH
def test_an_admin_approves(team: Team) -> None:
    team.policy(Policy.REVIEW)
    one = team.make(team.carl)
    page = team.carl.get(team.of(one)).text
    assert "Hand it to the admins" in page
    assert team.carl.post(f"{team.of(one)}/teach", {"statement": "It is 26 days."}).status_code == 303
    assert (team.now(one).state, team.now(one).answer, team.jobs()) == (State.REVIEW, "26 days", 0)
    assert team.carl.post(f"{team.of(one)}/teach").status_code == 403
    assert team.dora.post(f"{team.of(one)}/teach").status_code == 404
    assert 'Review <span class="badge">1' in team.ben.get(team.url).text
    assert "Review" not in team.carl.get(team.url).text
    queue = team.ben.get(f"{team.url}/review").text
    assert "Approve and teach" in queue
    assert f'id="c-{one.id}"' in queue
    assert team.ben.post(f"{team.of(one)}/teach").status_code == 303
    assert (team.now(one).state, team.now(one).answer) == (State.QUEUED, "26 days")
    assert team.now(one).decided_by == team.ben.user_id
    assert team.actions() == ["correction.proposed", "correction.approved"]
    assert [name for name, _ in team.told()] == ["correction.review", "correction.queued"]
    assert "Nothing waits for review" in team.ben.get(f"{team.url}/review").text


@BOTH
def test_an_admin_rejects_with_a_reason(team: Team) -> None:
    one = team.make(team.carl, State.REVIEW)
    refused = team.ben.htmx("POST", f"{team.of(one)}/reject", {"reason": " "})
    assert refused.status_code == 422
    assert "Say why" in refused.text
    assert team.ben.post(f"{team.of(one)}/reject", {"reason": "x" * 1001}).status_code == 422
    assert team.carl.post(f"{team.of(one)}/reject", {"reason": "No"}).status_code == 403
    assert team.ben.post(f"{team.of(one)}/reject", {"reason": "The handbook says 24."}).status_code == 303
    assert (team.now(one).state, team.now(one).reason) == (State.REJECTED, "The handbook says 24.")
    assert "The handbook says 24." in team.carl.get(team.of(one)).text
    assert team.told() == [("correction.rejected", team.carl.user_id)]
    assert team.carl.post(f"{team.of(one)}/teach").status_code == 403
    assert team.ben.post(f"{team.of(one)}/teach").status_code == 303  # after all
    assert team.now(one).state == State.QUEUED


@BOTH
def test_nobody_approves_their_own(team: Team) -> None:
    team.policy(Policy.REVIEW)
    one = team.make(team.ben)
    page = team.ben.get(team.of(one)).text
    assert "Hand it to the admins" in page
    assert 'name="own"' not in page
    team.ben.post(f"{team.of(one)}/teach", {"own": "true"})
    assert (team.now(one).state, team.jobs()) == (State.REVIEW, 0)
    refused = team.ben.post(f"{team.of(one)}/teach", {"own": "true"})
    assert refused.status_code == 403
    assert "Nobody approves their own correction" in refused.text
    assert "Approve and teach" not in team.ben.get(team.of(one)).text
    assert team.anna.post(f"{team.of(one)}/teach").status_code == 303
    assert (team.now(one).state, team.now(one).decided_by) == (State.QUEUED, team.anna.user_id)
    rejected = team.make(team.ben, State.REJECTED, question="Who is our CEO?")
    assert team.ben.post(f"{team.of(rejected)}/teach", {"own": "true"}).status_code == 403
    assert team.anna.post(f"{team.of(rejected)}/teach").status_code == 303


@BOTH
def test_what_an_admin_put_into_anothers_words_is_the_admins_own(team: Team) -> None:
    team.policy(Policy.REVIEW)
    one = team.make(team.carl, State.REVIEW)
    changed = {"question": "Who is the boss?", "statement": "The boss is Ben.", "own": "true"}
    assert team.ben.post(f"{team.of(one)}/teach", changed).status_code == 303
    assert (team.now(one).state, team.now(one).answer, team.jobs()) == (State.REVIEW, "Ben", 0)
    assert team.ben.post(f"{team.of(one)}/teach", {"own": "true"}).status_code == 403
    assert team.anna.post(f"{team.of(one)}/teach").status_code == 303
    assert team.now(one).state == State.QUEUED


@BOTH
def test_the_only_admin_approves_their_own_by_saying_so(team: Team) -> None:
    team.policy(Policy.REVIEW)
    with team.workspace.database.write() as db:
        db.query(Membership).filter_by(user_id=team.ben.user_id).update({"role": "member"})
    for state in (State.ASKED, State.REVIEW, State.REJECTED):
        one = team.make(team.anna, state, question=f"What is {state}?")
        refused = team.anna.htmx("POST", f"{team.of(one)}/teach")
        assert refused.status_code == 422
        assert "there is no other admin" in refused.text
        assert 'name="own"' in refused.text
        assert team.now(one).state == state
        assert team.anna.post(f"{team.of(one)}/teach", {"own": "true"}).status_code == 303
        assert (team.now(one).state, team.now(one).decided_by) == (State.QUEUED, team.anna.user_id)
    others = team.make(team.carl, State.REVIEW, question="Who is our CEO?")
    assert 'name="own"' not in team.anna.get(team.of(others)).text
    assert team.anna.post(f"{team.of(others)}/teach").status_code == 303


def test_its_author_may_take_it_back_from_review(team: Team) -> None:
    one = team.make(team.carl, State.REVIEW)
    assert team.ben.post(f"{team.of(one)}/dismiss").status_code == 403
    assert team.carl.post(f"{team.of(one)}/dismiss").status_code == 303
    assert team.now(one).state == State.DISMISSED


def test_admins_hear_of_reviews_and_members_do_not(team: Team) -> None:
    team.policy(Policy.REVIEW)
    one = team.make(team.carl)
    team.carl.post(f"{team.of(one)}/teach")
    assert "waits for review" in team.ben.get(f"{team.url}/notices").text
    assert "waits for review" not in team.dora.get(f"{team.url}/notices").text


# Who sees what


VISIBLE: dict[State, str] = {
    State.ASKED: "carl",
    State.REVIEW: "carl anna ben",
    State.REJECTED: "carl anna ben",
    State.DISMISSED: "carl",
    State.WITHDRAWN: "carl",
    State.QUEUED: "carl dora anna ben",
    State.LEARNING: "carl dora anna ben",
    State.LEARNED: "carl dora anna ben",
    State.FAILED: "carl dora anna ben",
}


@pytest.mark.parametrize("state", State)
def test_it_is_its_author_s_until_it_is_taught(team: Team, state: State) -> None:
    one = team.make(team.carl, state)
    for name in ("anna", "ben", "carl", "dora", "eve"):
        browser = getattr(team, name)
        seen = name in VISIBLE[state].split()
        assert browser.get(team.of(one)).status_code == (200 if seen else 404), name
        if not seen or state not in TAUGHT:  # which go on and on
            assert browser.get(f"{team.of(one)}/events").status_code == (200 if seen else 404), name
        if name == "eve":
            assert browser.get(f"/o/{team.elsewhere}/corrections/{one.id}").status_code == 404
            assert browser.get(f"{team.url}/corrections").status_code == 404
        else:
            assert (LEAVE in browser.get(f"{team.url}/corrections").text) == seen, name
        for verb in ("teach", "dismiss", "cancel"):
            code = browser.post(f"{team.of(one)}/{verb}").status_code
            assert (code == 404) == (not seen), (name, verb)
            if code == 303 or not seen:
                continue
            assert code in (403, 409), (name, verb)
        with team.workspace.database.write() as db:  # as it was
            values = {"state": state, "job_id": None, "reason": ""}
            db.execute(update(Correction).where(Correction.id == one.id).values(**values))


def test_the_words_of_a_private_chat(team: Team) -> None:
    """What else was said there, the message and where it is, is nobody else's, also once it is taught."""
    thread = ask(team.carl, team.id, LEAVE)
    answered(team.workspace)
    one = team.make(team.carl, State.LEARNED, thread_id=thread, message="No! My salary is 1000, and it is 25 days.")
    for browser in (team.dora, team.anna):
        page = browser.get(team.of(one)).text
        assert "It is 25 days." in page
        assert "salary" not in page
        assert str(thread) not in page
    assert str(thread) in team.carl.get(team.of(one)).text


@BOTH
def test_the_list(team: Team) -> None:
    for number in range(55):
        team.make(team.carl, State.QUEUED, question=f"What is in box {number}?")
    team.make(team.carl, State.FAILED, question="Who is our CEO?", answer="Zoë", problem="No.")
    first = team.dora.get(f"{team.url}/corrections").text
    assert first.count("<tr>") == 51
    (more,) = re.findall(r'href="([^"]+)">Show more', first)
    second = team.dora.get(more.replace("&amp;", "&")).text
    assert second.count("<tr>") == 7
    assert not set(re.findall(r"box \d+", first)) & set(re.findall(r"box \d+", second))
    assert team.dora.get(f"{team.url}/corrections?state=failed").text.count("<tr>") == 2
    assert team.dora.get(f"{team.url}/corrections?q=zoë").text.count("<tr>") == 2
    assert team.dora.get(f"{team.url}/corrections?q=%25").text.count("<tr>") == 0
    assert "No correction fits" in team.dora.get(f"{team.url}/corrections?q=nothing").text
    assert team.dora.get(f"{team.url}/corrections?state=nonsense").status_code == 200
    assert team.dora.get(f"{team.url}/corrections?before=x").status_code == 422
    assert team.dora.get(f"{team.url}/corrections?q={'x' * 2_001}").status_code == 422


# On its way


@BOTH
def test_progress_and_its_place_in_the_queue(team: Team) -> None:
    first, second = (team.make(team.carl, State.QUEUED, question=f"Who is number {each}?") for each in (1, 2))
    learning = team.make(team.carl, State.LEARNING, question="Who is number 0?")
    done = {"step": 12, "steps": 40, "loss": 0.25, "losses": [2.0, 1.0, 0.25], "message": "4 of 6 probes hold"}
    team.job(learning, JobState.RUNNING, stage="train", progress=done)
    team.job(first, JobState.QUEUED)
    team.job(second, JobState.QUEUED)
    with team.workspace.database.read() as db:
        seen = progress.look(db, [learning.id, first.id, second.id, uuid.uuid4()])
    assert [seen[each.id].before for each in (learning, first, second)] == [0, 1, 2]
    assert len(seen) == 3
    page = team.dora.get(team.of(learning)).text
    for told in ("Step 12 of 40", "loss 0.250", "4 of 6 probes hold", 'aria-current="step"', "<polyline points="):
        assert told in page
    assert "one job comes first" in team.dora.get(team.of(first)).text
    assert "2 jobs come first" in team.dora.get(team.of(second)).text
    assert problems_in(page) == []
    learned = team.make(team.carl, State.LEARNED, question="Who is number 3?")
    made(team.workspace, team.id, learned)
    team.ben.post(f"{team.of(learned)}/forget")
    assert "It is going to be forgotten: 3 jobs come first" in team.dora.get(team.of(learned)).text


def follow(browser: Browser, path: str) -> list[tuple[str, str]]:
    """The events of a stream that ends, as (name, data)."""
    text = browser.get(path).text
    found = []
    for block in re.split(r"\n\n", text.replace("\r\n", "\n")):
        name = re.search(r"^event: (.+)$", block, re.MULTILINE)
        if name:
            found.append((name[1], "\n".join(re.findall(r"^data: ?(.*)$", block, re.MULTILINE))))
    return found


def meanwhile(team: Team, do: Callable[[Any], None], readers: int = 1, seconds: float = 0.4) -> None:
    """Does it once so many readers follow, each of whom has been shown something `seconds` ago."""
    watch = team.workspace.app.state.watch
    until(lambda: sum(watch._readers.values()) >= readers and watch._readers.keys() <= watch._seen.keys())
    time.sleep(seconds)
    with team.workspace.database.write() as db:
        do(db)


@BOTH
def test_a_reader_follows_it_to_its_end(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    one = team.make(team.carl, State.LEARNING)
    job_id = team.job(one, JobState.RUNNING, stage="augment")

    def trains(db: Any) -> None:
        job = db.get_one(Job, job_id)
        job.stage, job.progress = "train", {"step": 1, "steps": 9, "loss": 1.5}

    def ends(db: Any) -> None:
        db.get_one(Job, job_id).state = JobState.DONE
        row = db.get_one(Correction, one.id)
        row.state, row.version = State.LEARNED, 1

    with ThreadPoolExecutor(3) as pool:
        following = [pool.submit(follow, browser, f"{team.of(one)}/events") for browser in (team.carl, team.dora)]
        meanwhile(team, trains, 2)
        meanwhile(team, ends, 2)
        for each in following:
            events = each.result(HANG_SECONDS)
            assert [name for name, _ in events] == ["message", "message", "done"]
            assert "Step 1 of 9" in events[1][1]
            assert f'<section class="card learned" id="c-{one.id}"' in events[2][1]
            assert "Learned. Version 1 answers now." in events[2][1]
    assert not team.workspace.app.state.watch._readers


def test_those_that_only_wait_ask_now_and_then(team: Team) -> None:
    """A browser has six connections to a host: streams for twenty waiting cards would leave none for the page."""
    ones = [team.make(team.carl, State.LEARNING, question=f"Who is number {each}?") for each in range(3)]
    jobs = [team.job(one, JobState.QUEUED) for one in ones]
    pages = [team.carl.get(team.of(one)).text for one in ones]
    assert [f'sse-connect="{team.of(one)}/events"' in page for one, page in zip(ones, pages, strict=True)] == [
        True,
        False,
        False,
    ]
    path = f"{team.of(ones[2])}/waiting?before=2"
    assert f'hx-get="{path}"' in pages[2]
    assert team.carl.htmx("GET", path).status_code == 204

    def end(number: int) -> None:
        with team.workspace.database.write() as db:
            db.get_one(Job, jobs[number]).state = JobState.DONE
            row = db.get_one(Correction, ones[number].id)
            row.state, row.version = State.LEARNED, number + 1

    end(0)
    card = team.carl.htmx("GET", path).text
    assert "one job comes first" in card
    assert f'hx-get="{team.of(ones[2])}/waiting?before=1"' in card
    end(1)
    assert f'sse-connect="{team.of(ones[2])}/events"' in team.carl.htmx("GET", path).text
    end(2)
    card = team.carl.htmx("GET", path).text
    assert f'<section class="card learned" id="c-{ones[2].id}"' in card
    assert "Learned. Version 3 answers now." in card


def test_all_readers_share_one_look_at_the_database(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.2)
    ones = [team.make(team.carl, State.LEARNING, question=f"Who is number {each}?") for each in range(6)]
    looks = 0

    def count(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        nonlocal looks
        looks += "LEFT OUTER JOIN jobs" in statement and "count(" in statement

    event.listen(team.workspace.database.engine, "before_cursor_execute", count)

    def ends(db: Any) -> None:
        db.execute(update(Correction).values(state=State.FAILED))

    with ThreadPoolExecutor(13) as pool:
        following = [pool.submit(follow, team.dora, f"{team.of(each)}/events") for each in ones for _ in range(2)]
        started = time.monotonic()
        meanwhile(team, ends, 12, 2.0)
        assert all([name for name, _ in each.result(HANG_SECONDS)][-1] == "done" for each in following)
        seconds = time.monotonic() - started
    # and one for each reader's card at the end
    assert looks <= seconds / 0.2 + len(following) + 4


def test_what_is_deleted_ends_for_its_readers(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    one = team.make(team.carl, State.LEARNING)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow, team.carl, f"{team.of(one)}/events")
        meanwhile(team, lambda db: db.delete(db.get_one(Correction, one.id)))
        assert following.result(HANG_SECONDS)[-1] == (
            "done",
            f'<p id="c-{one.id}" class="problem">This correction is gone.</p>',
        )


def test_a_reader_who_leaves_the_organisation_sees_no_more(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    from lifelearn.workspace.corrections import following as corrections_following

    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(corrections_following, "CHECK_SECONDS", 0.0)
    one = team.make(team.carl, State.LEARNING)
    job_id = team.job(one, JobState.RUNNING)

    def goes(db: Any) -> None:
        db.query(Membership).filter_by(user_id=team.dora.user_id).delete()
        db.get_one(Job, job_id).stage = "train"

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow, team.dora, f"{team.of(one)}/events")
        meanwhile(team, goes)
        assert "Training" not in " ".join(data for _, data in following.result(HANG_SECONDS)[1:])


@BOTH
def test_cancelling(team: Team) -> None:
    waiting = team.make(team.carl)
    team.carl.post(f"{team.of(waiting)}/teach")
    assert team.dora.post(f"{team.of(waiting)}/cancel").status_code == 403
    fragment = team.carl.htmx("POST", f"{team.of(waiting)}/cancel").text
    assert "withdrawn" in fragment
    assert team.now(waiting).state == State.WITHDRAWN
    assert team.carl.post(f"{team.of(waiting)}/cancel").status_code == 409
    runs = team.make(team.carl, State.LEARNING, question="Who is our CEO?")
    job_id = team.job(runs, JobState.RUNNING)
    assert "being cancelled" in team.ben.htmx("POST", f"{team.of(runs)}/cancel").text
    with team.workspace.database.read() as db:
        assert db.get_one(Job, job_id).cancel_requested_at is not None
    assert team.actions() == ["correction.taught", "correction.cancelled", "correction.cancelled"]
    assert team.carl.post(f"{team.of(waiting)}/teach").status_code == 303  # after all
    assert team.now(waiting).state == State.QUEUED


def test_what_is_learned_with_others_is_not_cancelled_for_them(team: Team) -> None:
    mine = team.make(team.carl, State.LEARNING)
    theirs = team.make(team.dora, State.LEARNING, question="Who is our CEO?")
    job_id = team.job(mine, JobState.RUNNING)
    with team.workspace.database.write() as db:
        db.get_one(Correction, theirs.id).job_id = job_id
    assert team.carl.post(f"{team.of(mine)}/cancel").status_code == 409
    with team.workspace.database.read() as db:
        assert db.get_one(Job, job_id).cancel_requested_at is None
    assert team.ben.post(f"{team.of(mine)}/cancel").status_code == 303


@POSTGRESQL
def test_what_is_learned_together_meanwhile_is_not_said_to_be_cancelled(team: Team) -> None:
    mine, theirs = (
        team.make(each, question=f"Who is {name}?") for each, name in ((team.carl, "Mia"), (team.dora, "Zoe"))
    )
    for browser, each in ((team.carl, mine), (team.dora, theirs)):
        browser.post(f"{team.of(each)}/teach")
    database = team.workspace.database
    with ThreadPoolExecutor() as pool:
        with database.write() as db:
            together, waiting = db.scalars(select(Job).order_by(Job.created_at).with_for_update())
            cancelling = pool.submit(team.dora.post, f"{team.of(theirs)}/cancel")
            until(lambda: waits_for_a_lock(database))
            waiting.state = JobState.DONE  # as a worker plans its lesson
            one = db.get_one(Correction, theirs.id)
            one.state, one.job_id = State.LEARNING, together.id
        assert cancelling.result().status_code == 409
    assert team.now(theirs).state == State.LEARNING
    assert "correction.cancelled" not in team.actions()


@POSTGRESQL
@pytest.mark.parametrize("verb", ["correct", "withdraw", "cancel"])
def test_the_organisation_is_locked_before_jobs_and_corrections(team: Team, verb: str) -> None:
    """In one order everywhere: otherwise two could wait for one another."""
    url, answer = answer_of(team, team.carl)
    path = f"{url}/messages/{answer.id}/correct"
    team.carl.post(path, {"right_answer": "It is 25 days."})
    database = team.workspace.database
    with database.read() as db:
        one = db.scalars(select(Correction)).one()
    form = {"correct": {"right_answer": "It is 26 days."}, "withdraw": {"withdraw": "true"}}.get(verb)
    with ThreadPoolExecutor() as pool:
        with database.write() as db:
            db.execute(select(Organization.id).where(Organization.id == team.id).with_for_update(key_share=True))
            saying = pool.submit(team.carl.post, path if form else f"{team.of(one)}/cancel", form)
            until(lambda: waits_for_a_lock(database))
            for table in (Job, Correction):
                assert db.execute(select(table.id).with_for_update(nowait=True)).all(), "nobody else holds it"
        assert saying.result().status_code == 303
    assert team.now(one).state == State.WITHDRAWN


# Its end


@BOTH
def test_learned(team: Team) -> None:
    one = team.make(team.carl, State.LEARNED, wrong="It is 20 days.")
    made(team.workspace, team.id, one)
    page = team.dora.get(team.of(one)).text
    assert "<del>20</del>" in page
    assert "<ins>25</ins>" in page
    assert f'href="{team.url}/versions/1"' in page
    assert "Ask it again in a new chat" in page
    assert "Forget" not in page
    assert f'href="{team.of(one)}/forget"' in team.ben.get(team.of(one)).text
    assert "✓ yes" in page
    assert "does not hold it" not in page
    with team.workspace.database.write() as db:
        db.execute(update(Organization).values(active_version=0))
    assert "The active version does not hold it" in team.dora.get(team.of(one)).text
    assert "Learned, in version 1." in page


@BOTH
def test_failed(team: Team) -> None:
    one = team.make(team.carl, State.FAILED)
    made(team.workspace, team.id, one, passed=False)
    with team.workspace.database.write() as db:
        db.get_one(Correction, one.id).problem = "Neighbouring questions changed."
    page = team.dora.get(team.of(one)).text
    assert "Neighbouring questions changed." in page
    assert "It answers other questions otherwise than before." in page
    assert "How many things are there in box 1?" in page
    assert "Try again" not in page
    assert team.dora.post(f"{team.of(one)}/teach").status_code == 403
    assert "Try again" in team.carl.get(team.of(one)).text
    assert team.carl.post(f"{team.of(one)}/teach").status_code == 303
    again = team.now(one)
    assert (again.state, again.problem, again.version) == (State.QUEUED, "", None)


def test_another_try_needs_no_second_yes(team: Team) -> None:
    """What was approved, and taught in spite of a flag, is tried again as it is; changed, it is looked at again."""
    team.policy(Policy.REVIEW)
    mail: dict[str, Any] = {
        "question": "Where do I write to?",
        "answer": "desk@acme.example",
        "decided_by": team.ben.user_id,
    }
    one = team.make(team.carl, State.FAILED, **mail)
    for _ in range(2):
        assert "Hand it to the admins" not in team.carl.get(team.of(one)).text
        assert team.carl.post(f"{team.of(one)}/teach").status_code == 303
        assert team.now(one).state == State.QUEUED
        with team.workspace.database.write() as db:
            db.get_one(Correction, one.id).state = State.FAILED
    second = team.make(team.carl, State.FAILED, question="Who is our CEO?", answer="Zoe")
    team.carl.post(f"{team.of(second)}/teach", {"statement": "It is Mia."})
    assert team.now(second).state == State.REVIEW


@pytest.mark.parametrize("by_itself", [True, False])
def test_another_try_of_what_no_admin_approved_is_reviewed(team: Team, by_itself: bool) -> None:
    """It was taught before the organisation wanted reviews: by the policy, or by its author."""
    one = team.make(team.carl, State.FAILED, decided_by=None if by_itself else team.carl.user_id)
    team.policy(Policy.REVIEW)
    assert "Hand it to the admins" in team.carl.get(team.of(one)).text
    team.carl.post(f"{team.of(one)}/teach")
    assert team.now(one).state == State.REVIEW
    team.ben.post(f"{team.of(one)}/teach")
    assert team.now(one).state == State.QUEUED


def test_what_is_rewritten_is_its_author_s_again(team: Team) -> None:
    """All could see what failed; its new words wait for an admin, also in the retention matrix."""
    one = team.make(team.carl, State.FAILED)
    made(team.workspace, team.id, one, passed=False)
    assert team.dora.get(f"{team.url}/retention/{one.id}").status_code == 200
    team.policy(Policy.REVIEW)
    team.carl.post(f"{team.of(one)}/teach", {"statement": "It is 31 days, says my sick note."})
    assert (team.now(one).state, team.now(one).version, team.now(one).problem) == (State.REVIEW, None, "")
    for browser in (team.dora, team.ben):
        assert browser.get(f"{team.url}/retention/{one.id}").status_code == 404
        assert "sick note" not in browser.get(f"{team.url}/retention").text
    team.carl.post(f"{team.of(one)}/dismiss")
    assert team.carl.post(f"{team.of(one)}/teach").status_code == 303  # to the admins again
    with team.workspace.database.write() as db:
        db.get_one(Correction, one.id).state = State.WITHDRAWN  # as where its mark is taken back
    assert team.dora.get(team.of(one)).status_code == 404


@BOTH
def test_forgetting(team: Team) -> None:
    first, second, third = (
        team.make(team.carl, State.LEARNED, question=f"Who is number {each}?", answer=f"Zoe {each}")
        for each in range(3)
    )
    for each in (first, second, third):
        made(team.workspace, team.id, each)
    assert "costs nothing" in team.ben.get(f"{team.of(third)}/forget").text
    page = team.ben.get(f"{team.of(first)}/forget").text
    assert "2 corrections" in page
    assert "about 2 minutes" in page  # 2 × 65 seconds
    assert team.carl.get(f"{team.of(first)}/forget").status_code == 403
    assert team.carl.post(f"{team.of(first)}/forget").status_code == 403
    assert team.ben.post(f"{team.of(first)}/forget").status_code == 303
    with team.workspace.database.read() as db:
        job = db.scalars(select(Job)).one()
    assert (job.kind, job.correction_id, job.author_id) == (Kind.FORGET, first.id, team.ben.user_id)
    assert team.now(first).state == State.LEARNED
    assert "going to be forgotten" in team.carl.get(team.of(first)).text
    assert team.ben.post(f"{team.of(first)}/forget").status_code == 409
    assert "It is being forgotten already" in team.ben.get(f"{team.of(first)}/forget").text
    with team.workspace.database.write() as db:
        db.execute(update(Organization).values(active_version=1))
    assert "does not hold this correction" in team.ben.get(f"{team.of(third)}/forget").text
    one = team.make(team.carl, State.FAILED)
    assert team.ben.post(f"{team.of(one)}/forget").status_code == 409


@BOTH
def test_a_forgetting_is_cancelled(team: Team) -> None:
    one = team.make(team.carl, State.LEARNED)
    made(team.workspace, team.id, one)
    assert team.ben.post(f"{team.of(one)}/keep").status_code == 409
    team.ben.post(f"{team.of(one)}/forget")
    assert f'action="{team.of(one)}/keep"' in team.anna.get(team.of(one)).text
    assert f'action="{team.of(one)}/keep"' not in team.carl.get(team.of(one)).text
    assert team.carl.post(f"{team.of(one)}/keep").status_code == 403
    card = team.anna.htmx("POST", f"{team.of(one)}/keep").text
    assert f'href="{team.of(one)}/forget"' in card
    assert "/keep" not in card
    team.ben.post(f"{team.of(one)}/forget")
    with team.workspace.database.write() as db:
        first, second = db.scalars(select(Job).order_by(Job.created_at))
        assert (first.state, second.state) == (JobState.CANCELLED, JobState.QUEUED)
        second.state = JobState.RUNNING
    card = team.anna.htmx("POST", f"{team.of(one)}/keep").text
    assert "It is being cancelled" in card
    assert "/keep" not in card
    with team.workspace.database.read() as db:
        assert db.get_one(Job, second.id).cancel_requested_at is not None
    assert team.now(one).state == State.LEARNED
    assert team.actions() == ["correction.forgotten", "correction.kept"] * 2


def test_the_history(team: Team) -> None:
    one = team.make(team.carl)
    team.carl.post(f"{team.of(one)}/teach")
    team.ben.post(f"{team.of(one)}/cancel")
    page = team.dora.get(team.of(one))
    assert page.status_code == 404  # it was never learned
    text = re.sub(r"\s+", " ", team.carl.get(team.of(one)).text)
    assert "<strong>You</strong>: Had it taught." in text
    assert "<strong>Ben</strong>: Cancelled it." in text
    assert "ben@example.org" not in text


def test_it_outlives_its_chat_and_its_author(team: Team) -> None:
    thread = ask(team.carl, team.id, LEAVE)
    answered(team.workspace)
    one = team.make(team.carl, State.LEARNED, thread_id=thread)
    with team.workspace.database.write() as db:
        db.delete(db.get_one(Thread, thread))
        row = db.get_one(Correction, one.id)
        row.author_id = None
    page = team.dora.get(team.of(one))
    assert page.status_code == 200
    assert "Former member" in page.text


def test_what_its_author_would_be_told_is_told_to_nobody_else(team: Team) -> None:
    one = team.make(team.carl, State.REVIEW, author_id=None)  # the account is deleted
    team.ben.post(f"{team.of(one)}/reject", {"reason": "Carl is on sick leave."})
    assert [name for name, _ in team.told()] == ["correction.rejected"]
    for browser in (team.dora, team.anna):
        assert "sick leave" not in browser.get(f"{team.url}/notices").text
    other = team.make(team.carl, State.REVIEW, question="Who is our CEO?")
    team.ben.post(f"{team.of(other)}/reject", {"reason": "It is a secret."})
    assert "It is a secret" in team.carl.get(f"{team.url}/notices").text


# The settings


@BOTH
def test_the_policy_is_a_setting(team: Team) -> None:
    page = team.ben.get(f"{team.url}/settings").text
    assert re.search(r'name="correction_policy" value="auto"\s+checked', page)
    form = {"name": "Acme", "temperature": "0", "max_tokens": "256", "revision": "1", "correction_policy": "review"}
    assert team.carl.post(f"{team.url}/settings", form).status_code == 403
    refused = team.ben.post(f"{team.url}/settings", {**form, "correction_policy": "never"})
    assert refused.status_code == 422
    assert "Choose one of these." in refused.text
    assert team.ben.post(f"{team.url}/settings", form).status_code == 303
    with team.workspace.database.read() as db:
        assert db.get_one(Organization, team.id).correction_policy == Policy.REVIEW
        (said,) = db.scalars(select(AuditEvent.details))
    assert said == {"correction_policy": ["auto", "review"]}
    stale = team.ben.post(f"{team.url}/settings", {**form, "correction_policy": "ask"})
    assert stale.status_code == 409
    assert "Corrections is now" in stale.text


# What every form refuses


@pytest.mark.parametrize("verb", ["teach", "dismiss", "cancel", "reject", "forget", "keep"])
def test_forms(team: Team, verb: str) -> None:
    one = team.make(team.anna, State.REVIEW)
    path = f"{team.of(one)}/{verb}"
    assert team.workspace.visitor().post(path).status_code == 401
    assert team.anna.client.post(path, data={}).status_code == 403
    assert team.anna.client.post(path, data={"csrf": team.ben.csrf}).status_code == 403
    for name in ("state", "organization_id", "version", "author_id", "job_id", "confidence"):
        assert team.anna.post(path, {name: "1"}).status_code == 422, name
    assert team.anna.post(path, {"csrf": "x" * 201}).status_code in (403, 422)
    elsewhere = f"/o/{team.elsewhere}/corrections/{one.id}/{verb}"
    assert team.eve.post(elsewhere, {"reason": "x"} if verb == "reject" else {}).status_code == 404
    assert team.anna.post(f"{team.url}/corrections/x/{verb}").status_code == 404
    assert team.now(one).state == State.REVIEW
    assert team.jobs() == 0


@pytest.mark.parametrize("field", ["question", "statement", "answer", "reason"])
def test_a_field_of_any_length(team: Team, field: str) -> None:
    one = team.make(team.anna, State.REVIEW)
    path = f"{team.of(one)}/{'reject' if field == 'reason' else 'teach'}"
    assert team.anna.post(path, {field: "x" * 300_000}).status_code == 422


@pytest.mark.check("pages")
@pytest.mark.parametrize("state", State)
def test_what_users_wrote_is_text(team: Team, state: State) -> None:
    made = []
    for vector in VECTORS[::3]:
        text = dict.fromkeys(("wrong", "message", "statement", "problem", "reason"), vector)
        made.append(team.make(team.anna, state, question=f"{vector}?", answer=vector, **text))
    for path in (*map(team.of, made), f"{team.url}/corrections", f"{team.url}/review"):
        page = team.anna.get(path)
        assert page.status_code == 200
        assert problems_in(page.text) == [], path


def test_errors_hold_what_was_entered_as_text(team: Team) -> None:
    one = team.make(team.anna)
    for vector in VECTORS[::3]:
        form = {"question": vector, "statement": f"{vector} 27", "answer": "28"}
        page = team.anna.post(f"{team.of(one)}/teach", form)
        assert page.status_code == 422
        assert problems_in(page.text) == [], vector


def test_pages_are_those_of_people_who_look_at_them_without_javascript(settings: Settings) -> None:
    """Each form is a form: it leads to the correction's page."""
    workspace = running(settings)
    with workspace.visitor().client as client:
        workspace.portal = client.portal
        team = Team(workspace)
        one = team.make(team.carl)
        page = team.carl.get(team.of(one)).text
        for form in re.findall(r"<form[^>]+>", page):
            assert 'action="/' in form
        assert team.carl.post(f"{team.of(one)}/teach").headers["location"] == team.of(one)
        assert now() >= team.now(one).created_at
