"""The start page, registering, signing in and out: what they do, and what they tell nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from lifelearn.settings import Settings
from lifelearn.workspace.accounts import service
from lifelearn.workspace.crypto import hash_token, new_token, password_is
from lifelearn.workspace.database import ago, ahead, now
from lifelearn.workspace.errors import TooManyError
from lifelearn.workspace.names import clean_email, clean_name
from lifelearn.workspace.tables.accounts import PasswordReset, SignIn, User
from lifelearn.workspace.tables.organizations import AuditEvent, Invite, Membership, Organization, Role
from lifelearn.workspace.tables.throttles import Throttle
from lifelearn.workspace.throttle import Limit, network
from workspace.fakes import BOTH, PASSWORD, Browser, Workspace, running

FIRST = {"email": "Anna@Example.org", "name": "Anna", "password": PASSWORD, "organization": "Acme"}
NEW = {"email": "ben@example.org", "name": "Ben", "password": "quite another passphrase"}


def started(settings: Settings, **changes: Any) -> Iterator[Workspace]:
    """A workspace with other settings."""
    found = running(settings.model_copy(update=changes))
    with found.visitor().client as client:
        found.portal = client.portal
        yield found


@pytest.fixture
def invited_only(settings: Settings) -> Iterator[Workspace]:
    yield from started(settings, registration="invited")


def users(workspace: Workspace) -> list[str]:
    with workspace.database.read() as db:
        return sorted(db.scalars(select(User.email)))


def sign_in(browser: Browser, email: str = "anna@example.org", password: str = PASSWORD, **more: str) -> Any:
    return browser.post("/sign-in", {"email": email, "password": password, **more})


def who(browser: Browser) -> str:
    """The address of who is signed in, as the account page shows it; "" for nobody."""
    answer = browser.get("/account")
    return "" if answer.status_code != 200 else answer.text.split("<dt>E-mail address</dt><dd>")[1].split("<")[0]


def invite(workspace: Workspace, organization_id: Any, email: str) -> str:
    """The path of an invite."""
    token = new_token()
    with workspace.database.write() as db:
        db.add(
            Invite(
                organization_id=organization_id,
                email=email,
                role=Role.MEMBER,
                token_hash=hash_token(token),
                expires_at=ahead(days=1),
            )
        )
    return f"/invites/{token}"


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


def test_the_first_account_can_be_made_where_others_need_an_invite(invited_only: Workspace) -> None:
    assert invited_only.visitor().post("/register", FIRST).status_code == 303
    assert users(invited_only) == ["anna@example.org"]


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


def test_without_an_invite_nobody_registers_where_one_is_needed(invited_only: Workspace) -> None:
    organization = invited_only.organization(invited_only.person())
    visitor = invited_only.visitor()
    assert visitor.get("/register").status_code == 403
    assert visitor.post("/register", NEW).status_code == 403
    assert visitor.post("/register", {**NEW, "next": f"/invites/{new_token()}"}).status_code == 403
    assert "Make an account" not in visitor.get("/sign-in").text
    path = invite(invited_only, organization, "ben@example.org")
    with invited_only.database.write() as db:
        db.scalars(select(Invite)).one().revoked_at = now()
    assert visitor.post("/register", {**NEW, "next": path}).status_code == 403
    assert users(invited_only) == ["anna@example.org"]
    path = invite(invited_only, organization, "ben@example.org")
    assert visitor.post("/register", {**NEW, "next": path}).headers["location"] == path


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


def test_a_cookie_is_for_this_host_and_https(settings: Settings) -> None:
    for workspace in started(settings, public_url="https://testserver"):
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


# What people enter


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Anna@Example.ORG", "anna@example.org"),
        ("anna@intranet.local", "anna@intranet.local"),
        ("anna+x@example.org", "anna+x@example.org"),
        ("ANNA@exämple.org", "anna@exämple.org"),
    ],
)
def test_addresses_are_kept_in_one_form(given: str, kept: str) -> None:
    assert clean_email(given) == kept


@pytest.mark.parametrize(
    "given", ["", "anna", "@example.org", "a b@example.org", "anna@example.org\0", "a@[127.0.0.1]"]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="address"):
        clean_email(given)


def test_names_are_one_line_that_hides_nothing() -> None:
    assert clean_name("  Anna\r\n\0 \u202eMaria\ud800 ") == "Anna Maria"
    assert clean_name("Łukasz 李") == "Łukasz 李"


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
