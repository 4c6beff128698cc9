"""E-mail addresses: one form of each, by which it is stored, found, counted and recorded; and rows of before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from lifelearn.settings import Settings
from lifelearn.workspace import names
from lifelearn.workspace.accounts import service
from lifelearn.workspace.crypto import hash_password
from lifelearn.workspace.names import clean_email, forms_of_email, same_address
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import AuditEvent, Invite
from lifelearn.workspace.tables.throttles import Throttle
from lifelearn.workspace.throttle import Limit
from workspace.accounts import NEW, invite, sign_in, users, who
from workspace.fakes import BOTH, PASSWORD, Workspace, started

ANNA = "anna@example.org"
SPELLINGS = [
    ANNA,
    "ANNA@EXAMPLE.ORG",
    " Anna@Example.org\u00a0",
    "ａｎｎａ@example.org",
    "ａnna@example.org",
    "ANＮA@example.org",
    "anna@ｅｘａｍｐｌｅ.org",
    "anna@example．org",
    "anna@example。org",
    "anna＠example.org",
    "ＡＮＮＡ＠ＥＸＡＭＰＬＥ．ＯＲＧ",
    "𝐚𝐧𝐧𝐚@example.org",
    "ⓐⓝⓝⓐ@example.org",
    "aⁿna@example.org",
    "an\u200bna@example.org",
    "an\u00adna@example.org",
    "\ufeffanna@example.org",
    "anna@example.org\u200b",
    "\u202aanna@example.org\u202c",
    "an\u2060na@exa\u2060mple.org",
    "an\ufe0fna@example.org",
    "an\u034fna@example.org",
    "an\u3164na@example.org",
    "anna\U000e0061@example.org",
]
OLD = "ｂｅｎ@example.org"  # as an earlier release kept it


def add_user(workspace: Workspace, email: str) -> None:
    with workspace.database.write() as db:
        db.add(User(email=email, name="Somebody", password_hash=hash_password(PASSWORD)))


def counted(workspace: Workspace) -> int:
    with workspace.database.read() as db:
        return db.scalar(select(func.count()).select_from(Throttle)) or 0


# The one form


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_has_one_form(spelling: str) -> None:
    assert clean_email(spelling) == ANNA
    assert same_address(spelling, ANNA)


@pytest.mark.parametrize(
    ("spelling", "kept"),
    [
        ("anna@intranet.local", "anna@intranet.local"),
        ("anna+x@example.org", "anna+x@example.org"),
        ("a@EXÄMPLE.org", "a@exämple.org"),
        ("a@xn--exmple-cua.org", "a@exämple.org"),
        ("ﬁn@example.org", "fin@example.org"),
        ("A\u0308@example.org", "ä@example.org"),
        ("\u212a@example.org", "k@example.org"),
    ],
)
def test_other_letters(spelling: str, kept: str) -> None:
    assert clean_email(spelling) == kept


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße@example.org", "strasse@example.org"),
        ("anna@straße.example", "anna@strasse.example"),
        ("anna@example.org", "аnna@example.org"),  # the second begins with a Cyrillic letter
        ("anna@example.org", "anna@exаmple.org"),
        ("anna@example.org", "anna+x@example.org"),
        ("anna@example.org", "an.na@example.org"),
        ("ı@example.org", "i@example.org"),
    ],
)
def test_what_only_looks_alike_is_another_address(one: str, other: str) -> None:
    assert not same_address(one, other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "anna",
        "@example.org",
        "a b@example.org",
        "anna@example.org\0",
        "a@[127.0.0.1]",
        "an\u200dna@example.org",
        "anna@exam\u200cple.org",
        "\u200b",
        "a@b@example.org",
        "＠b",
    ],
)
def test_what_is_no_address(text: str) -> None:
    """Joiners tell words apart in some scripts, so they are not left out; Latin words have none."""
    with pytest.raises(ValueError, match="address"):
        clean_email(text)
    assert forms_of_email(text) == ()
    assert not same_address(text, text + "x")


LETTERS = st.one_of(
    st.sampled_from("aAßΣςIİıſKÅ\u0301\u0345\u200b\u034f\u3164\ufe0f…¨²ﬁ㎏＠﹫.ａ+Ⅷẞ"),
    st.characters(),
)


@hypothesis_settings(max_examples=300)
@given(st.text(LETTERS, min_size=1, max_size=8), st.text(LETTERS, max_size=3))
def test_the_one_form_is_final_and_whatever_finds_a_row_is_counted_as_that_row(local: str, inner: str) -> None:
    text = f"{local}@ex{inner}ample.org"
    forms = forms_of_email(text)
    assert len({clean_email(form) for form in forms}) <= 1
    for form in forms:
        assert clean_email(form) == clean_email(text)
    if forms:
        assert clean_email(clean_email(text)) == clean_email(text) == forms[-1]


# Counting


@BOTH
def test_many_spellings_are_guesses_at_one_account(workspace: Workspace) -> None:
    workspace.person()
    browser = workspace.visitor()
    assert browser.csrf
    statuses = [sign_in(browser, spelling, "wrong").status_code for spelling in SPELLINGS]
    assert statuses == [422] * 10 + [429] * (len(SPELLINGS) - 10)
    assert sign_in(browser).status_code == 429
    assert counted(workspace) == 3


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_signs_in(workspace: Workspace, spelling: str) -> None:
    workspace.person()
    browser = workspace.visitor()
    assert sign_in(browser, spelling).status_code == 303
    assert who(browser) == ANNA


def test_many_networks_guess_at_one_account(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SIGN_IN_ACCOUNT", Limit("sign-in account", 5, 3600))
    numbers = iter(range(100))
    monkeypatch.setattr(service, "address_of", lambda _request: f"192.0.2.{next(numbers)}")
    statuses = [sign_in(workspace.visitor(), spelling, "wrong").status_code for spelling in SPELLINGS[:8]]
    assert statuses == [422] * 5 + [429] * 3


def test_what_is_no_address_is_counted_for_the_network_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = workspace.visitor()
    statuses = [sign_in(browser, f"nobody {number}").status_code for number in range(11)]
    assert statuses == [422] * 10 + [429]
    assert counted(workspace) == 2
    monkeypatch.setattr(service, "address_of", lambda _request: "192.0.2.1")
    assert sign_in(browser, "nobody").status_code == 422


def test_a_network_fills_no_table(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it sends, it is stopped by its own count before more is counted."""
    for name in ("SIGN_IN_NETWORK", "REGISTER_NETWORK", "RESET_NETWORK"):
        monkeypatch.setattr(service, name, Limit(name, 4, 900))
    browser = workspace.visitor()
    workspace.person()
    for number in range(12):
        sign_in(browser, f"{'x' * number}{number}@example.org")
        browser.post("/register", {**NEW, "email": f"{number}@example.org"})
    assert counted(workspace) == (1 + 2 * 4) + (1 + 4)
    with workspace.database.read() as db:
        assert max(map(len, db.scalars(select(Throttle.key)))) < 60


