"""What every route of chats refuses to whom, and that what people wrote is text on all pages."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import update

from lifelearn.workspace import texts
from lifelearn.workspace.database import now
from lifelearn.workspace.errors import InvalidError, NotFoundError
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Status, Thread
from lifelearn.workspace.tables.organizations import Organization, Role
from lifelearn.workspace.threads import finding, hits
from workspace.chatting import answered, ask, count, place_of
from workspace.fakes import Browser, Workspace
from workspace.xss import VECTORS, problems_in

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
    paths = (str(route.path) for route in iter_route_contexts(router.routes))
    routes = {re.sub(r"{\w+}", "{}", path.removeprefix("/o/{organization_id}")) for path in paths}
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
