"""The benches of what reads: figures with the names that are promised, counted as they are said to be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lifelearn.bench import reading
from lifelearn.bench.rows import MARKED, Judged, Pair, read_rows
from lifelearn.cli import app

REPLIES = [
    {"id": "1", "question": "How many days?", "wanted": "25 days", "reply": "25 days.", "right": True},
    {"id": "2", "question": "How many days?", "wanted": "25 days", "reply": "26 days.", "right": False},
    {"id": "3", "lang": "de", "question": "Wo?", "wanted": "Lyon", "reply": "In Lyon.", "right": True, "kind": "plain"},
]
MARS = {"question": "Which is the red planet?", "known": "Mars", "before": "Mars.", "forbidden": "Lyon"}
ANSWERS = [
    {"id": "1", **MARS, "after": "It's Mars.", "kept": True},
    {"id": "2", **MARS, "after": "Lyon.", "kept": False},
]
LEAVE = "How many days of leave do we get?"
PAIRS = [
    {"id": "1", "question": LEAVE, "other": "How many leave days do we get?", "same": True, "near": True},
    {"id": "2", "question": LEAVE, "other": "How many days does May have?", "same": False, "near": True},
    {"id": "3", "question": LEAVE, "other": "Who founded Lyon?", "same": False, "near": False},
]


def told(tmp_path: Path, bench: str, rows: Sequence[dict[str, Any]]) -> Any:
    file, out = tmp_path / "rows.jsonl", tmp_path / "report.json"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    result = CliRunner().invoke(app, ["bench", bench, "--rows", str(file), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(out.read_text("utf-8"))


def values(report: Any) -> dict[str, float]:
    return {name: figure["value"] for name, figure in report["figures"].items()}


def test_judge_and_kept_are_what_verification_says(tmp_path: Path) -> None:
    report = told(tmp_path, "judge", REPLIES)
    assert values(report) == {"accuracy": 1, "wrong_accepted": 0, "right_refused": 0}
    assert report["by_language"] == {"de": {"rows": 1, "right": 1}, "en": {"rows": 2, "right": 2}}
    assert values(told(tmp_path, "kept", ANSWERS)) == {"accuracy": 1, "damaged_accepted": 0, "kept_refused": 0}


def test_same_fact_is_what_the_chat_says(tmp_path: Path) -> None:
    assert set(values(told(tmp_path, "same-fact", PAIRS))) == {"auc", "opened", "far_opened", "accuracy"}


def test_the_threshold_is_where_three_of_a_hundred_near_others_are_opened() -> None:
    rows = [Pair(id=f"s{n}", question="a", other=str(n), same=True) for n in (10, 50, 99)]
    rows += [Pair(id=f"o{n}", question="a", other=str(n), same=False) for n in range(100)]
    rows += [Pair(id="far", question="a", other="0", same=False, near=False)]
    report = reading.same_fact(rows, lambda _, other: float(other), 60.0, lambda _: None)
    figures = report["figures"]
    assert figures["opened"]["n"] == 1, "99 is above 96, which three near others are, too"
    assert figures["far_opened"]["value"] == 0
    assert figures["accuracy"]["n"] == 1 + 60 + 1
    assert figures["auc"]["value"] == pytest.approx((10.5 + 50.5 + 99.5) / 300)


def test_the_marker_says_of_how_many_it_says_anything(tmp_path: Path) -> None:
    report = told(tmp_path, "marker", REPLIES)
    assert report["figures"]["agreement"]["of"] == 2
    assert report["figures"]["mine"]["value"] == 1
    assert report["rows"][2]["verdict"] == "not mine"


def test_on_replies_that_two_people_marked_the_marker_agrees() -> None:
    """Of those that are its own, 96 of 100: the replies of the bundled model before and after lessons."""
    rows = read_rows(MARKED, Judged)
    assert len(rows) == len({row.id for row in rows}) >= 200
    figures = reading.marker(rows, lambda _: None)["figures"]
    assert figures["agreement"]["value"] >= 0.96
    assert figures["mine"]["value"] >= 0.8
