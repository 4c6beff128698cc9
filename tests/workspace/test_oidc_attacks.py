"""What is not believed of a provider's answer, and what an attacker would try on the way back."""

from __future__ import annotations

import base64
import re
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from lifelearn.settings import Settings
from lifelearn.workspace.accounts import oidc
from workspace.accounts import users, who
from workspace.fakes import BOTH, Workspace
from workspace.provider import CLIENT, SECRET, FakeProvider, at_provider, by_provider, there_and_back


@pytest.fixture
def settings(settings: Settings, provider: FakeProvider) -> Settings:
    return settings.model_copy(update=provider.settings())


# Whether the address is verified


@pytest.mark.parametrize("said", [True, "true", "True", " true "])
def test_a_verified_address_is_taken_however_that_is_written(
    workspace: Workspace, provider: FakeProvider, said: Any
) -> None:
    provider.person["email_verified"] = said
    assert who(by_provider(workspace)) == "ben@example.org"


@pytest.mark.settings(oidc_trust_emails=True)
@pytest.mark.parametrize("said", [False, "false", "False", "no", "", 0, "1", ["true"]])
def test_an_unverified_address_is_refused_even_where_addresses_are_trusted(
    workspace: Workspace, provider: FakeProvider, said: Any
) -> None:
    provider.person["email_verified"] = said
    answer = there_and_back(workspace.visitor())
    assert answer.status_code == 403
    assert "Acme login says that your e-mail address is not verified" in answer.text
    assert users(workspace) == []


def test_a_provider_that_does_not_say_is_told_of(workspace: Workspace, provider: FakeProvider) -> None:
    del provider.person["email_verified"]
    answer = there_and_back(workspace.visitor())
    assert answer.status_code == 403
    assert "Acme login did not say whether your e-mail address is verified. Ask who runs this server" in answer.text
    assert "LL_OIDC_TRUST_EMAILS" in answer.text
    assert users(workspace) == []


@pytest.mark.settings(oidc_trust_emails=True)
def test_a_provider_that_does_not_say_may_be_trusted(workspace: Workspace, provider: FakeProvider) -> None:
    del provider.person["email_verified"]
    workspace.person("eve@example.org")
    assert who(by_provider(workspace)) == "ben@example.org"
    provider.person |= {"sub": "e-1", "email": "eve@example.org"}
    answer = there_and_back(workspace.visitor())  # trust opens no account that has a password
    assert answer.status_code == 403
    assert "then link" in answer.text
    provider.person |= {"sub": "n-1", "email": None}
    assert "did not give an e-mail address" in there_and_back(workspace.visitor()).text


def test_one_address_is_not_verified_by_a_word_about_another(workspace: Workspace, provider: FakeProvider) -> None:
    """The token says that an address is verified and not which; userinfo gives one and says that it is not."""
    provider.person = {"sub": "b-1", "email_verified": True}
    provider.userinfo = {"sub": "b-1", "email": "anna@example.org", "email_verified": False}
    assert there_and_back(workspace.visitor()).status_code == 403
    provider.userinfo = {"sub": "b-1", "email": "anna@example.org"}
    assert "did not say whether" in there_and_back(workspace.visitor()).text
    assert users(workspace) == []


@BOTH
def test_an_address_of_a_provider_is_the_same_in_every_spelling(workspace: Workspace, provider: FakeProvider) -> None:
    provider.person["email"] = "ＢＥＮ@ＥＸＡＭＰＬＥ.org"
    workspace.person("ben@example.org")
    assert "There is an account with the address ben@example.org" in there_and_back(workspace.visitor()).text


# The token


