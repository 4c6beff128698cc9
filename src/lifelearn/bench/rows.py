"""Rows of evaluation data: a question, its corrected answer, and what is asked about it afterwards.

A row becomes a conversation: its question, the model's own answer, and a correcting message, the row's own
or one of the wordings below. The pipeline sees that conversation and nothing else of the row.
"""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from lifelearn.bench.marker import Verdict, mark
from lifelearn.bench.values import tokens
from lifelearn.learning.skills.facts.turns import CONVERSATIONS, all_turns
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
MARKED = Path(__file__).with_name("marked.jsonl")  # replies that the bundled model gave, each marked by two people
PLAIN = Path(__file__).with_name("plain.jsonl")  # questions with a wrong and a right answer, written for it, too
SUBSET = Path(__file__).with_name("subset.txt")  # ids of the rows that each change of the engine is measured on
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
    """One correction.

    answer_any: any of these counts as right; `answer` if there are none. answer_none: any of these makes a reply
    wrong where it is asserted: another unit, a neighbour's answer; old_answer, too.
    """

    id: str
    source: str = ""
    question: str
    answer: Text
    answer_any: tuple[Text, ...] = ()
    answer_none: tuple[Text, ...] = ()
    old_answer: Text = ""
    correction: str = ""
    paraphrases: tuple[str, ...] = ()
    locality: tuple[Neighbour, ...] = ()
    hops: tuple[Hop, ...] = ()

    def marked(self, reply: str) -> Verdict:
        """Whether a reply to the question, or to a wording of it, is right."""
        wrong = self.answer_none + ((self.old_answer,) if self.old_answer else ())
        return mark(reply, self.answers, wrong, question=self.question)

    def right(self, reply: str) -> bool:
        return self.marked(reply) == "right"

    def says(self, reply: str) -> bool:
        """Whether a reply to whatever question states this row's answer."""
        return mark(reply, self.answers) == "right"

    @property
    def answers(self) -> tuple[str, ...]:
        return self.answer_any or (self.answer,)

    def near(self, question: str) -> bool:
        """Whether another question has a word of this one's that carries something."""
        return bool(_telling(self.question) & _telling(question))

    def message(self, seed: int) -> str:
        """The correcting message: the row's own, or a wording that `seed` and the row choose."""
        return self.correction or random.Random(f"{seed} {self.id}").choice(MESSAGES).format(a=self.answer)


# Words that many questions have.
_COMMON = frozenset(
    {"what", "which", "when", "where", "whose", "whom", "does", "many", "much", "have", "from", "with", "long", "most"}
)


def _telling(text: str) -> set[str]:
    """The words of four letters and more that tell what a question is about."""
    return {token.value for token in tokens(text) if token.kind == "word" and len(token.value) > 3} - _COMMON


class Dialogue(_Row):
    """A conversation that ends in a user's turn, for detection. statement, answer, question: of a correction."""

    id: str
    messages: tuple[Message, ...]
    is_correction: bool
    corrected_fact: Text | None = None
    statement: Text | None = None
    answer: Text | None = None
    kind: str = ""
    origin: str = ""
    lang: str = "en"

    @property
    def last_turns(self) -> tuple[str, str, str]:
        """What the user asked, the assistant answered and the user said then; "" where there is no such turn."""
        question, assistant, message = (["", ""] + [turn.content for turn in self.messages])[-3:]
        return question, assistant, message


class Case(_Row, ABC):
    """A case for who reads: a question, and what was made of it."""

    id: str
    question: str
    kind: str = ""
    lang: str = "en"

    @property
    @abstractmethod
    def label(self) -> bool:
        """What people say of it."""


class Judged(Case):
    """A reply. wanted: what is right; not_wanted: the old answer, or "". answer_any, answer_none: as of a row."""

    wanted: str
    not_wanted: str = ""
    answer_any: tuple[Text, ...] = ()
    answer_none: tuple[Text, ...] = ()
    reply: str
    right: bool

    @property
    def label(self) -> bool:
        return self.right

    @property
    def answers(self) -> tuple[str, ...]:
        return self.answer_any or (self.wanted,)

    @property
    def not_answers(self) -> tuple[str, ...]:
        return self.answer_none + ((self.not_wanted,) if self.not_wanted else ())


class KeptCase(Case):
    """An answer before and after. known: the right one, where there is one; forbidden: what must not be in it."""

    known: str = ""
    before: str
    forbidden: str = ""
    after: str
    kept: bool

    @property
    def label(self) -> bool:
        return self.kept


class Pair(Case):
    """Two questions. near: they look alike."""

    other: str
    same: bool
    near: bool = True

    @property
    def label(self) -> bool:
        return self.same


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


def read_all(paths: Iterable[Path], kind: type[R]) -> list[R]:
    """The rows of several files, one after the other. Raises RowsError."""
    return [row for path in paths for row in read_rows(path, kind)]


def mixed(rows: Sequence[Row]) -> list[Row]:
    """The rows in an order that depends on their ids alone, so that a `--limit` takes some of every source."""
    return sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).hexdigest())


def chosen(rows: Sequence[Row], say: Callable[[str], None]) -> list[Row]:
    """Those of the subset that is measured after each change of the engine; says how many of it there are."""
    wanted = SUBSET.read_text("utf-8").split()
    found = [row for row in rows if row.id in wanted]
    if len(found) < len(wanted):
        say(f"{len(found)} of the subset's {len(wanted)} rows are in the files given.")
    return found


def conversations() -> list[Dialogue]:
    """Our own, corrections and others, as they were written by groups: their origin."""
    return [
        Dialogue(
            id=turn.id,
            messages=turn.messages,
            is_correction=turn.is_correction,
            corrected_fact=turn.fact or None,
            origin=group,
        )
        for turn in all_turns()
        if (group := turn.domain.removeprefix(CONVERSATIONS)) != turn.domain
    ]


def held_out() -> list[Dialogue]:
    """Our own conversations that neither rules nor weights were made by."""
    return [row for row in conversations() if row.origin == HELD_OUT]
