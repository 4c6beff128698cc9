"""Branches of a thread: edited, answered again, gone on with, and what of them is shown and asked."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from lifelearn.workspace.database import now
from lifelearn.workspace.errors import ConflictError, NotFoundError
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.threads import finding, tree, writing
from workspace.chatting import answered, ask, place_of, shown
from workspace.fakes import BOTH, Browser, Workspace


@BOTH
def test_branches(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place, "one")
    url = f"/o/{place}/threads/{thread}"
    first = answered(workspace)
    ask(anna, place, "two", thread)
    second = answered(workspace)
    assert anna.post(f"{url}/messages/{first.parent_id}/edit", {"content": "uno"}).status_code == 303
    answered(workspace)
    assert shown(workspace, thread) == ["uno", "You said: uno"]
    page = anna.get(url).text
    assert "2 / 2" in page
    assert "two" not in page
    assert anna.post(f"{url}/branch/{first.parent_id}").status_code == 303
    assert shown(workspace, thread) == ["one", "You said: one", "two", "You said: two"]
    answer = anna.htmx("POST", f"{url}/messages/{second.id}/regenerate")
    assert answer.text.count("<li id=") == 4
    third = answered(workspace)
    assert "2 / 2" in anna.get(url).text
    assert third.parent_id == second.parent_id
    answer = anna.htmx("POST", f"{url}/branch/{second.id}")
    assert "<span>1 / 2</span>" in answer.text
    assert f'value="{second.id}" hx-swap-oob' in answer.text
    with workspace.database.read() as db:
        turns = tree.branch(db, db.get_one(Thread, thread))
        last = turns[-1]
        assert (last.number, last.previous, last.next) == (1, None, third.id)


def test_replying_elsewhere_than_at_the_end(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place, "one")
    first = answered(workspace)
    ask(anna, place, "two", thread)
    answered(workspace)
    here = place_of(workspace, anna, place)
    with workspace.database.write() as db:
        found = finding.thread_of(db, here, thread)
        _, question, answer = writing.post(db, here, found, "other", first.id)
        assert (question.parent_id, answer.parent_id) == (first.id, question.id)
    assert shown(workspace, thread) == ["one", "You said: one", "other", ""]
    with workspace.database.write() as db, pytest.raises(ConflictError):
        writing.post(db, here, finding.thread_of(db, here, thread), "third", first.id, alone=True)
    with workspace.database.write() as db, pytest.raises(NotFoundError):
        writing.post(db, here, finding.thread_of(db, here, thread), "nowhere", uuid.uuid4())


def test_only_questions_are_edited(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place)
    answer = answered(workspace)
    url = f"/o/{place}/threads/{thread}/messages"
    assert anna.post(f"{url}/{answer.id}/edit", {"content": "x"}).status_code == 422
    assert anna.post(f"{url}/{answer.parent_id}/regenerate").status_code == 303  # a question: answers it


@BOTH
def test_loops_and_lost_ends_do_not_hold_a_page(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place)
    answer = answered(workspace)
    with workspace.database.write() as db:
        db.execute(update(Message).where(Message.id == answer.parent_id).values(parent_id=answer.id))
    assert anna.get(f"/o/{place}/threads/{thread}").status_code == 200
    assert anna.post(f"/o/{place}/threads/{thread}/branch/{answer.id}").status_code == 303
    with workspace.database.write() as db:
        db.execute(update(Message).where(Message.id == answer.parent_id).values(parent_id=None))
        db.execute(update(Thread).values(leaf_id=uuid.uuid4()))
    assert shown(workspace, thread) == ["Hello", "You said: Hello"]


def test_what_the_model_is_asked(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    here = place_of(workspace, anna, place)
    with workspace.database.write() as db:
        thread = Thread(organization_id=place, owner_id=anna.user_id, title="x")
        db.add(thread)
        db.flush()
        parent = None
        for at, (role, content) in enumerate(
            [("user", "a"), ("assistant", ""), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e")]
        ):
            message = Message(organization_id=place, thread_id=thread.id, parent_id=parent, role=role, content=content,
                              created_at=now() + timedelta(seconds=at))  # fmt: skip
            db.add(message)
            db.flush()
            parent = message.id
        told = tree.conversation_of(db, here.organization, message)
    assert [(turn.role, turn.content) for turn in told] == [("user", "a\n\nb"), ("assistant", "c\n\nd"), ("user", "e")]


def test_long_chats_show_their_end(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place)
    last = answered(workspace)
    with workspace.database.write() as db:
        for at in range(99):
            about = {"organization_id": place, "thread_id": thread, "parent_id": last.id}
            told = {"role": ("user", "assistant")[at % 2], "content": f"turn {at}."}
            message = Message(**about, **told, created_at=now() + timedelta(seconds=at))
            db.add(message)
            db.flush()
            last = message
        db.execute(update(Thread).values(leaf_id=last.id))
    page = anna.get(f"/o/{place}/threads/{thread}").text
    assert "turn 98." in page
    assert "turn 0." not in page
    more = re.search(r'href="([^"]+)">Show earlier messages \(41\)', page)
    assert more
    assert "turn 0." in anna.get(more[1]).text
    with workspace.database.read() as db:
        early = db.scalars(select(Message).where(Message.content == "turn 0.")).one()
    assert f'id="m-{early.id}"' in anna.get(f"/o/{place}/threads/{thread}?message={early.id}").text
