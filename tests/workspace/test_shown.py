"""Answers on pages: rendered once and kept; a page that does not come to it shows them as they were written."""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from alembic import command
from sqlalchemy import insert, select, text, update

from lifelearn.settings import Settings
from lifelearn.workspace.chats import following, shown
from lifelearn.workspace.chats.answers import State
from lifelearn.workspace.database import Database, ago, now
from lifelearn.workspace.migrations import configured, upgrade
from lifelearn.workspace.rendering.renderer import FORM, RENDERER, Renderer, Shown, as_written
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import Membership, Organization, Role
from workspace.chatgpt import conversation, node, upload
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, Browser, Workspace, started


class Watched(Renderer):
    """Counts what is rendered. instead: what it says of a text, in place of the real one."""

    def __init__(self, instead: Callable[[str], Shown] | None = None) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.instead = instead or RENDERER.render

    def render(self, text: str, of: str = "", left: float = math.inf) -> Shown:
        self.asked.append(text)
        return self.instead(text)

    async def rendered(self, text: str, of: str = "") -> Shown:
        return self.render(text, of)


def watched(workspace: Workspace, instead: Callable[[str], Shown] | None = None) -> Watched:
    """On the pages of a workspace; what is written in it is rendered as always."""
    workspace.app.state.renderer = Watched(instead)
    return workspace.app.state.renderer  # type: ignore[no-any-return]


def chat(workspace: Workspace, anna: Browser, place: uuid.UUID, *answers: str, **more: Any) -> Thread:
    """With answers that nobody has rendered yet."""
    thread = Thread(organization_id=place, owner_id=anna.user_id, title="T")
    start, parent = ago(days=1), None
    with workspace.database.write() as db:
        db.add(thread)
        db.flush()
        for index, answer in enumerate(answers):
            for role, content in (("user", "Q"), ("assistant", answer)):
                of_answers = more if role == "assistant" else {}
                message = Message(
                    organization_id=place,
                    thread_id=thread.id,
                    parent_id=parent,
                    role=role,
                    content=content,
                    created_at=start + timedelta(seconds=2 * index + (role == "assistant")),
                    examined_at=now(),
                    **of_answers,
                )
                db.add(message)
                db.flush()
                parent = message.id
        thread.leaf_id = parent
    return thread


def page(anna: Browser, thread: Thread) -> str:
    answer = anna.get(f"/o/{thread.organization_id}/threads/{thread.id}")
    assert answer.status_code == 200
    return str(answer.text)


def kept(workspace: Workspace) -> list[tuple[str | None, int | None]]:
    """Beside the answers, the first one first."""
    query = select(Message.html, Message.html_form).where(Message.role == "assistant").order_by(Message.created_at)
    with workspace.database.read() as db:
        return [(html, form) for html, form in db.execute(query)]


