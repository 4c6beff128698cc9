"""What tests of chats share: asking, and waiting for the answer."""

from __future__ import annotations

import re
import uuid

from sqlalchemy import func, select

from lifelearn.workspace.organizations.place import Place, memberships_of
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import AuditEvent, Role
from lifelearn.workspace.threads import tree
from waiting import until
from workspace.fakes import Browser, Workspace


def ask(
    browser: Browser, organization: uuid.UUID, content: str = "Hello", thread: uuid.UUID | None = None
) -> uuid.UUID:
    """Sends a message by the form; the thread's id."""
    path = f"/o/{organization}/threads"
    answer = browser.post(path if thread is None else f"{path}/{thread}/messages", {"content": content})
    assert answer.status_code == 303, answer.text
    found = re.match(rf"{path}/([0-9a-f-]{{36}})", answer.headers["location"])
    assert found, answer.headers
    return uuid.UUID(found[1])


def latest(workspace: Workspace) -> Message:
    """The answer that was asked for last."""
    with workspace.database.read() as db:
        query = select(Message).where(Message.role == "assistant").order_by(Message.created_at.desc(), Message.id)
        return db.scalars(query).first() or Message()


def answered(workspace: Workspace) -> Message:
    """The same, once it has ended."""
    until(lambda: latest(workspace).status != Status.STREAMING)
    return latest(workspace)


def place_of(workspace: Workspace, browser: Browser, organization: uuid.UUID) -> Place:
    with workspace.database.read() as db:
        memberships = memberships_of(db, browser.user_id)
        here = next(each for each in memberships if each.organization_id == organization)
        return Place(here.organization, db.get_one(User, browser.user_id), Role(here.role), memberships)


def shown(workspace: Workspace, thread: uuid.UUID) -> list[str]:
    with workspace.database.read() as db:
        return [turn.message.content for turn in tree.branch(db, db.get_one(Thread, thread))]


def count(workspace: Workspace, table: type[Thread | Message | AuditEvent]) -> int:
    with workspace.database.read() as db:
        return db.scalar(select(func.count()).select_from(table)) or 0
