"""The audit log: who did what, when and from where. Written in the transaction of what it tells of."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session

from lifelearn.workspace.accounts.tables import User
from lifelearn.workspace.organizations.tables import AuditEvent
from lifelearn.workspace.pages import address_of


def record(
    db: Session,
    request: Request,
    organization_id: uuid.UUID,
    actor: User,
    action: str,
    target: str = "",
    **details: Any,
) -> None:
    """Adds an event. action: noun.verb in the past tense, "member.removed". details: JSON; never a secret."""
    db.add(
        AuditEvent(
            organization_id=organization_id,
            actor_id=actor.id,
            actor=actor.email,
            action=action,
            target=target[:200],
            details=details,
            address=address_of(request),
        )
    )
