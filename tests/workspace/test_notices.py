"""Notices: who sees which, what is new, and that none leads out of the organisation."""

from __future__ import annotations

import html
import re
import uuid
from typing import Any

import pytest
from sqlalchemy import event, select

from lifelearn.workspace.database import ago
from lifelearn.workspace.tables.organizations import Membership
from lifelearn.workspace.tables.webhooks import Delivery, Happening, Seen, Webhook
from lifelearn.workspace.webhooks import notices
from lifelearn.workspace.webhooks.administration import PAGE
from lifelearn.workspace.webhooks.service import tell
from workspace.fakes import BOTH, Browser, Workspace
from workspace.programs import bearer, key_of
from workspace.xss import VECTORS, problems_in


class Team:
    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.anna, self.bert = workspace.person(), workspace.person("bert@example.org")
        self.id = workspace.organization(self.anna, member=[self.bert])

    def tell(self, title: str, path: str = "", to: Browser | None = None, **details: Any) -> None:
        with self.workspace.database.write() as db:
            tell(db, self.id, "version.activated", title, path, to.user_id if to else None, **details)

    def new(self, browser: Browser) -> int:
        page = browser.get(f"/o/{self.id}/notices/unseen")
        assert page.status_code == 200
        found = re.search(r'class="count"[^>]*>(\d+)', page.text)
        return int(found[1]) if found else 0

    def titles(self, browser: Browser, path: str = "") -> list[str]:
        page = browser.get(path or f"/o/{self.id}/notices").text
        found = re.findall(r"<li[^>]*>\s*(?:<span class=\"badge good\">new</span>)?\s*<(?:a|span)[^>]*>(.*?)</", page)
        return [html.unescape(each) for each in found if each.startswith("T")]


@pytest.fixture
def team(workspace: Workspace) -> Team:
    return Team(workspace)


@BOTH
def test_for_everybody_and_for_one(workspace: Workspace, team: Team) -> None:
    assert "Nothing happened yet." in team.anna.get(f"/o/{team.id}/notices").text
    team.tell("T1 for all")
    team.tell("T2 for Anna", to=team.anna)
    team.tell("T3 for Bert", to=team.bert)
    assert (team.new(team.anna), team.new(team.bert)) == (2, 2)
    assert team.titles(team.anna) == ["T2 for Anna", "T1 for all"]
    assert (team.new(team.anna), team.new(team.bert)) == (0, 2), "who looks has seen them, and nobody else"
    assert team.titles(team.bert) == ["T3 for Bert", "T1 for all"]
    team.tell("T4 for all")
    assert team.new(team.anna) == 1
    page = team.anna.get(f"/o/{team.id}/notices").text
    assert page.count('class="badge good">new') == 1
    assert team.anna.get(f"/o/{team.id}/notices").text.count('class="badge good">new') == 0


@BOTH
def test_one_for_an_account_that_is_deleted_is_for_nobody(workspace: Workspace, team: Team) -> None:
    with workspace.database.write() as db:
        db.add(Webhook(organization_id=team.id, url="https://1.1.1.1/", secret="", events=["correction.rejected"]))
        db.flush()
        personal = tell(db, team.id, "correction.rejected", "T1 is private", "/corrections/1", None, personal=True)
        assert db.scalars(select(Delivery.happening_id)).all() == [personal.id], "webhooks get all of them"
    team.tell("T2 for all")
    assert team.new(team.anna) == 1
    assert team.titles(team.anna) == ["T2 for all"]
    _, token = key_of(workspace, team.anna, team.id)
    told = workspace.visitor().client.get("/api/v1/notices", headers=bearer(token)).json()
    assert [each["title"] for each in told["items"]] == ["T2 for all"]


@BOTH
def test_of_another_organisation_nothing(workspace: Workspace, team: Team) -> None:
    eve = workspace.person("eve@example.org")
    elsewhere = workspace.organization(eve, "Other", member=[team.bert])
    team.tell("T1 ours")
    with workspace.database.write() as db:
        tell(db, elsewhere, "job.failed", "T2 theirs")
        tell(db, elsewhere, "job.failed", "T3 theirs, for Bert", user_id=team.bert.user_id)
    for path in ("/notices", "/notices/unseen"):
        assert eve.get(f"/o/{team.id}{path}").status_code == 404
        assert team.anna.get(f"/o/{elsewhere}{path}").status_code == 404
    assert team.titles(team.bert) == ["T1 ours"]
    assert team.titles(team.bert, f"/o/{elsewhere}/notices") == ["T3 theirs, for Bert", "T2 theirs"]
    theirs = bearer(key_of(workspace, eve, elsewhere)[1])
    found = eve.client.get("/api/v1/notices", headers=theirs).json()["items"]
    assert [each["title"] for each in found] == ["T2 theirs"]


def test_what_happened_before_somebody_came_is_not_new(workspace: Workspace, team: Team) -> None:
    team.tell("T1 before")
    carl = workspace.person("carl@example.org")
    with workspace.database.write() as db:
        db.add(Membership(organization_id=team.id, user_id=carl.user_id, role="member"))
    assert team.new(carl) == 0
    assert team.titles(carl) == ["T1 before"]
    team.tell("T2 after")
    assert team.new(carl) == 1


