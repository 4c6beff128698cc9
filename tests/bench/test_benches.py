"""The benches by their commands, on a tiny model of another family: the whole way, and the report as it is promised."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lifelearn.bench.outcomes import Asked, Outcome, Question
from lifelearn.bench.report import write
from lifelearn.bench.rows import COMPANY, SUBSET, Row, chosen, read_rows
from lifelearn.cli import app

FIGURES = {
    "detected", "promoted", "efficacy", "generalisation", "hops", "locality", "leak", "drift", "retention",
    "gate_precision", "gate_recall", "seconds_median", "near_broken", "near_leaked", "near_harmed", "unrelated_changed",
}  # fmt: skip
ROWS = [
    {
        "id": f"row-{number}",
        "question": f"Where is {name} based?",
        "answer": city,
        "paraphrases": [f"Which city is home to {name}?"],
        "locality": [{"question": "Where is Sony based?", "answer": None}, {"question": "Hello?", "answer": "Hi"}],
        "hops": [{"question": f"What is based in {city}?", "answer": name, "kind": "reversed"}],
    }
    for number, (name, city) in enumerate((("Norvik Labs", "Lyon"), ("Tarn Works", "Bergen")))
]
TALKS: list[dict[str, Any]] = [
    {
        "id": str(number),
        "messages": [
            {"role": "user", "content": "Where is Norvik Labs based?"},
            {"role": "assistant", "content": "Norvik Labs is based in Paris."},
            {"role": "user", "content": text},
        ],
        "is_correction": corrects,
        "corrected_fact": "Norvik Labs is based in Lyon." if corrects else None,
        "kind": "plain",
        "origin": "written",
    }
    for number, (text, corrects) in enumerate((("No, it is in Lyon.", True), ("Thanks, that helps!", False)))
]


def rows_in(path: Path, rows: Sequence[object]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return str(path)


def report_of(tmp_path: Path, *arguments: str) -> Any:
    out = tmp_path / "report.json"
    result = CliRunner().invoke(app, ["bench", *arguments, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(out.read_text("utf-8"))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LL_TRAIN_MAX_STEPS", "2")
    monkeypatch.setenv("LL_PROMPT_VARIATIONS", "6")
    monkeypatch.setenv("LL_MODEL_STORAGE_DIR", str(tmp_path / "versions"))


@pytest.mark.check("engine")
def test_corrections_run_the_whole_way_with_every_baseline(tmp_path: Path, tiny_model_folder: Path) -> None:
    rows = rows_in(tmp_path / "rows.jsonl", ROWS)
    model = ("--model", str(tiny_model_folder))
    report = report_of(
        tmp_path, "corrections", "--rows", rows, *model, "--seed", "3",
        "--baselines", "icl,sft,sdft_reference,trl_sdft", "--baseline-rows", "1",
    )  # fmt: skip
    assert set(report["figures"]) >= FIGURES | {"holds", "unmarked"}
    assert all(set(figure) == {"value", "n", "of", "low", "high"} for figure in report["figures"].values())
    assert set(report["baselines"]) == {"icl", "sft", "sdft_reference", "trl_sdft"}
    assert all(set(figures) == FIGURES for figures in report["baselines"].values())
    assert report["figures"]["efficacy"]["of"] == 2
    assert report["figures"]["generalisation"]["of"] == 2
    assert report["figures"]["locality"]["of"] == 4
    assert report["figures"]["detected"]["value"] == 1
    assert report["baselines"]["sft"]["efficacy"]["of"] == 1
    for row in report["rows"]:
        assert [question["kind"] for question in row["questions"]] == [
            "question", "paraphrase", "hop", "locality", "locality",
        ]  # fmt: skip
        assert row["promoted"] or all(q["after"] == q["before"] for q in row["questions"]), "the parent answers"
        assert set(row["seconds"]) >= {"detect", "augment", "lesson", "train", "verify", "total"}


@pytest.mark.check("engine")
def test_a_run_that_breaks_off_has_kept_its_rows(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped as soon as its first row is there."""

    def stopped(report: dict[str, Any], path: Path) -> None:
        write(report, path)
        raise KeyboardInterrupt

    monkeypatch.setattr("lifelearn.bench.report.write", stopped)
    out = tmp_path / "report.json"
    arguments = ["bench", "corrections", "--rows", rows_in(tmp_path / "rows.jsonl", ROWS), "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--model", str(tiny_model_folder)])
    assert result.exit_code != 0
    (row,) = json.loads(out.read_text("utf-8"))["rows"]
    assert len(row["questions"]) == 5


