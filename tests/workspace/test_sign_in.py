"""Signing in and out: what it does, what it tells nobody, and how long it lasts."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select

from lifelearn.workspace.accounts import oidc, service
from lifelearn.workspace.crypto import new_token
from lifelearn.workspace.database import ago, ahead, now
from lifelearn.workspace.errors import TooManyError
from lifelearn.workspace.tables.accounts import PasswordReset, SignIn, User
from lifelearn.workspace.tables.throttles import Throttle
from lifelearn.workspace.throttle import Limit, network
from workspace.accounts import sign_in, who
from workspace.fakes import BOTH, PASSWORD, Browser, Workspace

# Signing in


@BOTH
def test_signing_in_and_out(workspace: Workspace) -> None:
    workspace.person()
    browser = workspace.visitor()
    planted = browser.csrf and browser.client.cookies[workspace.pages.cookie]
    answer = sign_in(browser, "ANNA@example.org ", next="/account?x=1")
    assert answer.headers["location"] == "/account?x=1"
    assert browser.client.cookies[workspace.pages.cookie] != planted  # no fixation
    assert who(browser) == "anna@example.org"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    token = browser.client.cookies[workspace.pages.cookie]
    answer = browser.post("/sign-out")
    assert answer.headers["location"] == "/sign-in?notice=signed-out"
    assert answer.headers["clear-site-data"] == '"storage"'
    assert who(Browser(workspace, token)) == ""  # the session is dead, not only the cookie


@pytest.mark.settings(public_url="https://testserver")
def test_a_cookie_is_for_this_host_and_https(workspace: Workspace) -> None:
    workspace.person()
    browser = workspace.visitor()
    browser.client.base_url = "https://testserver"
    answer = sign_in(browser, next="/account")
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-lifelearn=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert who(browser) == "anna@example.org"


def test_a_provider_is_asked_only_where_one_is_set_up(workspace: Workspace) -> None:
    anna = workspace.person()
    assert "/sign-in/oidc" not in workspace.visitor().get("/sign-in").text
    for path in ("/sign-in/oidc", oidc.CALLBACK, "/account/identities", "/account/confirm"):
        assert anna.get(path).status_code == 404
    assert anna.post("/account/identities", {"password": PASSWORD}).status_code == 404


def test_signing_in_again_ends_the_sign_in_before(workspace: Workspace) -> None:
    anna = workspace.person()
    before = anna.client.cookies[workspace.pages.cookie]
    assert sign_in(anna).status_code == 303
    assert who(anna) == "anna@example.org"
    assert who(Browser(workspace, before)) == ""


def test_a_wrong_password_and_a_wrong_address_are_answered_alike(workspace: Workspace) -> None:
    workspace.person()
    with workspace.database.write() as db:
        db.add(User(email="sso@example.org", name="No password"))
    browser = workspace.visitor()
    browser.csrf  # noqa: B018
    texts = set()
    for email in ("anna@example.org", "nobody@example.org", "sso@example.org"):
        answer = sign_in(browser, email, "not the right one")
        assert answer.status_code == 422
        texts.add(answer.text.replace(email, ""))
    assert len(texts) == 1
    assert "The address or the password is wrong." in texts.pop()
    assert sign_in(browser, "not an address", "x").status_code == 422


def test_an_unknown_address_takes_a_hash_too(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def password_is(_given: str, hashed: str | None) -> bool:
        asked.append(hashed)
        return False

    monkeypatch.setattr("lifelearn.workspace.accounts.signing_in.password_is", password_is)
    workspace.person()
    sign_in(workspace.visitor())
    sign_in(workspace.visitor(), "nobody@example.org")
    assert len(asked) == 2
    assert asked[1] is None  # for which password_is takes as long


def test_another_site_is_not_followed_after_signing_in(workspace: Workspace) -> None:
    workspace.person()
    for where in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        assert sign_in(workspace.visitor(), next=where).headers["location"] == "/"


@BOTH
def test_guessing_is_throttled_for_one_account_and_network(workspace: Workspace) -> None:
    workspace.person()
    workspace.person("ben@example.org")
    browser = workspace.visitor()
    statuses = [sign_in(browser, password=f"wrong {number}").status_code for number in range(11)]
    assert statuses == [422] * 10 + [429]
    refused = sign_in(browser)  # even the right one
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert sign_in(browser, "ben@example.org").status_code == 303


def test_an_unknown_account_is_throttled_alike(workspace: Workspace) -> None:
    browser = workspace.visitor()
    statuses = [sign_in(browser, "nobody@example.org").status_code for _ in range(11)]
    assert statuses == [422] * 10 + [429]


@pytest.mark.parametrize("limit", ["SIGN_IN_NETWORK", "SIGN_IN_ACCOUNT"])
def test_successes_do_not_count_and_failures_stay_counted(
    workspace: Workspace, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, limit, Limit(limit, 3, 60))
    workspace.person()
    assert [sign_in(workspace.visitor()).status_code for _ in range(5)] == [303] * 5
    browser = workspace.visitor()
    statuses = []
    for _ in range(3):
        statuses += [sign_in(browser, password="wrong").status_code, sign_in(workspace.visitor()).status_code]
    assert statuses == [422, 303, 422, 303, 422, 429]  # a success in between does not start the count afresh


def test_throttles_keep_no_addresses(workspace: Workspace) -> None:
    sign_in(workspace.visitor(), "nobody@example.org")
    with workspace.database.read() as db:
        keys = list(db.scalars(select(Throttle.key)))
    assert len(keys) == 3
    assert not any("nobody" in key or "testclient" in key for key in keys)


@BOTH
def test_a_count_starts_afresh_after_its_time(workspace: Workspace) -> None:
    limit = Limit("x", 1, 60)
    with workspace.database.write() as db:
        limit.count(db, "anna")
    with pytest.raises(TooManyError), workspace.database.write() as db:
        limit.count(db, "anna")
    with workspace.database.write() as db:
        db.scalars(select(Throttle)).one().since = ago(seconds=61)
    with workspace.database.write() as db:
        limit.count(db, "anna")
    with workspace.database.read() as db:
        row = db.scalars(select(Throttle)).one()
    assert row.count == 1
    assert row.since > ago(seconds=30)


def test_an_ipv6_network_counts_as_one() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"
    assert network("testclient") == "testclient"


def test_guesses_at_the_same_moment_all_count(workspace: Workspace) -> None:
    workspace.person()
    browsers = [workspace.visitor() for _ in range(14)]
    for browser in browsers:
        assert browser.csrf
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda each=browser: statuses.append(sign_in(each, password="wrong").status_code))
        for browser in browsers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [422] * 10 + [429] * 4


@pytest.mark.parametrize(
    "path", ["/register", "/sign-in", "/sign-in/code", "/sign-out", "/forgotten-password", "/reset-password/x"]
)
def test_forms_need_their_token(workspace: Workspace, path: str) -> None:
    workspace.person()
    browser = workspace.visitor()
    assert browser.csrf
    assert browser.client.post(path, data={}).status_code == 403
    assert browser.client.post(path, data={"csrf": "wrong"}).status_code == 403


# Sign-ins


def test_a_sign_in_that_is_used_lasts_but_not_for_ever(workspace: Workspace) -> None:
    anna = workspace.person()

    def after(last_seen_days: float, made_days: float) -> tuple[SignIn, Any]:
        with workspace.database.write() as db:
            row = db.scalars(select(SignIn)).one()
            row.last_seen_at, row.created_at = ago(days=last_seen_days), ago(days=made_days)
            row.expires_at = ahead(days=1)
        answer = anna.get("/account")
        with workspace.database.read() as db:
            return db.scalars(select(SignIn)).one(), answer

    row, answer = after(2, 10)
    assert row.expires_at > ahead(days=13)
    assert "max-age=1209600" in answer.headers["set-cookie"].lower()
    row, _answer = after(2, 80)
    assert ahead(days=9) < row.expires_at < ahead(days=10, minutes=1)


def test_a_sign_in_that_has_ended_signs_in_to_nothing(workspace: Workspace) -> None:
    anna = workspace.person()
    with workspace.database.write() as db:
        db.scalars(select(SignIn)).one().expires_at = ago(seconds=1)
    assert anna.get("/account").headers["location"] == "/sign-in?next=/account"


@BOTH
def test_sweeping_removes_what_has_expired(workspace: Workspace) -> None:
    anna, _other = workspace.person(), workspace.person()
    with workspace.database.write() as db:
        for row, expires in zip(db.scalars(select(SignIn)).all(), (ago(days=1), ahead(days=1)), strict=True):
            row.expires_at = expires
        for expires in (ago(hours=1), ahead(hours=1)):
            db.add(PasswordReset(user_id=anna.user_id, token_hash=new_token(), expires_at=expires))
        db.add_all(Throttle(key=str(days), since=ago(days=days), count=1) for days in (0.5, 3))
    service.sweep(workspace.database)
    with workspace.database.read() as db:
        assert db.scalars(select(SignIn)).one().expires_at > now()
        assert db.scalars(select(PasswordReset)).one().expires_at > now()
        assert db.scalars(select(Throttle.key)).all() == ["0.5"]


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
            "Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        ("<script>alert(1)</script>", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_browsers_have_names(agent: str, name: str) -> None:
    assert service.browser_name(agent) == name
