"""Rows of evaluation data: a question, its corrected answer, and what is asked about it afterwards.

A row becomes a conversation: its question, the model's own answer, and a correcting message, the row's own
or one of the wordings below. The pipeline sees that conversation and nothing else of the row.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.types import Message

# How people correct a machine: mostly briefly, sometimes politely, seldom in a full sentence.
MESSAGES = (
    "no, {a}",
    "No, it's {a}.",
    "That's wrong. It is {a}.",
    "Wrong, the answer is {a}.",
    "Actually, it's {a}.",
    "That's not right, the correct answer is {a}.",
    "I'm afraid that is incorrect. It should be {a}.",
    "Nope. {a}.",
    "You're mistaken, it's {a}.",
    "no that's not correct, it's {a}",
    "Hmm, that's not true. The right answer is {a}.",
    "Incorrect: {a}.",
)

Text = Annotated[str, BeforeValidator(str)]  # some answers are written as numbers


COMPANY = Path(__file__).with_name("company.jsonl")  # rules of invented companies, written for this project
CONVERSATIONS = Path(__file__).with_name("conversations.jsonl")  # corrections and what is none, written for it, too
PLAIN = Path(__file__).with_name("plain.jsonl")  # questions with a wrong and a right answer, written for it, too
HELD_OUT = "held out"  # the origin of those that no weight is fitted to (fitting.py)


class RowsError(Exception):
    """A file of rows cannot be used; the text says where and why."""


class _Row(BaseModel):
    """Fields that are not named here are the data's own business."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Neighbour(_Row):
    """A question that must not change; `answer` None: whatever the parent says."""

    question: str
    answer: Text | None = None


class Hop(_Row):
    """A question that needs the new fact and another, or asks for it the other way round."""

    question: str
    answer: Text
    kind: str = ""


class Row(_Row):
    """One correction. `answer_any`: any of these counts as right; `answer` if there are none."""

    id: str
    source: str = ""
    question: str
    answer: Text
    answer_any: tuple[Text, ...] = ()
    correction: str = ""
    paraphrases: tuple[str, ...] = ()
    locality: tuple[Neighbour, ...] = ()
    hops: tuple[Hop, ...] = ()

    def right(self, answer: str) -> bool:
        """Whether an answer states what is right."""
        return any(stated(wanted, answer) for wanted in self.answer_any or (self.answer,))

    def message(self, seed: int) -> str:
        """The correcting message: the row's own, or a wording that `seed` and the row choose."""
        return self.correction or random.Random(f"{seed} {self.id}").choice(MESSAGES).format(a=self.answer)


class Dialogue(_Row):
    """A conversation that ends in a user's turn, for detection."""

    id: str
    messages: tuple[Message, ...]
    is_correction: bool
    corrected_fact: Text | None = None
    kind: str = ""
    origin: str = ""

    @property
    def last_turns(self) -> tuple[str, str, str]:
        """What the user asked, the assistant answered and the user said then; "" where there is no such turn."""
        question, assistant, message = (["", ""] + [turn.content for turn in self.messages])[-3:]
        return question, assistant, message


R = TypeVar("R", bound=_Row)


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """The rows of a JSON Lines file, in its order. Raises RowsError for what is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RowsError(f"{path} cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(kind.model_validate(json.loads(line)))
        except (json.JSONDecodeError, RecursionError, ValidationError) as error:
            reason = str(error).splitlines()[:3]
            raise RowsError(f"Line {number} of {path} is no row of this bench: {' '.join(reason)}") from error
    if not rows:
        raise RowsError(f"{path} has no rows.")
    return rows


def mixed(rows: Sequence[Row]) -> list[Row]:
    """The rows in an order that depends on their ids alone, so that a `--limit` takes some of every source."""
    return sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).hexdigest())


def held_out() -> list[Dialogue]:
    """Our own conversations that neither rules nor weights were made by."""
    return [row for row in read_rows(CONVERSATIONS, Dialogue) if row.origin == HELD_OUT]
