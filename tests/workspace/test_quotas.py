"""What an organisation may keep: each quota refuses with a sentence, loses nothing, and is nobody else's matter."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, update

from lifelearn.workspace import quotas
from lifelearn.workspace.errors import QuotaError
from lifelearn.workspace.quotas import Quotas
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.corrections import Correction, Source, State
from workspace.chatgpt import SIMPLE, upload
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, Browser, Workspace
from workspace.programs import bearer, key_of
from workspace.test_corrections_api import SENT, Tool
from workspace.test_corrections_detection import examined
from workspace.versioned import corrected

Allow = Callable[..., None]


@pytest.fixture
def allow(workspace: Workspace) -> Allow:
    def change(**most: int) -> None:
        state = workspace.app.state
        state.settings = state.settings.model_copy(update={f"quota_{name}": value for name, value in most.items()})
        state.quotas, state.detector._settings = Quotas(state.settings), state.settings

    return change


def count(workspace: Workspace, table: Any) -> int:
    with workspace.database.read() as db:
        return db.scalar(select(func.count()).select_from(table)) or 0


@BOTH
def test_chats(workspace: Workspace, anna: Browser, place: uuid.UUID, allow: Allow) -> None:
    allow(threads=2)
    url, token = f"/o/{place}/threads", key_of(workspace, anna, place, "write")[1]
    ask(anna, place)
    last = ask(anna, place)
    refused = anna.post(url, {"content": "What I wrote with care"})
    assert refused.status_code == 409
    assert "keeps 2 chats, as many as it may" in refused.text
    assert "What I wrote with care" in refused.text
    program = workspace.visitor().client.post("/api/v1/threads", json={"content": "Hi"}, headers=bearer(token))
    assert (program.status_code, program.json()["title"]) == (409, "No room left")
    answered(workspace)
    assert anna.post(f"{url}/{last}/messages", {"content": "Go on"}).status_code == 303  # no new chat
    other = workspace.person("ben@example.org")
    ask(other, workspace.organization(other, "Other"))
    assert anna.post(f"{url}/{last}/delete").status_code == 303
    ask(anna, place)


@BOTH
def test_text(
    workspace: Workspace, anna: Browser, place: uuid.UUID, allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(stored_mb=1)
    thread = ask(anna, place)
    answer = answered(workspace)
    with workspace.database.write() as db:
        db.execute(update(Message).values(content="ü" * (quotas.MB // 4)))  # two messages of half a megabyte
    url, token = f"/o/{place}/threads", key_of(workspace, anna, place, "write")[1]
    workspace.app.state.quotas = Quotas(workspace.app.state.settings)  # another process, which has summed nothing yet
    said = {"content": "Hi"}
    for path, form in (
        (url, said),
        (f"{url}/{thread}/messages", said),
        (f"{url}/{thread}/messages/{answer.parent_id}/edit", said),
        (f"{url}/{thread}/messages/{answer.id}/regenerate", {}),
    ):
        refused = anna.htmx("POST", path, form)
        assert refused.status_code == 409, path
        assert "hold 1 of the 1 MB that they may" in refused.text
    api = f"/api/v1/threads/{thread}/messages"
    assert workspace.visitor().client.post(api, json={"content": "Hi"}, headers=bearer(token)).status_code == 409
    assert count(workspace, Message) == 2
    monkeypatch.setattr(quotas, "FULL_SECONDS", 0.0)
    assert anna.post(f"{url}/{thread}/delete").status_code == 303
    ask(anna, place)


def test_text_is_summed_once_and_counted_on(
    workspace: Workspace, anna: Browser, place: uuid.UUID, allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = []
    kept = quotas._stored

    def stored(*asked: Any) -> int:
        sums.append(1)
        return kept(*asked)

    monkeypatch.setattr(quotas, "_stored", stored)
    allow(stored_mb=1)
    for _ in range(5):
        ask(anna, place)
    assert len(sums) == 1
    counting = Quotas(workspace.app.state.settings)
    with workspace.database.read() as db:
        counting.check_text(db, place, 600_000)
        with pytest.raises(QuotaError):
            counting.check_text(db, place, 600_000)
        counting.check_text(db, place, 300_000)  # what was refused was not counted


@BOTH
def test_imports(workspace: Workspace, anna: Browser, place: uuid.UUID, allow: Allow) -> None:
    allow(imported_mb=1, threads=21)
    padded = json.dumps([SIMPLE]).encode() + b" " * 600_000
    assert "1 chat imported" in upload(anna, place, padded).text
    refused = upload(anna, place, padded)
    assert refused.status_code == 409
    assert "may import 1 MB within a day" in refused.text
    many = json.dumps([{**SIMPLE, "id": f"c-{number}", "conversation_id": f"c-{number}"} for number in range(50)])
    partly = upload(anna, place, many.encode())
    assert partly.status_code == 409
    assert "20 chats imported" in partly.text  # a batch, and the next one found no room
    assert "keeps 21 chats, as many as it may" in partly.text
    assert count(workspace, Thread) == 21


@BOTH
def test_corrections_that_wait(workspace: Workspace, anna: Browser, place: uuid.UUID, allow: Allow) -> None:
    allow(corrections=2)
    tool = Tool(workspace, anna, place)
    waiting = [corrected(workspace, place, f"What is {number}?", state=State.ASKED) for number in range(2)]
    refused = tool.ask("POST", "", SENT)
    assert refused.status_code == 409
    assert "2 corrections of this organisation wait, as many as may" in refused.json()["detail"]
    assert count(workspace, Correction) == 2
    failed = corrected(workspace, place, "Who is our CEO?", "Mia", State.FAILED, author_id=anna.user_id)
    assert tool.ask("POST", f"/{failed.id}/teaching", {}).status_code == 409
    with workspace.database.write() as db:
        db.get_one(Correction, waiting[0].id).state = State.DISMISSED
    assert tool.ask("POST", "", SENT).status_code == 201


@BOTH
def test_one_author_does_not_keep_the_others_from_correcting(workspace: Workspace, allow: Allow) -> None:
    anna, ben = workspace.person(), workspace.person("ben@example.org")
    place = workspace.organization(anna, member=[ben])
    allow(corrections=20)
    flagged = {"right_answer": "Ask boss@acme.example.", "wrong_answer": "Nobody."}
    bens = Tool(workspace, ben, place)
    sent = [bens.ask("POST", "", {**flagged, "question": f"Who knows about {each}?"}) for each in "abc"]
    assert [each.status_code for each in sent] == [201, 201, 409]
    assert "2 corrections of yours wait" in sent[-1].json()["detail"]
    assert Tool(workspace, anna, place).ask("POST", "", SENT).status_code == 201
    assert ben.post(f"/o/{place}/leave").status_code == 303
    with workspace.database.read() as db:
        left = db.scalars(select(Correction).where(Correction.author_id == ben.user_id)).all()
    assert {each.state for each in left} == {State.DISMISSED}, "nobody else could have them taught"


@BOTH
def test_what_programs_send_in_is_limited_whatever_becomes_of_it(
    workspace: Workspace, anna: Browser, place: uuid.UUID, allow: Allow
) -> None:
    state = workspace.app.state
    state.settings = state.settings.model_copy(update={"corrections_per_hour": 1})
    tool = Tool(workspace, anna, place)
    for number in range(10):
        one = tool.ask("POST", "", {**SENT, "question": f"What is {number}?", "right_answer": "Ask me@acme.example."})
        assert one.status_code == 201
        assert tool.ask("POST", f"/{one.json()['id']}/dismissal").status_code == 200
    assert tool.ask("POST", "", SENT).status_code == 429


@BOTH
def test_what_was_noticed_is_not_lost(workspace: Workspace, anna: Browser, place: uuid.UUID, allow: Allow) -> None:
    allow(corrections=1)
    one = corrected(workspace, place, "Where?", "Ulm", State.ASKED, author_id=anna.user_id, source=Source.DETECTED)
    workspace.inference.reply = lambda _: "You have 20 days of leave a year."
    thread = ask(anna, place, "How many days of leave do we have a year?")
    answered(workspace)
    anna.post(f"/o/{place}/threads/{thread}/messages", {"content": "No, that is wrong. We have 25 days of leave."})
    answered(workspace)
    examined(workspace)
    with workspace.database.read() as db:
        found = db.scalars(select(Correction).where(Correction.id != one.id)).one()
    assert found.state == State.DISMISSED
    assert "1 corrections of yours wait" in found.reason
    with workspace.database.write() as db:
        db.get_one(Correction, one.id).state = State.DISMISSED
    assert anna.post(f"/o/{place}/corrections/{found.id}/teach").status_code == 303
