"""Conversations from elsewhere as private threads of one user. What was imported before is left as it is."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from lifelearn.workspace.chats.chatgpt import Conversation, Skipped
from lifelearn.workspace.database import Database, now
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.quotas import Quotas, bytes_of
from lifelearn.workspace.tables.chats import Message, Thread

BATCH = 20  # conversations in a transaction: others write in between


@dataclass
class Imported:
    """What came in, and what was left out."""

    threads: int = 0
    messages: int = 0
    skipped: Skipped = field(default_factory=Skipped)


def keep(
    database: Database, place: Place, conversations: Iterable[Conversation], imported: Imported, quotas: Quotas
) -> None:
    """Keeps conversations, in transactions of its own; what came in before an error stays. Raises QuotaError."""
    waiting = iter(conversations)
    while batch := list(islice(waiting, BATCH)):
        with database.write() as db:
            _keep(db, place, batch, imported, quotas)


def _keep(db: Session, place: Place, batch: Iterable[Conversation], imported: Imported, quotas: Quotas) -> None:
    # An id that is made of whose and which it is: the same file again brings nothing twice.
    by_id = {uuid.uuid5(place.user.id, f"{place.organization.id}/{each.id}"): each for each in batch}
    there = set(db.scalars(select(Thread.id).where(Thread.id.in_(by_id))))
    threads: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    for thread_id, conversation in by_id.items():
        if thread_id in there:
            imported.skipped.add("conversations that were imported before")
            continue
        rows = _messages(place, thread_id, conversation)
        messages += rows
        times = {"created_at": rows[0]["created_at"], "updated_at": conversation.at or rows[-1]["created_at"]}
        about = {"organization_id": place.organization.id, "owner_id": place.user.id, "title": conversation.title}
        threads.append({"id": thread_id, **about, "leaf_id": rows[conversation.shown]["id"], **times})
    if threads:
        quotas.check_thread(db, place.organization.id)
        quotas.check_text(db, place.organization.id, sum(bytes_of(each["content"]) for each in messages))
        db.execute(insert(Thread), threads)
        db.execute(insert(Message), messages)  # parents first, as they come
    imported.threads += len(threads)
    imported.messages += len(messages)


def _messages(place: Place, thread_id: uuid.UUID, conversation: Conversation) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    at: datetime = conversation.at or now()
    for said in conversation.messages:
        parent = None if said.parent is None else rows[said.parent]
        at = said.at or at
        if parent is not None and at <= parent["created_at"]:
            at = parent["created_at"] + timedelta(microseconds=1)
        rows.append(
            {
                "id": uuid.uuid4(),
                "organization_id": place.organization.id,
                "thread_id": thread_id,
                "parent_id": parent and parent["id"],
                "author_id": place.user.id if said.role == "user" else None,
                "role": said.role,
                "content": said.content,
                "model": "ChatGPT" if said.role == "assistant" else "",
                "created_at": at,
                "examined_at": now(),  # what was said to another model corrects nothing of ours
            }
        )
    return rows
