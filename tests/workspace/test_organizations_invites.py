"""Invites: a link, for one address, once, never above the inviter's role."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from functools import partial

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from lifelearn.settings import Settings
from lifelearn.workspace.crypto import hash_token
from lifelearn.workspace.database import ago
from lifelearn.workspace.organizations import inviting, membership
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import AuditEvent, Invite, Membership
from workspace.fakes import BOTH, Browser, Workspace, started
from workspace.organizations import at_once, members_of, request_to, role_of
from workspace.smtp import MailServer

GONE = "This invite does not work."


def invited(by: Browser, here: uuid.UUID, email: str, role: str = "member") -> str:
    """The link's path, as it is shown to who invites."""
    return link_in(by.post(f"/o/{here}/invites", {"email": email, "role": role}))


def link_in(answer: object) -> str:
    text: str = answer.text  # type: ignore[attr-defined]
    links = re.findall(r"http://testserver(/invites/[\w-]+)", text)
    assert len(set(links)) == 1, text
    return str(links[0])


@BOTH
def test_somebody_joins_by_a_link(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna)
    link = invited(anna, here, " Bert@Example.org ", "admin")
    assert link not in anna.get(f"/o/{here}/members").text
    assert "bert@example.org" in anna.get(f"/o/{here}/members").text
    with workspace.database.read() as db:
        kept = db.scalars(select(Invite)).one()
        token = link.removeprefix("/invites/")
        assert kept.token_hash == hash_token(token)
        assert token not in str(vars(kept))
    page = bert.get(link).text
    assert "Acme" in page
    assert "admin" in page
    answer = bert.post(link)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/o/{here}"
    assert role_of(workspace, here, bert) == "admin"
    assert bert.get(f"/o/{here}/members").status_code == 200
    with workspace.database.read() as db:
        actions = list(db.scalars(select(AuditEvent.action).order_by(AuditEvent.created_at)))
        assert actions == ["invite.created", "member.joined"]


def test_who_looks_at_an_invite(workspace: Workspace) -> None:
    """A visitor is led to sign in and back; another account is not told for whom the invite is."""
    anna, eve = workspace.person("anna@example.org"), workspace.person("eve@example.org")
    here = workspace.organization(anna, "A<b>cme")
    link = invited(anna, here, "bert@example.org")
    visitor = workspace.visitor()
    page = visitor.get(link).text
    assert f"/sign-in?next={link}" in page
    assert f"/register?next={link}" in page
    assert "A&lt;b&gt;cme" in page
    assert "bert" not in page
    assert visitor.post(link).status_code == 401
    page = eve.get(link).text
    assert "another address" in page
    assert "bert" not in page
    assert f'action="{link}"' not in page
    refused = eve.post(link)
    assert refused.status_code == 403
    assert "bert" not in refused.text
    assert role_of(workspace, here, eve) is None
    bert = workspace.person("bert@example.org")
    assert bert.post(link, {"csrf": "wrong"}).status_code == 403
    for more in ({"role": "owner"}, {"email": "eve@example.org"}, {"organization_id": str(uuid.uuid4())}):
        assert bert.post(link, more).status_code == 422
    assert role_of(workspace, here, bert) is None
    assert bert.post(link).status_code == 303
    assert role_of(workspace, here, bert) == "member"


@BOTH
def test_links_that_do_not_work_look_alike(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna)

    used = invited(anna, here, "bert@example.org")
    assert bert.post(used).status_code == 303
    anna.post(f"/o/{here}/members/{bert.user_id}/remove")
    revoked = invited(anna, here, "bert@example.org")
    with workspace.database.read() as db:
        revoked_id = inviting.open_invites(db, here)[0].id
    assert anna.post(f"/o/{here}/invites/{revoked_id}/revoke").status_code == 303
    replaced = invited(anna, here, "bert@example.org")
    with workspace.database.read() as db:
        replaced_id = inviting.open_invites(db, here)[0].id
    expired = link_in(anna.post(f"/o/{here}/invites/{replaced_id}/resend"))
    with workspace.database.write() as db:
        token = hash_token(expired.removeprefix("/invites/"))
        db.execute(update(Invite).where(Invite.token_hash == token).values(expires_at=ago(seconds=1)))

    pages = set()
    for link in (used, revoked, replaced, expired, "/invites/nonsense", "/invites/%00"):
        for person in (bert, workspace.visitor()):
            answer = person.get(link)
            assert answer.status_code == 404
            assert GONE in answer.text
        pages.add(re.sub("csrf.*", "", bert.get(link).text))
        assert bert.post(link).status_code == 404
    assert len(pages) == 1
    assert bert.get("/invites/" + "x" * 201).status_code == 404
    assert role_of(workspace, here, bert) is None
    assert anna.post(f"/o/{here}/invites/{replaced_id}/resend").status_code == 404
    assert anna.post(f"/o/{here}/invites/{revoked_id}/revoke").status_code == 404


