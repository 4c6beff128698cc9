"""One's own account: what can be changed there, by whom, and what asks for the password."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from lifelearn.settings import Settings
from lifelearn.workspace.crypto import new_token, password_is
from lifelearn.workspace.database import ago, ahead
from lifelearn.workspace.errors import UnavailableError
from lifelearn.workspace.tables.accounts import PasswordReset, SignIn, User
from lifelearn.workspace.tables.organizations import Membership, Organization
from workspace.accounts import invite, sign_in, users, who
from workspace.fakes import BOTH, PASSWORD, Browser, Workspace, started

NEW = "a very different passphrase"
PAGES = ["/account", "/account/password", "/account/second-factor", "/account/delete"]
CHANGES = [
    "/account",
    "/account/password",
    "/account/second-factor",
    "/account/second-factor/codes",
    "/account/second-factor/off",
    "/account/delete",
    "/account/sign-ins/end-others",
    "/account/sign-ins/8e5a3d5c-6a1a-4a6e-9d5e-0d7a3c6f0b11/end",
]


def user_of(workspace: Workspace, browser: Browser) -> User:
    with workspace.database.read() as db:
        return db.get_one(User, browser.user_id)


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_for_who_is_signed_in(workspace: Workspace, path: str) -> None:
    assert workspace.visitor().get(path).headers["location"] == f"/sign-in?next={path}"
    assert workspace.person().get(path).status_code == 200


@pytest.mark.parametrize("path", CHANGES)
def test_changes_need_a_sign_in_and_the_token(workspace: Workspace, path: str) -> None:
    assert workspace.visitor().post(path).status_code == 401
    anna = workspace.person()
    assert anna.client.post(path, data={"password": PASSWORD}).status_code == 403
    assert anna.client.post(path, data={"csrf": workspace.person().csrf}).status_code == 403


@pytest.mark.parametrize("path", CHANGES[:-2])
def test_forms_hold_what_they_have_and_nothing_without_end(workspace: Workspace, path: str) -> None:
    anna = workspace.person()
    assert anna.post(path, {"email": "eve@example.org"}).status_code == 422
    assert anna.post(path, {"name": "Eve", "password_hash": "x"}).status_code == 422
    field = "name" if path == "/account" else "password"
    assert anna.post(path, {field: "x" * 5000}).status_code == 422
    user = user_of(workspace, anna)
    assert (user.email, user.name) == ("anna@example.org", "Anna")


# Name and colours


@BOTH
def test_name_and_colours(workspace: Workspace) -> None:
    anna = workspace.person()
    assert 'data-theme="' not in anna.get("/account").text
    assert anna.post("/account", {"name": " Anna  Maria ", "theme": "dark"}).headers["location"].endswith("saved")
    page = anna.get("/account").text
    assert 'data-theme="dark"' in page
    assert 'value="Anna Maria"' in page
    wrong = anna.post("/account", {"name": "", "theme": "light"})
    assert wrong.status_code == 422
    assert "Enter a name." in wrong.text
    assert anna.post("/account", {"name": "Anna", "theme": '"><script>'}).status_code == 422
    assert user_of(workspace, anna).theme == "dark"


def test_a_name_is_shown_as_text(workspace: Workspace) -> None:
    anna = workspace.person()
    anna.post("/account", {"name": '"><script>alert(1)</script>', "theme": "auto"})
    assert "<script>alert" not in anna.get("/account").text


# Sign-ins


@BOTH
def test_where_one_is_signed_in(workspace: Workspace) -> None:
    anna = workspace.person()
    phone = workspace.visitor()
    phone.client.headers["user-agent"] = "Mozilla/5.0 (Android 16; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"
    sign_in(phone)
    page = anna.get("/account").text
    assert page.count("this one") == 1
    assert "Firefox on Android" in page
    with workspace.database.read() as db:
        row = db.scalars(select(SignIn).where(SignIn.browser == "Firefox on Android")).one()
    assert anna.post(f"/account/sign-ins/{row.id}/end").headers["location"].endswith("signed-out-there")
    assert who(phone) == ""
    assert who(anna) == "anna@example.org"


def test_the_sign_in_in_use_can_be_ended_too(workspace: Workspace) -> None:
    anna = workspace.person()
    with workspace.database.read() as db:
        row = db.scalars(select(SignIn)).one()
    assert anna.post(f"/account/sign-ins/{row.id}/end").headers["location"] == "/sign-in?notice=signed-out"
    assert who(anna) == ""


def test_anothers_sign_in_is_not_there(workspace: Workspace) -> None:
    anna, ben = workspace.person(), workspace.person("ben@example.org")
    with workspace.database.read() as db:
        row = db.scalars(select(SignIn).where(SignIn.user_id == ben.user_id)).one()
    assert anna.post(f"/account/sign-ins/{row.id}/end").status_code == 404
    assert who(ben) == "ben@example.org"


@BOTH
def test_signing_out_everywhere_else(workspace: Workspace) -> None:
    anna, phone, ben = workspace.person(), workspace.person(), workspace.person("ben@example.org")
    anna.post("/account/sign-ins/end-others")
    assert (who(anna), who(phone), who(ben)) == ("anna@example.org", "", "ben@example.org")


# Password


@BOTH
def test_changing_the_password_ends_all_other_sign_ins(workspace: Workspace) -> None:
    anna, phone = workspace.person(), workspace.person()
    before = anna.client.cookies[workspace.pages.cookie]
    with workspace.database.write() as db:
        db.add(PasswordReset(user_id=anna.user_id, token_hash=new_token(), expires_at=ahead(hours=1)))
    answer = anna.post("/account/password", {"password": PASSWORD, "new": NEW})
    assert answer.headers["location"] == "/account?notice=password"
    assert (who(anna), who(phone), who(Browser(workspace, before))) == ("anna@example.org", "", "")
    assert sign_in(workspace.visitor()).status_code == 422
    assert sign_in(workspace.visitor(), password=NEW).status_code == 303
    with workspace.database.read() as db:
        assert db.scalars(select(PasswordReset)).all() == []


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"password": "wrong", "new": NEW}, "not your password"),
        ({"new": NEW}, "not your password"),
        ({"password": PASSWORD, "new": "short"}, "at least 10"),
        ({"password": PASSWORD, "new": "anna@example.org"}, "name or address"),
    ],
)
def test_a_password_is_changed_by_who_knows_it(workspace: Workspace, form: dict[str, str], told: str) -> None:
    anna, phone = workspace.person(), workspace.person()
    answer = anna.post("/account/password", form)
    assert answer.status_code == 422
    assert told in answer.text
    assert password_is(PASSWORD, user_of(workspace, anna).password_hash)
    assert who(phone) == "anna@example.org"


def test_guessing_the_present_password_is_throttled(workspace: Workspace) -> None:
    """Over all pages that ask for it together."""
    anna = workspace.person()
    paths = ["/account/password", "/account/delete"] * 5
    assert [anna.post(path, {"password": "wrong"}).status_code for path in paths] == [422] * 10
    assert anna.post("/account/delete", {"password": PASSWORD}).status_code == 429
    assert users(workspace) == ["anna@example.org"]


# The end


@BOTH
def test_deleting_an_account(workspace: Workspace) -> None:
    anna, phone, ben = workspace.person(), workspace.person(), workspace.person("ben@example.org")
    alone = workspace.organization(anna, "Alone")
    shared = workspace.organization(ben, "Shared", member=[anna])
    page = anna.get("/account/delete").text
    assert "Alone" in page
    assert "Shared" not in page
    answer = anna.post("/account/delete", {"password": PASSWORD})
    assert answer.headers["location"] == "/sign-in?notice=account-deleted"
    assert (who(anna), who(phone), users(workspace)) == ("", "", ["ben@example.org"])
    assert sign_in(workspace.visitor()).status_code == 422
    with workspace.database.read() as db:
        assert db.get(Organization, alone) is None
        assert db.scalars(select(Membership)).one().organization_id == shared
        assert db.scalars(select(SignIn.user_id)).all() == [ben.user_id]


@BOTH
def test_who_others_depend_on_stays(workspace: Workspace) -> None:
    """And nothing is half deleted: what would have gone before is still there."""
    anna, ben = workspace.person(), workspace.person("ben@example.org")
    workspace.organization(anna, "Alone")
    workspace.organization(anna, "Zoo & Co", member=[ben])
    answer = anna.post("/account/delete", {"password": PASSWORD})
    assert answer.status_code == 409
    assert "Zoo &amp; Co" in answer.text
    assert who(anna) == "anna@example.org"
    with workspace.database.read() as db:
        assert sorted(db.scalars(select(Organization.name))) == ["Alone", "Zoo & Co"]


def test_deleting_asks_for_the_password(workspace: Workspace) -> None:
    anna = workspace.person()
    for form in ({}, {"password": "wrong"}):
        assert anna.post("/account/delete", form).status_code == 422
    assert users(workspace) == ["anna@example.org"]


# By mail


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The mails. Each is sent when the database is free, and by then what it tells of is kept."""
    mails_sent: list[dict[str, str]] = []

    def send(settings: Settings, **mail: str) -> None:
        with running_now[0].database.write() as db:
            db.execute(select(User.id)).all()
        mails_sent.append(mail)

    monkeypatch.setattr("lifelearn.workspace.mail.send", send)
    return mails_sent


