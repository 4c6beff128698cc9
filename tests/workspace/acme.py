"""An organisation and a program of its owner's; every call of the JSON API."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, NamedTuple

from lifelearn.workspace.crypto import hash_token
from lifelearn.workspace.database import ahead, now
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.organizations import Invite, Role
from lifelearn.workspace.tables.programs import Scope
from waiting import until
from workspace.fakes import Browser, Workspace
from workspace.programs import bearer, key_of
from workspace.receiver import told_webhook
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
