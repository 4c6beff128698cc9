"""The timeline of versions, and how it and the curves of a report are drawn."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from lifelearn.workspace.database import now
from lifelearn.workspace.tables.versions import Activation, Reason, Version
from lifelearn.workspace.versions import timeline
from lifelearn.workspace.versions.curves import curve, ticks
from lifelearn.workspace.versions.service import Family
from workspace.fakes import BOTH, Browser, Workspace
from workspace.learning import active
from workspace.versioned import corrected, learned, made, order

# The timeline


def test_an_organisation_without_versions(anna: Browser, place: uuid.UUID) -> None:
    page = anna.get(f"/o/{place}/versions").text
    assert "The base model</a> answers now" in page
    assert "Nothing was learned yet" in page
    assert "Version 0, the base model" in page


@BOTH
def test_the_timeline_tells_what_happened_newest_first(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    first, second, third = (corrected(workspace, place, f"Question {n}?", f"{n} answers") for n in (1, 2, 3))
    made(workspace, place, first)
    made(workspace, place, second, kept=[first])
    made(workspace, place, third, passed=False, kept=[first, second])
    assert anna.post(f"/o/{place}/versions/1/activate", {"seen": "2"}).status_code == 303
    made(workspace, place, corrected(workspace, place, "Question 4?", "4 answers"), author_id=anna.user_id)
    page = anna.get(f"/o/{place}/versions").text
    order(
        page,
        "Version 4</a> answers now",
        "Version 4 was learned and answers now",
        ">Version 4</a>",
        "from <a",
        "Anna rolled back to version 1",
        ">Version 3</a>",
        "Version 2 was learned and answers now",
        ">Version 2</a>",
        ">Version 1</a>",
        "Version 0, the base model",
    )
    states = re.findall(r'class="badge version-(\w+)"', page)
    assert states == ["active", "rejected", "archived", "archived"]
    assert "locality <b>8/12</b>" in page  # of version 3, which failed by it
    assert "retention <b>2/2</b>" in page
    assert page.count('href="#version-1"') == 2  # 2 and 4 come from it


@BOTH
def test_lists_need_no_report(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    """It holds every answer, and a page has fifty versions."""
    made(workspace, place, corrected(workspace, place), passed=False)
    with workspace.database.write() as db:
        version = db.scalars(select(Version)).one()
        assert [check["name"] for check in version.checks] == [check.name for check in version.model().report.checks]
        assert "answers" not in version.checks[0]
        version.manifest = {**version.manifest, "report": None}
    assert "locality <b>8/12</b>" in anna.get(f"/o/{place}/versions").text
    assert "locality 8 of 12" in anna.get(f"/o/{place}/versions/1/activate").text


def test_a_version_that_passed_and_was_never_active_is_a_candidate(
    workspace: Workspace, anna: Browser, place: uuid.UUID
) -> None:
    learned(workspace, place, 1, active=False)
    page = anna.get(f"/o/{place}/versions").text
    assert re.findall(r'class="badge version-(\w+)"', page) == ["candidate", "active"]  # the base is active


def test_the_timeline_in_pages(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "PAGE", 3)
    monkeypatch.setattr(timeline.page, "__defaults__", ("", 3))
    learned(workspace, place, 5)
    path, numbers, changes, pages = f"/o/{place}/versions", [], [], 0
    while path:
        page = anna.get(path).text
        pages += 1
        numbers += [int(each) for each in re.findall(r'id="version-(\d+)"', page)]
        changes += [int(each) for each in re.findall(r"Version (\d+) was learned", page)]
        found = re.search(r'<a href="([^"]+)" rel="next">', page)
        assert ('id="base"' in page) == (found is None)
        path = found[1] if found else ""
    assert numbers == changes == [5, 4, 3, 2, 1]
    assert pages == 4
    assert anna.get(f"/o/{place}/versions?before=nonsense").status_code == 422


def test_members_see_it_and_cannot_change_it(workspace: Workspace, ben: Browser, place: uuid.UUID) -> None:
    learned(workspace, place, 2)
    for path in ("versions", "versions/1", "versions/0"):
        page = ben.get(f"/o/{place}/{path}").text
        assert "/activate" not in page
        assert 'method="post" action="/o/' not in page
    assert ben.post(f"/o/{place}/versions/1/activate", {"seen": "2"}).status_code == 403
    assert active(workspace.database, place) == 2


families = st.lists(st.integers(0, 100), max_size=12).map(
    lambda drawn: {number: parent % number for number, parent in enumerate(drawn, 1)}
)


@given(parents=families, changes=st.lists(st.integers(0, 12), max_size=4), split=st.integers(0, 12))
def test_the_line_of_descent_never_breaks(parents: dict[int, int], changes: list[int], split: int) -> None:
    """What leaves an entry at its foot arrives at the head of the next, and each version is drawn once."""

    class Drawn:  # as much of a summary as the drawing reads
        def __init__(self, number: int) -> None:
            self.number, self.version, self.state = number, None, None

    rows: list[int | None] = [*sorted(parents, reverse=True), 0]
    for at in changes:
        rows.insert(min(at, len(rows) - 1), None)
    change = Activation(number=0, previous=1, reason=Reason.CHOSEN)
    entries = [
        timeline.Entry(now(), activation=change)
        if number is None
        else timeline.Entry(None, Drawn(number) if number else None)  # type: ignore[arg-type]
        for number in rows
    ]
    family, newest = Family(parents), max(parents, default=0)
    timeline.draw(entries[:split], family, newest)
    above = [number for number in rows[:split] if number]
    timeline.draw(entries[split:], family, newest, above)  # as on a second page
    feet: list[tuple[int, bool]] = []
    for entry in entries:
        rail = entry.rail
        bends = [(int(bend.path.split()[1]), bend.strong) for bend in rail.bends]
        assert sorted(feet) == sorted([*rail.through, *rail.above, *bends])
        feet = [*rail.through, *rail.below]
        assert (rail.dot is None) == (entry.activation is not None)
    assert feet == []


def test_a_branch_has_a_lane_of_its_own() -> None:
    class Drawn:
        def __init__(self, number: int) -> None:
            self.number = number

    entries = [timeline.Entry(None, Drawn(number) if number else None) for number in (3, 2, 1, 0)]  # type: ignore[arg-type]
    timeline.draw(entries, Family({1: 0, 2: 1, 3: 1}), active=3)
    third, second, first, base = (entry.rail for entry in entries)
    assert third.dot == first.dot == base.dot != second.dot
    assert second.through == ((third.dot, True),)  # from 3 past 2 to 1
    assert [bend.strong for bend in first.bends] == [False]  # from 2, which does not answer


# Curves


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60))
def test_a_curve_stays_in_its_frame(values: list[float]) -> None:
    drawn = curve([abs(value) if abs(value) < 1e300 else value for value in values])
    for x, y in drawn.points:
        assert drawn.left <= x <= drawn.right
        assert drawn.top <= y <= drawn.bottom
    assert len(drawn.across) <= 10


@given(st.floats(1e-9, 1e9))
def test_ticks_are_round_and_reach_the_top(most: float) -> None:
    found = ticks(most)
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-5)
    assert 2 <= len(found) <= 7
