"""Demonstrations to train on: a file or a Hugging Face data set, read, checked and made into rows of tokens.

Two layouts: `prompt` with `golden_response` (a string, or a list whose parts are joined by lines), of which a template
makes what the teacher sees; or `prompt` with a ready `teacher_prompt`, or with `privileged_context` for the template.
Prompts are strings (one user turn) or conversations. What cannot be used is counted, never silently left out.
Knows nothing of training.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.sdft.config import CONTEXT, PAPER_TEMPLATE, PROMPT, ConfigError, SDFTConfig
from lifelearn.learning.types import Conversation, Message, OnProgress, Progress, no_progress

CONTEXTS = ("teacher_prompt", "privileged_context", "golden_response")  # the first that a row has is taken
SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")
_TURNS = TypeAdapter(tuple[Message, ...])
_FIELD = re.compile(f"{re.escape(PROMPT)}|{re.escape(CONTEXT)}")


class DataError(Exception):
    """A data set cannot be trained on. The text says what is wrong with it and what to do."""


@dataclass(frozen=True)
class Example:
    """What the student is asked, and what the teacher sees instead. shown: the demonstration in that, where known."""

    prompt: Conversation
    teacher_prompt: Conversation
    shown: str = ""


@dataclass(frozen=True)
class Demonstrations:
    """A data set's examples. empty: rows left out because their prompt or their demonstration has no text."""

    examples: tuple[Example, ...]
    empty: int = 0


@dataclass(frozen=True)
class EncodedExample:
    """Token ids of one example, up to where the answer starts. digest: of its text, whatever the day is."""

    prompt: list[int]
    teacher_prompt: list[int]
    digest: str = ""


Data = Demonstrations | Iterable[Mapping[str, Any]] | str  # read, as rows, or where to find it


def read_demonstrations(
    source: str, template: str = PAPER_TEMPLATE, *, split: str = "train", subset: str | None = None
) -> Demonstrations:
    """The examples in `source`: a JSON, JSON Lines or Parquet file, a data set's folder, or a Hugging Face id.

    split, subset: of a folder or id that has several. Raises DataError.
    """
    rows = _rows_of(source, split, subset)
    return examples_of(rows, template, source)


def examples_of(
    rows: Iterable[Mapping[str, Any]], template: str = PAPER_TEMPLATE, source: str = "the data set"
) -> Demonstrations:
    """The examples of rows as they were read. Raises DataError."""
    found: list[Example] = []
    empty = total = 0
    for total, row in enumerate(rows, start=1):
        kind = next((name for name in CONTEXTS if name in row), None)
        if "prompt" not in row or kind is None:
            missing = "prompt" if "prompt" not in row else "golden_response, privileged_context or teacher_prompt"
            raise DataError(
                f"Row {total} of {source} has no column {missing}; it has {', '.join(map(str, row)) or 'none'}. Each "
                "row needs prompt, and golden_response, privileged_context or teacher_prompt."
            )
        where = f"row {total} of {source}"
        prompt = _conversation(row["prompt"], f"prompt of {where}")
        shown = ""
        if kind == "teacher_prompt":
            teacher_prompt = _conversation(row[kind], f"teacher_prompt of {where}")
        else:
            shown = _text(row[kind], f"{kind} of {where}")
            teacher_prompt = filled(template, prompt, shown, where) if shown.strip() and prompt else ()
        if not prompt or not teacher_prompt:
            empty += 1
            continue
        found.append(Example(prompt, teacher_prompt, shown))
    if not found:
        why = "it has no rows" if not total else f"all its {total} rows are empty"
        raise DataError(f"There is nothing to train on in {source}: {why}.")
    return Demonstrations(tuple(found), empty)


def filled(template: str, prompt: Conversation, shown: str, where: str = "a row") -> Conversation:
    """The prompt with its last user turn put into the template; braces in either are plain text."""
    last = prompt[-1]
    if last.role != "user":
        raise DataError(f"The prompt of {where} must end with a user turn, and ends with one of the {last.role}.")
    values = {PROMPT: last.content, CONTEXT: shown}
    text = _FIELD.sub(lambda found: values[found[0]], template)  # one pass: what is filled in is not read again
    return (*prompt[:-1], Message(role="user", content=text))


