"""Threads: who sees and may change them, how they go on, branch and are found; and what their routes refuse."""

from __future__ import annotations

import re
import threading
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from lifelearn.workspace import texts
from lifelearn.workspace.database import ago, now
from lifelearn.workspace.errors import ConflictError, InvalidError, NotFoundError
from lifelearn.workspace.organizations.place import Place, memberships_of
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import AuditEvent, Organization, Role
from lifelearn.workspace.threads import finding, hits, tree, writing
from workspace.chatting import answered, ask, latest
from workspace.fakes import BOTH, Browser, Workspace
from workspace.xss import VECTORS, problems_in


@pytest.fixture
def anna(workspace: Workspace) -> Browser:
    return workspace.person()


@pytest.fixture
def ben(workspace: Workspace) -> Browser:
    return workspace.person("ben@example.org")


@pytest.fixture
def place(workspace: Workspace, anna: Browser, ben: Browser) -> uuid.UUID:
    return workspace.organization(anna, member=[ben])


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


# Branches


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


# Listing and searching


def fill(workspace: Workspace, browser: Browser, place: uuid.UUID, *threads: tuple[str, float, str]) -> None:
    """Threads of a title, an age in days, and one message."""
    with workspace.database.write() as db:
        for title, days, content in threads:
            thread = Thread(organization_id=place, owner_id=browser.user_id, title=title, updated_at=ago(days=days))
            db.add(thread)
            db.flush()
            db.add(Message(organization_id=place, thread_id=thread.id, role="user", content=content))


