"""What members and webhooks are told of a correction. Its words are left out unless it was taught."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy.orm import Session

from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.webhooks.service import tell

SHORT_CHARS = 80


def tell_queued(db: Session, correction: Correction) -> None:
    about = {"question": correction.question, "answer": correction.answer}
    tell_mine(db, correction, "correction.queued", f"Being learned: {short(correction.statement)}", **about)


def tell_mine(db: Session, correction: Correction, name: str, title: str, **details: Any) -> None:
    """Tells its member. Webhooks hear of it, too, so its words are left out unless it was taught."""
    path = f"/corrections/{correction.id}"
    tell_of(db, correction, name, title, path, correction.author_id, personal=True, **details)


def tell_of(
    db: Session,
    correction: Correction,
    name: str,
    title: str,
    path: str,
    user_id: uuid.UUID | None = None,
    **details: Any,
) -> None:
    about = {"id": str(correction.id), "source": str(correction.source), "state": str(correction.state), **details}
    tell(db, correction.organization_id, name, title, path, user_id, **about)


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT_CHARS else line[:SHORT_CHARS].rstrip() + "…"
