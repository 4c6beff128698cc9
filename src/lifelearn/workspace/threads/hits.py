"""Searching in chats: titles and messages, with an excerpt of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from lifelearn.workspace.organizations.access import threads_seen_by
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.searching import contains, words_of
from lifelearn.workspace.tables.chats import Message, Thread

SNIPPET_CHARS = 160


@dataclass(frozen=True)
class Hit:
    """Something found. parts: an excerpt in pieces, each with whether it is what was searched for."""

    thread: Thread
    message: Message | None  # None: it was found in the title
    parts: tuple[tuple[str, bool], ...]


def search_messages(db: Session, place: Place, search: str, limit: int = 50) -> list[Hit]:
    """Messages and titles with all the words, latest first; titles before messages."""
    words = words_of(search)
    if not words:
        return []
    titled = threads_seen_by(place).where(*(contains(Thread.title, word) for word in words))
    titled = titled.order_by(Thread.updated_at.desc(), Thread.id).limit(limit)
    hits = [Hit(thread, None, _excerpt(thread.title, words)) for thread in db.scalars(titled)]
    said = (
        threads_seen_by(place)
        .join(Message, Message.thread_id == Thread.id)
        .where(*(contains(Message.content, word) for word in words))
        .order_by(Message.created_at.desc(), Message.id)
        .limit(limit - len(hits))
    )
    for thread, message in db.execute(said.add_columns(Message)) if len(hits) < limit else ():
        hits.append(Hit(thread, message, _excerpt(message.content, words)))
    return hits


def _excerpt(text: str, words: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    """The text around the first of the words, with all of them marked."""
    text = " ".join(text.split())
    pattern = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)
    first = pattern.search(text)
    start = max(0, (first.start() if first else 0) - SNIPPET_CHARS // 3)
    shown = text[start : start + SNIPPET_CHARS]
    parts: list[tuple[str, bool]] = [("… ", False)] if start else []
    at = 0
    for match in pattern.finditer(shown):
        parts += [(shown[at : match.start()], False), (match.group(), True)]
        at = match.end()
    parts.append((shown[at:] + (" …" if start + SNIPPET_CHARS < len(text) else ""), False))
    return tuple((part, marked) for part, marked in parts if part)
