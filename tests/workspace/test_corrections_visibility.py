"""Who sees which correction, and what of it."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import update

from lifelearn.workspace.tables.chats import Thread
from lifelearn.workspace.tables.corrections import TAUGHT, Correction, State
from workspace.chatting import answered, ask
from workspace.fakes import BOTH
from workspace.team import LEAVE, Team

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
