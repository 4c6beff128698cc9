"""Threads and messages: who sees them, how a chat goes on, branches and is found. Pages and programs both use it.

A private thread is its owner's alone: an organisation's owner and admins do not see it either. Each function takes
the session of the request and the place where it happens; what is not there, or not the visitor's, is NotFoundError.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import Request
from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy import delete as deletion
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload
from sqlalchemy.orm.attributes import set_committed_value

from lifelearn.learning import types as learning
from lifelearn.workspace.database import after_commit, ago, now
from lifelearn.workspace.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, TooManyError
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.paging import paged
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.throttle import Limit

MESSAGE_CHARS = 32_000
RIGHT_CHARS = 4_000
TITLE_CHARS, AUTO_TITLE_CHARS = 200, 60
SEARCH_CHARS, SEARCH_WORDS = 200, 8
RUNNING_MOST = 4  # answers that one user may have written at once
MESSAGES = Limit("message", most=30, seconds=60)  # of one user
LEFT_SECONDS = 30  # an answer that nobody has saved for so long is written by nobody
SNIPPET_CHARS = 160
UNTITLED = "New chat"

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


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


@dataclass(frozen=True)
class Hit:
    """Something found. parts: an excerpt in pieces, each with whether it is what was searched for."""

    thread: Thread
    message: Message | None  # None: it was found in the title
    parts: tuple[tuple[str, bool], ...]


# Reading


def visible_threads(
    db: Session, place: Place, search: str = "", before: str = "", limit: int = 50
) -> tuple[list[Thread], str]:
    """What the visitor sees, latest first, and the cursor of the next page; "" for the last.

    search: words in the title or in a message. before: a cursor. Raises InvalidError for what is none.
    """
    query = _visible(place)
    for word in words_of(search):
        said = exists().where(Message.thread_id == Thread.id, contains(Message.content, word))
        query = query.where(or_(contains(Thread.title, word), said))
    query = query.options(joinedload(Thread.owner, innerjoin=True))
    return paged(db, query, Thread, before, limit, by=Thread.updated_at)


def thread_of(db: Session, place: Place, thread_id: uuid.UUID) -> Thread:
    found = db.scalar(_visible(place).where(Thread.id == thread_id))
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


def branch(db: Session, thread: Thread) -> list[Turn]:
    """The shown branch, from the first message to the thread's leaf."""
    tree = _tree(db, thread)
    ids = tree.path(thread.leaf_id)
    return _turns(db, thread, tree, ids)


def last_turns(db: Session, thread: Thread, most: int, through: uuid.UUID | None = None) -> tuple[list[Turn], int]:
    """The end of the shown branch, and how many turns come before it.

    through: a message that must be among them, if need be on its own branch and with more turns.
    """
    tree = _tree(db, thread)
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


def search_messages(db: Session, place: Place, search: str, limit: int = 50) -> list[Hit]:
    """Messages and titles with all the words, latest first; titles before messages."""
    words = words_of(search)
    if not words:
        return []
    titled = _visible(place).where(*(contains(Thread.title, word) for word in words))
    titled = titled.order_by(Thread.updated_at.desc(), Thread.id).limit(limit)
    hits = [Hit(thread, None, _excerpt(thread.title, words)) for thread in db.scalars(titled)]
    said = (
        _visible(place)
        .join(Message, Message.thread_id == Thread.id)
        .where(*(contains(Message.content, word) for word in words))
        .order_by(Message.created_at.desc(), Message.id)
        .limit(limit - len(hits))
    )
    for thread, message in db.execute(said.add_columns(Message)) if len(hits) < limit else ():
        hits.append(Hit(thread, message, _excerpt(message.content, words)))
    return hits


def conversation_of(db: Session, organization: Organization, last: Message) -> learning.Conversation:
    """What the model is asked: the organisation's instructions, and the branch up to the message `last`.

    Turns of one role that follow one another become one, as models want them to alternate; answers that have no
    text are left out.
    """
    turns: list[learning.Message] = []
    if organization.instructions:
        turns.append(learning.Message(role="system", content=organization.instructions))
    ids = _tree_of(db, last.thread_id).path(last.id)
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


# Writing


def post(
    db: Session,
    place: Place,
    thread: Thread | None,
    content: str,
    parent_id: uuid.UUID | None = None,
    alone: bool = False,
) -> tuple[Thread, Message, Message]:
    """Adds the visitor's message and the answer to it, still empty; `Answers.begin` has it written after the commit.

    thread: None starts one. parent_id: the answer that it replies to; None is the end of the shown branch.
    alone: refuses where others have replied to it meanwhile, since what they wrote would go out of sight.
    """
    content = checked(content)
    if thread is None:
        _may_ask(db, place.user)
        thread = Thread(organization_id=place.organization.id, owner_id=place.user.id, title=title_of(content))
        db.add(thread)
        db.flush()
        return thread, *_ask(db, place, thread, content, None)
    _lock(db, thread)
    _may_ask(db, place.user)
    parent = None
    if (parent_id := parent_id or thread.leaf_id) is not None:
        parent = message_of(db, place, thread, parent_id)
        _settle(parent)
        if alone and db.scalar(select(exists().where(Message.parent_id == parent.id))):
            raise ConflictError(
                "Somebody wrote here meanwhile. Copy what you wrote, and load the page again to see what they did."
            )
    return thread, *_ask(db, place, thread, content, parent)