def other_key(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return jwt.encode(header, claims, RSAKey.generate_key(2048, {"kid": "one"}))


def no_signature(header: dict[str, Any], claims: dict[str, Any]) -> str:
    signed = jwt.encode(header, claims, RSAKey.generate_key(2048, {"kid": "one"}))
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return f"{none}.{signed.split('.')[1]}."


def by_secret(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Signed with what the client and the provider both know, which is not the provider's key."""
    return jwt.encode({**header, "alg": "HS256"}, claims, OctKey.import_key(SECRET), algorithms=["HS256"])


ATTACKS: dict[str, dict[str, Any]] = {
    "wrong nonce": {"claims": {"nonce": "another"}},
    "no nonce": {"claims": {"nonce": None}},
    "wrong audience": {"claims": {"aud": "another client"}},
    "wrong audience, right party": {"claims": {"aud": "another client", "azp": CLIENT}},
    "no audience": {"claims": {"aud": None}},
    "an audience more, of another party": {"claims": {"aud": [CLIENT, "other"], "azp": "other"}},
    "wrong issuer": {"claims": {"iss": "https://evil.example"}},
    "expired": {"claims": {"exp": int(time.time()) - 3600, "iat": int(time.time()) - 7200}},
    "no end": {"claims": {"exp": None}},
    "an end that is none": {"claims": {"exp": float("inf")}},
    "from the future": {"claims": {"iat": int(time.time()) + 7200}},
    "no subject": {"claims": {"sub": None}},
    "an empty subject": {"claims": {"sub": ""}},
    "a subject that is no text": {"claims": {"sub": ["b-1"]}},
    "another access token": {"claims": {"at_hash": "x" * 22}},
    "another key": {"sign": other_key},
    "no signature": {"sign": no_signature},
    "signed by the client's secret": {"sign": by_secret},
    "no token": {"sign": lambda _header, _claims: ""},
    "nonsense": {"sign": lambda _header, _claims: "a.b.c"},
    "another issuer's answer": {"answer": {"iss": "https://evil.example"}},
    "no verified address": {"claims": {"email_verified": False}},
    "not said to be verified": {"claims": {"email_verified": None}},
    "no address": {"claims": {"email": None}},
    "an address that is none": {"claims": {"email": "ben@example.org\r\nBcc: x@example.org"}},
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_in_order_signs_nobody_in(
    workspace: Workspace, provider: FakeProvider, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "FAILED_SECONDS", -1)
    for name, value in ATTACKS[attack].items():
        setattr(provider, name, value)
    browser = workspace.visitor()
    answer = there_and_back(browser)
    assert answer.status_code == 403, answer.text
    assert who(browser) == ""
    assert users(workspace) == []


def test_a_signature_that_is_right_is_needed_for_all_of_that(workspace: Workspace, provider: FakeProvider) -> None:
    """The same provider without an attack signs in: the tests above fail for what they say."""
    provider.claims = {"aud": [CLIENT], "azp": CLIENT}
    assert who(by_provider(workspace)) == "ben@example.org"


# The way back


def test_a_wrong_or_missing_state(workspace: Workspace) -> None:
    browser = workspace.visitor()
    path = at_provider(browser.get("/sign-in/oidc").headers["location"])
    for wrong in (re.sub("state=[^&]+", "state=x", path), re.sub("state=[^&]+", "", path), oidc.CALLBACK):
        assert browser.get(wrong).status_code == 403
    assert browser.get(path).status_code == 303  # none of that used it up


def test_another_browsers_sign_in_is_not_taken_over(workspace: Workspace) -> None:
    """An attacker's own way back, sent to somebody as a link: it would sign them in to the attacker's account."""
    attacker, victim = workspace.visitor(), workspace.visitor()
    path = at_provider(attacker.get("/sign-in/oidc").headers["location"])
    assert victim.get(path).status_code == 403
    victim.get("/sign-in/oidc")  # one of their own under way does not help
    assert victim.get(path).status_code == 403
    assert who(victim) == ""


@BOTH
def test_a_way_back_is_gone_once(workspace: Workspace, provider: FakeProvider) -> None:
    browser = workspace.visitor()
    path = at_provider(browser.get("/sign-in/oidc").headers["location"])
    cookie = browser.client.cookies["lifelearn-oidc"]
    codes = dict(provider.codes)
    assert browser.get(path).status_code == 303
    provider.codes |= codes  # even at a provider that takes a code twice
    thief = workspace.visitor()
    thief.client.cookies.set("lifelearn-oidc", cookie)
    assert thief.get(path).status_code == 403
    assert who(thief) == ""


def test_a_way_back_ends(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "FLOW_SECONDS", -1)
    browser = workspace.visitor()
    answer = browser.get("/sign-in/oidc")
    cookie = answer.headers["set-cookie"].split("lifelearn-oidc=")[1].split(";")[0]
    browser.client.cookies.set("lifelearn-oidc", cookie)
    assert browser.get(at_provider(answer.headers["location"])).status_code == 403


def test_a_forged_cookie(workspace: Workspace) -> None:
    browser = workspace.visitor()
    path = at_provider(browser.get("/sign-in/oidc").headers["location"])
    for value in ("", "x", workspace.pages.keys.seal('{"state": "x"}'), workspace.pages.keys.seal("[]")):
        browser.client.cookies.delete("lifelearn-oidc")
        browser.client.cookies.set("lifelearn-oidc", value)
        assert browser.get(path).status_code == 403


def test_a_refusal_there(workspace: Workspace, provider: FakeProvider) -> None:
    provider.answer = {"error": "access_denied", "error_description": "<b>call 555-1234</b>"}
    answer = there_and_back(workspace.visitor())
    assert answer.status_code == 403
    assert "Acme login did not sign you in" in answer.text
    assert "call 555-1234" not in answer.text  # the provider's own words


def test_another_site_is_not_followed_afterwards(workspace: Workspace) -> None:
    for where in ("//evil.example", "https://evil.example"):
        assert there_and_back(workspace.visitor(), where).headers["location"] == "/"


def test_ways_back_are_throttled(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from lifelearn.workspace.accounts import service
    from lifelearn.workspace.throttle import Limit

    monkeypatch.setattr(service, "OIDC_NETWORK", Limit("oidc network", 2, 60))
    assert [there_and_back(workspace.visitor()).status_code for _ in range(3)] == [303, 303, 429]
