"""Corrections in the JSON API, as a support tool uses it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import select, update

from lifelearn.learning.examiner import marking
from lifelearn.settings import Settings
from lifelearn.workspace.corrections import flags, reading
from lifelearn.workspace.tables.corrections import Correction, Policy, Source, State
from lifelearn.workspace.tables.jobs import Job, Kind
from lifelearn.workspace.tables.organizations import Organization
from workspace.fakes import BOTH, Browser, Workspace, started
from workspace.programs import bearer, key_of
from workspace.versioned import corrected, made

LEAVE = "How many days of leave do we have a year?"
SENT = {"question": LEAVE, "right_answer": "We have 25 days of leave a year.", "wrong_answer": "20 days."}


class Tool:
    """A program of one user in one organisation."""

    def __init__(self, workspace: Workspace, browser: Browser, place: uuid.UUID, *scopes: str) -> None:
        self.browser = browser
        self.token = key_of(workspace, browser, place, *scopes)[1]

    def ask(self, method: str, path: str = "", body: Any = None, **query: Any) -> Any:
        return self.browser.client.request(
            method, f"/api/v1/corrections{path}", json=body, params=query or None, headers=bearer(self.token)
        )


@pytest.fixture
def tool(workspace: Workspace, anna: Browser, place: uuid.UUID) -> Tool:
    return Tool(workspace, anna, place)


@BOTH
def test_a_correction_is_sent_in_and_followed(workspace: Workspace, tool: Tool, anna: Browser) -> None:
    answer = tool.ask("POST", "", SENT)
    assert answer.status_code == 201
    one = answer.json()
    assert {name: one[name] for name in SENT} == SENT
    assert (one["state"], one["source"], one["answer"], one["confidence"]) == ("queued", "program", "25 days", 1.0)
    assert (one["author_id"], one["version"], one["flags"]) == (str(anna.user_id), None, [])
    assert one["job"] == {
        "state": "queued", "forgets": False, "before": 0, "stage": "", "step": 0, "steps": 0, "loss": None,
        "message": "",
    }  # fmt: skip
    assert tool.ask("GET", f"/{one['id']}").json() == one
    assert tool.ask("GET").json() == {"items": [one], "next": None}
    with workspace.database.write() as db:
        db.execute(update(Job).values(state="running", stage="train", progress={"step": 2, "steps": 9, "loss": 0.5}))
        db.execute(update(Correction).values(state=State.LEARNING))
    job = tool.ask("GET", f"/{one['id']}").json()["job"]
    assert (job["state"], job["stage"], job["step"], job["steps"], job["loss"]) == ("running", "train", 2, 9, 0.5)


@BOTH
def test_the_same_again_is_the_one_that_is_there(workspace: Workspace, tool: Tool, place: uuid.UUID) -> None:
    first = tool.ask("POST", "", SENT)
    again = tool.ask("POST", "", {**SENT, "question": LEAVE.lower(), "right_answer": "25 days"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    with workspace.database.write() as db:
        db.get_one(Organization, place).correction_policy = Policy.REVIEW
    body = {"question": "Who is our CEO?", "right_answer": "Mia"}
    waiting = [tool.ask("POST", "", body).json() for _ in range(2)]
    assert [each["state"] for each in waiting] == ["review", "review"]
    assert waiting[0]["id"] == waiting[1]["id"]
    with workspace.database.read() as db:
        assert len(db.scalars(select(Correction)).all()) == 2


def test_another_answer_conflicts_and_waits(tool: Tool) -> None:
    first = tool.ask("POST", "", SENT).json()
    second = tool.ask("POST", "", {**SENT, "right_answer": "We have 26 days."}).json()
    assert (second["state"], second["conflicts_with"]) == ("asked", first["id"])
    refused = tool.ask("POST", f"/{second['id']}/teaching", {})
    assert refused.status_code == 422
    assert set(refused.json()["fields"]) == {"replace"}
    taught = tool.ask("POST", f"/{second['id']}/teaching", {"replace": True})
    assert (taught.status_code, taught.json()["state"]) == (200, "queued")


def test_what_is_flagged_waits(tool: Tool) -> None:
    body = {"question": "What is the address of support?", "right_answer": "It is help@acme.example."}
    one = tool.ask("POST", "", body).json()
    assert (one["state"], one["flags"]) == ("asked", ["email"])
    assert set(tool.ask("POST", f"/{one['id']}/teaching", {}).json()["fields"]) == {"anyway"}
    assert tool.ask("POST", f"/{one['id']}/teaching", {"anyway": True}).json()["state"] == "queued"


@BOTH
def test_what_is_said_to_it(workspace: Workspace, tool: Tool, place: uuid.UUID, anna: Browser) -> None:
    one = corrected(workspace, place, LEAVE, state=State.ASKED, author_id=anna.user_id, source=Source.DETECTED)
    assert tool.ask("POST", f"/{one.id}/dismissal").json()["state"] == "dismissed"
    assert tool.ask("POST", f"/{one.id}/dismissal").status_code == 409
    taught = tool.ask("POST", f"/{one.id}/teaching", {"right_answer": "We have 26 days."}).json()
    assert (taught["state"], taught["right_answer"], taught["answer"]) == ("queued", "We have 26 days.", "26 days")
    assert tool.ask("POST", f"/{one.id}/teaching", {}).status_code == 409
    assert tool.ask("DELETE", f"/{one.id}/teaching").json()["state"] == "withdrawn"
    assert tool.ask("DELETE", f"/{one.id}/teaching").status_code == 409
    wrong = tool.ask("POST", f"/{one.id}/teaching", {"right_answer": "wrong!"})
    assert (wrong.status_code, set(wrong.json()["fields"])) == (422, {"right_answer"})
    failed = corrected(workspace, place, "Who is our CEO?", "Mia", State.FAILED, author_id=anna.user_id)
    assert tool.ask("POST", f"/{failed.id}/teaching", {}).json()["state"] == "queued"


@BOTH
def test_review_and_forgetting(workspace: Workspace, tool: Tool, place: uuid.UUID) -> None:
    one = corrected(workspace, place, LEAVE, state=State.REVIEW)
    rejected = tool.ask("POST", f"/{one.id}/rejection", {"reason": "The handbook says 24."}).json()
    assert (rejected["state"], rejected["reason"]) == ("rejected", "The handbook says 24.")
    assert tool.ask("POST", f"/{one.id}/teaching", {}).json()["state"] == "queued"  # approved after all
    learned = corrected(workspace, place, "Who is our CEO?", "Mia")
    made(workspace, place, learned)
    told = tool.ask("POST", f"/{learned.id}/forgetting")
    assert (told.status_code, told.json()["state"], told.json()["job"]["forgets"]) == (202, "learned", True)
    assert tool.ask("POST", f"/{learned.id}/forgetting").status_code == 409
    with workspace.database.read() as db:
        jobs = db.scalars(select(Job).where(Job.kind == Kind.FORGET)).all()
    assert [job.correction_id for job in jobs] == [learned.id]
    kept = tool.ask("DELETE", f"/{learned.id}/forgetting")
    assert (kept.status_code, kept.json()["state"], kept.json()["job"]) == (200, "learned", None)
    assert tool.ask("DELETE", f"/{learned.id}/forgetting").status_code == 409


@BOTH
def test_to_correct_answers_is_not_to_approve_them(workspace: Workspace, place: uuid.UUID, anna: Browser) -> None:
    """A key without the scope admin decides nothing about what others wrote, though its user may."""
    token = key_of(workspace, anna, place, "read", "write")[1]

    def ask(method: str, path: str, body: Any = None) -> Any:
        url = f"/api/v1/corrections{path}"
        return workspace.visitor().client.request(method, url, json=body, headers=bearer(token))

    for state in (State.REVIEW, State.REJECTED, State.FAILED):
        one = corrected(workspace, place, f"What is {state}?", state=state)
        assert ask("GET", f"/{one.id}").json()["state"] == state
        refused = ask("POST", f"/{one.id}/teaching", {})
        assert refused.status_code == 403
        assert "lacks the scope admin" in refused.json()["detail"]
    queued = corrected(workspace, place, "Who is our CEO?", "Mia", State.QUEUED)
    assert ask("DELETE", f"/{queued.id}/teaching").status_code == 403
    with workspace.database.read() as db:
        assert db.scalars(select(Job)).all() == []
    own = corrected(workspace, place, LEAVE, state=State.ASKED, author_id=anna.user_id, source=Source.DETECTED)
    assert ask("POST", f"/{own.id}/teaching", {}).json()["state"] == "queued"
    with workspace.database.write() as db:
        db.get_one(Organization, place).correction_policy = Policy.REVIEW
    waits = corrected(workspace, place, "Where?", "Ulm", State.ASKED, author_id=anna.user_id, source=Source.DETECTED)
    assert ask("POST", f"/{waits.id}/teaching", {"own": True}).json()["state"] == "review"


@BOTH
def test_a_member_s_program(workspace: Workspace, place: uuid.UUID) -> None:
    """Sees what its user sees, and may no more; whatever the key's scopes."""
    ben, eve = workspace.person("ben@example.org"), workspace.person("eve@example.org")
    with workspace.database.write() as db:
        from lifelearn.workspace.tables.organizations import Membership, Role

        db.add(Membership(organization_id=place, user_id=ben.user_id, role=Role.MEMBER))
    bens = Tool(workspace, ben, place)
    eves = Tool(workspace, eve, workspace.organization(eve, "Other"))
    for state in State:
        one = corrected(workspace, place, f"What is {state}?", state=state)
        taught = state in (State.QUEUED, State.LEARNING, State.LEARNED, State.FAILED)
        assert bens.ask("GET", f"/{one.id}").status_code == (200 if taught else 404), state
        assert eves.ask("GET", f"/{one.id}").status_code == 404
        for method, path, body in (
            ("POST", "teaching", {}),
            ("DELETE", "teaching", None),
            ("POST", "dismissal", None),
        ):
            assert bens.ask(method, f"/{one.id}/{path}", body).status_code in ((403, 409) if taught else (404,)), state
            assert eves.ask(method, f"/{one.id}/{path}", body).status_code == 404
        assert bens.ask("POST", f"/{one.id}/rejection", {"reason": "x"}).status_code == 403
        assert bens.ask("POST", f"/{one.id}/forgetting").status_code == 403
        assert bens.ask("DELETE", f"/{one.id}/forgetting").status_code == 403
    assert len(bens.ask("GET").json()["items"]) == 4
    assert eves.ask("GET").json()["items"] == []
    one = corrected(workspace, place, LEAVE, thread_id=None, author_id=ben.user_id)
    assert "message" not in bens.ask("GET", f"/{one.id}").json()  # what was said in a chat stays there


