"""What is done to a thread as a whole: its title, who sees it, its end."""

from __future__ import annotations

from functools import partial

from fastapi import Request
from sqlalchemy import delete as deletion
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.workspace.database import after_commit
from lifelearn.workspace.errors import ForbiddenError, InvalidError
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.texts import cleaned

TITLE_CHARS = 200


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


def may_manage(place: Place, thread: Thread) -> bool:
    """Whether the visitor may rename and delete a visible thread: it is theirs, or shared and they are admin."""
    return thread.owner_id == place.user.id or (thread.shared and place.may_decide)


def _manage(place: Place, thread: Thread) -> None:
    if not may_manage(place, thread):
        raise ForbiddenError("Only who started a chat, or an admin, may do that.")
