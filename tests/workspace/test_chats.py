"""Threads: asked in, shared, renamed, deleted and corrected."""

from __future__ import annotations

import re
import threading
import uuid

import pytest
from sqlalchemy import select

from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.organizations import AuditEvent
from lifelearn.workspace.threads import writing
from workspace.chatting import answered, ask, count, latest, shown
from workspace.fakes import BOTH, Browser, Workspace
from workspace.xss import problems_in

# Asking


@BOTH
def test_a_chat(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    page = anna.get(f"/o/{place}")
    assert page.status_code == 200
    assert page.text.count("data-fill=") == 3
    thread = ask(anna, place, "How many days of leave do we have?")
    answered(workspace)
    ask(anna, place, "Sure?", thread)
    answered(workspace)
    page = anna.get(f"/o/{place}/threads/{thread}").text
    assert "<h1>How many days of leave do we have?</h1>" in page
    assert page.count("<article") == 4
    assert "You said: Sure?" in page
    assert "base model" in page
    assert problems_in(page) == []
    conversation, _, _ = workspace.inference.asked[-1]
    assert [turn.role for turn in conversation] == ["user", "assistant", "user"]


def test_the_first_message_by_htmx(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    answer = anna.htmx("POST", f"/o/{place}/threads", {"content": "Hello"})
    assert answer.status_code == 200
    address = answer.headers["hx-push-url"]
    assert re.fullmatch(rf"/o/{place}/threads/[0-9a-f-]{{36}}", address)
    assert answer.headers["hx-trigger-after-settle"] == "threads-changed"
    assert f'action="{address}/messages"' in answer.text
    assert "<title>Hello · Life-Learn</title>" in answer.text
    assert '<h1 hx-swap-oob="innerHTML:.page > .bar h1">Hello</h1>' in answer.text
    assert "<html" not in answer.text
    assert "sse-connect" in answer.text


def test_a_later_message_by_htmx(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place)
    first = answered(workspace)
    form = {"content": "And?", "after": str(first.id)}
    answer = anna.htmx("POST", f"/o/{place}/threads/{thread}/messages", form)
    assert answer.status_code == 200
    assert answer.text.count("<li id=") == 2
    assert "Hello" not in answer.text
    after = re.search(r'id="after" name="after" value="([0-9a-f-]+)" hx-swap-oob="true"', answer.text)
    assert after
    assert uuid.UUID(after[1]) == answered(workspace).id


@BOTH
def test_who_writes_at_once_makes_no_branch_unseen(
    workspace: Workspace, anna: Browser, ben: Browser, place: uuid.UUID
) -> None:
    thread = ask(anna, place)
    first = answered(workspace)
    anna.post(f"/o/{place}/threads/{thread}/share", {"shared": "true"})
    form = {"content": "And?", "after": str(first.id)}
    codes: list[int] = []

    def send(browser: Browser) -> None:
        codes.append(browser.post(f"/o/{place}/threads/{thread}/messages", form).status_code)

    sending = [threading.Thread(target=send, args=[browser]) for browser in (anna, ben)]
    for each in sending:
        each.start()
    for each in sending:
        each.join()
    assert sorted(codes) == [303, 409]
    answered(workspace)
    assert ben.post(f"/o/{place}/threads/{thread}/messages", form).status_code == 409
    assert count(workspace, Message) == 4
    assert ask(ben, place, "Without saying after what", thread)


@pytest.mark.parametrize(("content", "told"), [(" \n\x00 ", "Write something"), ("x" * 32_001, "At most 32,000")])
def test_messages_that_are_refused(
    workspace: Workspace, anna: Browser, place: uuid.UUID, content: str, told: str
) -> None:
    thread = ask(anna, place)
    question = answered(workspace).parent_id
    for path in (f"/o/{place}/threads", f"/o/{place}/threads/{thread}/messages"):
        answer = anna.post(path, {"content": content})
        assert answer.status_code == 422
        assert told in answer.text
        assert 'class="composer"' in answer.text  # the form again, with what was written
        assert content.strip("\x00 \n") in answer.text
        answer = anna.htmx("POST", path, {"content": content})
        assert answer.status_code == 422
        assert answer.headers["hx-retarget"] == "#notices"
    edit = f"/o/{place}/threads/{thread}/messages/{question}/edit"
    assert anna.post(edit, {"content": content}).status_code == 422
    assert count(workspace, Message) == 2


def test_text_is_kept_as_it_is(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place, " a\r\n  b\x07 <i>😀</i>\n")
    answered(workspace)
    assert shown(workspace, thread)[0] == "a\n  b <i>😀</i>"
    assert "a\n  b &lt;i&gt;😀&lt;/i&gt;</div>" in anna.get(f"/o/{place}/threads/{thread}").text


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Short", "Short"),
        ("two\n\nlines", "two lines"),
        ("word " * 30, "word word word word word word word word word word word word…"),
        ("x" * 100, "x" * 60 + "…"),
    ],
)
def test_titles_are_made_of_the_beginning(content: str, title: str) -> None:
    assert writing.title_of(content) == title


# Sharing, renaming, deleting


