"""Finding threads and their messages. What is not there, or not the visitor's, is NotFoundError."""

from __future__ import annotations

import uuid

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session, joinedload

from lifelearn.workspace.errors import NotFoundError
from lifelearn.workspace.organizations.access import threads_seen_by
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.paging import paged
from lifelearn.workspace.searching import contains, words_of
from lifelearn.workspace.tables.chats import Message, Thread


def visible_threads(
    db: Session, place: Place, search: str = "", before: str = "", limit: int = 50
) -> tuple[list[Thread], str]:
    """What the visitor sees, latest first, and the cursor of the next page; "" for the last.

    search: words in the title or in a message. before: a cursor. Raises InvalidError for what is none.
    """
    query = threads_seen_by(place)
    for word in words_of(search):
        said = exists().where(Message.thread_id == Thread.id, contains(Message.content, word))
        query = query.where(or_(contains(Thread.title, word), said))
    query = query.options(joinedload(Thread.owner, innerjoin=True))
    return paged(db, query, Thread, before, limit, by=Thread.updated_at)


def thread_of(db: Session, place: Place, thread_id: uuid.UUID) -> Thread:
    found = db.scalar(threads_seen_by(place).where(Thread.id == thread_id))
    if found is None:
        raise NotFoundError
    return found


def message_of(db: Session, place: Place, thread: Thread, message_id: uuid.UUID) -> Message:
    """A message of a thread that is known to be visible."""
    organization_id = place.organization.id
    found = db.scalar(
        select(Message)
        .where(Message.id == message_id, Message.thread_id == thread.id, Message.organization_id == organization_id)
        .options(joinedload(Message.author))
    )
    if found is None:
        raise NotFoundError
    return found
