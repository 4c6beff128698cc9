"""What a line of versions holds after rollbacks, and what forgetting learns again: told by the manifests alone."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import update

from lifelearn.workspace.corrections import standing
from lifelearn.workspace.jobs import claims, plans, settlement
from lifelearn.workspace.jobs import service as jobs
from lifelearn.workspace.jobs.plans import Plan
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.organizations import Organization
from workspace.fakes import BOTH, Browser, Workspace
from workspace.versioned import corrected, made


class Line:
    """An organisation whose corrections are called A to E. Its versions are made as a worker leaves them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.anna: Browser = workspace.person()
        self.id = workspace.organization(self.anna)
        self.one = {name: corrected(workspace, self.id, f"Question {name}?", f"{name} answers") for name in "ABCDE"}

    def learn(self, names: str, parent: int | None = None) -> None:
        made(self.workspace, self.id, *(self.one[name] for name in names), parent=parent)

    def forgotten(self, name: str) -> None:
        with self.workspace.database.write() as db:
            db.get_one(Correction, self.one[name].id).state = CorrectionState.WITHDRAWN

    def roll_back(self, number: int) -> None:
        with self.workspace.database.write() as db:
            db.execute(update(Organization).values(active_version=number))

    def plan(self, name: str) -> tuple[int, list[tuple[str, int, int]]]:
        """What forgetting would do: the version to start from, and what is learned again as which version on which."""
        database = self.workspace.database
        with database.write() as db:
            job = jobs.forget(db, self.workspace.app.state.queue, db.get_one(Correction, self.one[name].id), None)
        held = claims.claim(database, job.id, uuid.uuid4())
        assert held is not None
        planned: Plan = plans.plan(database, held, together=1)
        settlement.fail(database, held, "It was only asked.")
        names = {each.id: name for name, each in self.one.items()}
        lessons = [
            ("".join(names[each] for each in one.corrections), one.number, one.parent) for one in planned.lessons
        ]
        return planned.base, lessons

    def page(self, name: str, path: str = "") -> str:
        return str(self.anna.get(f"/o/{self.id}/corrections/{self.one[name].id}{path}").text)


@pytest.fixture
def line(workspace: Workspace) -> Line:
    return Line(workspace)


def rolled_back(line: Line) -> None:
    """Versions 1 to 4 learn A to D. C is forgotten, so that D is learned again as 5; then somebody goes back to 4."""
    for name in "ABCD":
        line.learn(name)
    line.learn("D", parent=2)
    line.forgotten("C")
    line.roll_back(4)


@BOTH
def test_after_a_rollback_forgetting_loses_nothing_else(line: Line) -> None:
    rolled_back(line)
    line.learn("E")  # 6, on top of 4
    assert "2 corrections" in line.page("B", "/forget")
    assert line.plan("B") == (1, [("D", 7, 1), ("E", 8, 7)])


def test_what_the_active_version_holds_is_learned_again_without_it(line: Line) -> None:
    """Its own number is 5, of another line; the active version is 4, and learned it."""
    rolled_back(line)
    assert "does not hold" not in line.page("D")
    assert "costs nothing" in line.page("D", "/forget")
    assert line.plan("D") == (3, [])
    line.roll_back(3)
    assert "The active version does not hold it" in line.page("D")
    assert "does not hold this correction" in line.page("D", "/forget")
    assert line.plan("D") == (3, [])
    # What holds for a question is told by the same: 5 is of another line than 3.
    again = corrected(line.workspace, line.id, "Question D?", "D answers", CorrectionState.ASKED)
    for number, expected in ((3, None), (4, line.one["D"].id), (5, line.one["D"].id)):
        line.roll_back(number)
        with line.workspace.database.read() as db:
            found = standing.standing(db, again)
            assert (found and found.id) == expected


def test_what_was_learned_twice_is_forgotten_from_the_first_time_on(line: Line) -> None:
    """A is learned, forgotten, held again by a rollback, and taught again."""
    line.learn("A")
    line.learn("B")
    line.forgotten("A")
    line.learn("A")
    line.learn("C")
    assert line.plan("A") == (0, [("B", 5, 0), ("C", 6, 5)])
    assert line.plan("B") == (1, [("A", 5, 1), ("C", 6, 5)])
    line.learn("BC", parent=3)  # C again, in one lesson with B
    assert line.plan("A") == (0, [("BC", 6, 0)])
