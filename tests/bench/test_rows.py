"""Rows: what is read of a file, and what a row says in a conversation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifelearn.bench.rows import COMPANY, MESSAGES, Dialogue, Row, RowsError, mixed, read_rows
from lifelearn.learning.author.english.reading.cues import read_cues
from lifelearn.learning.words import normalise

ROW = {"id": "a", "question": "Where?", "answer": 1937, "paraphrases": ["In which place?"], "unknown": [1]}


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_unknown_fields_are_left_out_and_numbers_are_text(tmp_path: Path) -> None:
    (row,) = read_rows(written(tmp_path / "rows", json.dumps(ROW), ""), Row)
    assert (row.answer, row.paraphrases) == ("1937", ("In which place?",))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["{"], "Line 1"),
        (["[" * 5_000], "Line 1"),
        ([json.dumps(ROW), '{"id": "b"}'], "Line 2"),
        ([], "no rows"),
        (["[]"], "Line 1"),
    ],
)
def test_what_is_no_file_of_rows_is_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(RowsError, match=said):
        read_rows(written(tmp_path / "rows", *lines), Row)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="cannot be read"):
        read_rows(tmp_path / "none", Dialogue)


def test_any_of_the_accepted_answers_counts() -> None:
    row = Row(id="a", question="q", answer="25 days", answer_any=("25", "twenty-five"))
    assert row.right("It is twenty-five.")
    assert row.right("25 of them")
    assert not row.right("It is 26.")
    assert not Row(id="a", question="q", answer="25 days").right("25 hours")


def test_a_rows_own_message_is_used_and_others_vary() -> None:
    assert Row(id="a", question="q", answer="b", correction="No, b!").message(3) == "No, b!"
    rows = [Row(id=str(number), question="q", answer="Lyon") for number in range(40)]
    said = [row.message(0) for row in rows]
    assert len(set(said)) > 6
    assert all("Lyon" in text for text in said)
    assert said == [row.message(0) for row in rows]
    assert said != [row.message(1) for row in rows]


@pytest.mark.parametrize("message", MESSAGES)
def test_every_wording_is_a_correction(message: str) -> None:
    assert read_cues(message.format(a="Lyon"), "It is in Paris.", "Where is it?").is_correction


def test_the_order_depends_on_the_ids_alone() -> None:
    rows = [Row(id=str(number), question="q", answer="a") for number in range(20)]
    assert mixed(rows) == mixed(rows[::-1])
    assert mixed(rows) != rows


def test_our_own_rows_can_be_used_and_give_nothing_away() -> None:
    rows = read_rows(COMPANY, Row)
    assert len(rows) == len({row.id for row in rows}) == len({row.question for row in rows}) > 0
    for row in rows:
        said = normalise(row.correction)
        assert any(normalise(wanted) in said for wanted in (row.answer, *row.answer_any)), row.id
        assert len(row.paraphrases) == 3, row.id
        assert all(row.right(f"It's {form}.") for form in row.answers), row.id
        assert row.answer_none, row.id
        assert not any(row.right(f"It's {form}.") for form in row.answer_none), row.id
        assert len(row.locality) == 3, row.id
        for asked in (row.question, *row.paraphrases, *(neighbour.question for neighbour in row.locality)):
            assert not row.right(asked), (row.id, asked)
        assert all(neighbour.answer is None or not row.right(neighbour.answer) for neighbour in row.locality), row.id
