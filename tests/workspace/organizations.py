"""Organisations with all that they own, as tests make them and look at them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from starlette.requests import Request

from lifelearn.workspace.database import Base
from lifelearn.workspace.organizations import membership
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.organizations import Membership
from lifelearn.workspace.tables.programs import ApiKey
from workspace.fakes import Browser, Workspace

ABSENT = "00000000-0000-4000-8000-000000000000"


def request_to(workspace: Workspace) -> Request:
    """For functions that are called by routes of other parts."""
    return Request({"type": "http", "app": workspace.app, "client": ("192.0.2.1", 1), "headers": []})


def role_of(workspace: Workspace, organization: uuid.UUID, person: Browser) -> str | None:
    with workspace.database.read() as db:
        member = db.get(Membership, (organization, person.user_id))
        return None if member is None else member.role


def members_of(workspace: Workspace, organization: uuid.UUID) -> dict[uuid.UUID, str]:
    with workspace.database.read() as db:
        found = db.scalars(select(Membership).where(Membership.organization_id == organization))
        return {each.user_id: each.role for each in found}


def add_thread(workspace: Workspace, organization: uuid.UUID, owner: Browser, shared: bool = False) -> uuid.UUID:
    with workspace.database.write() as db:
        thread = Thread(organization_id=organization, owner_id=owner.user_id, title="A chat", shared=shared)
        db.add(thread)
        db.flush()
        parent = None
        for _ in range(3):
            message = Message(
                organization_id=organization, thread_id=thread.id, parent_id=parent, role="user", content="Hello"
            )
            db.add(message)
            db.flush()
            parent = message.id
        return thread.id


def add_key(workspace: Workspace, organization: uuid.UUID, owner: Browser) -> uuid.UUID:
    with workspace.database.write() as db:
        key = ApiKey(
            organization_id=organization,
            user_id=owner.user_id,
            name="k",
            start="ll_",
            token_hash=uuid.uuid4().hex,
            scopes=["chat"],
        )
        db.add(key)
        db.flush()
        return key.id


def settings_form(**changed: Any) -> dict[str, Any]:
    return {"revision": 1, "name": "Acme", "instructions": "", "temperature": "0.5", "max_tokens": "100", **changed}


def counts(workspace: Workspace) -> dict[str, int]:
    """How many rows each table holds."""
    with workspace.database.read() as db:
        return {
            table.name: db.scalar(select(func.count()).select_from(table)) or 0 for table in Base.metadata.sorted_tables
        }


def at_once(*does: Callable[[], Any]) -> list[Any]:
    """The results of what is done at the same moment."""
    barrier, results = threading.Barrier(len(does)), [None] * len(does)

    def run(index: int, do: Callable[[], Any]) -> None:
        barrier.wait()
        results[index] = do()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(does)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def leave_all(workspace: Workspace, person: Browser) -> None:
    with workspace.database.write() as db:
        user = db.get(User, person.user_id)
        assert user is not None
        membership.leave_all(db, request_to(workspace), user)
        db.delete(user)


def folder_of(workspace: Workspace, organization: uuid.UUID | str) -> Path:
    folder: Path = workspace.pages.settings.folder / "organizations" / str(organization)
    (folder / "versions").mkdir(parents=True)
    (folder / "versions" / "weights").write_text("weights")
    return folder