@BOTH
def test_a_link_works_once_even_at_the_same_moment(workspace: Workspace) -> None:
    anna = workspace.person("anna@example.org")
    here = workspace.organization(anna)
    for attempt in range(4):
        first, second = (workspace.person(f"bert{attempt}@example.org") for _ in range(2))
        link = invited(anna, here, first.email)
        statuses = [each.status_code for each in at_once(partial(first.post, link), partial(second.post, link))]
        assert sorted(statuses) == [303, 404]
    assert len(members_of(workspace, here)) == 5


@BOTH
def test_an_account_that_is_being_deleted_joins_nothing(workspace: Workspace) -> None:
    """Else the new member would count as an owner for a moment, and take the last place of one along."""
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna)
    link = invited(anna, here, bert.email, "owner")
    statuses: list[int] = []
    joining = threading.Thread(target=lambda: statuses.append(bert.post(link).status_code))
    with workspace.database.write() as db:
        user = db.get(User, bert.user_id)
        assert user is not None
        membership.leave_all(db, request_to(workspace), user)
        joining.start()
        joining.join(0.5)
        assert statuses == []
        db.delete(user)
    joining.join()
    assert statuses == [401]
    assert members_of(workspace, here) == {anna.user_id: "owner"}


@BOTH
def test_one_open_invite_for_an_address(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna, member=[bert])
    statuses = [
        each.status_code
        for each in at_once(
            *(partial(anna.post, f"/o/{here}/invites", {"email": e, "role": "member"}) for e in ("x@y.org", "X@y.org"))
        )
    ]
    assert sorted(statuses) == [200, 422]
    again = anna.post(f"/o/{here}/invites", {"email": "x@y.org", "role": "admin"})
    assert again.status_code == 422
    assert "There is an open invite" in again.text
    assert 'value="x@y.org"' in again.text
    member = anna.post(f"/o/{here}/invites", {"email": "bert@example.org", "role": "admin"})
    assert member.status_code == 422
    assert "a member already" in member.text
    with workspace.database.write() as db:
        db.execute(update(Invite).values(expires_at=ago(seconds=1)))
    assert anna.post(f"/o/{here}/invites", {"email": "x@y.org", "role": "member"}).status_code == 200


