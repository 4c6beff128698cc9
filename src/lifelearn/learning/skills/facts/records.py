"""The records of facts and their splits: frozen values, read from the files of this folder.

A record holds one fact and what the skills need to know about it: how it is asked, what looks like it, how people
correct it and what they say that corrects nothing, replies right and wrong, what became of answers to other questions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol, TypeVar, get_args

from lifelearn.learning.types import Value

V = TypeVar("V", bound=Value)

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

Form = Literal[
    "short", "sentence", "long", "other_words", "extra_detail", "number_format", "unit_format", "date_format",
    "time_format", "money_format", "inflected_name", "shortened_name", "range", "old_value_rejected",
    "yes_no_with_value", "list_reordered", "steps_reworded",
]  # fmt: skip
Fault = Literal[
    "old_value", "both_values", "other_unit", "other_magnitude", "negated", "other_subject", "near_value", "hedge",
    "refusal", "half", "order_changed", "cut", "empty", "repetition", "contradiction", "question_back",
    "right_then_wrong", "echo_of_question", "too_vague",
]  # fmt: skip
KeptForm = Literal[
    "other_words", "shorter", "longer", "number_format", "detail_lost", "hedge_same", "negation_same_meaning",
    "dont_know_same",
]  # fmt: skip
Damage = Literal[
    "leak", "other_value", "negated", "cut", "empty", "repetition", "contradiction", "to_refusal", "dont_know_to_value",
    "other_subject", "both_values", "switched_language",
]  # fmt: skip
Lookalike = Literal[
    "doubt", "objection_without_content", "thanks", "agreement_repeats_value", "opinion", "other_time", "other_place",
    "own_slip", "form_wish", "quote_of_other", "follow_up", "answer_to_question", "sarcasm", "hypothetical",
    "next_task", "no_as_answer", "condition",
]  # fmt: skip


class Near(Value):
    """A question that looks like the fact's and asks for something else. differs: in what."""

    question: str
    answer: str
    differs: str


class Said(Value):
    """What the assistant said, and the user's message that corrects it."""

    said: str
    user: str


class NotCorrection(Said):
    """A message that looks like a correction and is none; what was said may be right or wrong."""

    kind: Lookalike


class RightReply(Value):
    reply: str
    form: Form


class WrongReply(Value):
    """A reply that looks right and is not. why: in words."""

    reply: str
    why: str
    kind: Fault


class KeptReply(Value):
    reply: str
    form: KeptForm


class DamagedReply(Value):
    reply: str
    why: str
    kind: Damage


class Kept(Value):
    """Another question, its answer before the fact was learned, and later replies in which that survived or not."""

    question: str
    before: str
    kept: tuple[KeptReply, ...]
    damaged: tuple[DamagedReply, ...]


class Fact(Value):
    """One fact.

    answer: short and right, with its unit. wrong: what a model had answered, as short. statement: a sentence that
    stands alone. wordings: other questions with this answer.
    """

    id: str
    lang: str
    domain: str
    kind: str
    question: str
    answer: str
    statement: str
    wrong: str
    wordings: tuple[str, ...]
    near: tuple[Near, ...]
    corrections: tuple[Said, ...]
    not_corrections: tuple[NotCorrection, ...]
    right: tuple[RightReply, ...]
    wrong_replies: tuple[WrongReply, ...]
    kept: tuple[Kept, ...]

    def by_people(self) -> Iterator[str]:
        """Questions and messages. Replies are left out: an empty one or a refusal may be anybody's."""
        yield self.question
        yield self.statement
        yield from self.wordings
        yield from (each.question for each in self.near)
        yield from (each.user for each in (*self.corrections, *self.not_corrections))


FOLDER = Path(__file__).parent


def read(files: Iterable[Path], kind: type[V]) -> Iterator[V]:
    """The values of JSON Lines files. Raises pydantic's ValidationError where a line is none of that kind."""
    for file in files:
        for line in file.read_text("utf-8").splitlines():
            yield kind.model_validate_json(line)


@lru_cache(maxsize=1)
def all_facts() -> tuple[Fact, ...]:
    """Those of the project, in the order of their files."""
    return tuple(read(sorted(FOLDER.glob("*.jsonl")), Fact))


@lru_cache(maxsize=1)
def splits() -> dict[str, Split]:
    """By `language: domain`; a domain is in one split with all its facts."""
    told: dict[Split, list[str]] = json.loads((FOLDER / "splits.json").read_text("utf-8"))
    return {domain: split for split, domains in told.items() for domain in domains}


def split_of(each: Placed) -> Split:
    return splits()[place_of(each)]


class Placed(Protocol):
    """What has a place in a split: a fact, a turn."""

    @property
    def lang(self) -> str: ...

    @property
    def domain(self) -> str: ...


def place_of(each: Placed) -> str:
    return f"{each.lang}: {each.domain}"


def facts(split: Split) -> tuple[Fact, ...]:
    """Those that a split has. What is learned from is "train"; what is chosen by, "dev"; "test" is looked at once."""
    return tuple(fact for fact in all_facts() if split_of(fact) == split)
