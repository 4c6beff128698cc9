"""Signing in by OpenID Connect, against a provider that runs here."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey

from lifelearn.settings import Settings
from lifelearn.workspace.accounts import oidc
from workspace.accounts import users, who
from workspace.fakes import BOTH, Workspace, started
from workspace.provider import FakeProvider, at_provider, by_provider, linked, there_and_back


@pytest.fixture
def settings(settings: Settings, provider: FakeProvider) -> Settings:
    return settings.model_copy(update=provider.settings())


# As it should go


@BOTH
def test_somebody_new_gets_an_account_and_comes_back_to_it(workspace: Workspace) -> None:
    workspace.person()
    browser = workspace.visitor()
    page = browser.get("/sign-in?next=/account").text
    assert "Sign in with Acme login" in page
    assert 'href="/sign-in/oidc?next=/account"' in page
    planted = browser.client.cookies[workspace.pages.cookie]
    answer = there_and_back(browser, "/account")
    assert answer.headers["location"] == "/account"
    assert who(browser) == "ben@example.org"
    assert browser.client.cookies[workspace.pages.cookie] != planted
    assert "lifelearn-oidc" not in browser.client.cookies
    assert "Ben Benson" in browser.get("/account").text
    other = workspace.visitor()
    there_and_back(other)
    assert who(other) == "ben@example.org"
    assert linked(workspace) == [("ben@example.org", "b-1")]
    assert users(workspace) == ["anna@example.org", "ben@example.org"]


def test_the_way_there(workspace: Workspace) -> None:
    answer = workspace.visitor().get("/sign-in/oidc")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    assert asked["redirect_uri"] == "http://testserver/sign-in/oidc/callback"
    assert len(asked["state"]) >= 32
    assert len(asked["nonce"]) >= 32
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Max-Age=600" in cookie
    assert "samesite=lax" in cookie.lower()
    assert asked["state"] not in cookie
    assert asked["nonce"] not in cookie
    again = parse_qs(urlsplit(workspace.visitor().get("/sign-in/oidc").headers["location"]).query)
    for name in ("state", "nonce", "code_challenge"):
        assert again[name][0] != asked[name]


def test_what_the_provider_says_about_itself_is_asked_once(workspace: Workspace, provider: FakeProvider) -> None:
    for _ in range(3):
        there_and_back(workspace.visitor())
    assert sorted(provider.asked) == ["configuration", "keys"]


def test_somebody_known_is_known_by_the_subject(workspace: Workspace, provider: FakeProvider) -> None:
    """Whatever the address is now, verified or not."""
    by_provider(workspace)
    provider.person |= {"email": "new@example.org", "email_verified": False}
    browser = workspace.visitor()
    assert there_and_back(browser).status_code == 303
    assert who(browser) == "ben@example.org"


def test_the_address_may_come_from_userinfo(workspace: Workspace, provider: FakeProvider) -> None:
    provider.person = {"sub": "b-1"}
    provider.userinfo = {"sub": "b-1", "email": "ben@example.org", "email_verified": "true"}
    assert who(by_provider(workspace)) == "ben@example.org"


def test_userinfo_of_somebody_else_is_not_believed(workspace: Workspace, provider: FakeProvider) -> None:
    provider.person = {"sub": "b-1"}
    provider.userinfo = {"sub": "a-1", "email": "anna@example.org", "email_verified": True}
    assert there_and_back(workspace.visitor()).status_code == 403
    assert users(workspace) == []


def test_new_keys_of_the_provider_are_fetched(
    workspace: Workspace, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_provider(workspace)
    provider.key, provider.header = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"}), {"kid": "two"}
    monkeypatch.setattr(oidc, "FAILED_SECONDS", -1)
    assert there_and_back(workspace.visitor()).status_code == 303


@pytest.mark.parametrize("name", ["", "\u202e", "x" * 200, "<script>alert(1)</script>", None, 7])
def test_names_that_cannot_be_used(workspace: Workspace, provider: FakeProvider, name: Any) -> None:
    provider.person["name"] = name
    page = by_provider(workspace).get("/account").text
    assert "<script>alert" not in page
    assert "\u202e" not in page


# A provider that does not answer as it should


def test_a_provider_that_cannot_be_reached(settings: Settings) -> None:
    with started(settings, oidc_issuer="http://127.0.0.1:1") as workspace:
        workspace.person()
        answer = workspace.visitor().get("/sign-in/oidc")
        assert answer.status_code == 503
        assert "Acme login cannot be reached" in answer.text
        assert workspace.visitor().get("/sign-in").status_code == 200


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": 7},
    ],
)
def test_a_provider_that_says_nonsense_about_itself(
    workspace: Workspace, provider: FakeProvider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    assert workspace.visitor().get("/sign-in/oidc").status_code == 503
    workspace.visitor().get("/sign-in/oidc")
    assert provider.asked == ["configuration"]  # not asked again at once


def test_a_code_that_the_provider_refuses(workspace: Workspace, provider: FakeProvider) -> None:
    browser = workspace.visitor()
    path = at_provider(browser.get("/sign-in/oidc").headers["location"])
    provider.codes.clear()
    assert browser.get(path).status_code in (403, 503)
    assert users(workspace) == []
