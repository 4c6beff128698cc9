"""Threads listed and searched."""

from __future__ import annotations

import re
import uuid

from lifelearn.workspace.database import ago
from lifelearn.workspace.tables.chats import Message, Thread
from workspace.fakes import BOTH, Browser, Workspace


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
