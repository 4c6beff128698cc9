"""Webhooks as an admin and a program of hers handle them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from lifelearn.workspace.tables.organizations import AuditEvent
from lifelearn.workspace.tables.webhooks import Webhook
from lifelearn.workspace.webhooks import administration
from lifelearn.workspace.webhooks.service import tell
from workspace.fakes import Workspace
from workspace.programs import bearer, key_of
from workspace.receiver import webhook_for

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")


class Hooks:
    """The webhooks of an organisation with an admin and a member, and with a program of the admin's."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.anna, self.bert = workspace.person(), workspace.person("bert@example.org")
        self.id = workspace.organization(self.anna, member=[self.bert])
        self.url = f"/o/{self.id}/webhooks"
        self.token = key_of(workspace, self.anna, self.id)[1]
        self.client = workspace.visitor().client

    def made(self, url: str, *events: str, **values: Any) -> tuple[uuid.UUID, str]:
        return webhook_for(self.workspace.database, self.workspace.pages.settings, self.id, url, *events, **values)

    def tell(self, name: str = "version.activated", title: str = "Version 3 answers now.", **more: Any) -> None:
        with self.workspace.database.write() as db:
            tell(db, self.id, name, title, **more)

    def webhooks(self) -> Sequence[Webhook]:
        with self.workspace.database.read() as db:
            return administration.listed(db, self.id)

    def audited(self) -> list[AuditEvent]:
        with self.workspace.database.read() as db:
            return list(db.scalars(select(AuditEvent).order_by(AuditEvent.created_at)))

    def ask(self, method: str, path: str = "", body: Any = None, token: str = "", **query: Any) -> Any:
        headers = bearer(token or self.token)
        address = f"/api/v1/webhooks{path}"
        return self.client.request(method, address, json=body, params=query or None, headers=headers)
