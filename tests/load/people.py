"""The people of a load test: in organisations of ten, each with chats."""

from __future__ import annotations

import uuid
from typing import Any

from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import Database, ahead, now
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.tables.accounts import SignIn, User
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import Membership, Organization, Role

PER_ORGANIZATION, THREADS, TURNS = 10, 8, 10


def fill(database: Database, users: int) -> list[dict[str, Any]]:
    """People in organisations of ten, each with chats of ten messages; one unfinished answer each, to be followed."""
    upgrade(database)
    people: list[dict[str, Any]] = []
    with database.write() as db:
        for number in range(users):
            if number % PER_ORGANIZATION == 0:
                organization = Organization(name=f"Team {number // PER_ORGANIZATION}", base_model="bundled")
                db.add(organization)
                db.flush()
            user = User(email=f"user{number}@example.org", name=f"User {number}")
            db.add(user)
            db.flush()
            role = Role.MEMBER if number % PER_ORGANIZATION else Role.OWNER
            db.add(Membership(organization_id=organization.id, user_id=user.id, role=role))
            token = new_token()
            times = {"last_seen_at": now(), "expires_at": ahead(days=1), "confirmed_at": now()}
            db.add(SignIn(user_id=user.id, token_hash=hash_token(token), **times))
            threads = [add_thread(db, organization.id, user.id, n) for n in range(THREADS)]
            people.append({"organization": str(organization.id), "token": token, "threads": threads})
    with database.write() as db:
        for person in people:
            thread = db.get_one(Thread, uuid.UUID(person["threads"][0]))
            waiting = Message(
                organization_id=thread.organization_id,
                thread_id=thread.id,
                parent_id=thread.leaf_id,
                role="assistant",
                status=Status.STREAMING,
                created_at=ahead(hours=1),  # not taken for the rest of a dead process
            )
            db.add(waiting)
            db.flush()
            person["stream"] = f"/o/{person['organization']}/threads/{thread.id}/messages/{waiting.id}/events"
    return people


def add_thread(db: Any, organization_id: uuid.UUID, user_id: uuid.UUID, number: int) -> str:
    thread = Thread(organization_id=organization_id, owner_id=user_id, title=f"Leave and hotlines {number}")
    db.add(thread)
    db.flush()
    parent: uuid.UUID | None = None
    for turn in range(TURNS):
        role = "assistant" if turn % 2 else "user"
        text = f"Turn {turn}. How many days of **paid leave** are there?\n\n| days | who |\n|---|---|\n| 25 | all |\n"
        message = Message(
            organization_id=organization_id, thread_id=thread.id, parent_id=parent, role=role, content=text
        )
        db.add(message)
        db.flush()
        parent = message.id
    thread.leaf_id = parent
    return str(thread.id)
