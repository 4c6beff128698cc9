"""Corrections in a chat: said under an answer, and the card on which their author decides."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from lifelearn.workspace.tables.chats import Message
from lifelearn.workspace.tables.corrections import Correction, Policy, Source, State
from lifelearn.workspace.tables.jobs import Job
from waiting import until
from workspace.chatting import answered, ask
from workspace.fakes import BOTH
from workspace.team import LEAVE, WRONG, Team, answer_of
from workspace.versioned import made
from workspace.xss import VECTORS, problems_in

# Stated under an answer


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


# Its text, and its forms without JavaScript


def test_errors_hold_what_was_entered_as_text(team: Team) -> None:
    one = team.make(team.anna)
    for vector in VECTORS[::3]:
        form = {"question": vector, "statement": f"{vector} 27", "answer": "28"}
        page = team.anna.post(f"{team.of(one)}/teach", form)
        assert page.status_code == 422
        assert problems_in(page.text) == [], vector


def test_pages_are_those_of_people_who_look_at_them_without_javascript(team: Team) -> None:
    """Each form is a form: it leads to the correction's page."""
    one = team.make(team.carl)
    page = team.carl.get(team.of(one)).text
    for form in re.findall(r"<form[^>]+>", page):
        assert 'action="/' in form
    assert team.carl.post(f"{team.of(one)}/teach").headers["location"] == team.of(one)
