"""Data sets: every file type and layout, what the teacher sees, and every way in which a data set can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lifelearn.learning.sdft.data import DataError, Example, encode_examples, examples_of, read_demonstrations
from lifelearn.learning.types import Message

ROWS = [{"prompt": f"Question {i}?", "golden_response": [f"Thought {i}.", f"Answer {i}."]} for i in range(3)]
TEMPLATE = "{prompt} ({privileged_context})"


def only(rows: list[dict[str, Any]], template: str = TEMPLATE) -> Example:
    (example,) = examples_of(rows, template).examples
    return example


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), "utf-8")
    elif path.suffix == ".parquet":
        from datasets import Dataset

        Dataset.from_list(rows).to_parquet(str(path))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize("name", ["train.json", "train.jsonl", "train.parquet"])
def test_every_file_type_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    found = read_demonstrations(str(write(tmp_path / name, ROWS)), TEMPLATE)
    assert [each.prompt[0].content for each in found.examples] == ["Question 0?", "Question 1?", "Question 2?"]
    assert found.examples[1].teacher_prompt[0].content == "Question 1? (Thought 1.\nAnswer 1.)"


@pytest.mark.parametrize("saved", [True, False])
def test_a_folder_is_a_data_set(tmp_path: Path, saved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `save_to_disk` writes it, and with files in it."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "data"
    folder.mkdir()
    if saved:
        from datasets import Dataset

        Dataset.from_list(ROWS).save_to_disk(str(folder))
    else:
        write(folder / "train.jsonl", ROWS)
    assert len(read_demonstrations(str(folder)).examples) == 3


def test_an_object_with_its_rows_under_data_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text("\ufeff" + json.dumps({"data": ROWS}), "utf-8")
    assert len(read_demonstrations(str(path)).examples) == 3


def test_the_papers_template_is_the_default() -> None:
    text = examples_of(ROWS[:1]).examples[0].teacher_prompt[0].content
    assert text == (
        "Question 0?\n\nThis is an example for a response to the question:\nThought 0.\nAnswer 0.\n\n"
        "Now answer with a response of your own, including the thinking process."
    )


def test_every_layout() -> None:
    assert only([{"prompt": "a", "golden_response": "b"}]).teacher_prompt[0].content == "a (b)"
    assert only([{"prompt": "a", "privileged_context": "b"}]).teacher_prompt[0].content == "a (b)"
    assert only([{"prompt": "a", "teacher_prompt": "whole"}]).teacher_prompt[0].content == "whole"
    both = only([{"prompt": "a", "golden_response": "b", "teacher_prompt": "whole"}])
    assert both.teacher_prompt[0].content == "whole", "what is ready is taken as it is"


def test_a_conversation_keeps_its_earlier_turns_for_the_teacher() -> None:
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "a"}]
    example = only([{"prompt": turns, "golden_response": "b"}])
    assert example.prompt == (Message(role="system", content="Be short."), Message(role="user", content="a"))
    assert example.teacher_prompt == (example.prompt[0], Message(role="user", content="a (b)"))
    shown = only([{"prompt": turns, "privileged_context": [{"role": "assistant", "content": "b"}]}])
    assert shown.teacher_prompt == example.teacher_prompt


def test_braces_in_the_data_are_plain_text() -> None:
    example = only([{"prompt": "{privileged_context} {x}", "golden_response": "{prompt} {}"}])
    assert example.teacher_prompt[0].content == "{privileged_context} {x} ({prompt} {})"


def test_empty_rows_are_counted_and_left_out() -> None:
    rows: list[dict[str, Any]] = [
        *ROWS,
        {"prompt": " ", "golden_response": "x"},
        {"prompt": "x", "golden_response": []},
        {"prompt": None, "golden_response": "x"},
        {"prompt": "x", "golden_response": None},
        {"prompt": [], "golden_response": "x"},
    ]
    found = examples_of(rows)
    assert (len(found.examples), found.empty) == (3, 5)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"question": "a"}], "Row 1 of the data set has no column prompt; it has question"),
        ([ROWS[0], {"prompt": "a"}], "Row 2 of .* no column golden_response, privileged_context or teacher_prompt"),
        ([{}], "it has none"),
        ([], "nothing to train on in the data set: it has no rows"),
        ([{"prompt": "", "golden_response": "x"}], "all its 1 rows are empty"),
        ([{"prompt": 7, "golden_response": "x"}], "prompt of row 1 .* neither a string nor a list of turns"),
        ([{"prompt": [{"role": "tool", "content": "x"}], "golden_response": "x"}], "role .system, user, assistant."),
        ([{"prompt": "x", "golden_response": 7}], "golden_response of row 1 .* neither a string nor a list of strings"),
        ([{"prompt": [{"role": "assistant", "content": "x"}], "golden_response": "x"}], "must end with a user turn"),
    ],
)
def test_rows_that_cannot_be_used(rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        examples_of(rows)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{not json", "neither JSON nor JSON Lines"),
        ("a.json", "[" * 5_000, "nested too deep"),
        ("a.jsonl", '{"prompt": "a"}\n' + "[" * 5_000, "nested too deep"),
        ("a.json", "[1, 2]", "must hold a list of JSON objects"),
        ("a.json", '"x"', "must hold a list of JSON objects"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt"', "neither JSON nor JSON Lines"),
        ("a.parquet", "not parquet", "cannot be read as Parquet"),
        ("a.csv", "prompt\n", "its name must end with .json, .jsonl"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_demonstrations(str(tmp_path / name))


def test_a_file_that_is_not_there_and_a_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_demonstrations(str(tmp_path / "nothing.jsonl"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"data set .*empty cannot be read"):
        read_demonstrations(str(tmp_path / "empty"))


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "data"))
    with pytest.raises(DataError, match="has no split test; it has train"):
        read_demonstrations(str(tmp_path / "data"), split="test")


def test_long_prompts_are_counted_and_dropped_or_cut(tiny: Any) -> None:
    examples = examples_of(
        [{"prompt": "short", "teacher_prompt": "short"}, {"prompt": "x" * 40, "teacher_prompt": "y"}]
    )
    whole, none = encode_examples(tiny.codec, examples.examples, 100, "drop")
    assert (len(whole), none) == (2, 0)
    dropped, longer = encode_examples(tiny.codec, examples.examples, 30, "drop")
    assert (len(dropped), longer) == (1, 1)
    cut, longer = encode_examples(tiny.codec, examples.examples, 30, "cut")
    assert (len(cut), longer) == (2, 1)
    read = tiny.codec._tokenizer.decode(cut[1].prompt)
    frame = tiny.codec._tokenizer.decode(tiny.codec.ask("~")).split("~")
    assert len(cut[1].prompt) == 30
    assert read.startswith(frame[0] + "x")
    assert read.endswith("x" + frame[1]), "the frame is kept, and where the answer starts"
    assert cut[1].teacher_prompt == whole[1].teacher_prompt
    with pytest.raises(DataError, match=r"nothing left .* all 2 rows .* more than 3 tokens.*max_prompt_length"):
        encode_examples(tiny.codec, examples.examples, 3, "drop")
    with pytest.raises(DataError, match="nothing left"):
        encode_examples(tiny.codec, examples.examples, 3, "cut")  # no room for a character in the frame


def test_a_long_demonstration_is_cut_and_not_the_question(tiny: Any) -> None:
    template = "Question: {prompt}\nAn answer: {privileged_context}\nAnswer likewise."
    shown = "first " + "and then " * 30
    (example,) = examples_of([{"prompt": "Where is it?", "golden_response": shown}], template).examples
    (cut,), longer = encode_examples(tiny.codec, [example], 120, "cut")
    read = tiny.codec._tokenizer.decode(cut.teacher_prompt)
    assert longer == 1
    assert 110 <= len(cut.teacher_prompt) <= 120
    assert "Question: Where is it?\nAn answer: first and then" in read
    assert "\nAnswer likewise." in read


def test_the_same_texts_are_the_same_data_on_another_day(tiny: Any) -> None:
    (example,) = examples_of([{"prompt": "Where is it?", "golden_response": "Here."}]).examples
    (today,), _ = encode_examples(tiny.codec, [example], 500, "drop")
    (other,), _ = encode_examples(tiny.codec, [Example(example.prompt, example.teacher_prompt, "")], 500, "drop")
    assert today.digest == other.digest != ""
