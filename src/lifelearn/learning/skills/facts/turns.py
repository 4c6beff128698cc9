"""What people say in chats, after answers of every kind: ordinary turns that correct nothing, and conversations.

A turn stands with the conversation before it. Ordinary turns (`chats/*.jsonl`, domains "chat: …") are what real chats
consist of; the conversations (domains "conversations: …", the groups in which they were written) hold corrections, too.
Domains are in the same splits as those of the facts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from lifelearn.learning.skills.facts.records import FOLDER, Split, read, split_of
from lifelearn.learning.types import Message, Value

CHATS = FOLDER / "chats"
CONVERSATIONS = "conversations: "

TurnKind = Literal[
    "thanks", "next_task", "no_as_answer", "answer_to_question", "code", "list", "doubt", "objection_without_content",
    "opinion", "other_time", "other_place", "other_person", "quote", "sarcasm", "follow_up", "form_wish",
    "changed_wish", "own_slip", "hypothetical", "small_talk", "agreement", "emotion", "clarification", "text_edit",
    "game", "third_party_error", "new_information", "instruction", "correction", "other",
]  # fmt: skip


class Turn(Value):
    """A conversation that ends in a user's turn. kind: of that turn; fact: what is right by it, where that is noted."""

    id: str
    lang: str
    domain: str
    kind: TurnKind
    messages: tuple[Message, ...]
    fact: str = ""

    @property
    def is_correction(self) -> bool:
        """Whether it says or plainly implies that the assistant was wrong, and gives what is right."""
        return self.kind == "correction"

    @property
    def said(self) -> str:
        """The turn itself."""
        return self.messages[-1].content


@lru_cache(maxsize=1)
def all_turns() -> tuple[Turn, ...]:
    """Those of the project, in the order of their files."""
    return tuple(read(sorted(CHATS.glob("*.jsonl")), Turn))


def turns(split: Split) -> tuple[Turn, ...]:
    """Those that a split has."""
    return tuple(turn for turn in all_turns() if split_of(turn) == split)