running_now: list[Workspace] = []


@pytest.fixture
def mailing(settings: Settings) -> Iterator[Workspace]:
    with started(settings, smtp_url="smtp://localhost") as workspace:
        running_now[:] = [workspace]
        yield workspace


def link(mail: dict[str, str], path: str) -> str:
    found = next(line for line in mail["text"].splitlines() if line.startswith(f"http://testserver{path}"))
    return found.removeprefix("http://testserver")


def test_without_a_mail_server_no_password_is_reset(workspace: Workspace) -> None:
    visitor = workspace.visitor()
    assert "/forgotten-password" not in visitor.get("/sign-in").text
    assert visitor.get("/forgotten-password").status_code == 404
    assert visitor.post("/forgotten-password", {"email": "anna@example.org"}).status_code == 404


@BOTH
def test_a_forgotten_password_is_replaced(mailing: Workspace, sent: list[dict[str, str]]) -> None:
    anna = mailing.person()
    browser = mailing.visitor()
    assert "/forgotten-password" in browser.get("/sign-in").text
    for _ in range(2):
        answer = browser.post("/forgotten-password", {"email": "Anna@example.org"}, headers={"Host": "localhost"})
        assert answer.headers["location"] == "/sign-in?notice=reset-sent"
    assert [mail["to"] for mail in sent] == ["anna@example.org"] * 2
    paths = [link(mail, "/reset-password/") for mail in sent]
    assert "anna@example.org" in browser.get(paths[0]).text
    weak = browser.post(paths[0], {"password": "password123"})
    assert weak.status_code == 422
    assert "first that would be tried" in weak.text
    assert browser.post(paths[0], {"password": NEW}).headers["location"] == "/sign-in?notice=password-reset"
    assert who(anna) == ""
    assert who(browser) == ""  # it does not sign in by itself
    assert sign_in(browser, password=NEW).status_code == 303
    for path in paths:  # used up, and the other with it
        assert browser.get(path).status_code == 404
        assert browser.post(path, {"password": "another passphrase!"}).status_code == 404
    assert "replaced" in sent[-1]["text"]


