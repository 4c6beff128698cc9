"""What /api/v1 takes and gives about chats."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from lifelearn.workspace.programs.schemas import MOST_LISTED, NEXT, Page, Taken, Told
from lifelearn.workspace.searching import SEARCH_CHARS
from lifelearn.workspace.tables.chats import Status
from lifelearn.workspace.threads.managing import TITLE_CHARS
from lifelearn.workspace.threads.marks import RIGHT_CHARS
from lifelearn.workspace.threads.writing import MESSAGE_CHARS

WAIT_SECONDS = 60
Title = Annotated[str, Field(min_length=1, max_length=TITLE_CHARS)]


class ThreadsWanted(Page):
    search: str = Field("", max_length=SEARCH_CHARS, description="Words in the title or in a message.")


class MessagesWanted(Taken):
    last: int = Field(MOST_LISTED, ge=1, le=1000, description="How many messages, from the end.")


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
