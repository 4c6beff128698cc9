"""Signing in by OpenID Connect, against a provider that runs here; and what an attacker would try."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import select

from lifelearn.settings import Settings
from lifelearn.workspace.accounts import oidc
from lifelearn.workspace.database import ago
from lifelearn.workspace.tables.accounts import Identity, SignIn, User
from workspace.fakes import BOTH, PASSWORD, Browser, Workspace
from workspace.test_accounts import invite, started, users, who

CLIENT, SECRET = "workspace", "the workspace's secret"
PERSON = {"sub": "b-1", "email": "Ben@example.org", "email_verified": True, "name": "Ben Benson"}


KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


@dataclass
class FakeProvider:
    """Signs `person` in without asking. The fields are what a test changes about it.

    claims, header: laid over those of the ID token. sign: makes the token in another way. userinfo: what is told there.
    """

    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: KEY)
    person: dict[str, Any] = field(default_factory=lambda: dict(PERSON))
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
    userinfo: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)  # laid over the answer to the browser
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def configuration() -> dict[str, Any]:
            self.asked.append("configuration")
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "jwks_uri": f"{self.issuer}/keys",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
                **self.metadata,
            }

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            self.asked.append("keys")
            return {"keys": [self.key.as_dict(private=False)]}

        @app.get("/authorize")
        def authorize(request: Request) -> RedirectResponse:
            asked = dict(request.query_params)
            assert asked["client_id"] == CLIENT
            assert asked["response_type"] == "code"
            assert asked["code_challenge_method"] == "S256"
            assert "openid" in asked["scope"].split()
            code = f"code-{len(self.codes)}"
            self.codes[code] = asked
            back = {"code": code, "state": asked["state"], "iss": self.issuer, **self.answer}
            return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)

        @app.post("/token")
        def token(
            request: Request,
            grant_type: str = Form(),
            code: str = Form(),
            redirect_uri: str = Form(),
            code_verifier: str = Form(),
        ) -> dict[str, Any]:
            given = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
            asked = self.codes.pop(code, None)
            challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).decode().rstrip("=")
            wrong = (
                grant_type != "authorization_code"
                or given != f"{CLIENT}:{SECRET}"
                or asked is None
                or asked["redirect_uri"] != redirect_uri
                or asked["code_challenge"] != challenge
            )
            if wrong or asked is None:
                raise HTTPException(400, "invalid_grant")
            return {"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": self.token(asked)}

        @app.get("/userinfo")
        def userinfo(request: Request) -> dict[str, Any]:
            assert request.headers["authorization"] == "Bearer access"
            return self.userinfo

        return app

    def token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 60,
            "nonce": asked.get("nonce"),
            **({"auth_time": now} if "max_age" in asked else {}),
            **self.person,
            **self.claims,
        }
        header = {"alg": "RS256", "kid": "one", **self.header}
        claims = {name: value for name, value in claims.items() if value is not None}
        return self.sign(header, claims) if self.sign else jwt.encode(header, claims, self.key)


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    fake = FakeProvider()
    server = uvicorn.Server(uvicorn.Config(fake.app(), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    fake.issuer = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield fake
    server.should_exit = True
    thread.join()


def connected(settings: Settings, provider: FakeProvider, **more: Any) -> Iterator[Workspace]:
    from pydantic import SecretStr

    changes = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SecretStr(SECRET),
        "oidc_name": "Acme login",
    }
    yield from started(settings, **{**changes, **more})


@pytest.fixture
def workspace(settings: Settings, provider: FakeProvider) -> Iterator[Workspace]:
    yield from connected(settings, provider)


def at_provider(address: str) -> str:
    """What the provider sends the browser back to: a path here."""
    back = httpx2.get(address).headers["location"]
    assert back.startswith(f"http://testserver{oidc.CALLBACK}?")
    return str(back).removeprefix("http://testserver")


def there_and_back(browser: Browser, where: str = "") -> Any:
    answer = browser.get("/sign-in/oidc", params={"next": where} if where else None)
    assert answer.status_code == 303, answer.text
    return browser.get(at_provider(answer.headers["location"]))


def onward(page: Any) -> str:
    """Where the page between a form and the provider leads."""
    assert page.status_code == 200, page.text
    assert '<meta http-equiv="refresh" content="0;url=http' in page.text
    return unescape(re.findall(r'<a role="button" href="([^"]+)"', page.text)[0])


def linked(workspace: Workspace) -> list[tuple[str, str]]:
    """Who has which subject."""
    with workspace.database.read() as db:
        found = db.execute(select(User.email, Identity.subject).join(Identity))
        return sorted((row.email, row.subject) for row in found)


def by_provider(workspace: Workspace) -> Browser:
    """Ben, who has an account by the provider alone."""
    browser = workspace.visitor()
    assert there_and_back(browser).status_code == 303
    return browser


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


def test_it_is_there_only_where_it_is_set_up(settings: Settings) -> None:
    for workspace in started(settings):
        anna = workspace.person()
        assert "/sign-in/oidc" not in workspace.visitor().get("/sign-in").text
        for path in ("/sign-in/oidc", oidc.CALLBACK, "/account/identities", "/account/confirm"):
            assert anna.get(path).status_code == 404
        assert anna.post("/account/identities", {"password": PASSWORD}).status_code == 404


@pytest.mark.parametrize("name", ["", "\u202e", "x" * 200, "<script>alert(1)</script>", None, 7])
def test_names_that_cannot_be_used(workspace: Workspace, provider: FakeProvider, name: Any) -> None:
    provider.person["name"] = name
    page = by_provider(workspace).get("/account").text
    assert "<script>alert" not in page
    assert "\u202e" not in page


# Whether the address is verified


@pytest.mark.parametrize("said", [True, "true", "True", " true "])
def test_a_verified_address_is_taken_however_that_is_written(
    workspace: Workspace, provider: FakeProvider, said: Any
) -> None:
    provider.person["email_verified"] = said
    assert who(by_provider(workspace)) == "ben@example.org"


@pytest.mark.parametrize("said", [False, "false", "False", "no", "", 0, "1", ["true"]])
def test_an_unverified_address_is_refused_even_where_addresses_are_trusted(
    settings: Settings, provider: FakeProvider, said: Any
) -> None:
    provider.person["email_verified"] = said
    for workspace in connected(settings, provider, oidc_trust_emails=True):
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


def test_a_provider_that_does_not_say_may_be_trusted(settings: Settings, provider: FakeProvider) -> None:
    del provider.person["email_verified"]
    for workspace in connected(settings, provider, oidc_trust_emails=True):
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


# A provider that does not answer as it should


def test_a_provider_that_cannot_be_reached(settings: Settings, provider: FakeProvider) -> None:
    provider.issuer = "http://127.0.0.1:1"
    for workspace in connected(settings, provider):
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


def test_an_invite_is_needed_where_accounts_need_one(settings: Settings, provider: FakeProvider) -> None:
    for workspace in connected(settings, provider, registration="invited"):
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


def test_the_first_account_may_come_from_the_provider(settings: Settings, provider: FakeProvider) -> None:
    for workspace in connected(settings, provider, registration="invited"):
        browser = by_provider(workspace)
        assert browser.get("/").headers["location"] == "/organizations/new"


def test_a_forgotten_password_is_no_way_around_the_provider(
    settings: Settings, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr("lifelearn.workspace.mail.send", lambda _settings, **mail: sent.append(mail))
    for workspace in connected(settings, provider, smtp_url="smtp://localhost"):
        by_provider(workspace)
        workspace.visitor().post("/forgotten-password", {"email": "ben@example.org"})
        assert "/reset-password/" not in sent[-1]["text"]
        assert "Sign in by Acme login" in sent[-1]["text"]
