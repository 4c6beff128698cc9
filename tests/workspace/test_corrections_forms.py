"""What the forms of corrections refuse, and that what was entered is text."""

from __future__ import annotations

import pytest

from lifelearn.workspace.tables.corrections import State
from workspace.team import Team
from workspace.xss import VECTORS, problems_in


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