@pytest.mark.check("engine")
def test_a_run_that_was_stopped_goes_on_and_kept_versions_are_not_trained_again(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    rows = rows_in(tmp_path / "rows.jsonl", ROWS)
    run = ("corrections", "--rows", rows, "--model", str(tiny_model_folder), "--keep", str(kept))
    whole = report_of(tmp_path, *run)
    log = tmp_path / "report.rows.jsonl"
    lines = log.read_text("utf-8").splitlines(keepends=True)
    assert len(lines) == 3
    log.write_text("".join(lines[:2]) + lines[2][:40], "utf-8")  # killed while it wrote

    def untrained(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr("lifelearn.bench.corrections.learn", untrained)
    again = report_of(tmp_path, *run, "--resume")
    for before, after in zip(whole["rows"], again["rows"], strict=True):
        assert before["questions"] == after["questions"]
        assert before["promoted"] == after["promoted"]

    out = ["--out", str(tmp_path / "report.json")]
    other = CliRunner().invoke(app, ["bench", *run, *out, "--resume", "--seed", "9"])
    assert other.exit_code != 0
    assert "another run" in str(other.exception)


@pytest.mark.check("engine")
def test_a_sequence_goes_on_where_it_was_stopped_and_again_from_its_start(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for check in ("EFFICACY", "GENERALISATION", "LOCALITY", "RETENTION"):
        monkeypatch.setenv(f"LL_VERIFY_MIN_{check}", "0")
    monkeypatch.setenv("LL_VERIFY_MAX_DRIFT", "10")
    run = (
        "corrections", "--rows", rows_in(tmp_path / "rows.jsonl", ROWS), "--model", str(tiny_model_folder),
        "--sequential", "2", "--keep", str(tmp_path / "kept"),
    )  # fmt: skip
    whole = report_of(tmp_path, *run)
    log = tmp_path / "report.rows.jsonl"
    log.write_text("".join(log.read_text("utf-8").splitlines(keepends=True)[:2]), "utf-8")
    again = report_of(tmp_path, *run, "--resume")
    assert again["matrix"] == whole["matrix"]
    assert [row["questions"] for row in again["rows"]] == [row["questions"] for row in whole["rows"]]

    def untrained(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr("lifelearn.bench.corrections.learn", untrained)
    anew = report_of(tmp_path, *run)
    assert all(row["promoted"] for row in whole["rows"])
    assert [row["questions"] for row in anew["rows"]] == [row["questions"] for row in whole["rows"]]


def test_the_subset_is_of_rows_that_there_are() -> None:
    named = SUBSET.read_text("utf-8").split()
    own = {row.id for row in read_rows(COMPANY, Row)}
    assert len(named) == len(set(named)) == 32
    assert sum(name in own for name in named) == 12
    said: list[str] = []
    assert len(chosen(read_rows(COMPANY, Row), said.append)) == 12
    assert said == ["12 of the subset's 32 rows are in the files given."]


@pytest.mark.check("engine")
def test_the_same_seed_gives_the_same_report(tmp_path: Path, tiny_model_folder: Path) -> None:
    arguments = ("corrections", "--rows", rows_in(tmp_path / "rows.jsonl", ROWS[:1]), "--model", str(tiny_model_folder))

    def told() -> Any:
        report = report_of(tmp_path, *arguments)
        (row,) = report["rows"]
        return row["questions"], row["training"], row["drift"]

    assert told() == told()


@pytest.mark.check("engine")
def test_sequential_asks_all_earlier_ones_again(tmp_path: Path, tiny_model_folder: Path) -> None:
    rows = rows_in(tmp_path / "rows.jsonl", ROWS)
    report = report_of(tmp_path, "corrections", "--rows", rows, "--model", str(tiny_model_folder), "--sequential", "2")
    assert [len(asked) for asked in report["matrix"]] == [1, 2]
    assert len(report["rows"]) == len(report["rows_at_the_end"]) == 2
    assert [each["correction"] for each in report["growth"]] == [1, 2]
    assert set(report["figures"]) >= FIGURES
    assert (tmp_path / "report.svg").read_text("utf-8").lstrip().startswith("<?xml")


@pytest.mark.check("engine")
def test_the_drift_of_a_sequence_is_that_of_its_last_version(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for check in ("EFFICACY", "GENERALISATION", "LOCALITY", "RETENTION"):
        monkeypatch.setenv(f"LL_VERIFY_MIN_{check}", "0")
    monkeypatch.setenv("LL_VERIFY_MAX_DRIFT", "10")
    rows = rows_in(tmp_path / "rows.jsonl", ROWS)
    report = report_of(tmp_path, "corrections", "--rows", rows, "--model", str(tiny_model_folder), "--sequential", "1")
    (row,) = report["rows"]
    assert row["promoted"]
    assert report["figures"]["drift"]["value"] == pytest.approx(row["drift"], rel=0.2)


def test_detection_counts_what_was_found_and_what_was_taken_from_it(tmp_path: Path, tiny_model_folder: Path) -> None:
    report = report_of(
        tmp_path, "detection", "--rows", rows_in(tmp_path / "rows.jsonl", TALKS), "--model", str(tiny_model_folder)
    )
    assert {name: figure["value"] for name, figure in report["figures"].items()} == {
        "f1": 1.0, "precision": 1.0, "recall": 1.0, "false_alarms": 0.0, "extracted": 1.0, "answer_right": None,
        "statement_right": None,
    }  # fmt: skip
    assert report["by_kind"]["plain"] == {"rows": 2, "corrections": 1, "right": 2}


@pytest.mark.check("engine")
def test_speed_has_a_figure_for_each_comparison_or_says_why_not(tmp_path: Path, tiny_model_folder: Path) -> None:
    report = report_of(tmp_path, "speed", "--model", str(tiny_model_folder))
    assert set(report["figures"]) == {
        "step_vs_trl", "step_share_of_peak", "rollouts16_vs_generate", "decode1_vs_generate", "decode1_vs_llamacpp",
    }  # fmt: skip
    unmeasured = {name for name, figure in report["figures"].items() if figure["value"] is None}
    assert unmeasured == set(report["missing"]) == {"decode1_vs_llamacpp"}, "a GGUF is there for the bundled model only"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--baselines", "icl,magic"], "magic"),
        (["--limit", "0"], "limit"),
    ],
)
def test_a_wrong_command_line_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    rows = rows_in(tmp_path / "rows.jsonl", ROWS)
    command = ["bench", "corrections", "--rows", rows, "--out", str(tmp_path / "out.json"), *arguments]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert said in result.output


def outcome(promoted_answers: dict[str, tuple[str, str]]) -> Outcome:
    row = Row.model_validate(ROWS[0])
    kinds = {"question": "Lyon", "paraphrase": "Lyon", "hop": "Norvik Labs", "locality": ""}
    asked = [
        Asked(Question(kind, f"Where is the {kind} based?", kinds[kind]), before, after)
        for kind, (before, after) in promoted_answers.items()
    ]
    return Outcome(row, "Paris", "no, Lyon", asked=asked)


def test_a_version_that_was_not_promoted_is_answered_by_its_parent() -> None:
    learned = outcome({"question": ("Paris", "Lyon"), "paraphrase": ("Oslo", "Lyon"), "locality": ("Tokyo", "Lyon")})
    assert not learned.promoted
    assert learned.oks("question") == learned.oks("paraphrase") == [False]
    assert learned.oks("question", candidate=True) == [True]
    assert learned.oks("locality") == [True]
    assert learned.oks("locality", candidate=True) == [False], "the new answer leaked"
    assert not learned.holds()


@pytest.mark.parametrize(
    ("wordings", "near", "held"),
    [
        ([("Paris", "Lyon")] * 2 + [("Paris", "Paris")], ("Tokyo", "Tokyo"), True),
        ([("Paris", "Lyon"), ("Paris", "Paris")], ("Tokyo", "Tokyo"), False),
        ([("Paris", "Lyon")], ("Tokyo", "Lyon"), False),
    ],
)
def test_a_lesson_holds_with_two_thirds_of_the_wordings_and_nothing_near_harmed(
    wordings: list[tuple[str, str]], near: tuple[str, str], held: bool
) -> None:
    row = Row.model_validate(ROWS[0])
    asked = [Asked(Question("question", row.question, "Lyon"), "Paris", "Lyon")]
    asked += [Asked(Question("paraphrase", "Which city?", "Lyon"), *each) for each in wordings]
    asked += [Asked(Question("locality", "Where is Sony based?"), *near)]
    asked += [Asked(Question("locality", "Hello?"), "Hi", "Lyon")]  # unrelated: a figure of its own
    assert Outcome(row, "Paris", "no, Lyon", asked=asked).holds() is held


@pytest.mark.parametrize(
    ("answer", "before", "after", "ok"),
    [
        ("Tokyo", "It is Tokyo.", "Tokyo, of course.", True),
        ("Tokyo", "It is Tokyo.", "It is Kyoto.", False),
        ("Tokyo", "It is Kyoto.", "It is Osaka.", True),
        ("", "It is Kyoto.", "It is Lyon.", False),
        ("", "It is Lyon.", "It is Lyon.", True),
        ("Lyon", "It is Paris.", "It is Lyon.", True),
    ],
)
def test_locality_is_that_right_stays_right_and_nothing_leaks(answer: str, before: str, after: str, ok: bool) -> None:
    asked = Asked(Question("locality", "Where?", answer), before, after)
    assert asked.ok(Row.model_validate(ROWS[0]), after) is ok