@BOTH
def test_seen_is_never_taken_back(workspace: Workspace, team: Team) -> None:
    for days in (1, 3, 2):
        notices.mark_seen(workspace.database, team.id, team.anna.user_id, ago(days=days))
    with workspace.database.read() as db:
        (seen,) = db.scalars(select(Seen)).all()
    assert ago(days=1, minutes=1) < seen.until < ago(hours=23)


@BOTH
def test_many_in_pages(workspace: Workspace, team: Team) -> None:
    with workspace.database.write() as db:
        for index in range(PAGE + 55):
            tell(db, team.id, "job.failed", f"T{index}")
    page = team.bert.get(f"/o/{team.id}/notices/unseen").text
    assert "99+" in page
    assert "more than 99 new" in page
    found: list[str] = []
    path = f"/o/{team.id}/notices"
    while path:
        found += team.titles(team.bert, path)
        older = re.findall(r'href="([^"]+)" rel="next"', team.bert.get(path).text)
        path = html.unescape(older[0]) if older else ""
    assert found == [f"T{index}" for index in range(PAGE + 54, -1, -1)]
    for cursor in ("x", "2026-01-01_x", "x" * 201):
        assert team.bert.get(f"/o/{team.id}/notices", params={"before": cursor}).status_code == 422


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/versions/3", "/versions/3"),
        ("/corrections/0e8b?x=1&y=2#card", "/corrections/0e8b?x=1&y=2#card"),
        ("//evil.example/", ""),
        ("https://evil.example/", ""),
        ("javascript:alert(1)", ""),
        ("/../../account", ""),
        ("/%2e%2e/x", ""),
        ("/\\evil.example", ""),
        ("@evil.example", ""),
        ("/x\n", ""),
        ('/x" onclick="alert(1)', ""),
        ("", ""),
    ],
)
def test_no_notice_leads_elsewhere(workspace: Workspace, team: Team, path: str, kept: str) -> None:
    team.tell("T1", path)
    page = team.anna.get(f"/o/{team.id}/notices").text
    links = {html.unescape(each) for each in re.findall(r'<a href="([^"]*)">T1', page)}
    assert links == ({f"/o/{team.id}{kept}"} if path else set())
    token = key_of(workspace, team.anna, team.id)[1]
    (told,) = team.anna.client.get("/api/v1/notices", headers=bearer(token)).json()["items"]
    assert told["url"] == f"http://testserver/o/{team.id}{kept}"


@pytest.mark.check("pages")
def test_titles_are_texts(team: Team) -> None:
    for vector in VECTORS:
        team.tell(vector, vector)
        page = team.anna.get(f"/o/{team.id}/notices")
        assert page.status_code == 200
        assert problems_in(page.text) == [], vector


def test_every_page_has_the_bell(team: Team) -> None:
    page = team.bert.get(f"/o/{team.id}/members").text
    assert f'href="/o/{team.id}/notices"' in page
    assert f'hx-get="/o/{team.id}/notices/unseen"' in page


def test_the_bell_asks_one_question(workspace: Workspace, team: Team) -> None:
    """Beside who asks; and an index answers it."""
    team.tell("T1")
    said: list[tuple[str, Any]] = []
    event.listen(workspace.database.engine, "before_cursor_execute", lambda *given: said.append(given[2:4]))
    assert team.new(team.anna) == 1
    ((question, values),) = [each for each in said if "happenings" in each[0]]
    asked = [each for each, _ in said if each.startswith("SELECT")]
    assert len(asked) <= 5, asked
    with workspace.database.read() as db:
        plan = str(db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {question}", values).all())
    assert "SEARCH happenings USING" in plan
    assert "SCAN happenings" not in plan


def test_notices_for_programs(workspace: Workspace, team: Team) -> None:
    team.tell("T1 for all", "/versions/3", number=3)
    team.tell("T2 for Anna", to=team.anna)
    team.tell("T3 for Bert", to=team.bert)
    token = key_of(workspace, team.anna, team.id, "read")[1]

    def ask(**query: Any) -> Any:
        return team.anna.client.get("/api/v1/notices", headers=bearer(token), params=query)

    first = ask(limit=1).json()
    (told,) = first["items"]
    assert (told["title"], told["personal"], told["event"]) == ("T2 for Anna", True, "version.activated")
    second = ask(limit=1, before=first["next"]).json()
    assert (second["items"][0]["title"], second["items"][0]["data"], second["next"]) == (
        "T1 for all",
        {"number": 3},
        None,
    )
    assert team.new(team.anna) == 2, "a program has seen nothing for its user"
    assert ask(before="x").status_code == 422


def test_they_go_with_the_organisation(workspace: Workspace, team: Team) -> None:
    team.tell("T1")
    team.anna.get(f"/o/{team.id}/notices")
    assert team.anna.post(f"/o/{team.id}/delete", {"name": "Acme"}).status_code == 303
    with workspace.database.read() as db:
        assert db.scalars(select(Happening)).all() == []
        assert db.scalars(select(Seen)).all() == []


def test_ids_that_are_none(team: Team) -> None:
    assert team.anna.get(f"/o/{uuid.uuid4()}/notices").status_code == 404
    assert team.anna.get("/o/x/notices/unseen").status_code == 404
