"""Review: who approves and rejects what others would have taught, and that an organisation wants it."""

from __future__ import annotations

import re

from sqlalchemy import select

from lifelearn.workspace.tables.corrections import Policy, State
from lifelearn.workspace.tables.organizations import AuditEvent, Membership, Organization
from workspace.fakes import BOTH
from workspace.team import Team

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