def edit(db: Session, place: Place, thread: Thread, message: Message, content: str) -> tuple[Message, Message]:
    """The same place in the chat with another question, and an answer to it: a branch. The old one stays."""
    if message.role != "user":
        raise InvalidError("Only what somebody asked can be edited; an answer can be made again.")
    content = checked(content)
    _lock(db, thread)
    _may_ask(db, place.user)
    parent = None if message.parent_id is None else message_of(db, place, thread, message.parent_id)
    return _ask(db, place, thread, content, parent)


def answer_again(db: Session, place: Place, thread: Thread, message: Message) -> Message:
    """Another answer to the same question, still empty. message: an answer, or a question that has none."""
    _lock(db, thread)
    _may_ask(db, place.user)
    question = message
    if message.role != "user":
        _settle(message)
        if message.parent_id is None:
            raise InvalidError("There is no question before this answer.")
        question = message_of(db, place, thread, message.parent_id)
    return _answer_to(db, place, thread, question)


def show(db: Session, place: Place, thread: Thread, message: Message) -> None:
    """Shows the branch that goes through this message, to its latest end."""
    _lock(db, thread)
    thread.leaf_id = _tree(db, thread).end(message.id)


def rename(db: Session, place: Place, thread: Thread, title: str) -> None:
    _manage(place, thread)
    title = cleaned(title, one_line=True)
    if not title:
        raise InvalidError("A chat needs a title.", {"title": "Enter a title."})
    if len(title) > TITLE_CHARS:
        raise InvalidError(
            "The title is too long.", {"title": f"At most {TITLE_CHARS} characters; this has {len(title)}."}
        )
    thread.title = title


def share(db: Session, request: Request, place: Place, thread: Thread, shared: bool) -> None:
    """Lets all members see it and write in it, or only its owner again. A change is in the audit log."""
    if thread.owner_id != place.user.id:
        raise ForbiddenError("Only who started a chat can share it or make it private.")
    if thread.shared != shared:
        thread.shared = shared
        action = "chat.shared" if shared else "chat.made_private"
        audit.record(db, request, place.organization.id, place.user, action, thread.title, id=str(thread.id))


def delete(db: Session, request: Request, place: Place, thread: Thread) -> None:
    """Deletes a thread with its messages, for good, and ends the answers that are being written in it."""
    _manage(place, thread)
    running = select(Message.id).where(Message.thread_id == thread.id, Message.status == Status.STREAMING)
    for answer_id in db.scalars(running).all():
        after_commit(db, partial(request.app.state.answers.stop, answer_id))
    target = thread.title if thread.shared else "a private chat"  # whose title nobody else learns
    audit.record(db, request, place.organization.id, place.user, "chat.deleted", target, id=str(thread.id))
    db.execute(deletion(Thread).where(Thread.id == thread.id, Thread.organization_id == place.organization.id))


def correct(message: Message, right_answer: str) -> None:
    """Marks an answer as wrong. right_answer: what is right instead, if the visitor says so."""
    if message.role != "assistant" or message.status == Status.STREAMING:
        raise InvalidError("Only an answer that is complete can be corrected.")
    right_answer = cleaned(right_answer)
    if len(right_answer) > RIGHT_CHARS:
        told = f"At most {RIGHT_CHARS:,} characters; this has {len(right_answer):,}."
        raise InvalidError(f"What is right is too long: {told}", {"right_answer": told})
    message.marked_wrong_at = now()
    message.right_answer = right_answer


def withdraw(message: Message) -> None:
    """Takes the mark back."""
    message.marked_wrong_at = None
    message.right_answer = ""


def may_manage(place: Place, thread: Thread) -> bool:
    """Whether the visitor may rename and delete a visible thread: it is theirs, or shared and they are admin."""
    return thread.owner_id == place.user.id or (thread.shared and place.may_decide)


# Text


def cleaned(text: str, one_line: bool = False) -> str:
    """A text as it is kept: without control characters and half surrogates, which databases refuse."""
    text = cleaned_piece(text.replace("\r\n", "\n").replace("\r", "\n"))
    return " ".join(text.split()) if one_line else text.strip()


def cleaned_piece(text: str) -> str:
    """The same for a part of a text, whose spaces count."""
    return _CONTROLS.sub("", text.encode("utf-8", "replace").decode())


