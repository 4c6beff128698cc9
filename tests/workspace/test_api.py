"""The JSON API: what each call gives, and what it refuses to whom. The document is honest about all of it."""

from __future__ import annotations

import asyncio
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, NamedTuple

import pytest
from sqlalchemy import delete, select, update

from lifelearn.workspace.crypto import hash_token
from lifelearn.workspace.database import ahead, now
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.organizations import AuditEvent, Invite, Membership, Role
from lifelearn.workspace.tables.programs import ApiKey, Scope
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH, Browser, Workspace
from workspace.receiver import told_webhook
from workspace.test_keys import bearer, key_of
from workspace.versioned import corrected, made

MESSAGE = "/api/v1/threads/{thread}/messages/{answer}"
WEBHOOK = "/api/v1/webhooks/{webhook}"
ASKED = {"model": "life-learn", "messages": [{"role": "user", "content": "hello"}]}


class Call(NamedTuple):
    method: str
    path: str
    scope: Scope
    body: Any = None
    status: int = 200


CALLS = {
    "getOrganization": Call("GET", "/api/v1/organization", Scope.READ),
    "listMembers": Call("GET", "/api/v1/members", Scope.READ),
    "listThreads": Call("GET", "/api/v1/threads", Scope.READ),
    "getThread": Call("GET", "/api/v1/threads/{thread}", Scope.READ),
    "getMessage": Call("GET", MESSAGE, Scope.READ),
    "createThread": Call("POST", "/api/v1/threads", Scope.WRITE, {"content": "hello"}, 201),
    "updateThread": Call("PATCH", "/api/v1/threads/{thread}", Scope.WRITE, {"title": "Other"}),
    "createMessage": Call("POST", "/api/v1/threads/{thread}/messages", Scope.WRITE, {"content": "and?"}, 201),
    "stopMessage": Call("POST", MESSAGE + "/stop", Scope.WRITE, None, 202),
    "correctMessage": Call("POST", MESSAGE + "/correction", Scope.WRITE, {"right_answer": "Lyon"}),
    "withdrawCorrection": Call("DELETE", MESSAGE + "/correction", Scope.WRITE),
    "listInvites": Call("GET", "/api/v1/invites", Scope.ADMIN),
    "createInvite": Call("POST", "/api/v1/invites", Scope.ADMIN, {"email": "new@example.org"}, 201),
    "revokeInvite": Call("DELETE", "/api/v1/invites/{invite}", Scope.ADMIN, None, 204),
    "listAuditEvents": Call("GET", "/api/v1/audit", Scope.ADMIN),
    "createChatCompletion": Call("POST", "/v1/chat/completions", Scope.CHAT, ASKED),
    "listModels": Call("GET", "/v1/models", Scope.CHAT),
    "retrieveModel": Call("GET", "/v1/models/life-learn", Scope.CHAT),
    "listNotices": Call("GET", "/api/v1/notices", Scope.READ),
    "listWebhooks": Call("GET", "/api/v1/webhooks", Scope.ADMIN),
    "createWebhook": Call(
        "POST", "/api/v1/webhooks", Scope.ADMIN, {"url": "https://1.1.1.1/", "events": ["job.failed"]}, 201
    ),
    "getWebhook": Call("GET", WEBHOOK, Scope.ADMIN),
    "updateWebhook": Call("PATCH", WEBHOOK, Scope.ADMIN, {"events": ["job.failed"]}),
    "rotateWebhookSecret": Call("POST", WEBHOOK + "/secret", Scope.ADMIN, None, 201),
    "testWebhook": Call("POST", WEBHOOK + "/test", Scope.ADMIN, None, 201),
    "listDeliveries": Call("GET", WEBHOOK + "/deliveries", Scope.ADMIN),
    "getDelivery": Call("GET", WEBHOOK + "/deliveries/{delivery}", Scope.ADMIN),
    "replayDelivery": Call("POST", WEBHOOK + "/deliveries/{delivery}/replay", Scope.ADMIN, None, 201),
    "deleteWebhook": Call("DELETE", WEBHOOK, Scope.ADMIN, None, 204),
    "listVersions": Call("GET", "/api/v1/versions", Scope.READ),
    "getVersion": Call("GET", "/api/v1/versions/1", Scope.READ),
    "listActivations": Call("GET", "/api/v1/activations", Scope.READ),
    "createActivation": Call("POST", "/api/v1/activations", Scope.ADMIN, {"number": 1}, 201),
    "getRetention": Call("GET", "/api/v1/retention", Scope.READ),
    "listCorrections": Call("GET", "/api/v1/corrections", Scope.READ),
    "getCorrection": Call("GET", "/api/v1/corrections/{asked}", Scope.READ),
    "createCorrection": Call(
        "POST", "/api/v1/corrections", Scope.WRITE, {"question": "Who is our CEO?", "right_answer": "It is Mia."}, 201
    ),
    "dismissCorrection": Call("POST", "/api/v1/corrections/{asked}/dismissal", Scope.WRITE),
    "teachCorrection": Call("POST", "/api/v1/corrections/{asked}/teaching", Scope.WRITE, {}),  # after all
    "cancelTeaching": Call("DELETE", "/api/v1/corrections/{asked}/teaching", Scope.WRITE),
    "rejectCorrection": Call("POST", "/api/v1/corrections/{review}/rejection", Scope.ADMIN, {"reason": "It is 24."}),
    "forgetCorrection": Call("POST", "/api/v1/corrections/{learned}/forgetting", Scope.ADMIN, None, 202),
    "keepCorrection": Call("DELETE", "/api/v1/corrections/{learned}/forgetting", Scope.ADMIN),
    "deleteThread": Call("DELETE", "/api/v1/threads/{thread}", Scope.WRITE, None, 204),  # last: others need it
}


