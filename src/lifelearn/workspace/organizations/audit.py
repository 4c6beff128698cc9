"""The audit log: who did what, when and from where. Written in the transaction of what it tells of.

Read newest first, a page at a time; an export reads page after page, each in a session of its own, so that a slow
reader holds nothing.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Database
from lifelearn.workspace.names import forms_of_email
from lifelearn.workspace.pages import address_of
from lifelearn.workspace.paging import paged
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import AuditEvent

PAGE = 50
BATCH = 500  # of an export
MOST_CHOICES = 200
COLUMNS = ("time", "actor", "action", "target", "details", "address", "id")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # what makes a table program compute

Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^\x00]*$")]
Day = Annotated[
    Annotated[date, Field(ge=date(2000, 1, 1), le=date(2999, 12, 31))] | None,
    BeforeValidator(lambda given: given or None),
]


class Filter(BaseModel):
    """Which events. since, until: days in UTC, both included. Empty means any."""

    action: Word = ""
    person: Word = ""
    since: Day = None
    until: Day = None


def record(
    db: Session,
    request: Request | None,
    organization_id: uuid.UUID,
    actor: User,
    action: str,
    target: str = "",
    **details: Any,
) -> None:
    """Adds an event. action: noun.verb in the past tense, "member.removed". details: JSON; never a secret.

    request: None for what follows from something that the actor did before.
    """
    db.add(
        AuditEvent(
            organization_id=organization_id,
            actor_id=actor.id,
            actor=actor.email,
            action=action,
            target=target[:200],
            details=details,
            address="" if request is None else address_of(request),
        )
    )


def page(
    db: Session, organization_id: uuid.UUID, wanted: Filter, before: str = "", most: int = PAGE
) -> tuple[Sequence[AuditEvent], str]:
    """Events, newest first, and the cursor of the next page; "" for the last. before: such a cursor."""
    query = select(AuditEvent).where(AuditEvent.organization_id == organization_id)
    if wanted.action:
        query = query.where(AuditEvent.action == wanted.action)
    if wanted.person:
        query = query.where(AuditEvent.actor.in_({wanted.person.lower(), *forms_of_email(wanted.person)}))
    if wanted.since:
        query = query.where(AuditEvent.created_at >= _start(wanted.since))
    if wanted.until:
        query = query.where(AuditEvent.created_at < _start(wanted.until + timedelta(days=1)))
    return paged(db, query, AuditEvent, before, most, "That page of the log does not exist. Start at the newest.")


def choices(db: Session, organization_id: uuid.UUID) -> tuple[Sequence[str], Sequence[str]]:
    """The actions and the people that there are, to filter by."""
    actions, people = (
        db.scalars(
            select(column)
            .where(AuditEvent.organization_id == organization_id)
            .distinct()
            .order_by(column)
            .limit(MOST_CHOICES)
        ).all()
        for column in (AuditEvent.action, AuditEvent.actor)
    )
    return actions, people


def as_csv(database: Database, organization_id: uuid.UUID, wanted: Filter) -> Iterator[str]:
    yield _csv([COLUMNS])
    for events in _batches(database, organization_id, wanted):
        yield _csv([_harmless(text) for text in _texts(event)] for event in events)


def as_json_lines(database: Database, organization_id: uuid.UUID, wanted: Filter) -> Iterator[str]:
    for events in _batches(database, organization_id, wanted):
        yield "".join(json.dumps(told(event), ensure_ascii=False) + "\n" for event in events)


def told(event: AuditEvent) -> dict[str, Any]:
    """An event as JSON."""
    return {
        "id": str(event.id),
        "time": event.created_at.isoformat(),
        "actor": event.actor,
        "action": event.action,
        "target": event.target,
        "details": event.details,
        "address": event.address,
    }


def _batches(database: Database, organization_id: uuid.UUID, wanted: Filter) -> Iterator[Sequence[AuditEvent]]:
    before = ""
    while True:
        with database.read() as db:
            events, before = page(db, organization_id, wanted, before, BATCH)
        yield events
        if not before:
            return


def _texts(event: AuditEvent) -> list[str]:
    values = told(event)
    values["details"] = json.dumps(event.details, ensure_ascii=False) if event.details else ""
    return [values[column] for column in COLUMNS]


def _csv(rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(rows)
    return stream.getvalue()


def _harmless(text: str) -> str:
    """The text as a table program shows it, and never computes it."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