@pytest.mark.settings(smtp_url="smtp://localhost")
@pytest.mark.parametrize("path", ["/register", "/forgotten-password"])
def test_mails_to_one_address_are_counted_in_every_spelling(
    workspace: Workspace, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr("lifelearn.workspace.mail.send", lambda _settings, **mail: sent.append(mail))
    monkeypatch.setattr(service, "REGISTER_EMAIL", Limit("register email", 3, 3600))
    workspace.person()
    form = NEW if path == "/register" else {}
    statuses = [workspace.visitor().post(path, {**form, "email": each}).status_code for each in SPELLINGS]
    assert statuses == [303] * 3 + [429] * (len(SPELLINGS) - 3)
    assert {mail["to"] for mail in sent} == {ANNA}
    assert len(sent) == 3


# Accounts and invites


def test_an_address_is_registered_once_in_all_spellings(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "REGISTER_EMAIL", Limit("register email", 100, 3600))
    workspace.person("eve@example.org")
    for spelling in SPELLINGS:
        assert workspace.visitor().post("/register", {**NEW, "email": spelling}).status_code == 303
    assert users(workspace) == [ANNA, "eve@example.org"]


@BOTH
def test_an_invite_is_for_an_address_in_every_spelling(workspace: Workspace) -> None:
    eve = workspace.person("eve@example.org")
    here = workspace.organization(eve)
    made = eve.post(f"/o/{here}/invites", {"email": SPELLINGS[10], "role": "member"})
    assert made.status_code == 200
    for spelling in SPELLINGS[:3]:
        again = eve.post(f"/o/{here}/invites", {"email": spelling, "role": "member"})
        assert (again.status_code, "There is an open invite" in again.text) == (422, True)
    with workspace.database.read() as db:
        assert db.scalars(select(Invite.email)).all() == [ANNA]
        assert db.scalars(select(AuditEvent.target).where(AuditEvent.action == "invite.created")).all() == [ANNA]
    path = made.text.split("http://testserver")[1].split("<")[0].split('"')[0]
    browser = workspace.visitor()
    answer = browser.post("/register", {**NEW, "email": "ＡＮＮＡ@example.org", "next": path})
    assert answer.headers["location"] == path
    assert browser.post(path).headers["location"] == f"/o/{here}"
    member = eve.post(f"/o/{here}/invites", {"email": "ａｎｎａ@example.org", "role": "member"})
    assert "is a member already" in member.text


@BOTH
def test_the_audit_log_is_asked_in_every_spelling(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    with workspace.database.write() as db:
        for actor, target in ((ANNA, "of anna"), (OLD, "of ben")):
            db.add(AuditEvent(organization_id=here, actor=actor, action="key.made", target=target))
    for spelling in SPELLINGS:
        page = anna.get(f"/o/{here}/audit", params={"person": spelling}).text
        assert "of anna" in page
        assert "of ben<" not in page
    assert "of ben<" in anna.get(f"/o/{here}/audit", params={"person": OLD}).text


# What earlier releases have kept


def test_rows_of_earlier_releases_differ() -> None:
    """They told these apart; a release that does not must still find both."""
    assert forms_of_email(OLD) == (OLD, "ben@example.org")
    assert forms_of_email("\u3164@example.org") == ("\u3164@example.org",)  # nothing would be left of it


@BOTH
@pytest.mark.parametrize(
    "email", [OLD, "be\u034fn@example.org", "be\u3164n@example.org", "a…b@example.org", "ﬁn@x.org"]
)
def test_an_account_of_an_earlier_release_signs_in(workspace: Workspace, email: str) -> None:
    add_user(workspace, email)
    browser = workspace.visitor()
    assert sign_in(browser, email.upper() if email == OLD else email).status_code == 303
    assert who(browser) == email


def test_two_accounts_of_an_earlier_release_stay_two(workspace: Workspace) -> None:
    for email in (OLD, "ben@example.org"):
        add_user(workspace, email)
    for email in (OLD, "ben@example.org"):
        browser = workspace.visitor()
        sign_in(browser, email)
        assert who(browser) == email


def test_an_account_of_an_earlier_release_is_not_made_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr("lifelearn.workspace.mail.send", lambda _settings, **mail: sent.append(mail))
    with started(settings) as workspace:
        add_user(workspace, OLD)
        answer = workspace.visitor().post("/register", {**NEW, "email": OLD})
        assert answer.headers["location"].endswith("notice=registered")
        assert users(workspace) == [OLD]
    with started(settings, smtp_url="smtp://localhost") as workspace:
        workspace.visitor().post("/register", {**NEW, "email": OLD})
        workspace.visitor().post("/forgotten-password", {"email": OLD})
    assert [mail["to"] for mail in sent] == [OLD, OLD]
    assert "It has an account already" in sent[0]["text"]
    assert "/reset-password/" in sent[1]["text"]


@BOTH
def test_an_invite_of_an_earlier_release_is_accepted(workspace: Workspace) -> None:
    eve = workspace.person("eve@example.org")
    here = workspace.organization(eve)
    path = invite(workspace, here, OLD)
    again = eve.post(f"/o/{here}/invites", {"email": OLD, "role": "member"})
    assert "There is an open invite" in again.text
    browser = workspace.visitor()
    assert browser.post("/register", {**NEW, "email": OLD, "next": path}).headers["location"] == path
    assert browser.post(path).headers["location"] == f"/o/{here}"


def test_unseen_letters_are_all_that_unicode_ignores() -> None:
    """A look at the ends of the ranges: nothing that can be seen is among them."""
    import unicodedata

    seen = [letter for letter in map(chr, range(0x110000)) if names._UNSEEN.fullmatch(letter)]
    assert {unicodedata.category(letter) for letter in seen} <= {"Cf", "Cn", "Lo", "Mn"}
    assert not {"\u200c", "\u200d"} & set(seen)