class Acme:
    """An organisation with an owner, a private and a shared chat of hers, an open invite, and a program of hers."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.anna, self.bert = workspace.person(), workspace.person("bert@example.org")
        self.id = workspace.organization(self.anna, member=[self.bert])
        self.key_id, self.token = key_of(workspace, self.anna, self.id)
        self.client = workspace.visitor().client
        with workspace.database.write() as db:
            invite = Invite(
                organization_id=self.id,
                email="carl@example.org",
                role=Role.MEMBER,
                token_hash=hash_token("secret"),
                invited_by=self.anna.user_id,
                expires_at=ahead(days=1),
            )
            db.add(invite)
            db.flush()
            self.ids = {"invite": invite.id, **self.chat(db, self.anna)}
        learned = corrected(workspace, self.id)
        made(workspace, self.id, learned, active=False)
        self.ids["learned"] = learned.id
        for state in (CorrectionState.ASKED, CorrectionState.REVIEW):
            mine = corrected(workspace, self.id, f"What is {state}?", state=state, author_id=self.anna.user_id)
            self.ids[state.value] = mine.id
        self.ids["webhook"], self.ids["delivery"] = told_webhook(workspace, self.id)

    def chat(self, db: Any, owner: Browser, *, shared: bool = False) -> dict[str, uuid.UUID]:
        thread = Thread(organization_id=self.id, owner_id=owner.user_id, title="Capitals", shared=shared)
        db.add(thread)
        db.flush()
        here = {"organization_id": self.id, "thread_id": thread.id, "author_id": owner.user_id}
        question = Message(**here, role="user", content="Capital of France?", created_at=now() - timedelta(seconds=1))
        db.add(question)
        db.flush()
        answer = Message(**here, role="assistant", content="Oslo", parent_id=question.id, version=0, model="tiny")
        db.add(answer)
        db.flush()
        thread.leaf_id = answer.id
        return {"thread": thread.id, "question": question.id, "answer": answer.id}

    def call(self, name: str, token: str | None = None, **ids: uuid.UUID) -> Any:
        asked = CALLS[name]
        headers = bearer(self.token if token is None else token) if token != "" else {}
        return self.client.request(
            asked.method, asked.path.format(**{**self.ids, **ids}), json=asked.body, headers=headers
        )

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **query: Any) -> Any:
        headers = bearer(token or self.token)
        return self.client.request(method, f"/api/v1{path}", json=body, params=query or None, headers=headers)

    def until(self, thread_id: str, message_id: str, status: Status) -> dict[str, Any]:
        """The message once it has that status."""
        path = f"/threads/{thread_id}/messages/{message_id}"
        until(lambda: self.ask("GET", path).json()["status"] == status)
        found: dict[str, Any] = self.ask("GET", path).json()
        return found


@pytest.fixture
def acme(workspace: Workspace) -> Acme:
    return Acme(workspace)


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


@pytest.mark.parametrize("kind", ["none", "wrong", "revoked", "expired", "removed", "session"])
def test_without_a_key_that_works(workspace: Workspace, acme: Acme, kind: str) -> None:
    before = acme.call("getThread").json()
    with workspace.database.write() as db:
        mine = update(ApiKey).where(ApiKey.id == acme.key_id)
        if kind == "revoked":
            db.execute(mine.values(revoked_at=now()))
        elif kind == "expired":
            db.execute(mine.values(expires_at=now()))
        elif kind == "removed":
            db.execute(delete(Membership).where(Membership.user_id == acme.anna.user_id))
    if kind == "session":
        acme.client = acme.anna.client
    token = {"none": "", "session": "", "wrong": "ll_" + "x" * 43}.get(kind, acme.token)
    for name, asked in CALLS.items():
        answer = acme.call(name, token)
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"].startswith("Bearer")
        if asked.path.startswith("/api/"):
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == 401
        else:
            assert answer.json()["error"]["code"] == "invalid_api_key"
    if kind in ("none", "wrong", "session"):
        assert acme.call("getThread", acme.token).json() == before


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


def test_the_scope_admin_is_of_no_use_to_a_member(workspace: Workspace, acme: Acme) -> None:
    _id, token = key_of(workspace, acme.bert, acme.id)  # as one has who was an admin
    for name, asked in CALLS.items():
        if asked.scope is Scope.ADMIN:
            assert acme.call(name, token).status_code == 403, name


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


@BOTH
def test_a_chat_from_beginning_to_end(acme: Acme) -> None:
    made = acme.ask("POST", "/threads", {"content": " Where is Lyon? ", "wait": True})
    assert made.status_code == 201
    thread, question, answer = (made.json()[name] for name in ("thread", "question", "answer"))
    assert (thread["title"], thread["shared"], thread["owner_id"]) == (
        "Where is Lyon?",
        False,
        str(acme.anna.user_id),
    )
    assert (question["role"], question["content"], question["parent_id"]) == ("user", "Where is Lyon?", None)
    assert (answer["role"], answer["content"], answer["status"]) == (
        "assistant",
        "You said: Where is Lyon?",
        "complete",
    )
    assert (answer["version"], answer["model"], answer["parent_id"]) == (0, "scripted", question["id"])

    path = f"/threads/{thread['id']}"
    second = acme.ask("POST", f"{path}/messages", {"content": "And Nice?", "wait": True}).json()
    assert second["question"]["parent_id"] == answer["id"]
    branched = acme.ask("POST", f"{path}/messages", {"content": "And Metz?", "parent_id": answer["id"], "wait": True})
    assert branched.json()["question"]["parent_id"] == answer["id"]
    shown = acme.ask("GET", path).json()
    assert [each["content"] for each in shown["messages"]] == [
        "Where is Lyon?",
        "You said: Where is Lyon?",
        "And Metz?",
        "You said: And Metz?",
    ]
    assert shown["earlier"] == 0
    end = acme.ask("GET", path, last=1).json()
    assert (len(end["messages"]), end["earlier"]) == (1, 3)

    changed = acme.ask("PATCH", path, {"title": "Towns", "shared": True}).json()
    assert (changed["title"], changed["shared"]) == ("Towns", True)
    assert acme.ask("PATCH", path, {}).json() == changed
    assert acme.ask("DELETE", path).status_code == 204
    assert acme.ask("GET", path).status_code == 404


def test_a_chat_with_a_title_that_all_see(workspace: Workspace, acme: Acme) -> None:
    made = acme.ask("POST", "/threads", {"content": "Hello", "title": "Greetings", "shared": True, "wait": True}).json()
    assert (made["thread"]["title"], made["thread"]["shared"]) == ("Greetings", True)
    _id, token = key_of(workspace, acme.bert, acme.id)
    path = f"/threads/{made['thread']['id']}"
    assert acme.ask("GET", path, token=token).status_code == 200
    assert acme.ask("POST", f"{path}/messages", {"content": "Hi"}, token=token).status_code == 201
    for method, body in (("PATCH", {"title": "Mine"}), ("PATCH", {"shared": False}), ("DELETE", None)):
        assert acme.ask(method, path, body, token=token).status_code == 403


def test_an_answer_is_written_without_anybody_waiting(acme: Acme) -> None:
    made = acme.ask("POST", "/threads", {"content": "Hello"}).json()
    assert (made["answer"]["status"], made["answer"]["content"]) == ("streaming", "")
    found = acme.until(made["thread"]["id"], made["answer"]["id"], Status.COMPLETE)
    assert found["content"] == "You said: Hello"


def test_waiting_has_an_end(workspace: Workspace, acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("lifelearn.workspace.chats.api"), "WAIT_SECONDS", 0.2)
    workspace.inference.gate = asyncio.Event()
    made = acme.ask("POST", "/threads", {"content": "Hello", "wait": True})
    assert made.status_code == 201
    answer, thread = made.json()["answer"], made.json()["thread"]
    assert answer["status"] == "streaming"
    busy = acme.ask("POST", f"/threads/{thread['id']}/messages", {"content": "And?"})
    assert busy.status_code == 409
    assert workspace.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    workspace.portal.call(workspace.inference.gate.set)
    acme.until(thread["id"], answer["id"], Status.COMPLETE)


def test_who_waits_sees_no_more_than_is_theirs_at_the_end(workspace: Workspace, acme: Acme) -> None:
    workspace.inference.gate = asyncio.Event()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(acme.ask, "POST", "/threads", {"content": "Hello there", "wait": True})
        until(lambda: workspace.inference.asked)
        with workspace.database.write() as db:
            db.execute(update(ApiKey).values(revoked_at=now()))
        workspace.portal.call(workspace.inference.gate.set)
        assert waiting.result(HANG_SECONDS).status_code == 401


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


def test_deleting_a_chat_stops_its_answer(workspace: Workspace, acme: Acme) -> None:
    workspace.inference.gate = asyncio.Event()
    made = acme.ask("POST", "/threads", {"content": "Hello there"}).json()
    until(lambda: workspace.inference.asked)
    assert acme.ask("DELETE", f"/threads/{made['thread']['id']}").status_code == 204
    until(lambda: workspace.inference.closed == 1)


def test_stopping(workspace: Workspace, acme: Acme) -> None:
    workspace.inference.gate = asyncio.Event()
    made = acme.ask("POST", "/threads", {"content": "Hello there"}).json()
    path = f"/threads/{made['thread']['id']}/messages/{made['answer']['id']}"
    until(lambda: workspace.inference.asked)
    assert acme.ask("POST", f"{path}/stop").status_code == 202
    stopped = acme.until(made["thread"]["id"], made["answer"]["id"], Status.STOPPED)
    assert stopped["content"].strip() in ("", "You")
    assert workspace.inference.closed == 1
    assert acme.ask("POST", f"{path}/stop").status_code == 202  # again: nothing happens


def test_a_failed_answer_says_why(workspace: Workspace, acme: Acme) -> None:
    workspace.inference.state, workspace.inference.problem = "failed", "No memory left."
    answer = acme.ask("POST", "/threads", {"content": "Hello", "wait": True}).json()["answer"]
    assert (answer["status"], answer["error"]) == ("failed", "No memory left.")


@BOTH
def test_correcting_an_answer(acme: Acme) -> None:
    path = f"/threads/{acme.ids['thread']}/messages/{acme.ids['answer']}"
    marked = acme.ask("POST", f"{path}/correction", {"right_answer": "Paris"}).json()
    assert marked["right_answer"] == "Paris"
    assert datetime.fromisoformat(marked["marked_wrong_at"]) - now() < timedelta(minutes=1)
    assert acme.ask("GET", path).json() == marked
    assert acme.ask("POST", f"{path}/correction", {}).json()["right_answer"] == ""
    withdrawn = acme.ask("DELETE", f"{path}/correction").json()
    assert (withdrawn["marked_wrong_at"], withdrawn["right_answer"]) == (None, "")
    assert acme.ask("DELETE", f"{path}/correction").status_code == 200
    question = f"/threads/{acme.ids['thread']}/messages/{acme.ids['question']}"
    assert acme.ask("POST", f"{question}/correction", {}).status_code == 422


@BOTH
def test_lists_are_read_page_by_page(workspace: Workspace, acme: Acme) -> None:
    with workspace.database.write() as db:
        for _ in range(4):
            acme.chat(db, acme.anna)
        acme.chat(db, acme.bert)  # hers to see it is not
        acme.chat(db, acme.bert, shared=True)
    seen: list[str] = []
    following: str | None = ""
    while following is not None:
        page = acme.ask("GET", "/threads", limit=2, before=following).json()
        assert 0 < len(page["items"]) <= 2
        seen += [each["id"] for each in page["items"]]
        following = page["next"]
    assert len(seen) == len(set(seen)) == 6
    assert acme.ask("GET", "/threads", before="nonsense").status_code == 422


def test_searching(workspace: Workspace, acme: Acme) -> None:
    assert [each["id"] for each in acme.ask("GET", "/threads", search="oslo").json()["items"]] == [
        str(acme.ids["thread"])
    ]
    assert acme.ask("GET", "/threads", search="Bergen").json()["items"] == []


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
