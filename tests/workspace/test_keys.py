"""API keys: made, shown once, listed, revoked; and when a key stops working."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from lifelearn.workspace.crypto import hash_token
from lifelearn.workspace.database import ahead, now
from lifelearn.workspace.programs import caller, keys
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import AuditEvent, Membership, Organization, Role
from lifelearn.workspace.tables.programs import ApiKey
from workspace.fakes import BOTH, POSTGRESQL, Browser, Workspace
from workspace.programs import bearer, key_of

FORM = {"name": "Nightly report", "scopes": ["chat", "read"], "expiry": "90"}
TOKEN = re.compile(r"ll_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")


def status(workspace: Workspace, token: str, path: str = "/v1/models") -> int:
    answer: int = workspace.visitor().get(path, headers=bearer(token)).status_code
    return answer


def page(browser: Browser, organization_id: uuid.UUID) -> str:
    answer = browser.get(f"/o/{organization_id}/keys")
    assert answer.status_code == 200
    text: str = answer.text
    return text


@BOTH
def test_a_key_is_shown_once_and_works(workspace: Workspace) -> None:
    anna = workspace.person()
    acme = workspace.organization(anna)
    assert "You have no keys here yet." in page(anna, acme)
    answer = anna.post(f"/o/{acme}/keys", FORM)
    assert answer.status_code == 201
    (token,) = set(TOKEN.findall(answer.text))
    assert len(token) == 46
    assert 'data-copy="#new-key"' in answer.text
    with workspace.database.read() as db:
        key = db.scalars(select(ApiKey)).one()
        assert key.token_hash == hash_token(token)
        assert (key.name, key.start, key.scopes) == ("Nightly report", token[:8], ["chat", "read"])
        assert key.last_used_at is None
        assert key.expires_at is not None
        assert abs(key.expires_at - ahead(days=90)) < timedelta(minutes=1)
        event = db.scalars(select(AuditEvent)).one()
        assert (event.action, event.target, event.actor) == ("key.created", "Nightly report", anna.email)
        assert token not in str(event.details)
    listed = page(anna, acme)
    assert token not in listed
    assert token[:8] in listed
    assert "not yet" in listed
    assert status(workspace, token) == 200
    assert "not yet" not in page(anna, acme)


@BOTH
def test_the_last_use_is_kept_to_the_minute(workspace: Workspace) -> None:
    anna = workspace.person()
    before = now() - timedelta(seconds=30)
    recent, token = key_of(workspace, anna, workspace.organization(anna), last_used_at=before)
    assert status(workspace, token) == 200
    with workspace.database.write() as db:
        key = db.get_one(ApiKey, recent)
        assert key.last_used_at == before  # a minute has not passed
        key.last_used_at = before - timedelta(seconds=31)
    assert status(workspace, token) == 200
    with workspace.database.read() as db:
        used = db.get_one(ApiKey, recent).last_used_at
        assert used is not None
        assert used > before


@pytest.mark.parametrize(("expiry", "days"), [("30", 30), ("365", 365), ("never", None)])
def test_expiry_is_chosen(workspace: Workspace, expiry: str, days: int | None) -> None:
    anna = workspace.person()
    assert anna.post(f"/o/{workspace.organization(anna)}/keys", {**FORM, "expiry": expiry}).status_code == 201
    with workspace.database.read() as db:
        at = db.scalars(select(ApiKey.expires_at)).one()
        assert at is None if days is None else at is not None and abs(at - ahead(days=days)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "  "}, "Enter a name."),
        ({"name": "x" * 81}, "at most 80 characters"),
        ({"scopes": []}, "Choose at least one."),
        ({"scopes": ["root"]}, "Choose among these."),
        ({"expiry": "99999"}, "Choose one of these."),
    ],
)
def test_a_form_with_mistakes_is_shown_again(workspace: Workspace, wrong: dict[str, Any], said: str) -> None:
    anna = workspace.person()
    answer = anna.post(f"/o/{workspace.organization(anna)}/keys", {**FORM, **wrong})
    assert answer.status_code == 422
    assert said in answer.text
    assert TOKEN.search(answer.text) is None
    if "name" not in wrong:
        assert 'value="Nightly report"' in answer.text
    with workspace.database.read() as db:
        assert db.scalars(select(ApiKey)).all() == []


@pytest.mark.parametrize(
    "more", [{"user_id": str(uuid.uuid4())}, {"token_hash": "0" * 64}, {"name": "x" * 1001}, {"scopes": ["chat"] * 11}]
)
def test_what_the_form_does_not_have_is_refused(workspace: Workspace, more: dict[str, Any]) -> None:
    anna = workspace.person()
    assert anna.post(f"/o/{workspace.organization(anna)}/keys", {**FORM, **more}).status_code == 422


def test_a_name_cannot_bring_markup(workspace: Workspace) -> None:
    anna = workspace.person()
    acme = workspace.organization(anna)
    anna.post(f"/o/{acme}/keys", {**FORM, "name": "<img src=x onerror=alert(1)>\"'"})
    assert "<img" not in page(anna, acme)


@pytest.mark.parametrize(("role", "expected"), [("member", 403), ("admin", 201), ("owner", 201)])
def test_only_admins_grant_the_scope_admin(workspace: Workspace, role: str, expected: int) -> None:
    anna, bert = workspace.person(), workspace.person("bert@example.org")
    acme = workspace.organization(anna, member=[bert])
    with workspace.database.write() as db:
        db.execute(update(Membership).where(Membership.user_id == bert.user_id).values(role=role))
    assert bert.post(f"/o/{acme}/keys", {**FORM, "scopes": ["admin"]}).status_code == expected
    assert ('value="admin"' in page(bert, acme)) == (role != "member")


@BOTH
def test_working_keys_are_limited(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST_KEYS", 2)
    anna, bert = workspace.person(), workspace.person("bert@example.org")
    acme = workspace.organization(anna, member=[bert])
    first, _token = key_of(workspace, anna, acme)
    key_of(workspace, anna, acme, expires_at=now())  # does not count
    assert anna.post(f"/o/{acme}/keys", FORM).status_code == 201
    answer = anna.post(f"/o/{acme}/keys", FORM)
    assert answer.status_code == 409
    assert "You have 2 keys here" in answer.text
    assert bert.post(f"/o/{acme}/keys", FORM).status_code == 201
    anna.post(f"/o/{acme}/keys/{first}/revoke")
    assert anna.post(f"/o/{acme}/keys", FORM).status_code == 201


@BOTH
def test_a_revoked_key_is_dead_at_once(workspace: Workspace) -> None:
    anna = workspace.person()
    acme = workspace.organization(anna)
    key_id, token = key_of(workspace, anna, acme)
    assert status(workspace, token) == 200
    answer = anna.post(f"/o/{acme}/keys/{key_id}/revoke")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/o/{acme}/keys?notice=revoked")
    assert status(workspace, token) == 401
    assert "revoked" in page(anna, acme)
    assert anna.post(f"/o/{acme}/keys/{key_id}/revoke").status_code == 303  # again: nothing happens
    with workspace.database.read() as db:
        assert db.scalars(select(AuditEvent.action)).all() == ["key.revoked"]


def test_who_sees_and_revokes_whose_keys(workspace: Workspace) -> None:
    anna = workspace.person()
    bert, carl = workspace.person("bert@example.org"), workspace.person("carl@example.org")
    acme = workspace.organization(anna, admin=[bert], member=[carl])
    annas, _ = key_of(workspace, anna, acme)
    berts, _ = key_of(workspace, bert, acme)
    carls, carls_token = key_of(workspace, carl, acme)
    assert str(annas) not in page(carl, acme)
    assert "anna@example.org" not in page(carl, acme)
    assert str(carls) in page(carl, acme)
    for theirs in (annas, berts):
        assert carl.post(f"/o/{acme}/keys/{theirs}/revoke").status_code == 404
    for each in (annas, berts, carls):
        assert str(each) in page(bert, acme)
        assert str(each) in page(anna, acme)
    assert status(workspace, carls_token) == 200
    assert bert.post(f"/o/{acme}/keys/{carls}/revoke").status_code == 303
    assert status(workspace, carls_token) == 401
    assert bert.post(f"/o/{acme}/keys/{annas}/revoke").status_code == 303


def test_keys_of_another_organisation_are_not_there(workspace: Workspace) -> None:
    anna, eve = workspace.person(), workspace.person("eve@example.org")
    acme, other = workspace.organization(anna), workspace.organization(eve, "Other")
    key_id, token = key_of(workspace, anna, acme)
    assert eve.get(f"/o/{acme}/keys").status_code == 404
    assert eve.post(f"/o/{acme}/keys", FORM).status_code == 404
    assert eve.post(f"/o/{acme}/keys/{key_id}/revoke").status_code == 404
    assert eve.post(f"/o/{other}/keys/{key_id}/revoke").status_code == 404  # under her own organisation neither
    assert str(key_id) not in page(eve, other)
    assert status(workspace, token) == 200


def test_signed_out_and_without_the_forms_token(workspace: Workspace) -> None:
    anna = workspace.person()
    acme = workspace.organization(anna)
    key_id, _ = key_of(workspace, anna, acme)
    assert workspace.visitor().get(f"/o/{acme}/keys").headers["location"].startswith("/sign-in")
    for path in (f"/o/{acme}/keys", f"/o/{acme}/keys/{key_id}/revoke"):
        assert workspace.visitor().post(path, FORM).status_code == 401
        assert anna.client.post(path, data=FORM).status_code == 403
        assert anna.client.post(path, data={**FORM, "csrf": "0" * 64}).status_code == 403


# When a key stops working


@BOTH
@pytest.mark.parametrize("end", ["revoked", "expired", "removed", "user", "organization"])
def test_a_key_ends_with_what_it_hangs_on(workspace: Workspace, end: str) -> None:
    anna, bert = workspace.person(), workspace.person("bert@example.org")
    acme = workspace.organization(anna, member=[bert])
    elsewhere = workspace.organization(bert, "Elsewhere")
    key_id, token = key_of(workspace, bert, acme)
    _other, still = key_of(workspace, anna, acme)
    _other, berts = key_of(workspace, bert, elsewhere)
    assert status(workspace, token) == 200
    with workspace.database.write() as db:
        ends: dict[str, Any] = {
            "revoked": update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=now()),
            "expired": update(ApiKey).where(ApiKey.id == key_id).values(expires_at=now()),
            "removed": delete(Membership).where(Membership.user_id == bert.user_id, Membership.organization_id == acme),
            "user": delete(User).where(User.id == bert.user_id),
            "organization": delete(Organization).where(Organization.id == acme),
        }
        db.execute(ends[end])
    answer = workspace.visitor().get("/v1/models", headers=bearer(token))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert status(workspace, still) == (401 if end == "organization" else 200)  # nobody else's ends
    assert status(workspace, berts) == (401 if end == "user" else 200)


def test_a_key_stays_dead_when_its_user_comes_back(workspace: Workspace) -> None:
    anna, bert = workspace.person(), workspace.person("bert@example.org")
    acme = workspace.organization(anna, member=[bert])
    _id, token = key_of(workspace, bert, acme)
    with workspace.database.write() as db:
        db.execute(delete(Membership).where(Membership.user_id == bert.user_id))
        db.flush()
        db.add(Membership(organization_id=acme, user_id=bert.user_id, role=Role.OWNER))
    assert status(workspace, token) == 401
    assert "ended" in page(bert, acme)
    assert anna.post(f"/o/{acme}/keys", FORM).status_code == 201


def test_a_key_may_no_more_than_its_user_now(workspace: Workspace) -> None:
    anna, bert = workspace.person(), workspace.person("bert@example.org")
    acme = workspace.organization(anna, admin=[bert])
    _id, token = key_of(workspace, bert, acme, "admin")
    assert status(workspace, token, "/api/v1/audit") == 200
    with workspace.database.write() as db:
        db.execute(update(Membership).where(Membership.user_id == bert.user_id).values(role=Role.MEMBER))
    assert status(workspace, token, "/api/v1/audit") == 403


# Who is asking


@pytest.mark.parametrize("path", ["/v1/models", "/api/v1/organization"])
@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", "Bearer ", "Bearer ll_", "Bearer " + "x" * 5000, "Basic bGw6eA==", "ll_x", "Bearer é", "Bearer a b"],
)
def test_without_a_key_that_works(workspace: Workspace, path: str, sent: str) -> None:
    headers = {"Authorization": sent.encode("latin-1")} if sent else {}
    answer = workspace.visitor().get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/v1/models", "/api/v1/organization"])
def test_cookies_do_not_count(workspace: Workspace, path: str) -> None:
    anna = workspace.person()
    workspace.organization(anna)
    assert anna.get("/account").status_code != 401  # signed in
    assert anna.get(path).status_code == 401


@BOTH
def test_calls_of_one_key_are_limited(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "CALLS", 3)
    anna = workspace.person()
    acme = workspace.organization(anna)
    (_, first), (_, second) = key_of(workspace, anna, acme), key_of(workspace, anna, acme)
    assert [status(workspace, first) for _ in range(4)] == [200, 200, 200, 429]
    answer = workspace.visitor().get("/v1/models", headers=bearer(first))
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert status(workspace, second) == 200


def test_failed_attempts_are_limited_and_leave_good_keys_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "FAILURES", 3)
    anna = workspace.person()
    _id, token = key_of(workspace, anna, workspace.organization(anna))
    assert [status(workspace, "ll_wrong") for _ in range(4)] == [401, 401, 401, 429]
    assert status(workspace, token) == 200


def test_first_calls_at_once_are_all_answered(workspace: Workspace) -> None:
    """Nothing is counted for the key yet, so that all want to make the row of its count."""
    statuses = _at_once(workspace, 8)
    assert statuses == [200] * 8


@POSTGRESQL
def test_first_calls_at_once_on_postgresql(workspace: Workspace) -> None:
    assert _at_once(workspace, 8) == [200] * 8


def _at_once(workspace: Workspace, calls: int) -> Sequence[int]:
    from concurrent.futures import ThreadPoolExecutor

    anna = workspace.person()
    _id, token = key_of(workspace, anna, workspace.organization(anna))
    browsers = [workspace.visitor() for _ in range(calls)]
    with ThreadPoolExecutor(calls) as pool:
        answers = pool.map(lambda browser: browser.get("/v1/models", headers=bearer(token)).status_code, browsers)
        return list(answers)