def encode_examples(
    codec: Codec, examples: Sequence[Example], limit: int, long: Literal["drop", "cut"]
) -> tuple[list[EncodedExample], int]:
    """The examples' token ids, and how many prompts were longer than `limit` tokens.

    long: "drop" leaves such examples out. "cut" cuts the demonstration at its end, or the longest turn at its
    beginning, and never what the chat template writes around them; examples that are longer even so are left out.
    Raises DataError where nothing is left.
    """
    found: list[EncodedExample] = []
    longer = 0
    for example in examples:
        prompt, teacher_prompt = codec.prompt(example.prompt), codec.prompt(example.teacher_prompt)
        if max(len(prompt), len(teacher_prompt)) > limit:
            longer += 1
            if long == "drop":
                continue
            prompt = _fitted(codec, example.prompt, limit, "")
            teacher_prompt = _fitted(codec, example.teacher_prompt, limit, example.shown)
            if not prompt or not teacher_prompt:
                continue
        found.append(EncodedExample(prompt, teacher_prompt, _digest(example)))
    if not found:
        raise DataError(
            f"There is nothing left to train on: all {longer} rows have prompts of more than {limit} tokens, with the "
            "teacher's context. Raise max_prompt_length, or cut them (long_prompts cut)."
        )
    return found, longer


def _fitted(codec: Codec, turns: Conversation, limit: int, shown: str) -> list[int]:
    """The ids of a prompt with as much of its longest text as fits in `limit` tokens; none where nothing does."""
    if len(ids := codec.prompt(turns)) <= limit:
        return ids
    where = max(range(len(turns)), key=lambda at: (bool(shown) and shown in turns[at].content, len(turns[at].content)))
    content = turns[where].content
    before, found, after = content.rpartition(shown) if shown else ("", "", "")
    text = shown if found else content

    def with_the_first(count: int) -> list[int]:
        kept = before + text[:count] + after if found else text[len(text) - count :]
        turn = turns[where].model_copy(update={"content": kept})
        return codec.prompt((*turns[:where], turn, *turns[where + 1 :]))

    # A text that is longer by a character has as many tokens or more, or nearly so: what is found is checked.
    fits = bisect_right(range(len(text) + 1), limit, key=lambda count: len(with_the_first(count))) - 1
    return next((ids for count in range(fits, 0, -1) if len(ids := with_the_first(count)) <= limit), [])


