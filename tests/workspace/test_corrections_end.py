"""What became of a correction: learned, failed and tried again, forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from lifelearn.workspace.tables.corrections import Correction, Policy, State
from lifelearn.workspace.tables.jobs import Job, Kind
from lifelearn.workspace.tables.jobs import State as JobState
from lifelearn.workspace.tables.organizations import Organization
from workspace.fakes import BOTH
from workspace.team import Team
from workspace.versioned import made


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
