"""The report of a version, its lesson and its files."""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import select, update

from lifelearn.learning.types import ModelVersion
from lifelearn.workspace.database import now
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions import report
from lifelearn.workspace.versions.downloads import CHUNK_BYTES, as_zip
from workspace.fakes import Browser, Workspace
from workspace.learning import active
from workspace.versioned import QUESTION, corrected, learned, made, order
from workspace.xss import VECTORS, problems_in

# The report


def test_the_report_of_a_version(workspace: Workspace, ben: Browser, place: uuid.UUID) -> None:
    earlier = corrected(workspace, place, "What is our hotline?", "5 5 5")
    made(workspace, place, earlier)
    made(workspace, place, corrected(workspace, place), kept=[earlier])
    page = ben.get(f"/o/{place}/versions/2").text
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
    workspace: Workspace, anna: Browser, ben: Browser, place: uuid.UUID
) -> None:
    """Forgotten, and then rewritten by a member for review: it has no row in the matrix, and others may not see it."""
    learned = corrected(workspace, place)
    made(workspace, place, learned)
    for state in (State.LEARNED, State.REVIEW):
        with workspace.database.write() as db:
            db.execute(update(Correction).where(Correction.id == learned.id).values(state=state))
        for browser in (anna, ben):
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


def test_words_from_a_private_chat_stay_there(workspace: Workspace, ben: Browser, place: uuid.UUID) -> None:
    """What was said around a correction is not part of it."""
    made(workspace, place, corrected(workspace, place, message="Ask Berta, she knows the secret."))
    for path in ("", "/lesson", "/lesson.jsonl", "/report.json"):
        text = ben.get(f"/o/{place}/versions/1{path}").text
        assert "Berta" not in text, path
    assert "Berta" not in ben.get(f"/o/{place}/versions").text


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


def test_downloads(workspace: Workspace, ben: Browser, place: uuid.UUID) -> None:
    made(workspace, place, corrected(workspace, place), content=b"these weights")
    answer = ben.get(f"/o/{place}/versions/1/adapter.zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="version-1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["adapter_config.json", "adapter_model.safetensors"]
        assert archive.read("adapter_model.safetensors") == b"these weights"
    answer = ben.get(f"/o/{place}/versions/1/lesson.jsonl")
    assert answer.headers["content-disposition"] == 'attachment; filename="version-1-lesson.jsonl"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == 30
    assert set(rows[0]) == {"kind", "prompt", "teacher_prompt", "completions"}
    answer = ben.get(f"/o/{place}/versions/1/report.json")
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
    assert active(workspace.database, place) == 2
