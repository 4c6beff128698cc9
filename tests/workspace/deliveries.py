"""Deliveries as tests have them sent, waited for and verified."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from lifelearn.workspace.database import Database
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import Membership, Organization, Role
from lifelearn.workspace.webhooks.sending import Sender
from lifelearn.workspace.webhooks.service import tell
from waiting import until
from workspace.receiver import deliveries_of


def make_organization(database: Database, name: str = "Acme", admins: int = 1) -> uuid.UUID:
    with database.write() as db:
        made = Organization(name=name, base_model="bundled")
        users = [User(email=f"{uuid.uuid4()}@example.org", name="Anna") for _ in range(admins + 1)]
        db.add_all([made, *users])
        db.flush()
        roles = [Role.OWNER, *(admins - 1) * [Role.ADMIN], Role.MEMBER]
        for user, role in zip(users, roles, strict=True):
            db.add(Membership(organization_id=made.id, user_id=user.id, role=role))
        return made.id


def told(database: Database, organization_id: uuid.UUID, name: str = "version.activated", **details: Any) -> uuid.UUID:
    with database.write() as db:
        happening = tell(db, organization_id, name, "Version 3 answers now.", "/versions/3", **details)
        db.flush()
        return happening.id


def sends(sender: Sender, holds: Callable[[], object]) -> None:
    """Has the sender run until that holds."""

    async def run() -> None:
        await sender.start()
        try:
            await asyncio.to_thread(until, holds)
        finally:
            await sender.stop()

    asyncio.run(run())


def over(database: Database, webhook_id: uuid.UUID) -> Callable[[], bool]:
    return lambda: all(each.next_at is None for each in deliveries_of(database, webhook_id))


def verified(secret: str, came: Any) -> dict[str, Any]:
    """As a receiver does it, written from the specification and not from our code."""
    key = base64.b64decode(secret.split("_", 1)[1])
    signed = b".".join((came.headers["webhook-id"].encode(), came.headers["webhook-timestamp"].encode(), came.body))
    wanted = hmac.digest(key, signed, hashlib.sha256)
    given = [each.split(",", 1) for each in came.headers["webhook-signature"].split(" ")]
    assert any(name == "v1" and base64.b64decode(value) == wanted for name, value in given), "wrong signature"
    assert abs(int(came.headers["webhook-timestamp"]) - time.time()) < 60
    found: dict[str, Any] = json.loads(came.body)
    return found
