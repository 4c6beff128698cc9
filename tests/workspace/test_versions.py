"""The timeline, the report of a version, its files, activation and rollback."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import uuid
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from lifelearn.learning.types import ModelVersion
from lifelearn.workspace.database import now
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.organizations import AuditEvent, Organization
from lifelearn.workspace.tables.versions import Activation, Reason, Version
from lifelearn.workspace.versions import report, timeline
from lifelearn.workspace.versions.curves import curve, ticks
from lifelearn.workspace.versions.downloads import CHUNK_BYTES, as_zip
from lifelearn.workspace.versions.service import Family
from workspace.chatting import answered, ask
from workspace.fakes import BOTH, Browser, Workspace
from workspace.versioned import QUESTION, corrected, made
from workspace.xss import VECTORS, problems_in


@pytest.fixture
def anna(workspace: Workspace) -> Browser:
    return workspace.person()


@pytest.fixture
def bert(workspace: Workspace) -> Browser:
    return workspace.person("bert@example.org")


@pytest.fixture
def place(workspace: Workspace, anna: Browser, bert: Browser) -> uuid.UUID:
    return workspace.organization(anna, member=[bert])


def learned(workspace: Workspace, place: uuid.UUID, count: int, **more: object) -> None:
    for index in range(count):
        made(workspace, place, corrected(workspace, place, f"What is thing {index}?", f"{index} things"), **more)  # type: ignore[arg-type]


def active(workspace: Workspace, place: uuid.UUID) -> int:
    with workspace.database.read() as db:
        return db.get_one(Organization, place).active_version


def order(page: str, *texts: str) -> None:
    """All of them are in the page, in this order."""
    at = 0
    for text in texts:
        found = page.find(text, at)
        assert found >= 0, f"{text!r} does not come after what is before it"
        at = found + len(text)


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


def test_members_see_it_and_cannot_change_it(workspace: Workspace, bert: Browser, place: uuid.UUID) -> None:
    learned(workspace, place, 2)
    for path in ("versions", "versions/1", "versions/0"):
        page = bert.get(f"/o/{place}/{path}").text
        assert "/activate" not in page
        assert 'method="post" action="/o/' not in page
    assert bert.post(f"/o/{place}/versions/1/activate", {"seen": "2"}).status_code == 403
    assert active(workspace, place) == 2


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


# The report


def test_the_report_of_a_version(workspace: Workspace, bert: Browser, place: uuid.UUID) -> None:
    earlier = corrected(workspace, place, "What is our hotline?", "5 5 5")
    made(workspace, place, earlier)
    made(workspace, place, corrected(workspace, place), kept=[earlier])
    page = bert.get(f"/o/{place}/versions/2").text
    assert QUESTION in page
    order(page, "What it learned", "Checks", "Training", "Where the time went", "Ask again")
    assert "11 / 12" in page
    assert "at least 80%" in page
    assert "10.19 nats / 445 tokens" in page
    assert "It took 27 steps, on 6,779 tokens of answers." in page
    training = page.partition("Training")[2].partition("Where the time went")[0]
    assert training.count("<circle") == 27  # a point for each step
    assert "12 of 13 held at the end" in page
    assert "<del>20</del>" in page  # what the parent said, and the version does not
    assert "<ins>25</ins>" in page
    assert "48.6 s" in page
    assert "It did not pass" not in page


def test_the_report_says_that_the_learning_rate_was_lowered(workspace: Workspace, place: uuid.UUID) -> None:
    manifest = ModelVersion.model_validate(made(workspace, place, corrected(workspace, place)).manifest)
    training = manifest.training
    assert training is not None

    def told(rate: float | None) -> str:
        trained = training.model_copy(update={"learning_rate": rate})
        return report.in_words(manifest.model_copy(update={"training": trained}))

    assert "The learning rate was lowered from 0.003 to 0.001, as the loss rose at once." in told(1e-3)
    assert "lowered" not in told(3e-3)
    assert "lowered" not in told(None)  # a version of an earlier release


def test_links_to_a_correction_lead_somewhere(
    workspace: Workspace, anna: Browser, bert: Browser, place: uuid.UUID
) -> None:
    """Forgotten, and then rewritten by a member for review: it has no row in the matrix, and others may not see it."""
    learned = corrected(workspace, place)
    made(workspace, place, learned)
    for state in (State.LEARNED, State.REVIEW):
        with workspace.database.write() as db:
            db.execute(update(Correction).where(Correction.id == learned.id).values(state=state))
        for browser in (anna, bert):
            links = set(
                re.findall(
                    rf"/o/{place}/(?:retention|corrections)/{learned.id}", browser.get(f"/o/{place}/versions/1").text
                )
            )
            assert bool(links) == (state == State.LEARNED or browser is anna)
            assert {browser.get(link).status_code for link in links} <= {200}


def test_what_failed_comes_first(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place), passed=False)
    page = anna.get(f"/o/{place}/versions/1").text
    order(
        page,
        "It did not pass",
        "locality 8 of 12 (80% needed)",
        '<details class="check failed" open',
        "What it learned",
    )
    first = page[page.index('<ol class="probes">') :]
    assert [each == "failed" for each in re.findall(r'<li class="(failed|passed)">', first)[:12]] == [True] * 4 + [
        False
    ] * 8


def test_a_version_that_is_not_there(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    elsewhere = workspace.organization(workspace.person("eve@example.org"), "Other")
    learned(workspace, elsewhere, 3)
    learned(workspace, place, 1)
    paths = ("", "/lesson", "/adapter.zip", "/lesson.jsonl", "/report.json", "/activate", "/recheck")
    for number in ("2", "3", "99999999999999999999", "-1", "x"):
        for path in paths:
            assert anna.get(f"/o/{place}/versions/{number}{path}").status_code == 404, (number, path)
    for path in ("/lesson", "/adapter.zip", "/lesson.jsonl", "/report.json"):
        assert anna.get(f"/o/{place}/versions/0{path}").status_code == 404


def test_words_from_a_private_chat_stay_there(workspace: Workspace, bert: Browser, place: uuid.UUID) -> None:
    """What was said around a correction is not part of it."""
    made(workspace, place, corrected(workspace, place, message="Ask Berta, she knows the secret."))
    for path in ("", "/lesson", "/lesson.jsonl", "/report.json"):
        text = bert.get(f"/o/{place}/versions/1{path}").text
        assert "Berta" not in text, path
    assert "Berta" not in bert.get(f"/o/{place}/versions").text


@pytest.mark.check("pages")
def test_what_people_and_models_wrote_is_text(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    kept = None
    for start in range(0, len(VECTORS), 5):  # as many corrections as the timeline shows of a version
        bad = [
            corrected(workspace, place, vector, vector, wrong=vector, statement=vector)
            for vector in VECTORS[start : start + 5]
        ]
        number = made(workspace, place, *bad, kept=[kept] if kept else []).number
        kept = bad[0]
        pages = [f"versions/{number}", f"versions/{number}/lesson", *(f"retention/{each.id}" for each in bad)]
        for path in pages:
            answer = anna.get(f"/o/{place}/{path}")
            assert answer.status_code == 200
            assert problems_in(answer.text) == [], path
    for path in ("versions", "versions/0/activate", "retention", "compare"):
        answer = anna.get(f"/o/{place}/{path}")
        assert answer.status_code == 200
        assert problems_in(answer.text) == [], path


def test_the_lesson_in_pages(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place), rows=30)
    first, second = (anna.get(f"/o/{place}/versions/1/lesson?page={page}").text for page in (1, 2))
    assert "30 rows: 10 teach the facts, 20 hold on to what was known." in first
    assert "Question number 24?" in first
    assert "Question number 25?" not in first
    assert "Question number 25?" in second
    assert "Answer with this sentence." in second  # what the teacher saw
    assert anna.get(f"/o/{place}/versions/1/lesson?page=3").status_code == 404
    assert anna.get(f"/o/{place}/versions/1/lesson?page=0").status_code == 422


# Files


def test_downloads(workspace: Workspace, bert: Browser, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place), content=b"these weights")
    answer = bert.get(f"/o/{place}/versions/1/adapter.zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="version-1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["adapter_config.json", "adapter_model.safetensors"]
        assert archive.read("adapter_model.safetensors") == b"these weights"
    answer = bert.get(f"/o/{place}/versions/1/lesson.jsonl")
    assert answer.headers["content-disposition"] == 'attachment; filename="version-1-lesson.jsonl"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == 30
    assert set(rows[0]) == {"kind", "prompt", "teacher_prompt", "completions"}
    answer = bert.get(f"/o/{place}/versions/1/report.json")
    assert answer.headers["content-disposition"] == 'attachment; filename="version-1-report.json"'
    told = answer.json()
    assert [check["name"] for check in told["report"]["checks"]][-1] == "drift"
    assert told["corrections"][0]["answer"] == "25 days"


def test_large_files_are_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    size = 5 * CHUNK_BYTES
    (tmp_path / "model.safetensors").write_bytes(b"w" * size)
    parts = list(as_zip(tmp_path, ["model.safetensors"], now()))
    assert max(map(len, parts)) < 2 * CHUNK_BYTES
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.testzip() is None
        assert archive.getinfo("model.safetensors").file_size == size


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damaged_files_are_said_to_be_so(workspace: Workspace, anna: Browser, place: uuid.UUID, damage: str) -> None:
    learned(workspace, place, 2)
    with workspace.database.read() as db:
        version = db.scalars(select(Version).where(Version.number == 1)).one()
    settings = workspace.app.state.settings
    folder = Path(settings.model_storage_dir) / "organizations" / str(place) / "versions" / str(version.id)
    for name in ("adapter_model.safetensors", "lesson.json"):
        if damage == "missing":
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(b"other")
    assert anna.get(f"/o/{place}/versions/1").status_code == 200  # what it is and was is still known
    for path in ("lesson", "lesson.jsonl", "adapter.zip"):
        answer = anna.get(f"/o/{place}/versions/1/{path}")
        assert answer.status_code == 503
        assert str(folder) not in answer.text
    answer = anna.post(f"/o/{place}/versions/1/activate", {"seen": "2"})
    assert answer.status_code == 503
    assert "Version 2 still answers" in answer.text
    assert active(workspace, place) == 2


# Activation


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
    assert active(workspace, place) == 1
    assert anna.post(url, {"seen": "1", "confirm_failed": "true"}).status_code == 303
    assert active(workspace, place) == 2
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
    assert active(workspace, place) == 1


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
    assert active(workspace, place) == 1
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
    assert active(workspace, place) == 2


def test_without_its_token_nothing_changes(workspace: Workspace, anna: Browser, place: uuid.UUID) -> None:
    learned(workspace, place, 2)
    answer = anna.client.post(f"/o/{place}/versions/1/activate", data={"seen": "2"})
    assert answer.status_code == 403
    assert active(workspace, place) == 2


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
