"""An organisation's webhooks as its admins handle them: made, changed, tried, looked at. Pages and programs use it.

Each change locks the organisation and looks again whether the visitor is still an admin: before a URL is kept its name
is resolved, and meanwhile no session was open.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from fastapi import Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import commit
from lifelearn.workspace.errors import ConflictError, InvalidError, NotFoundError
from lifelearn.workspace.organizations.audit import record
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.paging import paged
from lifelearn.workspace.tables.organizations import Membership, Organization, Role
from lifelearn.workspace.tables.webhooks import Delivery, Happening, Webhook
from lifelearn.workspace.throttle import Limit
from lifelearn.workspace.webhooks import signing
from lifelearn.workspace.webhooks.addresses import RefusedError, Url
from lifelearn.workspace.webhooks.service import EVENTS, EVERYTHING, TEST, deliver, origin, switch_off

MOST_WEBHOOKS = 10  # of an organisation
SENT = Limit("webhook-sent", most=60, seconds=3600)  # tests and repetitions, of an organisation
CHECKED = Limit("webhook-checked", most=60, seconds=3600)  # URLs, by a user
PAGE = 50


class State(StrEnum):
    """Where a delivery is. WAITING: to be tried, or tried again. GIVEN_UP: it can be sent again by hand."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


@dataclass(frozen=True)
class Sending:
    """A delivery with what it delivers."""

    delivery: Delivery
    happening: Happening

    @property
    def state(self) -> State:
        if self.delivery.delivered_at is not None:
            return State.DELIVERED
        return State.GIVEN_UP if self.delivery.next_at is None else State.WAITING


# What people enter


def check_url(db: Session, place: Place, check: Callable[[str], Url], text: str) -> Url:
    """Whether a webhook may have that URL. Ends the transaction: name servers take their time. Raises InvalidError.

    check: the sender's.
    """
    CHECKED.count(db, str(place.user.id))
    commit(db)
    try:
        return check(text)
    except RefusedError as error:
        raise InvalidError(str(error), {"url": str(error)}) from None


def events_of(named: Sequence[str]) -> list[str]:
    """Names of events, each once; everything is nothing else. Raises InvalidError."""
    if not named:
        raise InvalidError("Choose what to send.", {"events": "Choose at least one."})
    if EVERYTHING in named:
        return [EVERYTHING]
    if unknown := sorted(set(named) - set(EVENTS)):
        said = f"There is no event {unknown[0]}."
        raise InvalidError(said, {"events": said})
    return [name for name in EVENTS if name in named]


# Webhooks


def listed(db: Session, organization_id: uuid.UUID) -> Sequence[Webhook]:
    """All, oldest first."""
    where = Webhook.organization_id == organization_id
    return db.scalars(select(Webhook).where(where).order_by(Webhook.created_at, Webhook.id)).all()


def webhook_of(db: Session, organization_id: uuid.UUID, webhook_id: uuid.UUID) -> Webhook:
    """Raises NotFoundError."""
    where = (Webhook.id == webhook_id, Webhook.organization_id == organization_id)
    found = db.scalar(select(Webhook).where(*where))
    if found is None:
        raise NotFoundError
    return found


def create(
    db: Session, request: Request, place: Place, keys: Keys, url: Url, events: Sequence[str]
) -> tuple[Webhook, str]:
    """A webhook and its secret, which is told here and now alone. url: checked."""
    _need_admin(db, place)
    wanted = events_of(events)
    count = select(func.count()).select_from(Webhook).where(Webhook.organization_id == place.organization.id)
    if (db.scalar(count) or 0) >= MOST_WEBHOOKS:
        raise ConflictError(f"An organisation can have {MOST_WEBHOOKS} webhooks. Delete one that is not needed.")
    secret = signing.new_secret()
    webhook = Webhook(
        organization_id=place.organization.id,
        author_id=place.user.id,
        url=str(url),
        secret=signing.seal(keys, secret),
        events=wanted,
    )
    db.add(webhook)
    db.flush()
    _record(db, request, place, "webhook.created", webhook, events=wanted)
    return webhook, secret


