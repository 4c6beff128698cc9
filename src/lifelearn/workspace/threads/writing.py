"""How a chat goes on: a message with the answer that it is to have, a branch, another answer. Knows no model."""

from __future__ import annotations

import uuid

from sqlalchemy import exists, func, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from lifelearn.workspace.database import ago, now
from lifelearn.workspace.errors import ConflictError, InvalidError, NotFoundError, TooManyError
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.texts import cleaned
from lifelearn.workspace.threads.finding import message_of
from lifelearn.workspace.threads.tree import tree_of
from lifelearn.workspace.throttle import Limit

MESSAGE_CHARS = 32_000
AUTO_TITLE_CHARS = 60
RUNNING_MOST = 4  # answers that one user may have written at once
MESSAGES = Limit("message", most=30, seconds=60)  # of one user
LEFT_SECONDS = 30  # an answer that nobody has saved for so long is written by nobody
UNTITLED = "New chat"


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
    thread.leaf_id = tree_of(db, thread.id).end(message.id)


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
