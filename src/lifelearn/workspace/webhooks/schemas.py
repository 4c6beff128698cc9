"""What /api/v1 takes and gives about webhooks and notices. A secret is told by the call that makes it alone."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from lifelearn.workspace.programs.schemas import NEXT, Taken, Told
from lifelearn.workspace.webhooks.addresses import URL_CHARS
from lifelearn.workspace.webhooks.service import EVENTS, EVERYTHING

MOST_EVENTS = 50

Event = Annotated[
    str,
    Field(max_length=100, json_schema_extra={"enum": [EVERYTHING, *EVENTS]}),
]
Events = Annotated[
    list[Event],
    Field(
        min_length=1, max_length=MOST_EVENTS, description="What is sent; `*` is everything, also what is added later."
    ),
]
Address = Annotated[
    str,
    Field(
        min_length=1,
        max_length=URL_CHARS,
        description="Where to: https, a public address, without a user name. Redirects are not followed.",
        json_schema_extra={"format": "uri"},
    ),
]


class WebhookAsked(Taken):
    url: Address
    events: Events


class WebhookChange(Taken):
    """What is left out or null stays as it is."""

    url: Address | None = None
    events: Events | None = None
    enabled: bool | None = None


class WebhookTold(Told):
    id: uuid.UUID
    url: str
    events: list[str]
    enabled: bool = Field(description="A webhook is disabled by its receiver (410), and after many failures in a row.")
    failures: int = Field(description="Deliveries in a row that were given up.")
    created_at: datetime


class WebhookMade(WebhookTold):
    secret: str = Field(description="Checks the signature of each delivery; told this once.")


class Webhooks(Told):
    items: list[WebhookTold]


class DeliveryTold(Told):
    id: uuid.UUID
    event: str
    state: Literal["waiting", "delivered", "given up"]
    attempts: int
    status: int | None = Field(description="Of the receiver's last answer; null if there was none.")
    problem: str = Field(description="Why the last attempt failed; else empty.")
    created_at: datetime
    next_at: datetime | None = Field(description="When it is tried next; null if it is not.")
    delivered_at: datetime | None
    payload: dict[str, Any] = Field(description="What is sent.")


class Deliveries(Told):
    items: list[DeliveryTold]
    next: str | None = Field(description=NEXT)


class NoticeTold(Told):
    id: uuid.UUID
    event: str
    title: str
    url: str = Field(description="The page that it is about.")
    personal: bool = Field(description="For the key's user alone, or for all members.")
    data: dict[str, Any]
    created_at: datetime


class Notices(Told):
    items: list[NoticeTold]
    next: str | None = Field(description=NEXT)
