"""Whose account a provider's word opens, links and confirms, and who may make one by it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import select

from lifelearn.settings import Settings
from lifelearn.workspace.database import ago
from lifelearn.workspace.tables.accounts import Identity, SignIn, User
from workspace.accounts import invite, users, who
from workspace.fakes import BOTH, PASSWORD, Workspace
from workspace.provider import PERSON, FakeProvider, at_provider, by_provider, linked, onward, there_and_back


@pytest.fixture
def settings(settings: Settings, provider: FakeProvider) -> Settings:
    return settings.model_copy(update=provider.settings())


# Whose account it is


@BOTH
def test_an_account_with_a_password_is_not_opened_by_its_address(workspace: Workspace) -> None:
    """Whoever made it need not be who the provider means."""
    ben = workspace.person("ben@example.org")
    browser = workspace.visitor()
    answer = there_and_back(browser)
    assert answer.status_code == 403
    assert "then link" in answer.text
    assert who(browser) == ""
    assert linked(workspace) == []
    assert who(ben) == "ben@example.org"


def test_an_address_that_was_given_to_somebody_else_opens_nothing(workspace: Workspace, provider: FakeProvider) -> None:
    by_provider(workspace)
    provider.person["sub"] = "b-2"
    answer = there_and_back(workspace.visitor())
    assert answer.status_code == 403
    assert "another identity" in answer.text
    assert linked(workspace) == [("ben@example.org", "b-1")]


def test_an_account_of_an_earlier_provider_goes_on(workspace: Workspace, provider: FakeProvider) -> None:
    with workspace.database.write() as db:
        user = User(email="ben@example.org", name="Ben")
        db.add(user)
        db.flush()
        db.add(Identity(user_id=user.id, issuer="https://old.example", subject="7"))
    assert who(by_provider(workspace)) == "ben@example.org"
    assert linked(workspace) == [("ben@example.org", "7"), ("ben@example.org", "b-1")]


@BOTH
def test_linking_after_signing_in(workspace: Workspace, provider: FakeProvider) -> None:
    anna = workspace.person()
    page = anna.post("/account/identities", {"password": PASSWORD})
    answer = anna.get(at_provider(onward(page)))
    assert answer.headers["location"] == "/account/identities?notice=linked"
    assert linked(workspace) == [("anna@example.org", "b-1")]
    assert "You can sign in with Acme login" in anna.get("/account/identities").text
    browser = workspace.visitor()
    there_and_back(browser)
    assert who(browser) == "anna@example.org"
    again = anna.get(at_provider(onward(anna.post("/account/identities", {"password": PASSWORD}))))
    assert again.headers["location"] == "/account/identities?notice=linked"
    assert len(linked(workspace)) == 1


def test_linking_asks_for_the_password(workspace: Workspace) -> None:
    anna = workspace.person()
    for form in ({}, {"password": "wrong"}):
        answer = anna.post("/account/identities", form)
        assert answer.status_code == 422
        assert "/authorize" not in answer.text
    assert workspace.visitor().post("/account/identities", {"password": PASSWORD}).status_code == 401
    assert anna.client.post("/account/identities", data={"password": PASSWORD}).status_code == 403
    assert anna.post("/account/identities", {"password": PASSWORD, "user_id": "1"}).status_code == 422


def test_an_identity_of_another_account_is_not_linked(workspace: Workspace) -> None:
    by_provider(workspace)
    anna = workspace.person()
    answer = anna.get(at_provider(onward(anna.post("/account/identities", {"password": PASSWORD}))))
    assert answer.status_code == 403
    assert linked(workspace) == [("ben@example.org", "b-1")]


def test_a_link_is_for_the_sign_in_that_asked(workspace: Workspace) -> None:
    """Signing out, or in as somebody else, in between: nothing is linked to whom it was not meant for."""
    anna, eve = workspace.person(), workspace.person("eve@example.org")
    path = at_provider(onward(anna.post("/account/identities", {"password": PASSWORD})))
    eve.client.cookies.set("lifelearn-oidc", anna.client.cookies["lifelearn-oidc"])
    assert eve.get(path).status_code == 403
    path = at_provider(onward(anna.post("/account/identities", {"password": PASSWORD})))
    flow = anna.client.cookies["lifelearn-oidc"]
    anna.post("/sign-out")
    anna.client.cookies.set("lifelearn-oidc", flow)
    assert anna.get(path).status_code == 403
    assert linked(workspace) == []


def test_a_sign_in_that_began_is_not_made_a_link(workspace: Workspace) -> None:
    """Another site can begin a sign-in by a link, but nothing that changes the account of who is signed in."""
    anna = workspace.person()
    assert anna.get("/sign-in/oidc").headers["location"] == "/"
    assert linked(workspace) == []


@BOTH
def test_unlinking(workspace: Workspace) -> None:
    anna = workspace.person()
    anna.get(at_provider(onward(anna.post("/account/identities", {"password": PASSWORD}))))
    with workspace.database.read() as db:
        path = f"/account/identities/{db.scalars(select(Identity.id)).one()}/remove"
    assert anna.post(path, {"password": "wrong"}).status_code == 422
    assert workspace.person("eve@example.org").post(path, {"password": PASSWORD}).status_code == 404
    assert workspace.visitor().post(path, {"password": PASSWORD}).status_code == 401
    assert linked(workspace) == [("anna@example.org", "b-1")]
    assert anna.post(path, {"password": PASSWORD}).headers["location"].endswith("unlinked")
    assert linked(workspace) == []


def test_the_only_way_in_stays(workspace: Workspace) -> None:
    ben = by_provider(workspace)
    with workspace.database.read() as db:
        path = f"/account/identities/{db.scalars(select(Identity.id)).one()}/remove"
    answer = ben.post(path)
    assert answer.status_code == 422
    assert "only way into your account" in answer.text
    assert linked(workspace) == [("ben@example.org", "b-1")]


# Without a password


def confirmed_long_ago(workspace: Workspace) -> None:
    with workspace.database.write() as db:
        for row in db.scalars(select(SignIn)):
            row.confirmed_at = ago(minutes=11)


@BOTH
def test_dangerous_things_ask_for_a_fresh_sign_in(workspace: Workspace, provider: FakeProvider) -> None:
    ben = by_provider(workspace)
    confirmed_long_ago(workspace)
    forms = {"/account/delete": {}, "/account/password": {"new": "a good passphrase"}, "/account/identities": {}}
    for path, form in forms.items():
        answer = ben.post(path, form)
        assert answer.status_code == 422
        assert f"/account/confirm?next={path}" in answer.text
    assert users(workspace) == ["ben@example.org"]
    assert "Confirm that it is you" in ben.get("/account/confirm?next=/account/password").text
    address = onward(ben.post("/account/confirm", {"next": "/account/password"}))
    assert "prompt=login" in address
    assert "max_age=0" in address
    answer = ben.get(at_provider(address))
    assert answer.headers["location"] == "/account/password?notice=confirmed"
    assert ben.post("/account/password", {"new": "a good passphrase"}).headers["location"].endswith("password")
    browser = workspace.visitor()
    form = {"email": "ben@example.org", "password": "a good passphrase"}
    assert browser.post("/sign-in", form).status_code == 303


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": {"auth_time": int(time.time()) - 3600}},  # a session that was still open there
        {"claims": {"auth_time": None}},
        {"person": {**PERSON, "sub": "a-1"}},  # somebody else
    ],
)
def test_a_confirmation_is_fresh_and_of_the_same_person(
    workspace: Workspace, provider: FakeProvider, changes: dict[str, Any]
) -> None:
    ben = by_provider(workspace)
    confirmed_long_ago(workspace)
    for name, value in changes.items():
        setattr(provider, name, value)
    answer = ben.get(at_provider(onward(ben.post("/account/confirm", {"next": "/account/delete"}))))
    assert answer.status_code == 403
    assert ben.post("/account/delete").status_code == 422
    assert users(workspace) == ["ben@example.org"]


def test_a_fresh_sign_in_is_enough_to_delete(workspace: Workspace) -> None:
    ben = by_provider(workspace)
    assert ben.post("/account/delete").headers["location"].endswith("account-deleted")
    assert users(workspace) == []
    assert linked(workspace) == []


def test_the_second_factor_is_asked_for_here_too(workspace: Workspace) -> None:
    import pyotp

    ben = by_provider(workspace)
    page = ben.get("/account/second-factor").text
    secret = page.split('id="totp-key">')[1].split("<")[0].replace(" ", "")
    sealed = page.split('name="setup" value="')[1].split('"')[0]
    on = ben.post("/account/second-factor", {"setup": sealed, "code": pyotp.TOTP(secret).now()})
    assert on.status_code == 200
    browser = workspace.visitor()
    assert there_and_back(browser, "/account").headers["location"] == "/sign-in/code?next=/account"
    assert who(browser) == ""


# Who may make an account


@pytest.mark.settings(registration="invited")
def test_an_invite_is_needed_where_accounts_need_one(workspace: Workspace, provider: FakeProvider) -> None:
    organization = workspace.organization(workspace.person())
    assert there_and_back(workspace.visitor()).status_code == 403
    others = invite(workspace, organization, "eve@example.org")
    assert there_and_back(workspace.visitor(), others).status_code == 403
    assert users(workspace) == ["anna@example.org"]
    own = invite(workspace, organization, "ben@example.org")
    browser = workspace.visitor()
    assert there_and_back(browser, own).headers["location"] == own
    assert who(browser) == "ben@example.org"
    assert there_and_back(workspace.visitor()).status_code == 303  # who has one comes in without


@pytest.mark.settings(registration="invited")
def test_the_first_account_may_come_from_the_provider(workspace: Workspace, provider: FakeProvider) -> None:
    browser = by_provider(workspace)
    assert browser.get("/").headers["location"] == "/organizations/new"


@pytest.mark.settings(smtp_url="smtp://localhost")
def test_a_forgotten_password_is_no_way_around_the_provider(
    workspace: Workspace, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr("lifelearn.workspace.mail.send", lambda _settings, **mail: sent.append(mail))
    by_provider(workspace)
    workspace.visitor().post("/forgotten-password", {"email": "ben@example.org"})
    assert "/reset-password/" not in sent[-1]["text"]
    assert "Sign in by Acme login" in sent[-1]["text"]