def _digest(example: Example) -> str:
    told = [[turn.model_dump() for turn in turns] for turns in (example.prompt, example.teacher_prompt)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def split_rows(
    codec: Codec,
    dataset: Data,
    eval_dataset: Data | None,
    config: SDFTConfig,
    on_progress: OnProgress = no_progress,
) -> tuple[list[EncodedExample], list[EncodedExample]]:
    """The rows to train on, and those held out: of a data set of their own, or a share of the first.

    Raises ConfigError where a row and its completion do not fit in the model's context; DataError.
    """
    rows = _encoded(codec, dataset, config, on_progress, "")
    if eval_dataset is not None:
        held = _encoded(codec, eval_dataset, config, on_progress, " for evaluation")
    else:
        shuffled = order(len(rows), f"{config.seed}/split")
        count = min(math.ceil(config.eval_split * len(rows)), len(rows) - 1) if config.eval_split else 0
        kept = set(shuffled[count:])
        held = [rows[index] for index in shuffled[:count]]
        rows = [row for index, row in enumerate(rows) if index in kept]
    longest = max(max(len(row.prompt), len(row.teacher_prompt)) for row in (*rows, *held))
    if longest + config.max_completion_length > codec.context:
        raise ConfigError(
            f"Prompts of up to {longest} tokens and completions of {config.max_completion_length} do not fit in "
            f"the model's context of {codec.context}. Lower max_completion_length or max_prompt_length."
        )
    return rows, held


def _encoded(
    codec: Codec, dataset: Data, config: SDFTConfig, on_progress: OnProgress, what: str
) -> list[EncodedExample]:
    if isinstance(dataset, str):
        dataset = read_demonstrations(dataset, config.teacher_prompt_template)
    elif not isinstance(dataset, Demonstrations):
        dataset = examples_of(dataset, config.teacher_prompt_template)
    rows, longer = encode_examples(codec, dataset.examples, config.max_prompt_length, config.long_prompts)
    told = f"{len(rows)} rows{what}"
    if dataset.empty:
        told += f"; {dataset.empty} empty ones left out"
    if longer:
        what = "left out" if config.long_prompts == "drop" else "cut"
        told += f"; {longer} with prompts of more than {config.max_prompt_length} tokens {what}"
    on_progress(Progress(stage="train", message=told))
    return rows


@lru_cache(maxsize=2)  # asked for at every step of an epoch
def order(count: int, seed: str) -> Sequence[int]:
    """So many rows' numbers, shuffled."""
    found = list(range(count))
    random.Random(seed).shuffle(found)
    return found


def _rows_of(source: str, split: str, subset: str | None) -> Iterable[Mapping[str, Any]]:
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise DataError(f"{source} is no data set: its name must end with {', '.join(SUFFIXES)}.")
        return _parquet(path) if path.suffix == ".parquet" else _json(path)
    if not path.exists() and (source.startswith((".", "/", "~")) or path.suffix in SUFFIXES):
        raise DataError(
            f"There is no file {source}. Give a JSON, JSON Lines or Parquet file, a folder, or a data set's id."
        )
    return _data_set(source, path, split, subset)


def _json(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a list, of an object a line, or of an object with a list under `data`."""
    try:
        text = path.read_text("utf-8-sig")
        try:
            whole = json.loads(text)
            rows = whole.get("data", [whole]) if isinstance(whole, dict) else whole
        except ValueError:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:  # UnicodeDecodeError too
        raise DataError(f"{path} is neither JSON nor JSON Lines: {error}.") from error
    except RecursionError:
        raise DataError(f"{path} is nested too deep. Give a list of plain JSON objects.") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} must hold a list of JSON objects, or one JSON object a line.")
    return rows


def _parquet(path: Path) -> list[Mapping[str, Any]]:
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    try:
        with tempfile.TemporaryDirectory() as folder:
            data = Dataset.from_parquet(str(path), cache_dir=folder, keep_in_memory=True)
            return list(data.to_list())
    except (OSError, ValueError, DatasetGenerationError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error


def _data_set(source: str, path: Path, split: str, subset: str | None) -> Iterable[Mapping[str, Any]]:
    from datasets import DatasetDict, load_dataset, load_from_disk

    saved = path.is_dir() and any((path / name).exists() for name in ("state.json", "dataset_dict.json"))
    try:
        data = load_from_disk(str(path)) if saved else load_dataset(source, subset, split=split)
    except Exception as error:  # datasets raises many kinds for a bad folder or an unknown id
        what = "cannot be read" if path.is_dir() else "is no folder here, and the hub did not give it"
        raise DataError(f"The data set {source} {what}: {_first_line(error)} Check its name and its split.") from error
    if isinstance(data, DatasetDict):
        if split not in data:
            raise DataError(f"The data set {source} has no split {split}; it has {', '.join(map(str, data))}.")
        data = data[split]
    rows: Iterable[Mapping[str, Any]] = data
    return rows


def _conversation(value: Any, where: str) -> Conversation:
    """A prompt's turns; none where it has no text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str):
        return (Message(role="user", content=value),)
    try:
        turns = _TURNS.validate_python(value)
    except ValidationError as error:
        raise DataError(
            f"The {where} is neither a string nor a list of turns with role (system, user, assistant) and content."
        ) from error
    return turns if turns and turns[-1].content.strip() else ()


def _text(value: Any, where: str) -> str:
    """A demonstration: a string, a list of them, or turns."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        parts = [part.get("content") if isinstance(part, Mapping) else part for part in value]
        if all(isinstance(part, str) for part in parts):
            return "\n".join(map(str, parts))
    raise DataError(f"The {where} is neither a string nor a list of strings.")


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return line if line.endswith(".") else line + "."
