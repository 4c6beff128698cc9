"""What /api/v1 takes and gives. Nothing leaves a table but through one of these; hashes are in none of them."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lifelearn.workspace.chats.service import MESSAGE_CHARS, RIGHT_CHARS, SEARCH_CHARS, TITLE_CHARS
from lifelearn.workspace.organizations.audit import Filter, Word
from lifelearn.workspace.tables.chats import Status
from lifelearn.workspace.tables.organizations import Role

MOST_LISTED = 100
LISTED = 50
WAIT_SECONDS = 60
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2999, 12, 31)  # nothing of ours is before or after
NEXT = "Send it as `before` for what follows; null on the last page."

Title = Annotated[str, Field(min_length=1, max_length=TITLE_CHARS)]


class Taken(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Page(Taken):
    """Which part of a list."""

    before: str = Field("", max_length=200, description="The `next` of the page before. Empty is the first page.")
    limit: int = Field(LISTED, ge=1, le=MOST_LISTED)


class ThreadsWanted(Page):
    search: str = Field("", max_length=SEARCH_CHARS, description="Words in the title or in a message.")


class EventsWanted(Page):
    action: Word = Field("", description="Such as `member.removed`. Empty is any.")
    person: Word = Field("", description="The e-mail address of who did it. Empty is anybody.")
    since: date | None = Field(None, description="A day in UTC.")
    until: date | None = Field(None, description="A day in UTC, itself included.")

    @property
    def filter(self) -> Filter:
        since, until = (day and min(max(day, FIRST_DAY), LAST_DAY) for day in (self.since, self.until))
        return Filter(action=self.action, person=self.person, since=since, until=until)


class MessagesWanted(Taken):
    last: int = Field(MOST_LISTED, ge=1, le=1000, description="How many messages, from the end.")


class Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="What was wrong and what to do, in a sentence.")
    fields: dict[str, str] | None = Field(None, description="With 422: what is wrong with each field.")


# The organisation


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


# Chats


class ThreadTold(Told):
    id: uuid.UUID
    title: str
    shared: bool = Field(description="Whether all members see it and write in it, or its owner alone.")
    owner_id: uuid.UUID
    created_at: datetime
    updated_at: datetime


class Threads(Told):
    items: list[ThreadTold]
    next: str | None = Field(description=NEXT)


class MessageTold(Told):
    id: uuid.UUID
    parent_id: uuid.UUID | None = Field(description="The message before it; null for the first.")
    author_id: uuid.UUID | None = Field(description="Who wrote it; of an answer, who asked for it.")
    role: Literal["user", "assistant"]
    content: str = Field(description="What there is of it: an answer grows while its status is `streaming`.")
    status: Status
    error: str = Field(description="Why an answer failed; else empty.")
    version: int | None = Field(description="The version that answered; 0 is the base model.")
    model: str = Field(description="The name of the model that answered.")
    created_at: datetime
    told: int = Field(description="How many corrections that are not learned yet the model was told for it.")
    marked_wrong_at: datetime | None
    right_answer: str = Field(description="What is right instead, if somebody said so.")


class ThreadWithMessages(ThreadTold):
    earlier: int = Field(description="How many messages come before these.")
    messages: list[MessageTold] = Field(description="The end of the branch that is shown, in order.")


class Posted(Told):
    """A message and the answer to it, which is written unless it was waited for."""

    thread: ThreadTold
    question: MessageTold
    answer: MessageTold


class MessageAsked(Taken):
    content: Annotated[str, Field(min_length=1, max_length=MESSAGE_CHARS)]
    wait: bool = Field(
        False,
        description=f"Tell the answer when it is complete, or after {WAIT_SECONDS} seconds as far as it is then.",
    )


class ReplyAsked(MessageAsked):
    parent_id: uuid.UUID | None = Field(
        None, description="The answer that it replies to. By default the last; an earlier one starts a branch."
    )


class ThreadAsked(MessageAsked):
    """A chat, by its first message."""

    title: Title | None = Field(None, description="By default the beginning of the message.")
    shared: bool = False


class ThreadChange(Taken):
    title: Title | None = None
    shared: bool | None = None


class CorrectionAsked(Taken):
    right_answer: Annotated[str, Field(max_length=RIGHT_CHARS)] = Field(
        "", description="What is right instead; it is learned. Without it the answer is marked as wrong and no more."
    )
