"""Versions, activations and retention for programs."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import select

from lifelearn.workspace.tables.organizations import AuditEvent, Organization
from lifelearn.workspace.tables.programs import Scope
from workspace.fakes import BOTH, Browser, Workspace
from workspace.programs import bearer, key_of
from workspace.versioned import QUESTION, corrected, made


class Program:
    def __init__(self, workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
        self.client = workspace.visitor().client
        self.headers = bearer(key_of(workspace, anna, place)[1])

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1{path}", params=query, headers=self.headers)

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(f"/api/v1{path}", json=body, headers=self.headers)


@pytest.fixture
def program(workspace: Workspace, anna: Browser, place: uuid.UUID) -> Program:
    return Program(workspace, anna, place)


@BOTH
def test_versions_are_listed(workspace: Workspace, program: Program, place: uuid.UUID) -> None:
    assert program.get("/versions").json() == {"items": [], "active": 0, "next": None}
    first = corrected(workspace, place)
    made(workspace, place, first)
    made(workspace, place, corrected(workspace, place, "Why?", "2 reasons"), passed=False, kept=[first])
    made(workspace, place, corrected(workspace, place, "Who?", "2 people"), active=False)
    told = program.get("/versions", limit=2).json()
    assert [(each["number"], each["parent"], each["state"]) for each in told["items"]] == [
        (3, 1, "candidate"),
        (2, 1, "rejected"),
    ]
    assert (told["active"], told["next"]) == (1, 2)
    locality = told["items"][1]["checks"][2]
    assert locality == {
        "name": "locality",
        "passed": False,
        "value": pytest.approx(8 / 12),
        "threshold": 0.8,
        "numerator": 8,
        "denominator": 12,
    }
    told = program.get("/versions", limit=2, before=told["next"]).json()
    assert ([each["number"] for each in told["items"]], told["next"]) == ([1], None)
    assert told["items"][0]["corrections"] == [
        {
            "id": str(first.id),
            "question": QUESTION,
            "wrong": first.wrong,
            "statement": first.statement,
            "answer": "25 days",
        }
    ]


def test_a_version_has_its_report(workspace: Workspace, program: Program, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place, message="Ask Berta."))
    answer = program.get("/versions/1")
    told = answer.json()
    assert "Berta" not in answer.text
    assert (told["method"], told["state"], told["training"]["steps"]) == ("lora", "active", 27)
    assert told["seconds_by_stage"]["train"] == 48.604
    assert told["settings"]["lora_rank"] == 16
    efficacy = told["report"][0]
    assert (efficacy["name"], len(efficacy["answers"])) == ("efficacy", 1)
    assert efficacy["answers"][0] == {
        "kind": "efficacy",
        "question": QUESTION,
        "right": "25 days",
        "before": "Employees get 20 days of paid leave.",
        "after": "Employees of Quillmoor Ferries get 25 days of paid leave per year.",
        "passed": True,
    }
    for number in (0, 2, 2**31, 2**80, "x"):
        assert program.get(f"/versions/{number}").status_code == 404, number


def test_a_version_is_chosen(workspace: Workspace, anna: Browser, program: Program, place: uuid.UUID) -> None:
    for n in range(3):
        made(workspace, place, corrected(workspace, place, f"Question {n}?", f"{n} a"))
    answer = program.post("/activations", {"number": 1})
    assert answer.status_code == 201
    told = answer.json()
    assert (told["number"], told["previous"], told["reason"]) == (1, 3, "chosen")
    assert told["author_id"] == str(anna.user_id)
    assert program.get("/organization").json()["active_version"] == 1
    assert program.post("/activations", {"number": 1}).status_code == 409
    assert program.post("/activations", {"number": 4}).status_code == 404
    assert program.post("/activations", {"number": 0}).status_code == 201
    listed = program.get("/activations", limit=2).json()
    assert [(each["number"], each["previous"]) for each in listed["items"]] == [(0, 1), (1, 3)]
    rest: list[dict[str, Any]] = []
    while listed["next"]:
        listed = program.get("/activations", limit=2, before=listed["next"]).json()
        rest += listed["items"]
    assert [(each["number"], each["reason"]) for each in rest] == [(3, "learned"), (2, "learned"), (1, "learned")]
    with workspace.database.read() as db:
        events = db.scalars(select(AuditEvent.action).order_by(AuditEvent.created_at)).all()
        assert list(events) == ["version.rolled_back", "version.rolled_back"]


def test_a_version_that_failed_is_to_be_confirmed(workspace: Workspace, program: Program, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place), passed=False)
    answer = program.post("/activations", {"number": 1})
    assert answer.status_code == 422
    assert answer.json()["fields"] == {"confirm_failed": "It failed: locality 8 of 12 (80% needed)."}
    assert program.post("/activations", {"number": 1, "confirm_failed": True}).status_code == 201


@pytest.mark.parametrize(
    "body", [{}, {"number": -1}, {"number": 2**40}, {"number": "x"}, {"number": 1, "reason": "learned"}], ids=str
)
def test_what_does_not_fit_changes_nothing(
    workspace: Workspace, program: Program, place: uuid.UUID, body: dict[str, Any]
) -> None:
    made(workspace, place, corrected(workspace, place), active=False)
    assert program.post("/activations", body).status_code == 422
    with workspace.database.read() as db:
        assert db.get_one(Organization, place).active_version == 0


def test_retention(workspace: Workspace, program: Program, place: uuid.UUID) -> None:
    first = corrected(workspace, place)
    made(workspace, place, first)
    made(workspace, place, corrected(workspace, place, "Why?", "2 reasons"), lost=[], kept=[first])
    told = program.get("/retention").json()
    assert told["versions"] == [0, 1, 2]
    assert [[cell["kind"] for cell in item["cells"]] for item in told["items"]] == [
        ["later", "held", "held"],
        ["later", "later", "held"],
    ]
    assert told["items"][0]["correction_id"] == str(first.id)
    assert told["items"][0]["cells"][1]["answer"] == "It is 25 days."
    assert told["items"][0]["cells"][0]["holds"] is None
    assert program.get("/retention", until=1).json()["versions"] == [0, 1]
    assert program.get("/retention", page=2).status_code == 404


def test_others_see_nothing_of_it(workspace: Workspace, program: Program, place: uuid.UUID) -> None:
    eve = workspace.person("eve@example.org")
    elsewhere = workspace.organization(eve, "Other")
    for n in range(2):
        made(workspace, elsewhere, corrected(workspace, elsewhere, f"Secret {n}?", f"{n} a"))
    for path in ("/versions", "/activations", "/retention"):
        answer = program.get(path)
        assert answer.json()["items"] == []
        assert "Secret" not in answer.text
    assert program.get("/versions/1").status_code == 404
    assert program.post("/activations", {"number": 1}).status_code == 404
    with workspace.database.read() as db:
        assert db.get_one(Organization, elsewhere).active_version == 2


@pytest.mark.parametrize("cursor", ["x", "20260101000000000000-", "99999999999999999999-" + "0" * 32])
def test_a_cursor_that_is_none(program: Program, cursor: str) -> None:
    assert program.get("/activations", before=cursor).status_code == 422
    assert program.get("/versions", before=cursor).status_code == 422


def test_a_key_needs_its_scope(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place), active=False)
    _, token = key_of(workspace, anna, place, Scope.READ, Scope.WRITE)
    answer = workspace.visitor().client.post("/api/v1/activations", json={"number": 1}, headers=bearer(token))
    assert answer.status_code == 403
