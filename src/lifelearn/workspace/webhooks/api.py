"""Webhooks and notices in the JSON API, for programs. The rules are those of the pages."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Request

from lifelearn.settings import Settings
from lifelearn.workspace.database import Db, commit, database_of
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.pages import pages_of
from lifelearn.workspace.programs.caller import Administers, Reads, again
from lifelearn.workspace.programs.problems import BODY, problems
from lifelearn.workspace.programs.schemas import Page
from lifelearn.workspace.tables.webhooks import Webhook
from lifelearn.workspace.webhooks import administration, notices
from lifelearn.workspace.webhooks.administration import Sending, check_url
from lifelearn.workspace.webhooks.schemas import (
    Deliveries,
    DeliveryTold,
    Notices,
    NoticeTold,
    WebhookAsked,
    WebhookChange,
    WebhookMade,
    Webhooks,
    WebhookTold,
)
from lifelearn.workspace.webhooks.sending import payload, sender_of

api = APIRouter(prefix="/api/v1")


@api.get("/notices", operation_id="listNotices", tags=["Organisation"], responses=problems(422))
def listed(request: Request, place: Reads, db: Db, wanted: Annotated[Page, Query()]) -> Notices:
    """What happened, for all members and for the key's user, newest first."""
    found, following = notices.notices(db, place, wanted.before, wanted.limit)
    settings: Settings = request.app.state.settings
    items = [
        NoticeTold(
            id=each.id,
            event=each.name,
            title=each.title,
            url=notices.link_of(settings.public_url + place.url, each.path),
            personal=each.user_id is not None,
            data=each.details,
            created_at=each.created_at,
        )
        for each in found
    ]
    return Notices(items=items, next=following or None)


@api.get("/webhooks", operation_id="listWebhooks", tags=["Webhooks"], responses=problems())
def webhooks(place: Administers, db: Db) -> Webhooks:
    """All, oldest first."""
    found = administration.listed(db, place.organization.id)
    return Webhooks(items=[WebhookTold.model_validate(each) for each in found])


@api.post("/webhooks", operation_id="createWebhook", tags=["Webhooks"], status_code=201, responses=problems(*BODY, 409))
def create(request: Request, place: Administers, db: Db, asked: WebhookAsked) -> WebhookMade:
    """Has events sent to an address, each signed as Standard Webhooks has it: with the secret that is told here."""
    events = administration.events_of(asked.events)
    url = check_url(db, place, sender_of(request).check, asked.url)
    with database_of(request).write() as writing:
        place = again(request, writing).place
        webhook, secret = administration.create(writing, request, place, pages_of(request).keys, url, events)
        return _made(webhook, secret)


@api.get("/webhooks/{webhook_id}", operation_id="getWebhook", tags=["Webhooks"], responses=problems(404, 422))
def webhook(place: Administers, db: Db, webhook_id: uuid.UUID) -> WebhookTold:
    return WebhookTold.model_validate(administration.webhook_of(db, place.organization.id, webhook_id))


@api.patch("/webhooks/{webhook_id}", operation_id="updateWebhook", tags=["Webhooks"], responses=problems(*BODY, 404))
def change(request: Request, place: Administers, db: Db, webhook_id: uuid.UUID, asked: WebhookChange) -> WebhookTold:
    """Changes a webhook. What waits for one that is disabled is given up; it can be sent again later."""
    administration.webhook_of(db, place.organization.id, webhook_id)
    url = None
    if asked.url is None:
        commit(db)
    else:
        url = check_url(db, place, sender_of(request).check, asked.url)
    with database_of(request).write() as writing:
        place = again(request, writing).place
        changed = administration.change(
            writing, request, place, webhook_id, url=url, events=asked.events, enabled=asked.enabled
        )
        return WebhookTold.model_validate(changed)


@api.delete(
    "/webhooks/{webhook_id}",
    operation_id="deleteWebhook",
    tags=["Webhooks"],
    status_code=204,
    responses=problems(404, 422),
)
def delete(request: Request, place: Administers, db: Db, webhook_id: uuid.UUID) -> None:
    """Deletes a webhook with its deliveries."""
    administration.remove(db, request, place, webhook_id)


@api.post(
    "/webhooks/{webhook_id}/secret",
    operation_id="rotateWebhookSecret",
    tags=["Webhooks"],
    status_code=201,
    responses=problems(404, 422),
)
def rotate(request: Request, place: Administers, db: Db, webhook_id: uuid.UUID) -> WebhookMade:
    """Makes a new secret. For a day each delivery has two signatures, by the new and by the former one."""
    return _made(*administration.rotate(db, request, place, pages_of(request).keys, webhook_id))


@api.post(
    "/webhooks/{webhook_id}/test",
    operation_id="testWebhook",
    tags=["Webhooks"],
    status_code=201,
    responses=problems(404, 409, 422),
)
def test(request: Request, place: Administers, db: Db, webhook_id: uuid.UUID) -> DeliveryTold:
    """Sends the event `webhook.test`. How it went is told by its delivery a moment later."""
    return _told(request, place, administration.test(db, request, place, webhook_id))


@api.get(
    "/webhooks/{webhook_id}/deliveries",
    operation_id="listDeliveries",
    tags=["Webhooks"],
    responses=problems(404, 422),
)
def deliveries(
    request: Request, place: Administers, db: Db, webhook_id: uuid.UUID, wanted: Annotated[Page, Query()]
) -> Deliveries:
    """What was sent and is to be sent, newest first. Kept for 90 days."""
    found = administration.webhook_of(db, place.organization.id, webhook_id)
    items, following = administration.deliveries(db, found, wanted.before, wanted.limit)
    return Deliveries(items=[_told(request, place, each) for each in items], next=following or None)


@api.get(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}",
    operation_id="getDelivery",
    tags=["Webhooks"],
    responses=problems(404, 422),
)
def delivery(
    request: Request, place: Administers, db: Db, webhook_id: uuid.UUID, delivery_id: uuid.UUID
) -> DeliveryTold:
    found = administration.webhook_of(db, place.organization.id, webhook_id)
    return _told(request, place, administration.delivery_of(db, found, delivery_id))


@api.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    operation_id="replayDelivery",
    tags=["Webhooks"],
    status_code=201,
    responses=problems(404, 409, 422),
)
def replay(request: Request, place: Administers, db: Db, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> DeliveryTold:
    """Sends the same again, with the same id, as another delivery."""
    return _told(request, place, administration.replay(db, request, place, webhook_id, delivery_id))


def _made(webhook: Webhook, secret: str) -> WebhookMade:
    return WebhookMade(**WebhookTold.model_validate(webhook).model_dump(), secret=secret)


def _told(request: Request, place: Place, sending: Sending) -> DeliveryTold:
    delivery = sending.delivery
    return DeliveryTold(
        id=delivery.id,
        event=sending.happening.name,
        state=sending.state.value,
        attempts=delivery.attempts,
        status=delivery.status,
        problem=delivery.problem,
        created_at=delivery.created_at,
        next_at=delivery.next_at,
        delivered_at=delivery.delivered_at,
        payload=payload(request.app.state.settings, place.organization, sending.happening),
    )