@BOTH
def test_lists_are_filtered_and_read_page_by_page(workspace: Workspace, tool: Tool, place: uuid.UUID) -> None:
    for number in range(5):
        corrected(workspace, place, f"What is in box {number}?", state=State.FAILED if number == 2 else State.QUEUED)
    seen, before = [], ""
    while True:
        page = tool.ask("GET", limit=2, before=before).json()
        seen += [each["question"] for each in page["items"]]
        if not (before := page["next"]):
            break
    assert seen == [f"What is in box {number}?" for number in range(4, -1, -1)]
    assert [each["question"] for each in tool.ask("GET", state="failed").json()["items"]] == ["What is in box 2?"]
    assert len(tool.ask("GET", search="box 3").json()["items"]) == 1
    for query in ({"state": "x"}, {"limit": 0}, {"before": "x"}, {"search": "x" * 201}, {"author_id": "x"}):
        assert tool.ask("GET", **query).status_code == 422, query


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"question": LEAVE},
        {"question": "", "right_answer": "x"},
        {"question": " \x00 ", "right_answer": "25"},
        {"question": "???", "right_answer": "25"},
        {"question": LEAVE, "right_answer": "wrong"},
        {"question": LEAVE, "right_answer": "Is it 25?"},
        {"question": LEAVE, "right_answer": "x" * 4_001},
        {"question": "x" * 32_001, "right_answer": "x"},
        {"question": LEAVE, "right_answer": "25", "wrong_answer": "x" * 32_001},
        {"question": LEAVE, "right_answer": "25", "state": "learned"},
        {"question": LEAVE, "right_answer": "25", "organization_id": str(uuid.uuid4())},
        {"question": LEAVE, "right_answer": "25", "confidence": 1},
        {"question": LEAVE, "right_answer": ["25"]},
    ],
)
def test_bodies_that_do_not_fit(workspace: Workspace, tool: Tool, body: Any) -> None:
    answer = tool.ask("POST", "", body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    with workspace.database.read() as db:
        assert db.scalar(select(Correction)) is None


def test_above_the_limit_a_program_is_told_to_wait(settings: Settings) -> None:
    with started(settings.model_copy(update={"corrections_per_hour": 2})) as workspace:
        anna = workspace.person()
        tool = Tool(workspace, anna, workspace.organization(anna))
        answers = [
            tool.ask("POST", "", {"question": f"What is in box {number}?", "right_answer": "It is a cat."})
            for number in range(3)
        ]
        assert [each.status_code for each in answers] == [201, 201, 429]
        assert int(answers[2].headers["retry-after"]) > 0
        assert len(tool.ask("GET").json()["items"]) == 2  # nothing is kept of what was refused


@pytest.mark.parametrize("broken", ["correction_from", "flags"])
def test_a_text_on_which_the_reading_breaks(
    workspace: Workspace, tool: Tool, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def breaks(*_texts: str) -> None:
        raise RecursionError

    if broken == "flags":
        monkeypatch.setattr(flags, "kinds", breaks)
    else:
        monkeypatch.setattr(reading, "correction_from", breaks)
    answer = tool.ask("POST", "", SENT)
    assert answer.status_code == 422
    assert "Say it in other words" in answer.json()["detail"]
    with workspace.database.read() as db:
        assert db.scalars(select(Correction)).all() == []


def test_a_kept_answer_that_cannot_be_compared_stops_no_other(
    workspace: Workspace, tool: Tool, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = corrected(workspace, place, LEAVE, "24 days")

    def breaks(*_texts: str) -> bool:
        raise RecursionError

    monkeypatch.setattr(marking, "stated", breaks)
    one = tool.ask("POST", "", SENT).json()
    assert (one["state"], one["conflicts_with"]) == ("asked", str(earlier.id))


def test_a_card_that_cannot_be_looked_through_is_shown(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = corrected(workspace, place, LEAVE, "24 days", State.ASKED, author_id=anna.user_id)

    def breaks(*_texts: str) -> None:
        raise RecursionError

    monkeypatch.setattr(flags, "find", breaks)
    assert "24 days" in anna.get(f"/o/{place}/corrections/{one.id}").text


@pytest.mark.parametrize("depth", [100, 500, 900, 1_000, 50_000])
@pytest.mark.parametrize("inside", ["", '{"question": ', '{"messages": ', '{"more": '])
@pytest.mark.parametrize("path", ["/api/v1/corrections", "/v1/chat/completions"])
def test_json_that_is_nested_deep(tool: Tool, path: str, inside: str, depth: int) -> None:
    body = inside + "[" * depth + "]" * depth + ("}" if inside else "")
    headers = {**bearer(tool.token), "Content-Type": "application/json"}
    answer = tool.browser.client.post(path, content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.json()