@BOTH
def test_an_answer_is_kept_as_html_with_its_end(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    workspace.inference.reply = lambda _: "**yes**"
    thread = ask(anna, place)
    answered(workspace)
    assert kept(workspace) == [("<p><strong>yes</strong></p>\n", FORM)]
    pages = watched(workspace)
    assert "<strong>yes</strong>" in anna.get(f"/o/{place}/threads/{thread}").text
    assert pages.asked == []


@BOTH
def test_what_is_not_kept_yet_is_rendered_once(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = chat(workspace, anna, place, "*one*", "*two*", "")
    pages = watched(workspace)
    first = page(anna, thread)
    assert "<em>one</em>" in first
    assert "<em>two</em>" in first
    assert sorted(pages.asked) == ["*one*", "*two*"]
    assert page(anna, thread).count("<em>") == 2
    assert len(pages.asked) == 2
    assert kept(workspace) == [("<p><em>one</em></p>\n", FORM), ("<p><em>two</em></p>\n", FORM), (None, None)]


def test_what_an_older_renderer_made_is_made_again(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = chat(workspace, anna, place, "*one*", html="<p>as it was</p>", html_form=FORM - 1)
    pages = watched(workspace)
    assert "as it was" not in page(anna, thread)
    assert "<em>one</em>" in page(anna, thread)
    assert pages.asked == ["*one*"]


def test_imported_answers_are_rendered_when_they_are_shown(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    said = conversation(node("a", None, "user", "Q"), node("b", "a", "assistant", "*A*"), current_node="b")
    assert upload(anna, place, json.dumps([said]).encode()).status_code == 200
    assert kept(workspace) == [(None, None)]
    with workspace.database.read() as db:
        thread = db.scalars(select(Thread)).one()
    assert "<em>A</em>" in page(anna, thread)
    assert kept(workspace) == [("<p><em>A</em></p>\n", FORM)]


def test_what_went_over_a_ceiling_is_kept_as_it_was_written(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    thread = chat(workspace, anna, place, "*one*")
    pages = watched(workspace, lambda text: Shown(as_written(text), "over"))
    for _ in range(2):
        assert as_written("*one*") in page(anna, thread)
    assert pages.asked == ["*one*"]


def test_where_the_renderer_is_busy_the_page_does_not_wait_for_each(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    thread = chat(workspace, anna, place, "*one*", "*two*", "*three*")
    pages = watched(workspace, lambda text: Shown(as_written(text), "busy"))
    shown = page(anna, thread)
    assert pages.asked == ["*three*"]
    assert all(as_written(each) in shown for each in ("*one*", "*two*", "*three*"))
    assert kept(workspace) == [(None, None)] * 3
    watched(workspace)
    assert page(anna, thread).count("<em>") == 3


def test_a_page_has_its_time(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = chat(workspace, anna, place, "*one*", "*two*", "*three*")
    moments = iter((0.0, 0.5, 1.5, 2.5, 3.0))
    monkeypatch.setattr(shown, "PAGE_SECONDS", 2.0)
    monkeypatch.setattr(shown, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    found = page(anna, thread)
    assert "<em>three</em>" in found
    assert "<em>two</em>" in found
    assert as_written("*one*") in found
    assert [html for html, _ in kept(workspace)] == [None, "<p><em>two</em></p>\n", "<p><em>three</em></p>\n"]


def test_a_page_has_its_size(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = chat(workspace, anna, place, *(f"*{number}*" for number in range(6)))
    size = len("<p><em>0</em></p>\n")
    monkeypatch.setattr(shown, "PAGE_CHARS", 3 * size)
    monkeypatch.setattr(shown, "TOGETHER", 2)
    for _ in range(3):  # rendered now, kept in part, and kept
        found = page(anna, thread)
        assert found.count("<em>") == 3
        assert [as_written(f"*{number}*") in found for number in range(6)] == [True] * 3 + [False] * 3


@BOTH
def test_a_page_does_not_need_to_keep(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    """As of a copy of the database that is read only, or a full disk."""
    thread = chat(workspace, anna, place, "*one*")
    told = "attempt to write a readonly database"
    with workspace.database.write() as db:
        if workspace.database.is_sqlite:
            refuses = f"BEGIN SELECT RAISE(ABORT, '{told}'); END"
        else:
            raises = f"BEGIN RAISE EXCEPTION USING MESSAGE = '{told}'; END"
            db.execute(text(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${raises}$$"))
            refuses = "FOR EACH ROW EXECUTE FUNCTION refuse()"
        db.execute(text(f"CREATE TRIGGER refused BEFORE UPDATE ON messages {refuses}"))
    pages = watched(workspace)
    for _ in range(2):
        assert "<em>one</em>" in page(anna, thread)
    assert pages.asked == ["*one*"] * 2
    assert kept(workspace) == [(None, None)]


@BOTH
def test_nobody_waits_for_what_a_page_has_rendered(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    """Not even where it changes something: what it has changed is kept by then, and nothing of the database is held."""
    thread = chat(workspace, anna, place, "*one*", "*two*")
    with workspace.database.read() as db:
        messages = db.scalars(select(Message).order_by(Message.created_at)).all()
    at = f"/o/{place}/threads/{thread.id}"
    locked = select(Thread.id).where(Thread.id == thread.id).with_for_update(nowait=True)

    def instead(text: str) -> Shown:
        with workspace.database.write() as db:
            assert db.scalar(locked) == thread.id
        return RENDERER.render(text)

    for method, path, data in (
        ("GET", at, None),
        ("POST", f"{at}/branch/{messages[1].id}", {}),
        ("POST", f"{at}/messages/{messages[3].id}/correct", {"right_answer": ""}),
        ("POST", f"{at}/messages/{messages[3].id}/correct", {"withdraw": "true"}),
        ("POST", f"{at}/messages/{messages[2].id}/edit", {"content": "Q?"}),
        ("GET", f"{at}?message={messages[3].id}", None),
        ("POST", f"{at}/messages/{messages[1].id}/regenerate", {}),
        ("GET", f"{at}/messages/{messages[1].id}/events", None),
    ):
        with workspace.database.write() as db:
            db.execute(update(Message).values(html=None, html_form=None))
        pages = watched(workspace, instead)
        answer = anna.htmx(method, path, data)
        assert answer.status_code == 200, path
        assert "<em>" in answer.text or path.endswith("regenerate")
        assert bool(pages.asked) is not path.endswith("regenerate")  # behind which nothing follows yet
        answered(workspace)


@BOTH
def test_an_answer_that_goes_on_is_not_kept_as_it_was(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    """One that was given up by mistake; while a page renders what it had, or after."""
    thread = chat(workspace, anna, place, "*one*", status=Status.INTERRUPTED)

    def goes_on(content: str) -> Callable[[str], Shown]:
        def instead(text: str) -> Shown:
            with workspace.database.read() as db:
                (answer_id,) = db.scalars(select(Message.id).where(Message.role == "assistant"))
            row = {"content": content, "html": None, "saved_at": now()}
            workspace.app.state.answers._save({answer_id: row})
            return RENDERER.render(text)

        return instead

    watched(workspace, goes_on("*one* two"))
    page(anna, thread)
    assert kept(workspace) == [(None, None)]
    with workspace.database.write() as db:
        db.execute(update(Message).values(status=Status.INTERRUPTED))
    watched(workspace)
    assert "<em>one</em> two" in page(anna, thread)
    goes_on("*one* two *three*")("")
    assert kept(workspace)[0][0] is None
    assert "<em>three</em>" in page(anna, thread)
    assert kept(workspace)[0][0] is None, "not while it is being written"


def test_after_one_part_over_a_ceiling_the_rest_of_a_stream_is_not_tried() -> None:
    renderer = Watched(lambda text: Shown(as_written(text), "over"))
    request: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(renderer=renderer)))

    async def stream() -> list[str]:
        over, sent = False, []
        for written in ("a", "a b", "a b c"):
            html, over = await following._text_so_far(request, "", State(written, Status.STREAMING), over)
            sent.append(html)
        return sent

    assert asyncio.run(stream()) == [as_written(each) for each in ("a", "a b", "a b c")]
    assert renderer.asked == ["a"]


@BOTH
@pytest.mark.parametrize("with_tables", [False])
def test_a_database_of_before_is_shown_as_ever(settings: Settings, database_url: str) -> None:
    """Without the columns; the rows are as they were written then."""
    older = Database(database_url)
    with older.engine.connect() as connection, connection.begin():
        command.upgrade(configured(connection), "0002")
    user, place, thread = (uuid.uuid4() for _ in range(3))
    rows: list[tuple[Any, dict[str, Any]]] = [
        (User, {"id": user, "email": "anna@example.org", "name": "Anna"}),
        (Organization, {"id": place, "name": "Acme", "base_model": "bundled"}),
        (Membership, {"organization_id": place, "user_id": user, "role": Role.OWNER}),
        (Thread, {"id": thread, "organization_id": place, "owner_id": user, "title": "T"}),
        (Message, {"organization_id": place, "thread_id": thread, "role": "assistant", "content": "*old*"}),
    ]
    with older.write() as db:
        for table, row in rows:
            db.execute(insert(table.__table__).values(**row))
    upgrade(older)
    older.close()
    with started(settings) as workspace:
        anna = workspace.person("anna@example.org")
        assert "<em>old</em>" in anna.get(f"/o/{place}/threads/{thread}").text
        assert kept(workspace) == [("<p><em>old</em></p>\n", FORM)]
