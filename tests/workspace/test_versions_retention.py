"""The retention matrix, what its cells mean, and asking a version again."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import delete, event, select, update

from lifelearn.learning.chat_model import ChatModelError
from lifelearn.workspace.database import ago, now
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.organizations import AuditEvent, Organization
from lifelearn.workspace.tables.versions import Verdict
from lifelearn.workspace.versions import matrix, rechecks
from lifelearn.workspace.versions.matrix import Kind
from waiting import until
from workspace.fakes import BOTH, Browser, Workspace
from workspace.versioned import corrected, made
from workspace.xss import problems_in


def kinds(workspace: Workspace, place: uuid.UUID) -> list[str]:
    """A line of signs for each correction."""
    signs = {Kind.HELD: "+", Kind.LOST: "x", Kind.OTHER: "o", Kind.UNASKED: "?", Kind.LATER: "<", Kind.APART: "/"}
    with workspace.database.read() as db:
        found = matrix.matrix(db, db.get_one(Organization, place))
        return ["".join(signs[cell.kind] for cell in line.cells) for line in found.lines]


# The matrix


def test_without_corrections_there_is_no_matrix(anna: Browser, place: uuid.UUID) -> None:
    page = anna.get(f"/o/{place}/retention").text
    assert "Nothing was learned yet" in page
    assert "<rect" not in page


@pytest.mark.parametrize("state", State)
def test_what_is_not_everybody_s_has_no_row(
    workspace: Workspace, anna: Browser, ben: Browser, place: uuid.UUID, state: State
) -> None:
    one = corrected(workspace, place, "Question A?", "A secret", author_id=anna.user_id)
    made(workspace, place, one)
    with workspace.database.write() as db:
        row = db.get_one(Correction, one.id)
        row.state, row.version = state, None
    seen = state in (State.QUEUED, State.LEARNING, State.LEARNED, State.FAILED)
    assert ("A secret" in ben.get(f"/o/{place}/retention/{one.id}").text) == seen
    assert ("Question A?" in ben.get(f"/o/{place}/retention").text) == seen


@BOTH
def test_cells_are_judged_by_descent(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    first, second, third, failed, fourth = (
        corrected(workspace, place, f"Question {n}?", f"{n} answers") for n in ("A", "B", "C", "D", "E")
    )
    made(workspace, place, first)  # 1
    made(workspace, place, second, kept=[first])  # 2
    made(workspace, place, third, kept=[first, second])  # 3
    made(workspace, place, failed, passed=False)  # 4, which asked only its own
    made(workspace, place, fourth, parent=1, lost=[], kept=[first], active=False)  # 5, from 1
    made(workspace, place, corrected(workspace, place, "Never taught?"), active=False, parent=3, kept=[second])  # 6
    with workspace.database.write() as db:
        for number, correction, holds in ((2, third, False), (1, second, True), (0, first, False)):
            db.add(
                Verdict(organization_id=place, number=number, correction_id=correction.id, holds=holds, answer="Words.")
            )
        lost = db.get_one(Verdict, (place, 3, first.id))
        lost.holds = False
    assert kinds(workspace, place) == [
        # 0 is the base
        "o++x?+?",  # A: lost by 3; 4 and 6 come from 1 and were not asked
        "<+++?/+",  # B: known to 1 before it was learned; 5 is of another line
        "<<o+?/?",  # C
        "<<<<x//",  # D: its version failed by it
        "<<<<<+/",  # E
        "<<<<<<+",
    ]
    page = anna.get(f"/o/{place}/retention").text
    assert problems_in(page) == []
    assert page.count("<rect class=") == 6 * 7 + 1  # and the active version's frame
    row = anna.get(f"/o/{place}/retention/{second.id}").text
    assert problems_in(row) == []
    cells = dict(re.findall(r'<li id="v(\d)">(.*?)</li>', row, re.DOTALL))
    assert set(cells) == set("0123456")
    assert "Learned later, in version 2." in cells["0"]
    assert "never learned it, and gives the right answer all the same" in cells["1"]
    assert "It learned it in version 2, and holds it." in cells["2"]
    assert "It is B answers." in cells["2"]
    assert "Not asked yet" in cells["4"]
    assert "does not come from version 2" in cells["5"]
    assert "does not give the right answer" in anna.get(f"/o/{place}/retention/{first.id}").text


def test_the_table_says_what_the_picture_shows(workspace: Workspace, ben: Browser, place: uuid.UUID) -> None:
    first = corrected(workspace, place, "Question A?", "A a")
    made(workspace, place, first)
    made(workspace, place, corrected(workspace, place, "Question B?", "B a"), lost=[], kept=[first])
    page = ben.get(f"/o/{place}/retention").text
    picture, table = page.split("The same as a table")
    assert re.findall(r"<title>([^<]*): ([^<]*)</title>", picture) == [
        ("The base model", "learned later"), ("Version 1", "holds"), ("Version 2", "holds"),
        ("The base model", "learned later"), ("Version 1", "learned later"), ("Version 2", "holds"),
    ]  # fmt: skip
    assert re.findall(r'<td><span aria-hidden="true">(.)</span>', table) == ["·", "✓", "✓", "·", "·", "✓"]
    assert re.findall(r"<td>([^<]+)</td>", table) == ["–", "1/1", "2/2"]
    for where in re.findall(r'<a href="(retention/[^"]+)"', picture):
        assert ben.get(f"/o/{place}/{where.partition('#')[0]}").status_code == 200


def test_a_large_matrix_comes_in_pages_and_soon(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "COLUMNS", 3)
    monkeypatch.setattr(matrix, "ROWS", 4)
    for index in range(7):
        made(workspace, place, corrected(workspace, place, f"Question {index}?", f"{index} a"))

    def shown(query: str) -> tuple[list[str], list[int]]:
        page = anna.get(f"/o/{place}/retention{query}").text
        table = page.partition("The same as a table")[2]
        rows = re.findall(r'">(Question \d)\?</a>', table)
        return rows, [int(each) for each in re.findall(r'aria-label="[^"]+">(\d)</a></th>', table)]

    assert shown("") == ([f"Question {n}" for n in (3, 4, 5, 6)], [5, 6, 7])
    assert shown("?page=2") == ([f"Question {n}" for n in (0, 1, 2)], [5, 6, 7])
    assert shown("?until=4&page=2") == ([f"Question {n}" for n in (0, 1, 2)], [2, 3, 4])
    page = anna.get(f"/o/{place}/retention?until=4").text
    assert "retention?until=1&amp;page=1" in page
    assert "retention?until=7&amp;page=1" in page
    assert shown("?until=1")[1] == [0, 1]
    assert anna.get(f"/o/{place}/retention?page=3").status_code == 404
    for query in ("?page=0", "?page=x", "?until=-1", "?until=99999999999", "?page=99999999999999999999"):
        assert anna.get(f"/o/{place}/retention{query}").status_code == 422, query


@pytest.mark.check("pages")
def test_30_versions_by_100_corrections_take_few_queries(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    many = [corrected(workspace, place, f"What is the thing with number {n}?", f"{n} things") for n in range(100)]
    for start in range(0, 100, 25):
        made(workspace, place, *many[start : start + 25])
    for _ in range(30):
        made(workspace, place)
    with workspace.database.write() as db:
        for number in range(35):
            for each in many:
                if db.get(Verdict, (place, number, each.id)) is None:
                    where = {"organization_id": place, "number": number, "correction_id": each.id}
                    db.add(Verdict(**where, holds=True, answer="It is so."))
    statements: list[str] = []
    event.listen(workspace.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    answer = anna.get(f"/o/{place}/retention")
    assert answer.text.count("<rect class=") == 3001
    asked = [each for each in statements if each.startswith("SELECT")]
    assert len(asked) < 30, "the database is asked so often, however much there is"


def test_what_was_not_taught_is_not_shown(workspace: Workspace, ben: Browser, place: uuid.UUID) -> None:
    """A correction that nobody taught yet is its author's; an address made up shows nothing of it."""
    hidden = corrected(workspace, place, "Who is to be let go?", "Carl", state=State.ASKED)
    made(workspace, place, corrected(workspace, place))
    assert "Who is to be let go" not in ben.get(f"/o/{place}/retention").text
    assert ben.get(f"/o/{place}/retention/{hidden.id}").status_code == 404