@BOTH
def test_private_and_shared(workspace: Workspace, anna: Browser, ben: Browser, place: uuid.UUID) -> None:
    private = ask(ben, place, "Private words")
    answered(workspace)
    url = f"/o/{place}/threads/{private}"
    assert anna.get(url).status_code == 404  # the owner of the organisation
    assert "Private words" not in anna.htmx("GET", f"/o/{place}/threads").text
    assert "Private words" not in anna.htmx("GET", f"/o/{place}/threads?q=private").text
    assert "Private words" not in anna.get(f"/o/{place}/search?q=words").text
    assert ben.post(f"{url}/share", {"shared": "true"}).status_code == 303
    assert "Private words" in anna.htmx("GET", f"/o/{place}/threads").text
    assert "shared by Ben" in anna.get(url).text
    ask(anna, place, "Mine too", private)
    assert answered(workspace).content == "You said: Mine too"
    assert "Anna" in ben.get(url).text
    assert ben.post(f"{url}/share", {"shared": "false"}).status_code == 303
    assert anna.get(url).status_code == 404
    with workspace.database.read() as db:
        actions = db.scalars(select(AuditEvent.action).order_by(AuditEvent.created_at)).all()
    assert actions == ["chat.shared", "chat.made_private"]


def test_who_may_change_a_shared_chat(workspace: Workspace, anna: Browser, ben: Browser, place: uuid.UUID) -> None:
    mine = ask(anna, place)
    url = f"/o/{place}/threads/{mine}"
    anna.post(f"{url}/share", {"shared": "true"})
    for action, form in (("rename", {"title": "x"}), ("share", {"shared": "false"}), ("delete", {})):
        assert ben.post(f"{url}/{action}", form).status_code == 403
    assert f'action="{url}/delete"' not in ben.get(url).text
    bens = ask(ben, place)
    url = f"/o/{place}/threads/{bens}"
    ben.post(f"{url}/share", {"shared": "true"})
    assert anna.post(f"{url}/share", {"shared": "false"}).status_code == 403  # an admin, but not who started it
    assert anna.post(f"{url}/rename", {"title": "Renamed by an admin"}).status_code == 303
    assert anna.post(f"{url}/delete").status_code == 303
    assert count(workspace, Thread) == 1


def test_renaming(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place)
    answered(workspace)
    url = f"/o/{place}/threads/{thread}"
    assert anna.post(f"{url}/rename", {"title": "  A new\nname "}).headers["location"] == f"{url}?notice=saved"
    assert "<h1>A new name</h1>" in anna.get(url).text
    for title, told in (("  ", "Enter a title."), ("x" * 201, "At most 200 characters")):
        answer = anna.post(f"{url}/rename", {"title": title})
        assert answer.status_code == 422
        assert told in answer.text
        assert 'id="title-help"' in answer.text
    assert "<h1>A new name</h1>" in anna.get(url).text


@BOTH
def test_deleting(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    kept = ask(anna, place, "Kept")
    thread = ask(anna, place, "Secret plan")
    answered(workspace)
    ask(anna, place, "More", thread)
    answered(workspace)
    answer = anna.post(f"/o/{place}/threads/{thread}/delete")
    assert answer.headers["location"] == f"/o/{place}?notice=deleted"
    assert anna.get(f"/o/{place}/threads/{thread}").status_code == 404
    assert (count(workspace, Thread), count(workspace, Message)) == (1, 2)
    assert anna.get(f"/o/{place}/threads/{kept}").status_code == 200
    with workspace.database.read() as db:
        event = db.scalars(select(AuditEvent)).one()
    assert (event.action, event.target) == ("chat.deleted", "a private chat")  # admins do not learn its title


# Correcting


@BOTH
def test_correcting(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    thread = ask(anna, place)
    answer = answered(workspace)
    url = f"/o/{place}/threads/{thread}"
    path = f"{url}/messages/{answer.id}/correct"
    assert anna.post(path, {"right_answer": " 25 days "}).headers["location"] == f"{url}#m-{answer.id}"
    marked = latest(workspace)
    assert (marked.marked_wrong_at is not None, marked.right_answer) == (True, "25 days")
    page = anna.get(url).text
    assert "Marked as wrong" in page
    assert "25 days</blockquote>" in page
    assert "queued" in page  # see test_corrections.py
    fragment = anna.htmx("POST", path, {"withdraw": "true"}).text
    assert fragment.startswith(f'<li id="m-{answer.id}">')
    assert "Marked as wrong" not in fragment
    assert (latest(workspace).marked_wrong_at, latest(workspace).right_answer) == (None, "")
    assert anna.htmx("POST", path).status_code == 200  # without saying what is right
    assert latest(workspace).marked_wrong_at is not None
    assert anna.post(path, {"right_answer": "x" * 4001}).status_code == 422
    assert anna.post(f"{url}/messages/{answer.parent_id}/correct").status_code == 422  # a question
    with workspace.database.read() as db:
        actions = db.scalars(select(AuditEvent.action).order_by(AuditEvent.created_at)).all()
    assert actions == [
        "answer.marked_wrong",
        "correction.taught",
        "correction.withdrawn",
        "answer.mark_withdrawn",
        "answer.marked_wrong",
    ]
