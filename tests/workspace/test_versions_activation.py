"""Which version answers: activation and rollback."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlalchemy import select

from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.organizations import AuditEvent
from lifelearn.workspace.tables.versions import Activation, Reason, Version
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, Browser, Workspace
from workspace.learning import active
from workspace.versioned import QUESTION, corrected, learned, made, order


@BOTH
def test_a_rollback_acts_on_the_next_answer(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    versions = [made(workspace, place, corrected(workspace, place, f"Q{n}?", f"{n} a")) for n in (1, 2)]
    storage = Storage(workspace.app.state.settings)

    def next_answer() -> tuple[int | None, Path | None]:
        ask(anna, place, "How many?")
        return answered(workspace).version, workspace.inference.asked[-1][2]

    assert next_answer() == (2, storage.fetch(versions[1]))
    answer = anna.post(f"/o/{place}/versions/1/activate", {"seen": "2"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/o/{place}/versions?notice=saved")
    assert next_answer() == (1, storage.fetch(versions[0]))
    anna.post(f"/o/{place}/versions/0/activate", {"seen": "1"})
    assert next_answer() == (0, None)
    anna.post(f"/o/{place}/versions/2/activate", {"seen": "0"})
    assert next_answer() == (2, storage.fetch(versions[1]))
    with workspace.database.read() as db:
        rows = db.execute(
            select(Activation.number, Activation.previous, Activation.reason, Activation.author_id)
            .where(Activation.reason == Reason.CHOSEN)
            .order_by(Activation.created_at)
        ).all()
        assert [tuple(row) for row in rows] == [
            (1, 2, "chosen", anna.user_id),
            (0, 1, "chosen", anna.user_id),
            (2, 0, "chosen", anna.user_id),
        ]
        events = db.scalars(select(AuditEvent).order_by(AuditEvent.created_at)).all()
        told = [(event.action, event.target, event.details) for event in events if event.action.startswith("version.")]
        assert told == [
            ("version.rolled_back", "Version 1", {"previous": 2, "passed": True}),
            ("version.rolled_back", "The base model", {"previous": 1, "passed": True}),
            ("version.activated", "Version 2", {"previous": 0, "passed": True}),
        ]


def test_the_page_that_asks_says_what_is_lost_and_won(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place, "Shared?", "1 a"))
    made(workspace, place, corrected(workspace, place, "Left?", "2 a"))
    anna.post(f"/o/{place}/versions/1/activate", {"seen": "2"})
    made(workspace, place, corrected(workspace, place, "Right?", "3 a"))
    page = anna.get(f"/o/{place}/versions/2/activate").text
    order(page, "It no longer knows", "Right?", "It knows again", "Left?")
    assert "Shared?" not in page
    assert 'name="confirm_failed"' not in page


def test_a_version_that_failed_needs_a_second_word(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    learned(workspace, place, 1)
    made(workspace, place, corrected(workspace, place), passed=False)
    url = f"/o/{place}/versions/2/activate"
    assert "locality 8 of 12 (80% needed)" in anna.get(url).text
    answer = anna.post(url, {"seen": "1"})
    assert answer.status_code == 422
    assert "It failed: locality 8 of 12" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert active(workspace.database, place) == 1
    assert anna.post(url, {"seen": "1", "confirm_failed": "true"}).status_code == 303
    assert active(workspace.database, place) == 2
    page = anna.get(f"/o/{place}/versions").text
    assert "did not pass" in page
    with workspace.database.read() as db:
        event = db.scalars(select(AuditEvent).where(AuditEvent.action == "version.activated")).one()
        assert event.details == {"previous": 1, "passed": False}


def test_two_who_choose_at_once(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    learned(workspace, place, 3)
    assert anna.post(f"/o/{place}/versions/1/activate", {"seen": "3"}).status_code == 303
    answer = anna.post(f"/o/{place}/versions/2/activate", {"seen": "3"})
    assert answer.status_code == 409
    assert "Version 1 was made the active one meanwhile" in answer.text
    assert anna.post(f"/o/{place}/versions/1/activate", {"seen": "1"}).status_code == 409  # it is already
    assert active(workspace.database, place) == 1


def test_the_database_does_not_wait_for_files(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may come from an object store, which takes minutes or does not answer."""
    learned(workspace, place, 2)
    fetch, fetched = Storage.fetch, []

    def slow(storage: Storage, version: Version, names: Iterable[str] | None = None) -> Path:
        with sqlite3.connect(str(workspace.database.url.database), timeout=0) as another:
            another.execute("BEGIN IMMEDIATE")
        fetched.append(version.number)
        return fetch(storage, version, names)

    monkeypatch.setattr(Storage, "fetch", slow)
    assert anna.post(f"/o/{place}/versions/1/activate", {"seen": "2"}).status_code == 303
    assert active(workspace.database, place) == 1
    form = {"a": "1", "b": "2", "question": QUESTION}
    assert anna.post(f"/o/{place}/compare", form).status_code == 200
    assert fetched == [1, 1, 2]
    assert anna.get(f"/o/{place}/versions/2/lesson").status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"seen": "x"},
        {"seen": "-1"},
        {"seen": "1", "number": "1"},
        {"seen": "99999999999999"},
        {"confirm_failed": "maybe"},
    ],
)
def test_an_odd_form_changes_nothing(
    workspace: Workspace, anna: Browser, place: uuid.UUID, form: dict[str, str]
) -> None:
    learned(workspace, place, 2)
    assert anna.post(f"/o/{place}/versions/1/activate", form).status_code == 422
    assert active(workspace.database, place) == 2