def test_corrections_of_others_are_not_found(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    elsewhere = workspace.organization(workspace.person("eve@example.org"), "Other")
    theirs = corrected(workspace, elsewhere, "A secret?")
    made(workspace, elsewhere, theirs)
    assert anna.get(f"/o/{place}/retention/{theirs.id}").status_code == 404
    assert anna.get(f"/o/{elsewhere}/retention/{theirs.id}").status_code == 404
    assert "A secret?" not in anna.get(f"/o/{place}/retention").text


# Asking again


def verdicts(workspace: Workspace, place: uuid.UUID, number: int) -> dict[uuid.UUID, tuple[bool, str]]:
    with workspace.database.read() as db:
        found = db.scalars(select(Verdict).where(Verdict.organization_id == place, Verdict.number == number))
        return {each.correction_id: (each.holds, each.answer) for each in found}


def done(browser: Browser, place: uuid.UUID, number: int) -> bool:
    return "Last asked on" in browser.get(f"/o/{place}/versions/{number}/recheck").text


@BOTH
def test_asking_again_keeps_what_the_version_says(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    with workspace.database.write() as db:
        db.execute(update(Organization).values(instructions="Be brief.", temperature=1.5))
    first, second, failed = (corrected(workspace, place, f"Question {n}?", f"{n} answers") for n in ("A", "B", "C"))
    version = made(workspace, place, first)
    made(workspace, place, second)
    made(workspace, place, failed, passed=False)
    corrected(workspace, place, "Not learned yet?")
    workspace.inference.reply = lambda asked: "It is A answers." if "A?" in asked[-1].content else "No idea."
    answer = anna.post(f"/o/{place}/versions/1/recheck")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/o/{place}/versions/1#recheck")
    until(lambda: done(anna, place, 1))
    assert verdicts(workspace, place, 1) == {first.id: (True, "It is A answers."), second.id: (False, "No idea.")}
    folder = Storage(workspace.app.state.settings).fetch(version)
    for conversation, sampling, weights in workspace.inference.asked:
        assert [turn.role for turn in conversation] == ["system", "user"]
        assert conversation[0].content == "Be brief."
        assert (sampling.temperature, weights) == (0.0, folder)
    assert [asked[0][-1].content for asked in workspace.inference.asked] == ["Question A?", "Question B?"]
    with workspace.database.read() as db:
        event = db.scalars(select(AuditEvent).where(AuditEvent.action == rechecks.ASKED_AGAIN)).one()
        assert (event.actor, event.target) == ("anna@example.org", "Version 1")
    assert kinds(workspace, place)[:2] == ["<+??", "<o+?"]
    # The base can be asked, too.
    anna.post(f"/o/{place}/versions/0/recheck")
    until(lambda: done(anna, place, 0))
    assert workspace.inference.asked[-1][2] is None
    assert kinds(workspace, place)[1] == "oo+?"


def test_progress_is_seen_while_it_asks(workspace: Workspace, anna: Browser, ben: Browser, place: uuid.UUID) -> None:
    for n in range(3):
        made(workspace, place, corrected(workspace, place, f"Question {n}?", f"{n} a"))
    workspace.inference.gate = asyncio.Event()
    answer = anna.htmx("POST", f"/o/{place}/versions/3/recheck")
    assert "0 of 3 are asked." in answer.text
    assert f'hx-get="/o/{place}/versions/3/recheck"' in answer.text
    until(lambda: workspace.inference.asked)
    seen = ben.get(f"/o/{place}/versions/3/recheck").text
    assert '<progress id="recheck-progress" value="0" max="3">' in seen
    again = anna.post(f"/o/{place}/versions/3/recheck")
    assert again.status_code == 409
    assert "Version 3 is being asked already" in again.text
    assert anna.post(f"/o/{place}/versions/1/recheck").status_code == 409  # one in each organisation
    workspace.portal.call(workspace.inference.gate.set)
    until(lambda: done(ben, place, 3))
    assert "hx-trigger" not in ben.get(f"/o/{place}/versions/3/recheck").text
    assert len(workspace.inference.asked) == 3


def test_what_ended_early_goes_on_with_what_is_missing(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    for n in range(4):
        made(workspace, place, corrected(workspace, place, f"Question {n}?", f"{n} a"))
    workspace.inference.reply = lambda asked: _raise() if "2?" in asked[-1].content else "It is so."
    anna.post(f"/o/{place}/versions/4/recheck")
    until(lambda: "It ended after 2 of 4" in anna.get(f"/o/{place}/versions/4/recheck").text)
    page = anna.get(f"/o/{place}/versions/4").text
    assert "The model is gone." in page
    assert "Go on" in page
    workspace.inference.reply = lambda _asked: "It is so."
    workspace.inference.asked.clear()
    assert anna.post(f"/o/{place}/versions/4/recheck", {"resume": "true"}).status_code == 303
    until(lambda: done(anna, place, 4))
    assert [asked[0][-1].content for asked in workspace.inference.asked] == ["Question 2?", "Question 3?"]
    with workspace.database.read() as db:
        assert len(db.scalars(select(AuditEvent).where(AuditEvent.action == rechecks.ASKED_AGAIN)).all()) == 1
    workspace.inference.asked.clear()
    anna.post(f"/o/{place}/versions/4/recheck")  # and from the start where somebody says so
    until(lambda: done(anna, place, 4) and len(workspace.inference.asked) == 4)


def test_what_a_process_left_goes_on_elsewhere(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    """An asking of which this process knows nothing: its end shows after a while, and it can go on."""
    first, second = (corrected(workspace, place, f"Question {n}?", f"{n} a") for n in "AB")
    made(workspace, place, first)
    made(workspace, place, second, kept=[first])
    began = ago(minutes=20)
    with workspace.database.write() as db:
        db.add(
            AuditEvent(
                organization_id=place,
                actor="anna@example.org",
                action=rechecks.ASKED_AGAIN,
                target="Version 2",
                created_at=began,
            )
        )
        db.execute(update(Correction).values(settled_at=ago(minutes=30)))
        db.execute(update(Verdict).where(Verdict.correction_id == first.id).values(asked_at=ago(minutes=19)))
        db.execute(update(Verdict).where(Verdict.correction_id == second.id).values(asked_at=ago(minutes=29)))
    assert "It ended after 1 of 2" in anna.get(f"/o/{place}/versions/2/recheck").text
    anna.post(f"/o/{place}/versions/2/recheck", {"resume": "true"})
    until(lambda: done(anna, place, 2))
    assert [asked[0][-1].content for asked in workspace.inference.asked] == ["Question B?"]


def test_a_clock_that_was_set_back_does_not_ask_for_ever(
    workspace: Workspace, anna: Browser, place: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(workspace, place, corrected(workspace, place))
    monkeypatch.setattr(rechecks, "now", lambda: now() - timedelta(hours=1))
    with workspace.database.write() as db:
        db.execute(update(Correction).values(settled_at=None))
    anna.post(f"/o/{place}/versions/1/recheck")
    until(lambda: done(anna, place, 1))
    time.sleep(0.1)
    assert len(workspace.inference.asked) == 1


def test_a_process_asks_only_a_few_versions_at_once(workspace: Workspace, anna: Browser) -> None:
    workspace.inference.gate = asyncio.Event()
    statuses = []
    for index in range(rechecks.RUNNING_MOST + 1):
        place = workspace.organization(anna, f"Team {index}")
        made(workspace, place, corrected(workspace, place))
        statuses.append(anna.post(f"/o/{place}/versions/1/recheck").status_code)
        begun = min(index + 1, rechecks.RUNNING_MOST)
        until(partial(lambda most: len(workspace.inference.asked) >= most, begun))
    assert statuses == [303] * rechecks.RUNNING_MOST + [503]


def test_an_organisation_that_is_deleted_meanwhile(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    for n in range(2):
        made(workspace, place, corrected(workspace, place, f"Question {n}?", f"{n} a"))
    workspace.inference.gate = asyncio.Event()
    anna.post(f"/o/{place}/versions/2/recheck")
    until(lambda: workspace.inference.asked)
    with workspace.database.write() as db:
        db.execute(delete(Organization).where(Organization.id == place))
    workspace.portal.call(workspace.inference.gate.set)
    until(lambda: workspace.app.state.rechecks.running(place) is None)
    assert len(workspace.inference.asked) == 1


def test_the_end_of_the_process_ends_it(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place))
    workspace.inference.gate = asyncio.Event()
    anna.post(f"/o/{place}/versions/1/recheck")
    until(lambda: workspace.inference.asked)
    workspace.portal.call(workspace.app.state.rechecks.close)
    assert workspace.inference.closed == 1
    assert workspace.app.state.rechecks.running(place) is None


def test_where_nothing_was_learned_nothing_is_asked(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    assert anna.post(f"/o/{place}/versions/0/recheck").status_code == 409
    made(workspace, place, corrected(workspace, place))
    assert anna.post(f"/o/{place}/versions/2/recheck").status_code == 404
    assert anna.post(f"/o/{place}/versions/1/recheck", {"number": "2"}).status_code == 422
    assert workspace.inference.asked == []


def test_only_admins_have_it_asked(workspace: Workspace, ben: Browser, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place))
    assert ben.post(f"/o/{place}/versions/1/recheck").status_code == 403
    assert "<button" not in ben.get(f"/o/{place}/versions/1/recheck").text
    assert workspace.inference.asked == []


def test_damaged_files_are_said_to_be_so(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    version = made(workspace, place, corrected(workspace, place))
    folder = Storage(workspace.app.state.settings).fetch(version)
    (folder / "adapter_model.safetensors").unlink()
    anna.post(f"/o/{place}/versions/1/recheck")
    until(lambda: "damaged or missing" in anna.get(f"/o/{place}/versions/1/recheck").text)
    assert str(folder) not in anna.get(f"/o/{place}/versions/1/recheck").text


def _raise() -> str:
    raise ChatModelError("The model is gone.")
