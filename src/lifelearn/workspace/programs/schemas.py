"""What the calls of /api/v1 have in common, and what those about an organisation take and give.

Nothing leaves a table but through a schema; hashes are in none of them.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lifelearn.workspace.organizations.audit import Filter, Word
from lifelearn.workspace.tables.organizations import Role

MOST_LISTED = 100
LISTED = 50
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2999, 12, 31)  # nothing of ours is before or after
NEXT = "Send it as `before` for what follows; null on the last page."


class Taken(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Page(Taken):
    """Which part of a list."""

    before: str = Field("", max_length=200, description="The `next` of the page before. Empty is the first page.")
    limit: int = Field(LISTED, ge=1, le=MOST_LISTED)


class EventsWanted(Page):
    action: Word = Field("", description="Such as `member.removed`. Empty is any.")
    person: Word = Field("", description="The e-mail address of who did it. Empty is anybody.")
    since: date | None = Field(None, description="A day in UTC.")
    until: date | None = Field(None, description="A day in UTC, itself included.")

    @property
    def filter(self) -> Filter:
        since, until = (day and min(max(day, FIRST_DAY), LAST_DAY) for day in (self.since, self.until))
        return Filter(action=self.action, person=self.person, since=since, until=until)


class Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class OrganizationTold(Told):
    """The organisation that the key belongs to."""

    id: uuid.UUID
    name: str
    base_model: str
    active_version: int = Field(description="The version that answers; 0 is the base model.")
    instructions: str = Field(description="The system message of its chats.")
    temperature: float
    max_tokens: int
    created_at: datetime
    role: Role = Field(description="What the key's user is here, and so the most that the key may.")


class MemberTold(Told):
    user_id: uuid.UUID
    name: str
    email: str | None = Field(description="Told to keys with the scope `admin` of an admin or owner; else null.")
    role: Role
    joined_at: datetime


class Members(Told):
    items: list[MemberTold]


class InviteAsked(Taken):
    email: Annotated[str, Field(min_length=3, max_length=254, json_schema_extra={"format": "email"})]
    role: Role = Field(Role.MEMBER, description="Not above that of the key's user.")


class InviteTold(Told):
    id: uuid.UUID
    email: str
    role: Role
    created_at: datetime
    expires_at: datetime


class InviteMade(InviteTold):
    mailed: bool = Field(description="Whether it was mailed. If not, hand the link on yourself.")
    link: str | None = Field(description="Where the invite is accepted; told this once, and not if it was mailed.")


class Invites(Told):
    items: list[InviteTold]


class EventTold(Told):
    id: uuid.UUID
    time: datetime
    actor: str = Field(description="The e-mail address of who did it.")
    action: str = Field(description="A noun and a verb, such as `member.removed`.")
    target: str
    details: dict[str, Any]
    address: str = Field(description="The network address it came from.")


class Events(Told):
    items: list[EventTold]
    next: str | None = Field(description=NEXT)