@BOTH
def test_what_is_no_address_is_not_invited(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    for email in (
        "",
        "anna",
        "a@",
        "a b@example.org",
        "a@b@example.org",
        "x@y.org, z@y.org",
        "a@x.org\r\nBcc: b@x.org",
        "a\x00@example.org",
        "x" * 250 + "@example.org",
        "<script>@example.org",
    ):
        answer = anna.post(f"/o/{here}/invites", {"email": email, "role": "member"})
        assert answer.status_code == 422, email
        assert 'aria-invalid="true"' in answer.text
        assert "<script>@" not in answer.text
    with workspace.database.read() as db:
        assert db.scalars(select(Invite)).all() == []


def test_nobody_invites_above_the_own_role(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna, admin=[bert])
    assert bert.post(f"/o/{here}/invites", {"email": "x@y.org", "role": "owner"}).status_code == 403
    assert bert.post(f"/o/{here}/invites", {"email": "x@y.org", "role": "king"}).status_code == 422
    assert 'value="owner"' not in bert.get(f"/o/{here}/members").text
    invited(bert, here, "x@y.org", "admin")
    invited(anna, here, "z@y.org", "owner")
    with workspace.database.read() as db:
        of_owner = next(each for each in inviting.open_invites(db, here) if each.role == "owner").id
    assert bert.post(f"/o/{here}/invites/{of_owner}/resend").status_code == 403


@BOTH
def test_invites_end_with_the_role_that_made_them(workspace: Workspace) -> None:
    """Else somebody could prepare a way back before being demoted or removed."""
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    x, y = workspace.person("x@y.org"), workspace.person("y@y.org")
    here = workspace.organization(anna, admin=[bert])
    anna.post(f"/o/{here}/members/{bert.user_id}/role", {"role": "owner"})
    links = {role: invited(bert, here, f"{name}@y.org", role) for name, role in (("x", "admin"), ("y", "owner"))}
    of_anna = invited(anna, here, "z@y.org", "owner")
    anna.post(f"/o/{here}/members/{bert.user_id}/role", {"role": "admin"})
    assert y.post(links["owner"]).status_code == 404
    assert x.get(links["admin"]).status_code == 200
    anna.post(f"/o/{here}/members/{bert.user_id}/role", {"role": "member"})
    assert x.post(links["admin"]).status_code == 404
    assert workspace.person("z@y.org").post(of_anna).status_code == 303


def test_a_member_who_accepts_stays_what_they_are(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna)
    link = invited(anna, here, "bert@example.org", "owner")
    with workspace.database.write() as db:
        db.add(Membership(organization_id=here, user_id=bert.user_id, role="member"))
    assert "member of Acme already" in bert.get(link).text
    assert bert.post(link).status_code == 303
    assert role_of(workspace, here, bert) == "member"


@BOTH
def test_invites_are_throttled(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """New links count too, and another organisation of the same person's does not help."""
    monkeypatch.setattr(inviting, "INVITES_AN_HOUR", 3)
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here, other, of_bert = (workspace.organization(who, name) for who, name in ((anna, "A"), (anna, "B"), (bert, "C")))
    invited(anna, here, "a@y.org")
    with workspace.database.read() as db:
        invite = inviting.open_invites(db, here)[0].id
    link = link_in(anna.post(f"/o/{here}/invites/{invite}/resend"))
    invited(anna, other, "a@y.org")
    refused = anna.post(f"/o/{here}/invites", {"email": "b@y.org", "role": "member"})
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "3600"
    with workspace.database.read() as db:
        newest = inviting.open_invites(db, here)[0].id
    assert anna.post(f"/o/{here}/invites/{newest}/resend").status_code == 429
    assert workspace.visitor().get(link).status_code == 200  # what was refused left the old link as it was
    invited(bert, of_bert, "b@y.org")
    with workspace.database.write() as db:
        db.execute(update(Invite).values(created_at=ago(hours=2)))
    invited(anna, here, "b@y.org")


# By mail


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def mailing(settings: Settings, mail_server: MailServer) -> Iterator[Workspace]:
    """A workspace that sends mail."""
    with started(settings.model_copy(update={"smtp_url": SecretStr(mail_server.url)})) as found:
        yield found


def test_an_invite_is_mailed(mailing: Workspace, mail_server: MailServer) -> None:
    anna, bert = mailing.person("anna@example.org", "Anna\r\nBcc: eve@example.org"), mailing.person("bert@example.org")
    here = mailing.organization(anna, "Acme\r\nBcc: eve@example.org")
    answer = anna.post(f"/o/{here}/invites", {"email": "bert@example.org", "role": "member"})
    assert answer.status_code == 303
    assert "on its way" in anna.get(answer.headers["location"]).text
    received = mail_server.received[0]
    assert received.recipients == ["bert@example.org"]
    assert received.message["Bcc"] is None
    link = link_in(received)
    assert bert.post(link).status_code == 303


@BOTH
def test_the_database_does_not_wait_for_the_mail_server(mailing: Workspace, mail_server: MailServer) -> None:
    anna, bert = mailing.person("anna@example.org"), mailing.person("bert@example.org")
    here = mailing.organization(anna)
    during: list[int] = []
    mail_server.meanwhile = lambda: during.append(bert.post("/organizations/new", {"name": "B"}).status_code)
    assert anna.post(f"/o/{here}/invites", {"email": "x@y.org", "role": "member"}).status_code == 303
    assert during == [303]


def test_an_invite_that_cannot_be_mailed_is_shown(mailing: Workspace, mail_server: MailServer) -> None:
    mail_server.refuses = b"RCPT"
    anna = mailing.person()
    here = mailing.organization(anna)
    answer = anna.post(f"/o/{here}/invites", {"email": "x@y.org", "role": "member"})
    assert answer.status_code == 200
    assert "could not be sent" in answer.text
    assert "does not take mail for that address" in answer.text
    assert mailing.person("x@y.org").post(link_in(answer)).status_code == 303