def test_a_reset_link_ends(mailing: Workspace, sent: list[dict[str, str]]) -> None:
    mailing.person()
    browser = mailing.visitor()
    browser.post("/forgotten-password", {"email": "anna@example.org"})
    with mailing.database.write() as db:
        row = db.scalars(select(PasswordReset)).one()
        assert ahead(minutes=59) < row.expires_at < ahead(minutes=61)
        row.expires_at = ago(seconds=1)
    path = link(sent[0], "/reset-password/")
    assert browser.get(path).status_code == 404
    assert browser.post(path, {"password": NEW}).status_code == 404
    assert sign_in(browser).status_code == 303


def test_a_reset_tells_nobody_who_has_an_account(mailing: Workspace, sent: list[dict[str, str]]) -> None:
    mailing.person()
    browser = mailing.visitor()
    answers = [
        browser.post("/forgotten-password", {"email": email}) for email in ("anna@example.org", "nobody@example.org")
    ]
    assert {(answer.status_code, answer.headers["location"], answer.text) for answer in answers} == {
        (303, "/sign-in?notice=reset-sent", "")
    }
    assert [mail["to"] for mail in sent] == ["anna@example.org"]
    for email in ("anna@example.org", "nobody@example.org"):
        statuses = [browser.post("/forgotten-password", {"email": email}).status_code for _ in range(3)]
        assert statuses == [303, 303, 429]