def change(
    db: Session,
    request: Request,
    place: Place,
    webhook_id: uuid.UUID,
    *,
    url: Url | None = None,
    events: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> Webhook:
    """Changes what is given. url: checked."""
    webhook = _changeable(db, place, webhook_id)
    told: dict[str, Any] = {}
    if events is not None and (wanted := events_of(events)) != webhook.events:
        webhook.events = told["events"] = wanted
    if url is not None and str(url) != webhook.url:
        told["url"] = [origin(webhook.url), url.origin]
        webhook.url = str(url)
    if enabled is not None and enabled is not webhook.enabled:
        told["enabled"] = enabled
        if enabled:
            webhook.enabled, webhook.failures = True, 0
        else:
            switch_off(db, webhook)
    if told:
        _record(db, request, place, "webhook.changed", webhook, **told)
    return webhook


def rotate(db: Session, request: Request, place: Place, keys: Keys, webhook_id: uuid.UUID) -> tuple[Webhook, str]:
    """A new secret, which is told here and now alone. The former one signs along for a day."""
    webhook = _changeable(db, place, webhook_id)
    secret = signing.new_secret()
    webhook.secret = signing.seal(keys, secret, former=webhook.secret)
    _record(db, request, place, "webhook.secret_rotated", webhook)
    return webhook, secret


def remove(db: Session, request: Request, place: Place, webhook_id: uuid.UUID) -> None:
    webhook = _changeable(db, place, webhook_id)
    _record(db, request, place, "webhook.deleted", webhook)
    db.delete(webhook)


# Deliveries


def test(db: Session, request: Request, place: Place, webhook_id: uuid.UUID) -> Sending:
    """Has an event sent that says it is a test."""
    webhook = _sendable(db, place, webhook_id)
    happening = Happening(
        organization_id=place.organization.id,
        user_id=place.user.id,
        name=TEST,
        title="This is a test.",
        path=f"/webhooks/{webhook.id}",
        details={"test": True},
    )
    db.add(happening)
    (delivery,) = deliver(db, happening, [webhook])
    db.flush()
    _record(db, request, place, "webhook.tested", webhook)
    return Sending(delivery, happening)


def replay(db: Session, request: Request, place: Place, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> Sending:
    """Has what was sent, or was to be sent, sent again: another delivery of the same, with the same id."""
    webhook = _sendable(db, place, webhook_id)
    former = delivery_of(db, webhook, delivery_id)
    (delivery,) = deliver(db, former.happening, [webhook])
    db.flush()
    _record(db, request, place, "webhook.replayed", webhook, event=former.happening.name)
    return Sending(delivery, former.happening)


def deliveries(db: Session, webhook: Webhook, before: str = "", most: int = PAGE) -> tuple[list[Sending], str]:
    """Newest first, and the cursor of the next page; "" for the last."""
    found, following = paged(db, select(Delivery).where(Delivery.webhook_id == webhook.id), Delivery, before, most)
    ids = {each.happening_id for each in found}
    happenings = {each.id: each for each in db.scalars(select(Happening).where(Happening.id.in_(ids)))}
    return [
        Sending(each, happenings[each.happening_id]) for each in found if each.happening_id in happenings
    ], following


def delivery_of(db: Session, webhook: Webhook, delivery_id: uuid.UUID) -> Sending:
    """Raises NotFoundError."""
    found = db.execute(
        select(Delivery, Happening)
        .join(Happening, Happening.id == Delivery.happening_id)
        .where(Delivery.id == delivery_id, Delivery.webhook_id == webhook.id)
    ).one_or_none()
    if found is None:
        raise NotFoundError
    return Sending(found[0], found[1])


def _changeable(db: Session, place: Place, webhook_id: uuid.UUID) -> Webhook:
    _need_admin(db, place)
    return webhook_of(db, place.organization.id, webhook_id)


def _sendable(db: Session, place: Place, webhook_id: uuid.UUID) -> Webhook:
    webhook = _changeable(db, place, webhook_id)
    if not webhook.enabled:
        raise ConflictError("This webhook is disabled. Enable it first.")
    SENT.count(db, str(place.organization.id))
    return webhook


def _need_admin(db: Session, place: Place) -> None:
    """Locks the organisation. Raises NotFoundError or ForbiddenError where the visitor is no admin any more."""
    locked = select(Organization.id).where(Organization.id == place.organization.id).with_for_update(key_share=True)
    db.scalar(locked)
    mine = (Membership.organization_id == place.organization.id, Membership.user_id == place.user.id)
    role = db.scalar(select(Membership.role).where(*mine))
    if role is None:
        raise NotFoundError
    replace(place, role=Role(role)).need(Role.ADMIN)


def _record(db: Session, request: Request, place: Place, action: str, webhook: Webhook, **details: Any) -> None:
    """What is after the host may be secret, and stays out of the log."""
    record(db, request, place.organization.id, place.user, action, origin(webhook.url), id=str(webhook.id), **details)
