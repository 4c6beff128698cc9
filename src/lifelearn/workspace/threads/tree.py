"""The tree of a thread's messages: a message can be edited and an answer made again, and one branch is shown."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from lifelearn.learning import types as learning
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.organizations import Organization


@dataclass(frozen=True)
class Turn:
    """A message in the shown branch. siblings: all that could stand in its place, oldest first, itself included."""

    message: Message
    siblings: tuple[uuid.UUID, ...]

    @property
    def number(self) -> int:
        """Its place among them, from 1."""
        return self.siblings.index(self.message.id) + 1

    @property
    def previous(self) -> uuid.UUID | None:
        return self.siblings[self.number - 2] if self.number > 1 else None

    @property
    def next(self) -> uuid.UUID | None:
        return self.siblings[self.number] if self.number < len(self.siblings) else None


def branch(db: Session, thread: Thread) -> list[Turn]:
    """The shown branch, from the first message to the thread's leaf."""
    tree = tree_of(db, thread.id)
    ids = tree.path(thread.leaf_id)
    return _turns(db, thread, tree, ids)


def last_turns(db: Session, thread: Thread, most: int, through: uuid.UUID | None = None) -> tuple[list[Turn], int]:
    """The end of the shown branch, and how many turns come before it.

    through: a message that must be among them, if need be on its own branch and with more turns.
    """
    tree = tree_of(db, thread.id)
    ids = tree.path(thread.leaf_id)
    if through is not None:
        if through not in ids:
            ids = tree.path(tree.end(through))
        most = max(most, len(ids) - ids.index(through) + 2)
    return _turns(db, thread, tree, ids[-most:]), max(0, len(ids) - most)


def turn_of(db: Session, thread: Thread, message: Message) -> Turn:
    """A message of the thread with its siblings, whether it is in the shown branch or not."""
    same = Message.parent_id == message.parent_id if message.parent_id else Message.parent_id.is_(None)
    query = select(Message.id).where(Message.thread_id == thread.id, same).order_by(Message.created_at, Message.id)
    return Turn(message, tuple(db.scalars(query)))


def everything(db: Session, thread: Thread) -> list[Message]:
    """All messages of a thread in the order in which they were written, those of other branches included."""
    query = select(Message).where(Message.thread_id == thread.id).order_by(Message.created_at, Message.id)
    return list(db.scalars(query.options(joinedload(Message.author))))


def conversation_of(db: Session, organization: Organization, last: Message) -> learning.Conversation:
    """What the model is asked: the organisation's instructions, and the branch up to the message `last`.

    Turns of one role that follow one another become one, as models want them to alternate; answers that have no
    text are left out.
    """
    turns: list[learning.Message] = []
    if organization.instructions:
        turns.append(learning.Message(role="system", content=organization.instructions))
    ids = tree_of(db, last.thread_id).path(last.id)
    found = {message.id: message for message in _loaded(db, ids)}
    for message in (found[each] for each in ids if each in found):
        if not message.content:
            continue
        role: Any = message.role
        if turns and turns[-1].role == role:
            turns[-1] = learning.Message(role=role, content=f"{turns[-1].content}\n\n{message.content}")
        else:
            turns.append(learning.Message(role=role, content=message.content))
    return tuple(turns)


class Tree:
    """Which message follows which. Bounded by what it has seen, so that no loop in the data can hold it."""

    def __init__(self, rows: Iterable[tuple[uuid.UUID, uuid.UUID | None]]) -> None:
        """rows: ids and their parents', in the order in which they were written."""
        self.parents = dict(rows)
        self.children: dict[uuid.UUID | None, list[uuid.UUID]] = {}
        for child, parent in self.parents.items():
            self.children.setdefault(parent, []).append(child)

    def path(self, leaf: uuid.UUID | None) -> list[uuid.UUID]:
        """From the first message to the leaf, or to the latest message where there is no such leaf."""
        at = leaf if leaf in self.parents else next(reversed(self.parents), None)
        path: dict[uuid.UUID, None] = {}
        while at is not None and at in self.parents and at not in path:
            path[at] = None
            at = self.parents[at]
        return list(reversed(path))

    def end(self, at: uuid.UUID) -> uuid.UUID:
        """The end of the branch through a message: always the latest that follows."""
        seen = {at}
        while following := self.children.get(at):
            if following[-1] in seen:
                break
            at = following[-1]
            seen.add(at)
        return at


def tree_of(db: Session, thread_id: uuid.UUID) -> Tree:
    query = select(Message.id, Message.parent_id).where(Message.thread_id == thread_id)
    return Tree((child, parent) for child, parent in db.execute(query.order_by(Message.created_at, Message.id)))


def _turns(db: Session, thread: Thread, tree: Tree, ids: Sequence[uuid.UUID]) -> list[Turn]:
    found = {message.id: message for message in _loaded(db, ids)}
    return [Turn(found[each], tuple(tree.children[tree.parents[each]])) for each in ids if each in found]


def _loaded(db: Session, ids: Sequence[uuid.UUID]) -> Iterable[Message]:
    for start in range(0, len(ids), 1000):  # databases bound the number of parameters
        query = select(Message).where(Message.id.in_(ids[start : start + 1000]))
        yield from db.scalars(query.options(joinedload(Message.author)))