def test_a_mail_that_cannot_be_sent_tells_nothing(mailing: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: Any, **_more: Any) -> None:
        raise UnavailableError("no")

    monkeypatch.setattr("lifelearn.workspace.mail.send", fails)
    mailing.person()
    assert mailing.visitor().post("/forgotten-password", {"email": "anna@example.org"}).status_code == 303


@BOTH
def test_with_a_mail_server_the_mailbox_completes_a_registration(
    mailing: Workspace, sent: list[dict[str, str]]
) -> None:
    mailing.person()
    browser = mailing.visitor()
    form = {"email": "ben@example.org", "name": "Ben", "password": NEW, "next": "/account"}
    answers = [browser.post("/register", form), browser.post("/register", {**form, "email": "anna@example.org"})]
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {
        (303, "/sign-in?next=/account&notice=confirm-sent")
    }
    assert users(mailing) == ["anna@example.org"]
    assert [mail["to"] for mail in sent] == ["ben@example.org", "anna@example.org"]
    assert "/register/" not in sent[1]["text"]
    assert "Ben" not in sent[0]["text"]
    path = link(sent[0], "/register/")
    mailbox = mailing.visitor()
    assert "ben@example.org" in mailbox.get(path).text
    assert users(mailing) == ["anna@example.org"]  # a program that follows links in mails makes no account
    wrong = mailbox.post(path, {"password": PASSWORD})  # an account that somebody else began is not taken over
    assert wrong.status_code == 422
    assert users(mailing) == ["anna@example.org"]
    assert mailbox.post(path, {"password": NEW}).headers["location"] == "/account"
    assert who(mailbox) == "ben@example.org"
    again = mailing.visitor().post(path, {"password": NEW})
    assert again.headers["location"] == "/sign-in?next=/account&notice=registered"
    assert mailbox.get("/register/nonsense").status_code == 404
    assert mailbox.get(f"/register/{mailing.pages.keys.seal('{}')}").status_code == 404


def test_an_invite_needs_no_further_mail(mailing: Workspace, sent: list[dict[str, str]]) -> None:
    path = invite(mailing, mailing.organization(mailing.person()), "ben@example.org")
    browser = mailing.visitor()
    form = {"email": "ben@example.org", "name": "Ben", "password": NEW, "next": path}
    assert browser.post("/register", form).headers["location"] == path
    assert sent == []


def test_a_changed_password_is_told_by_mail(mailing: Workspace, sent: list[dict[str, str]]) -> None:
    anna = mailing.person()
    anna.post("/account/password", {"password": PASSWORD, "new": NEW})
    assert [mail["to"] for mail in sent] == ["anna@example.org"]
    assert "was changed" in sent[0]["text"]
    assert NEW not in str(sent)