def checked(content: str) -> str:
    """A message as it is kept. Raises InvalidError if it is empty or too long."""
    content = cleaned(content)
    if not content:
        raise InvalidError("The message is empty. Write something first.", {"content": "Write something first."})
    if len(content) > MESSAGE_CHARS:
        told = f"At most {MESSAGE_CHARS:,} characters; this has {len(content):,}."
        raise InvalidError(f"The message is too long. {told}", {"content": told})
    return content


def title_of(content: str) -> str:
    """A title made of the beginning of a message, at a word's end."""
    line = cleaned(content, one_line=True)
    if len(line) <= AUTO_TITLE_CHARS:
        return line or UNTITLED
    short = line[: AUTO_TITLE_CHARS + 1].rpartition(" ")[0] or line[:AUTO_TITLE_CHARS]
    return short.rstrip(" ,;:.-") + "…"


def is_left(message: Message) -> bool:
    """Whether an answer is still to be written and nobody writes it any more."""
    return message.status == Status.STREAMING and (message.saved_at or message.created_at) < ago(seconds=LEFT_SECONDS)


# The tree


class _Tree:
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


def _tree(db: Session, thread: Thread) -> _Tree:
    return _tree_of(db, thread.id)


def _tree_of(db: Session, thread_id: uuid.UUID) -> _Tree:
    query = select(Message.id, Message.parent_id).where(Message.thread_id == thread_id)
    return _Tree((child, parent) for child, parent in db.execute(query.order_by(Message.created_at, Message.id)))


def _turns(db: Session, thread: Thread, tree: _Tree, ids: Sequence[uuid.UUID]) -> list[Turn]:
    found = {message.id: message for message in _loaded(db, ids)}
    return [Turn(found[each], tuple(tree.children[tree.parents[each]])) for each in ids if each in found]


def _loaded(db: Session, ids: Sequence[uuid.UUID]) -> Iterable[Message]:
    for start in range(0, len(ids), 1000):  # databases bound the number of parameters
        query = select(Message).where(Message.id.in_(ids[start : start + 1000]))
        yield from db.scalars(query.options(joinedload(Message.author)))


# The rules


def _visible(place: Place) -> Select[Thread]:
    mine = or_(Thread.shared, Thread.owner_id == place.user.id)
    return select(Thread).where(Thread.organization_id == place.organization.id, mine)


def _manage(place: Place, thread: Thread) -> None:
    if not may_manage(place, thread):
        raise ForbiddenError("Only who started a chat, or an admin, may do that.")


def _lock(db: Session, thread: Thread) -> None:
    """One change of a thread at a time, so that two people who write at once make no branch unseen."""
    try:
        db.refresh(thread, with_for_update=True)
    except InvalidRequestError:
        raise NotFoundError from None


def _may_ask(db: Session, user: User) -> None:
    """Raises TooManyError where the user has asked enough for the moment."""
    MESSAGES.count(db, str(user.id))
    alive = func.coalesce(Message.saved_at, Message.created_at) > ago(seconds=LEFT_SECONDS)
    running = db.scalar(
        select(func.count())
        .select_from(Message)
        .where(Message.author_id == user.id, Message.created_at > ago(hours=6))
        .where(Message.role == "assistant", Message.status == Status.STREAMING, alive)
    )
    if (running or 0) >= RUNNING_MOST:
        raise TooManyError(f"{RUNNING_MOST} answers are being written for you. Wait for one of them, or stop it.", 5)


def _settle(message: Message) -> None:
    """An answer that somebody replies to must have ended."""
    if is_left(message):
        message.status = Status.INTERRUPTED
    if message.status == Status.STREAMING:
        raise ConflictError("The answer is still being written. Wait for it or stop it, and send this again.")


def _ask(db: Session, place: Place, thread: Thread, content: str, parent: Message | None) -> tuple[Message, Message]:
    question = Message(
        organization_id=thread.organization_id,
        thread_id=thread.id,
        parent_id=parent.id if parent else None,
        author_id=place.user.id,
        role="user",
        content=content,
    )
    db.add(question)
    db.flush()
    set_committed_value(question, "author", place.user)  # known already; it may be of another session
    return question, _answer_to(db, place, thread, question)


def _answer_to(db: Session, place: Place, thread: Thread, question: Message) -> Message:
    answer = Message(
        organization_id=thread.organization_id,
        thread_id=thread.id,
        parent_id=question.id,
        author_id=place.user.id,
        role="assistant",
        status=Status.STREAMING,
    )
    db.add(answer)
    db.flush()
    thread.leaf_id, thread.updated_at = answer.id, now()
    return answer


# Searching


def words_of(search: str) -> list[str]:
    return cleaned(search, one_line=True)[:SEARCH_CHARS].split()[:SEARCH_WORDS]


def contains(column: InstrumentedAttribute[str], word: str) -> ColumnElement[bool]:
    """Whether a text has the word, large or small. SQLite knows the case of ASCII only, so it is told the others."""
    forms = {word} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}
    return or_(*(column.icontains(form, autoescape=True) for form in sorted(forms)))


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
