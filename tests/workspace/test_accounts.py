"""The start page and making an account: the first one, later ones, and by an invite."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select

from lifelearn.workspace.accounts import service
from lifelearn.workspace.crypto import new_token, password_is
from lifelearn.workspace.database import now
from lifelearn.workspace.names import clean_name
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import AuditEvent, Invite, Membership, Organization, Role
from lifelearn.workspace.throttle import Limit
from workspace.accounts import FIRST, NEW, invite, sign_in, users, who
from workspace.fakes import BOTH, PASSWORD, Workspace

# The start page


def test_the_start_page_leads_on(workspace: Workspace) -> None:
    assert workspace.visitor().get("/").headers["location"] == "/register"
    anna = workspace.person()
    assert workspace.visitor().get("/").headers["location"] == "/sign-in"
    assert anna.get("/").headers["location"] == "/organizations/new"
    zebra, acme = workspace.organization(anna, "Zebra"), workspace.organization(anna, "Acme")
    assert anna.get("/").headers["location"] == f"/o/{acme}"
    anna.client.cookies.set(workspace.pages.place_cookie, str(zebra))
    assert anna.get("/").headers["location"] == f"/o/{zebra}"
    others = workspace.organization(workspace.person("ben@example.org"), "Ben's")
    anna.client.cookies.set(workspace.pages.place_cookie, str(others))
    assert anna.get("/").headers["location"] == f"/o/{acme}"


# The first account


@BOTH
def test_the_first_account_owns_an_organisation(workspace: Workspace) -> None:
    browser = workspace.visitor()
    page = browser.get("/register")
    assert "first account will own the workspace" in page.text
    answer = browser.post("/register", FIRST)
    with workspace.database.read() as db:
        user, membership = db.scalars(select(User)).one(), db.scalars(select(Membership)).one()
        event = db.scalars(select(AuditEvent)).one()
        assert (user.email, user.name) == ("anna@example.org", "Anna")
        assert password_is(PASSWORD, user.password_hash)
        assert (membership.user_id, membership.role, membership.organization.name) == (user.id, Role.OWNER, "Acme")
        assert (event.action, event.actor, event.organization_id) == (
            "organization.created",
            user.email,
            membership.organization_id,
        )
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/o/{membership.organization_id}"
    assert who(browser) == "anna@example.org"


def test_the_first_account_needs_an_organisation(workspace: Workspace) -> None:
    answer = workspace.visitor().post("/register", {**FIRST, "organization": " "})
    assert answer.status_code == 422
    assert "Enter the name of your team" in answer.text
    assert 'value="Anna@Example.org"' in answer.text
    assert PASSWORD not in answer.text
    assert users(workspace) == []


@BOTH
def test_of_two_first_accounts_at_once_one_is_the_first(workspace: Workspace) -> None:
    browsers = [workspace.visitor() for _ in range(4)]
    for browser in browsers:
        assert browser.csrf
    statuses: list[int] = []
    barrier = threading.Barrier(len(browsers))

    def run(number: int) -> None:
        barrier.wait()
        data = {**FIRST, "email": f"{number}@example.org"}
        statuses.append(browsers[number].post("/register", data).status_code)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(browsers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303, 409, 409, 409]
    assert len(users(workspace)) == 1
    with workspace.database.read() as db:
        assert db.scalar(select(func.count()).select_from(Organization)) == 1


@pytest.mark.settings(registration="invited")
def test_the_first_account_can_be_made_where_others_need_an_invite(workspace: Workspace) -> None:
    assert workspace.visitor().post("/register", FIRST).status_code == 303
    assert users(workspace) == ["anna@example.org"]


# Registering


@BOTH
def test_registering_says_the_same_whether_or_not_the_address_is_taken(workspace: Workspace) -> None:
    workspace.person()
    fresh, taken = workspace.visitor(), workspace.visitor()
    answers = [
        fresh.post("/register", {**NEW, "next": "/account"}),
        taken.post("/register", {**NEW, "email": "ANNA@example.org", "next": "/account"}),
    ]
    assert {(answer.status_code, answer.headers["location"], answer.text) for answer in answers} == {
        (303, "/sign-in?next=/account&notice=registered", "")
    }
    assert sorted(answers[0].headers) == sorted(answers[1].headers)
    assert (who(fresh), who(taken)) == ("", "")
    assert users(workspace) == ["anna@example.org", "ben@example.org"]
    assert sign_in(fresh, NEW["email"], NEW["password"]).headers["location"] == "/"
    assert sign_in(taken, "anna@example.org", NEW["password"]).status_code == 422  # her password stays hers


@BOTH
def test_an_address_that_is_registered_twice_at_once_has_one_account(workspace: Workspace) -> None:
    with workspace.database.write() as db:
        assert service.add_user(db, "ben@example.org", "Ben", None) is not None
        assert service.add_user(db, "ben@example.org", "Ben", None) is None
        assert service.add_user(db, "eve@example.org", "Eve", None) is not None
    assert users(workspace) == ["ben@example.org", "eve@example.org"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"email": "ben"}, "not an e-mail address"),
        ({"email": "ben@example.org\r\nBcc: all@example.org"}, "not an e-mail address"),
        ({"email": ""}, "Enter an e-mail address"),
        ({"email": "b" * 300 + "@example.org"}, "not an e-mail address"),
        ({"name": "\u202e"}, "Enter a name"),
        ({"name": "x" * 81}, "at most 80"),
        ({"password": "short"}, "at least 10"),
        ({"password": "x" * 257}, "at most 256"),
        ({"password": "Password123"}, "first that would be tried"),
        ({"password": "BEN@example.org"}, "name or address"),
        ({"name": "Benjamin Britten", "password": "BenjaminBritten"}, "name or address"),
    ],
)
def test_what_cannot_be_used_is_said_beside_the_field(workspace: Workspace, change: dict[str, str], told: str) -> None:
    workspace.person()
    answer = workspace.visitor().post("/register", {**NEW, **change})
    assert answer.status_code == 422
    assert told in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert users(workspace) == ["anna@example.org"]


def test_unusual_passwords_are_taken(workspace: Workspace) -> None:
    """Spaces at the ends and letters of any script count; a letter typed on another system is the same."""
    workspace.person()
    assert workspace.visitor().post("/register", {**NEW, "password": " pässwörter sind schön "}).status_code == 303
    other = "pässwörter sind schön".replace("ä", "a\u0308").replace("ö", "o\u0308")
    assert sign_in(workspace.visitor(), NEW["email"], other).status_code == 422
    assert sign_in(workspace.visitor(), NEW["email"], f" {other} ").status_code == 303


@pytest.mark.parametrize("field", ["is_admin", "id", "role", "password_hash", "totp_secret"])
def test_what_the_form_does_not_have_is_refused(workspace: Workspace, field: str) -> None:
    workspace.person()
    assert workspace.visitor().post("/register", {**NEW, field: "1"}).status_code == 422
    assert users(workspace) == ["anna@example.org"]


@pytest.mark.parametrize("field", ["email", "name", "password", "organization", "next"])
def test_texts_without_end_are_refused(workspace: Workspace, field: str) -> None:
    workspace.person()
    assert workspace.visitor().post("/register", {**NEW, field: "x" * 5000}).status_code == 422
    assert users(workspace) == ["anna@example.org"]


def test_the_organisation_of_a_later_account_is_not_ignored(workspace: Workspace) -> None:
    workspace.person()
    assert workspace.visitor().post("/register", {**NEW, "organization": "Mine"}).status_code == 409
    assert users(workspace) == ["anna@example.org"]


def test_registering_is_throttled(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.person()
    monkeypatch.setattr(service, "REGISTER_NETWORK", Limit("register network", 2, 60))
    statuses = [
        workspace.visitor().post("/register", {**NEW, "email": f"{number}@example.org"}).status_code
        for number in range(3)
    ]
    assert statuses == [303, 303, 429]


def test_who_is_signed_in_need_not_register(workspace: Workspace) -> None:
    anna = workspace.person()
    assert anna.get("/register?next=/account").headers["location"] == "/account"
    assert anna.get("/sign-in?next=//evil.example").headers["location"] == "/"


# By an invite


@BOTH
def test_an_invite_signs_in_at_once(workspace: Workspace) -> None:
    path = invite(workspace, workspace.organization(workspace.person()), "ben@example.org")
    browser = workspace.visitor()
    page = browser.get(f"/register?next={path}")
    assert "You are invited to <strong>Acme</strong>" in page.text
    assert 'value="ben@example.org"' in page.text
    answer = browser.post("/register", {**NEW, "next": path})
    assert answer.headers["location"] == path
    assert who(browser) == "ben@example.org"


def test_an_invite_is_for_its_address(workspace: Workspace) -> None:
    path = invite(workspace, workspace.organization(workspace.person()), "eve@example.org")
    answer = workspace.visitor().post("/register", {**NEW, "next": path})
    assert answer.status_code == 422
    assert "The invite is for eve@example.org" in answer.text
    assert users(workspace) == ["anna@example.org"]


def test_an_invite_does_not_open_an_account_that_exists(workspace: Workspace) -> None:
    path = invite(workspace, workspace.organization(workspace.person()), "ben@example.org")
    workspace.person("ben@example.org")
    browser = workspace.visitor()
    answer = browser.post("/register", {**NEW, "next": path})
    assert answer.headers["location"].startswith(f"/sign-in?next={path}")
    assert who(browser) == ""


@pytest.mark.settings(registration="invited")
def test_without_an_invite_nobody_registers_where_one_is_needed(workspace: Workspace) -> None:
    organization = workspace.organization(workspace.person())
    visitor = workspace.visitor()
    assert visitor.get("/register").status_code == 403
    assert visitor.post("/register", NEW).status_code == 403
    assert visitor.post("/register", {**NEW, "next": f"/invites/{new_token()}"}).status_code == 403
    assert "Make an account" not in visitor.get("/sign-in").text
    path = invite(workspace, organization, "ben@example.org")
    with workspace.database.write() as db:
        db.scalars(select(Invite)).one().revoked_at = now()
    assert visitor.post("/register", {**NEW, "next": path}).status_code == 403
    assert users(workspace) == ["anna@example.org"]
    path = invite(workspace, organization, "ben@example.org")
    assert visitor.post("/register", {**NEW, "next": path}).headers["location"] == path


# What people enter


def test_names_are_one_line_that_hides_nothing() -> None:
    assert clean_name("  Anna\r\n\0 \u202eMaria\ud800 ") == "Anna Maria"
    assert clean_name("Łukasz 李") == "Łukasz 李"
