"""Marks on answers: this one is wrong, and what is right. What is learned of it is a correction's matter."""

from __future__ import annotations

from lifelearn.workspace.database import now
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.tables.chats import Message, Status
from lifelearn.workspace.texts import cleaned

RIGHT_CHARS = 4_000


def correct(message: Message, right_answer: str) -> None:
    """Marks an answer as wrong. right_answer: what is right instead, if the visitor says so."""
    if message.role != "assistant" or message.status == Status.STREAMING:
        raise InvalidError("Only an answer that is complete can be corrected.")
    right_answer = cleaned(right_answer)
    if len(right_answer) > RIGHT_CHARS:
        told = f"At most {RIGHT_CHARS:,} characters; this has {len(right_answer):,}."
        raise InvalidError(f"What is right is too long: {told}", {"right_answer": told})
    message.marked_wrong_at = now()
    message.right_answer = right_answer


def withdraw(message: Message) -> None:
    """Takes the mark back."""
    message.marked_wrong_at = None
    message.right_answer = ""
