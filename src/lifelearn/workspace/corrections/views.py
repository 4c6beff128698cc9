"""What the pages of corrections show: one with its history, or a card in the place of one. Knows no routes."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.workspace.corrections.cards import SOURCES, Card
from lifelearn.workspace.corrections.flags import KINDS
from lifelearn.workspace.errors import NotFoundError
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.pages import render
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.organizations import AuditEvent
from lifelearn.workspace.tables.versions import Verdict
from lifelearn.workspace.threads.finding import thread_of

LISTED = 50
HISTORY = 200

# What is told of it in the audit log, for people.
EVENTS = {
    "correction.taught": "had it taught",
    "correction.approved": "approved it",
    "correction.proposed": "handed it to the admins",
    "correction.rejected": "did not approve it",
    "correction.dismissed": "said that it is no correction",
    "correction.cancelled": "cancelled it",
    "correction.withdrawn": "took it back",
    "correction.forgotten": "had it forgotten",
    "correction.kept": "kept it after all",
}


@dataclass(frozen=True)
class Moment:
    """A line of a correction's history."""

    at: datetime
    who: str
    said: str


def fragment(
    request: Request, place: Place, card: Card, status: int = 200, template: str = "corrections/one.html"
) -> HTMLResponse:
    """A card in the place of one that is on the page already, and with a title of its level."""
    page = urlsplit(request.headers.get("referer", "")).path
    heading = "h2" if page.endswith("/review") or "/corrections/" in page else "h3"
    context = {"place": place, "card": card, "kinds": KINDS, "heading": heading}
    return render(request, template, context, status)


def page(request: Request, place: Place, db: Session, card: Card, status: int = 200) -> HTMLResponse:
    context = {
        "place": place,
        "card": card,
        "kinds": KINDS,
        "history": _history(db, place, card.correction),
        "verdicts": _verdicts(db, place, card.correction),
        "sources": SOURCES,
        "thread": _thread(db, place, card.correction),
    }
    return render(request, "corrections/page.html", context, status)


def _thread(db: Session, place: Place, correction: Correction) -> uuid.UUID | None:
    """Where it came from, if the visitor may look there."""
    if correction.thread_id is not None:
        with suppress(NotFoundError):
            return thread_of(db, place, correction.thread_id).id
    return None


def _history(db: Session, place: Place, correction: Correction) -> list[Moment]:
    """What was said and done to it, oldest first."""
    mine = correction.author_id == place.user.id
    author = "You" if mine else correction.author.name if correction.author else "Former member"
    found = [Moment(correction.created_at, author, f"Began: {SOURCES[correction.source]}.")]  # type: ignore[index]
    query = (
        select(AuditEvent, User.name)
        .outerjoin(User, User.id == AuditEvent.actor_id)
        .where(AuditEvent.organization_id == place.organization.id, AuditEvent.target == str(correction.id))
        .where(AuditEvent.created_at >= correction.created_at, AuditEvent.action.in_(EVENTS))
        .order_by(AuditEvent.created_at)
        .limit(HISTORY)
    )
    for event, name in db.execute(query):
        who = "You" if event.actor_id == place.user.id else name or "Former member"
        found.append(Moment(event.created_at, who, f"{EVENTS[event.action].capitalize()}."))
    for job in db.scalars(select(Job).where(Job.id == correction.job_id)) if correction.job_id else ():
        if job.started_at is not None:
            found.append(Moment(job.started_at, "", "Learning began."))
    if correction.settled_at is not None and correction.state in (State.LEARNED, State.FAILED):
        said = f"Learned, in version {correction.version}." if correction.state == State.LEARNED else correction.problem
        found.append(Moment(correction.settled_at, "", said))
    return sorted(found, key=lambda moment: moment.at)


def _verdicts(db: Session, place: Place, correction: Correction) -> list[Verdict]:
    """Which versions were asked, and what they answered; the newest first."""
    query = select(Verdict).where(
        Verdict.organization_id == place.organization.id, Verdict.correction_id == correction.id
    )
    return list(db.scalars(query.order_by(Verdict.number.desc()).limit(LISTED)))