@BOTH
def test_the_list(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    assert "No chats yet" in anna.htmx("GET", f"/o/{place}/threads").text
    fill(workspace, anna, place, ("Old", 30, "a"), ("New", 0, "b"), ("This week", 3, "c"))
    found = anna.htmx("GET", f"/o/{place}/threads").text
    assert re.findall(r"<h2>(.*?)</h2>|class=\"title\">(.*?)</span>", found) == [
        ("Today", ""), ("", "New"), ("Last 7 days", ""), ("", "This week"), ("Earlier", ""), ("", "Old"),
    ]  # fmt: skip
    page = anna.get(f"/o/{place}/threads").text  # without htmx: a page
    assert "<h1>Chats</h1>" in page
    assert ">This week</a>" in page
    address = re.search(rf'href="(/o/{place}/threads/[^"]+)".*?New</span>', found)
    assert address
    here = anna.htmx("GET", f"/o/{place}/threads", headers={"HX-Current-URL": f"http://testserver{address[1]}"}).text
    assert here.count("aria-current") == 1


@BOTH
def test_the_list_goes_on(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    same = ago(days=9)
    with workspace.database.write() as db:
        db.add_all(
            Thread(organization_id=place, owner_id=anna.user_id, title=f"chat {at}.", updated_at=same)
            for at in range(120)
        )
    found, path = [], f"/o/{place}/threads?q=chat"
    for _ in range(4):
        page = anna.htmx("GET", path).text
        found += re.findall(r"chat \d+\.", page)
        assert ("<h2>Earlier" in page) == (path.endswith("q=chat"))
        more = re.search(r'hx-get="([^"]+before=[^"]+)"', page)
        if more is None:
            break
        path = more[1].replace("&amp;", "&")
    assert len(found) == len(set(found)) == 120
    for bad in ("x", "1-", "9" * 30 + "-" + "0" * 32, "1-" + "g" * 32):
        assert anna.htmx("GET", f"/o/{place}/threads?before={bad}").status_code == 422


@BOTH
def test_search(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    fill(workspace, anna, place, ("Leave", 1, "We have 25 days, 100% paid."), ("Übung", 2, "snake_case ÄRGER"),
         ("Other", 3, "days " + "x" * 500 + " of snakeXcase"))  # fmt: skip

    def titles(q: str, path: str = "threads") -> set[str]:
        page = anna.htmx("GET", f"/o/{place}/{path}", params={"q": q}).text
        return {title for title in ("Leave", "Übung", "Other") if f">{title}<" in page}

    for path in ("threads", "search"):
        assert titles("DAYS", path) == {"Leave", "Other"}
        assert titles("days 25", path) == {"Leave"}
        assert titles("100%", path) == {"Leave"}
        assert titles("%", path) == {"Leave"}
        assert titles("snake_case", path) == {"Übung"}
        assert titles("\\", path) == set()
        assert titles("ärger", path) == {"Übung"}
        assert titles("\x00nothing", path) == set()
        assert titles("y" * 5000, path) == set()
    assert titles("übung", "threads") == {"Übung"}
    page = anna.get(f"/o/{place}/search", params={"q": "25"}).text
    assert "We have <mark>25</mark> days" in page
    assert "Nothing has all these words" in anna.get(f"/o/{place}/search?q=absent").text
    assert anna.get(f"/o/{place}/search").status_code == 200


@BOTH
def test_another_organisation_finds_nothing(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    second = workspace.organization(anna, "Second")
    fill(workspace, anna, place, ("Title", 0, "words"))
    assert "Title" not in anna.htmx("GET", f"/o/{second}/threads").text
    assert "Title" not in anna.htmx("GET", f"/o/{second}/threads?q=words").text
    assert "Title" not in anna.get(f"/o/{second}/search?q=words").text


# What every route refuses

GETS = ("", "/model-state", "/threads", "/search?q=x", "/import", "/threads/T", "/threads/T/export.json",
        "/threads/T/export.md", "/threads/T/messages/M/events")  # fmt: skip
POSTS: dict[str, dict[str, str]] = {
    "/threads": {"content": "x"},
    "/threads/T/messages": {"content": "x"},
    "/threads/T/messages/Q/edit": {"content": "x"},
    "/threads/T/messages/M/regenerate": {},
    "/threads/T/messages/M/stop": {},
    "/threads/T/messages/M/correct": {"right_answer": "x"},
    "/threads/T/branch/M": {},
    "/threads/T/rename": {"title": "x"},
    "/threads/T/share": {"shared": "true"},
    "/threads/T/delete": {},
}


@pytest.fixture
def paths(workspace: Workspace, anna: Browser, place: uuid.UUID) -> Any:
    """From a pattern to a path with Anna's private thread in it."""
    thread = ask(anna, place)
    answer = answered(workspace)
    given = {"T": thread, "M": answer.id, "Q": answer.parent_id}
    return lambda pattern: f"/o/{place}" + re.sub(r"\b[TMQ]\b", lambda match: str(given[match[0]]), pattern)


def test_the_lists_of_routes_are_whole() -> None:
    from lifelearn.workspace.chats.routes import router

    shapes = {re.sub(r"\b[TMQ]\b", "{}", pattern.split("?")[0]) for pattern in (*GETS, *POSTS)}
    routes = {re.sub(r"{\w+}", "{}", route.path.removeprefix("/o/{organization_id}")) for route in router.routes}  # type: ignore[attr-defined]
    assert routes == shapes


def test_signed_out(workspace: Workspace, paths: Any) -> None:
    visitor = workspace.visitor()
    for pattern in GETS:
        answer = visitor.get(paths(pattern))
        assert answer.status_code == 303, pattern
        assert answer.headers["location"].startswith("/sign-in?next=")
    events = visitor.get(paths("/threads/T/messages/M/events"), headers={"Accept": "text/event-stream"})
    assert events.status_code == 401
    for pattern, form in POSTS.items():
        assert visitor.post(paths(pattern), form).status_code == 401, pattern
    assert (count(workspace, Thread), count(workspace, Message)) == (1, 2)


def test_somebody_elses(workspace: Workspace, ben: Browser, paths: Any) -> None:
    """An outsider finds no page; a member, and an admin too, none of a private thread."""
    eve, carl = workspace.person("eve@example.org"), workspace.person("carl@example.org")
    workspace.organization(eve, "Evil")
    with workspace.database.write() as db:
        from lifelearn.workspace.tables.organizations import Membership

        place = uuid.UUID(paths("").removeprefix("/o/"))
        db.add(Membership(organization_id=place, user_id=carl.user_id, role=Role.OWNER))
    for pattern in GETS:
        assert eve.get(paths(pattern)).status_code == 404, pattern
        for browser in (ben, carl):
            assert browser.get(paths(pattern)).status_code == (404 if "T" in pattern else 200), pattern
    for pattern, form in POSTS.items():
        assert eve.post(paths(pattern), form).status_code == 404, pattern
        if "T" in pattern:
            for browser in (ben, carl):
                assert browser.post(paths(pattern), form).status_code == 404, pattern
    assert (count(workspace, Thread), count(workspace, Message)) == (1, 2)


def test_a_thread_by_the_address_of_another_organisation(workspace: Workspace, anna: Browser, paths: Any) -> None:
    second = workspace.organization(anna, "Second")
    for pattern in (pattern for pattern in GETS if "T" in pattern):
        assert anna.get(re.sub(r"^/o/[^/]+", f"/o/{second}", paths(pattern))).status_code == 404, pattern
    for pattern, form in POSTS.items():
        if "T" in pattern:
            assert anna.post(re.sub(r"^/o/[^/]+", f"/o/{second}", paths(pattern)), form).status_code == 404, pattern


def test_a_message_by_the_address_of_another_thread(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    ask(anna, place)
    answer = answered(workspace)
    url = f"/o/{place}/threads/{ask(anna, place)}"
    answered(workspace)
    assert anna.get(f"{url}/messages/{answer.id}/events").status_code == 404
    assert anna.get(f"{url}?message={answer.id}").status_code == 404
    for action in ("edit", "regenerate", "stop", "correct"):
        assert (
            anna.post(f"{url}/messages/{answer.id}/{action}", {"content": "x"} if action == "edit" else {}).status_code
            == 404
        )
    assert anna.post(f"{url}/branch/{answer.id}").status_code == 404
    assert anna.post(f"{url}/messages", {"content": "x", "after": str(answer.id)}).status_code == 404


def test_without_a_token(workspace: Workspace, anna: Browser, paths: Any) -> None:
    for pattern, form in POSTS.items():
        assert anna.client.post(paths(pattern), data=form).status_code == 403, pattern
        assert anna.client.post(paths(pattern), data={**form, "csrf": "x"}).status_code == 403, pattern
    assert (count(workspace, Thread), count(workspace, Message)) == (1, 2)


def test_mass_assignment(workspace: Workspace, anna: Browser, paths: Any) -> None:
    for pattern, form in POSTS.items():
        for name in ("owner_id", "organization_id", "status", "version", "id"):
            assert anna.post(paths(pattern), {**form, name: "1"}).status_code == 422, pattern
    assert (count(workspace, Thread), count(workspace, Message)) == (1, 2)


def test_fields_of_any_length_and_kind(workspace: Workspace, anna: Browser, paths: Any) -> None:
    long = "x" * 300_000
    for pattern, form in POSTS.items():
        for name in form:
            assert anna.post(paths(pattern), {name: long}).status_code == 422, pattern
    assert anna.post(paths("/threads"), {"content": "x" * (2 << 20)}).status_code == 413
    assert anna.post(paths("/threads/T/messages"), {"content": "x", "after": "x"}).status_code == 422
    assert anna.get(paths("/threads/x")).status_code == 404
    assert anna.get(paths("/threads/T?turns=x")).status_code == 422
    assert anna.get(paths("/threads/T?turns=-1")).status_code == 200
    assert anna.post(paths("/threads/T/share"), {"shared": "perhaps"}).status_code == 422
    assert (count(workspace, Thread), count(workspace, Message)) == (1, 2)


def test_a_role_that_ended_while_a_form_was_open(workspace: Workspace, ben: Browser, place: uuid.UUID) -> None:
    from lifelearn.workspace.tables.organizations import Membership

    thread = ask(ben, place)
    answered(workspace)
    with workspace.database.write() as db:
        db.delete(db.get_one(Membership, (place, ben.user_id)))
    assert ben.post(f"/o/{place}/threads/{thread}/messages", {"content": "x"}).status_code == 404
    assert ben.get(f"/o/{place}/threads/{thread}/export.json").status_code == 404


def test_only_members_are_asked_for_in_services(workspace: Workspace, anna: Browser, ben: Browser) -> None:
    """The rule holds in the functions themselves, which other routes use too."""
    mine, other = workspace.organization(anna), workspace.organization(ben, "Other")
    thread = ask(anna, mine)
    answered(workspace)
    forged = replace(place_of(workspace, ben, other), role=Role.OWNER)
    with workspace.database.write() as db:
        with pytest.raises(NotFoundError):
            finding.thread_of(db, forged, thread)
        assert finding.visible_threads(db, forged) == ([], "")
        assert hits.search_messages(db, forged, "Hello") == []
        with pytest.raises(InvalidError):
            finding.visible_threads(db, forged, before="nonsense")


# Script in names, titles and messages


@pytest.mark.check("pages")
@pytest.mark.parametrize("part", range(4))
def test_nothing_of_the_corpus_runs_on_any_page(
    workspace: Workspace, anna: Browser, ben: Browser, place: uuid.UUID, part: int
) -> None:
    for vector in VECTORS[part::4]:
        name = texts.cleaned(vector, one_line=True)
        with workspace.database.write() as db:
            db.execute(update(User).values(name=name))
            db.execute(update(Organization).values(name=name))
            thread = Thread(organization_id=place, owner_id=anna.user_id, title=name, shared=True)
            db.add(thread)
            db.flush()
            about = {"organization_id": place, "thread_id": thread.id}
            question = Message(**about, role="user", content=vector, author_id=ben.user_id)
            db.add(question)
            db.flush()
            told = {"error": vector, "status": Status.FAILED, "model": vector, "right_answer": vector}
            answer = Message(
                **about, **told, role="assistant", content=vector, parent_id=question.id, marked_wrong_at=now()
            )
            db.add(answer)
            db.flush()
            thread.leaf_id = answer.id
        url = f"/o/{place}/threads/{thread.id}"
        for path in (
            url,
            f"/o/{place}",
            f"/o/{place}/threads",
            f"/o/{place}/import",
            f"{url}/messages/{answer.id}/events",
        ):
            response = anna.get(path)
            assert response.status_code == 200
            text = "\n".join(line.removeprefix("data: ") for line in response.text.split("\n"))
            assert problems_in(text) == [], path
        assert problems_in(anna.htmx("GET", f"/o/{place}/threads").text) == []
        found = anna.get(f"/o/{place}/search", params={"q": vector})
        assert problems_in(found.text) == []
        assert problems_in(anna.get(f"/o/{place}/search", params={"q": "alert"}).text) == []
        download = anna.get(f"{url}/export.json")
        assert download.headers["content-disposition"].startswith("attachment")
        assert download.headers["content-type"] == "application/json"
        assert download.headers["x-content-type-options"] == "nosniff"
