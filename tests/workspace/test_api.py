"""The JSON API: who may call what, and what a program may get wrong. The document is honest about all of it."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from lifelearn.workspace.crypto import hash_token
from lifelearn.workspace.database import now
from lifelearn.workspace.tables.organizations import AuditEvent, Invite, Membership, Role
from lifelearn.workspace.tables.programs import Scope
from workspace.acme import CALLS, Acme
from workspace.fakes import BOTH, Workspace
from workspace.programs import bearer, key_of

# Who may call


def test_every_call_is_in_the_matrix(workspace: Workspace) -> None:
    """And is documented: who needs which scope, and every status that is tested below."""
    document = workspace.visitor().get("/api/openapi.json").json()
    operations = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == set(CALLS)
    for name, (method, path, operation) in operations.items():
        asked = CALLS[name]
        assert method == asked.method
        assert operation["security"] == [{"API key": [asked.scope.value]}]
        expected = {str(asked.status), "401", "403", "429", *({"404"} if "{" in path else ())}
        assert expected <= set(operation["responses"])
    assert document["components"]["securitySchemes"]["API key"]["scheme"] == "bearer"
    for secret in ("hash", "password", "totp"):
        assert secret not in json.dumps(document["components"])


def test_without_a_key(acme: Acme) -> None:
    """Each family says so in its own form. Which keys are none, test_matrix.py has."""
    for name, asked in CALLS.items():
        answer = acme.call(name, "")
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"].startswith("Bearer")
        if asked.path.startswith("/api/"):
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == 401
        else:
            assert answer.json()["error"]["code"] == "invalid_api_key"


def test_each_call_needs_its_scope_and_no_other(workspace: Workspace, acme: Acme) -> None:
    tokens = {scope: key_of(workspace, acme.anna, acme.id, scope)[1] for scope in Scope}
    for name, asked in CALLS.items():
        for scope in Scope:
            if scope is not asked.scope:
                answer = acme.call(name, tokens[scope])
                assert answer.status_code == 403, (name, scope)
                told = f'Bearer error="insufficient_scope", scope="{asked.scope}"'
                assert answer.headers["www-authenticate"] == told
        answer = acme.call(name, tokens[asked.scope])
        assert answer.status_code == asked.status, (name, answer.text)


@BOTH
def test_what_belongs_to_others_is_not_there(workspace: Workspace, acme: Acme) -> None:
    """Neither another organisation's nor, in one's own, what a colleague keeps private."""
    eve = workspace.person("eve@example.org")
    tokens = [
        key_of(workspace, eve, workspace.organization(eve, "Other"))[1],
        key_of(workspace, acme.bert, acme.id, "read", "write")[1],
    ]
    for token in tokens:
        for name, asked in CALLS.items():
            if "{" in asked.path and not (asked.scope is Scope.ADMIN and token is tokens[1]):
                answer = acme.call(name, token)
                assert answer.status_code == 404, name
                assert answer.json() == acme.call(name, token, thread=uuid.uuid4(), invite=uuid.uuid4()).json()
        assert acme.ask("GET", "/threads", token=token).json()["items"] == []
    assert acme.call("getThread").json()["messages"][-1]["content"] == "Oslo"


def test_a_message_is_found_under_its_own_thread_only(workspace: Workspace, acme: Acme) -> None:
    with workspace.database.write() as db:
        other = acme.chat(db, acme.anna)
    assert acme.call("getMessage", thread=other["thread"]).status_code == 404
    assert acme.call("correctMessage", thread=other["thread"]).status_code == 404


# What a program can do


@BOTH
def test_the_organisation_and_its_members(workspace: Workspace, acme: Acme) -> None:
    found = acme.ask("GET", "/organization").json()
    assert (found["id"], found["name"], found["role"], found["active_version"]) == (str(acme.id), "Acme", "owner", 0)
    assert datetime.fromisoformat(found["created_at"]).tzinfo is not None
    assert found["created_at"].endswith("Z")
    members = acme.ask("GET", "/members").json()["items"]
    assert [(each["name"], each["role"], each["email"]) for each in members] == [
        ("Anna", "owner", "anna@example.org"),
        ("Bert", "member", "bert@example.org"),
    ]
    _id, reads = key_of(workspace, acme.anna, acme.id, "read")
    _id, berts = key_of(workspace, acme.bert, acme.id)
    for token in (reads, berts):  # addresses need both: the scope, and a user who may
        assert {each["email"] for each in acme.ask("GET", "/members", token=token).json()["items"]} == {None}


def test_changes_are_in_the_audit_log(workspace: Workspace, acme: Acme) -> None:
    for name in ("correctMessage", "withdrawCorrection", "withdrawCorrection"):
        acme.call(name)
    for shared in (True, True, False):
        acme.ask("PATCH", f"/threads/{acme.ids['thread']}", {"shared": shared})
    acme.ask("POST", "/threads", {"content": "Hello", "shared": True, "wait": True})
    acme.call("deleteThread")
    with workspace.database.read() as db:
        events = db.scalars(select(AuditEvent).order_by(AuditEvent.created_at)).all()
        assert [event.action for event in events] == [
            "answer.marked_wrong",
            "correction.taught",
            "correction.withdrawn",
            "answer.mark_withdrawn",
            "chat.shared",
            "chat.made_private",
            "chat.shared",
            "chat.deleted",
        ]
        assert events[-1].target == "a private chat"
        assert {event.actor for event in events} == {"anna@example.org"}


@BOTH
def test_invites(workspace: Workspace, acme: Acme) -> None:
    made = acme.ask("POST", "/invites", {"email": "Dora@Example.org", "role": "admin"})
    assert made.status_code == 201
    invite = made.json()
    assert (invite["email"], invite["role"], invite["mailed"]) == ("dora@example.org", "admin", False)
    token = invite["link"].rpartition("/")[2]
    with workspace.database.read() as db:
        kept = db.get_one(Invite, uuid.UUID(invite["id"]))
        assert kept.token_hash == hash_token(token)
        assert kept.organization_id == acme.id
        assert "invite.created" in db.scalars(select(AuditEvent.action)).all()
    listed = acme.ask("GET", "/invites")
    assert {each["email"] for each in listed.json()["items"]} == {"dora@example.org", "carl@example.org"}
    assert token not in listed.text
    assert "hash" not in listed.text
    assert acme.ask("DELETE", f"/invites/{invite['id']}").status_code == 204
    assert acme.ask("DELETE", f"/invites/{invite['id']}").status_code == 404
    assert [each["email"] for each in acme.ask("GET", "/invites").json()["items"]] == ["carl@example.org"]
    assert acme.ask("POST", "/invites", {"email": "nobody"}).status_code == 422


def test_an_invite_cannot_raise_a_role(workspace: Workspace, acme: Acme) -> None:
    with workspace.database.write() as db:
        db.execute(update(Membership).where(Membership.user_id == acme.bert.user_id).values(role=Role.ADMIN))
    _id, token = key_of(workspace, acme.bert, acme.id, "admin")
    asked = {"email": "bert+2@example.org", "role": "owner"}
    assert acme.ask("POST", "/invites", asked, token=token).status_code == 403


@BOTH
def test_the_audit_log(workspace: Workspace, acme: Acme) -> None:
    for name in "abc":
        acme.ask("POST", "/invites", {"email": f"{name}@example.org"})
    first = acme.ask("GET", "/audit", limit=2, action="invite.created").json()
    assert [each["target"] for each in first["items"]] == ["c@example.org", "b@example.org"]
    rest = acme.ask("GET", "/audit", limit=2, action="invite.created", before=first["next"]).json()
    assert ([each["target"] for each in rest["items"]], rest["next"]) == (["a@example.org"], None)
    event = first["items"][0]
    assert (event["actor"], event["action"]) == ("anna@example.org", "invite.created")
    today = now().date()
    for query, expected in (
        ({"person": "anna@example.org"}, 3),
        ({"person": "bert@example.org"}, 0),
        ({"since": today.isoformat()}, 3),
        ({"since": (today + timedelta(days=1)).isoformat()}, 0),
        ({"until": (today - timedelta(days=1)).isoformat()}, 0),
    ):
        assert len(acme.ask("GET", "/audit", **query).json()["items"]) == expected, query


# What a program may get wrong


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("createThread", {}),
        ("createThread", {"content": ""}),
        ("createThread", {"content": " \x00 "}),
        ("createThread", {"content": "x" * 32_001}),
        ("createThread", {"content": "x", "organization_id": str(uuid.uuid4())}),
        ("createThread", {"content": "x", "owner_id": str(uuid.uuid4())}),
        ("createThread", {"content": "x", "title": "x" * 201}),
        ("createThread", {"content": "x", "wait": "perhaps"}),
        ("createThread", {"content": ["x"]}),
        ("createThread", []),
        ("createMessage", {"content": "x", "parent_id": "x"}),
        ("createMessage", {"content": "x", "role": "assistant"}),
        ("updateThread", {"title": ""}),
        ("updateThread", {"title": "\x00"}),
        ("updateThread", {"owner_id": str(uuid.uuid4())}),
        ("correctMessage", {"right_answer": "x" * 4_001}),
        ("correctMessage", {"content": "x"}),
        ("createInvite", {"email": "x@example.org", "role": "root"}),
        ("createInvite", {"email": "x" * 250 + "@example.org"}),
        ("createInvite", {"email": "x@example.org", "token_hash": "0"}),
        ("createInvite", {"email": "a\x00b@example.org"}),
    ],
)
def test_bodies_that_do_not_fit(workspace: Workspace, acme: Acme, name: str, body: Any) -> None:
    asked = CALLS[name]
    answer = acme.client.request(asked.method, asked.path.format(**acme.ids), json=body, headers=bearer(acme.token))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert workspace.inference.asked == []


@BOTH
def test_queries_that_do_not_fit(acme: Acme) -> None:
    for path, query in (
        ("/threads", {"limit": 0}),
        ("/threads", {"limit": 101}),
        ("/threads", {"search": "x" * 201}),
        ("/threads", {"before": "x"}),
        ("/threads", {"owner": "x"}),
        ("/audit", {"before": "2020-01-01T00:00:00+00:00_x"}),
        ("/audit", {"before": "\x00"}),
        ("/audit", {"person": "\x00"}),
        ("/audit", {"since": "yesterday"}),
    ):
        answer = acme.ask("GET", path, **query)
        assert answer.status_code == 422, (path, query)
        assert answer.headers["content-type"] == "application/problem+json"
    for query in ({"search": "a\x00b"}, {"search": "%_\\' OR 1=1 --"}, {"before": "99999999999999999-" + "0" * 32}):
        assert acme.ask("GET", "/threads", **query).status_code == 200, query
    for query in ({"since": "9999-12-31"}, {"until": "0001-01-01"}):
        assert acme.ask("GET", "/audit", **query).json()["items"] == []


@pytest.mark.parametrize("thread_id", ["x", "1", "%00", "..", "' OR 1=1", "0" * 5000])
def test_ids_that_are_none(acme: Acme, thread_id: str) -> None:
    assert acme.client.get(f"/api/v1/threads/{thread_id}", headers=bearer(acme.token)).status_code == 404


def test_a_parent_of_another_chat_is_not_there(workspace: Workspace, acme: Acme) -> None:
    with workspace.database.write() as db:
        other = acme.chat(db, acme.anna)
    body = {"content": "x", "parent_id": str(other["answer"])}
    assert acme.ask("POST", f"/threads/{acme.ids['thread']}/messages", body).status_code == 404


def test_bodies_that_cannot_be_read(acme: Acme) -> None:
    headers = {**bearer(acme.token), "Content-Type": "application/json"}
    bodies = {b"{": 422, b"": 422, b"\xff": 400, b"[" * 100_000: 400, b'{"content": "\\ud800"}': 422}

    def post(body: Any) -> Any:
        return acme.client.post("/api/v1/threads", content=body, headers=headers)

    for body, expected in bodies.items():
        answer = post(body)
        assert answer.status_code == expected, body[:20]
        assert answer.headers["content-type"] == "application/problem+json"
    big = b'{"content": "' + b"x" * (1 << 20) + b'"}'
    assert post(big).status_code == 413
    assert post(iter([big[:1000], big[1000:]])).status_code == 413


def test_changes_of_a_key_are_made_by_people_only(acme: Acme) -> None:
    """There is no call that makes, lists or widens keys."""
    for path in ("/keys", "/key", f"/keys/{acme.key_id}"):
        assert acme.ask("GET", path).status_code == 404
        assert acme.ask("POST", path, {"scopes": ["admin"]}).status_code == 404
