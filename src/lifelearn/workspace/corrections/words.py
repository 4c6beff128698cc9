"""A correction's words: as they are found, as somebody changes them, and what is flagged in them. Keeps nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lifelearn.learning import types as learning
from lifelearn.learning.words import normalise
from lifelearn.workspace.corrections import flags, reading
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.texts import cleaned
from lifelearn.workspace.threads.marks import RIGHT_CHARS
from lifelearn.workspace.threads.writing import MESSAGE_CHARS

QUESTION_CHARS = MESSAGE_CHARS
WRONG_CHARS = 32_000


@dataclass(frozen=True)
class Word:
    """What somebody says who teaches a correction. None leaves what is there.

    replace: the older one of the same question is to be replaced. anyway: taught in spite of what is flagged in it.
    own: an admin approves what is their own, where there is no other admin.
    """

    question: str | None = None
    statement: str | None = None
    answer: str | None = None
    replace: bool = False
    anyway: bool = False
    own: bool = False


def reworded(correction: Correction, word: Word) -> bool:
    """Puts in what was changed; whether anything was. Raises InvalidError, with fields."""
    before = (correction.question, correction.statement, correction.answer)
    question = before[0] if word.question is None else cleaned(word.question)
    statement = before[1] if word.statement is None else cleaned(word.statement)
    answer = before[2] if word.answer is None else cleaned(word.answer, one_line=word.answer != before[2])
    wrong: dict[str, str] = {}
    if not normalise(question):
        wrong["question"] = "Say which question it is about."
    if not normalise(statement):
        wrong["statement"] = "Say what is right."
    sizes = {
        "question": (question, QUESTION_CHARS),
        "statement": (statement, RIGHT_CHARS),
        "answer": (answer, RIGHT_CHARS),
    }
    for name, (text, most) in sizes.items():
        if len(text) > most:
            wrong[name] = f"At most {most:,} characters; this has {len(text):,}."
    if wrong:
        raise InvalidError(" ".join(wrong.values()), wrong)
    if (question, statement, answer) == before:
        return False
    if answer == before[2] or not normalise(answer):  # the short answer follows the sentence
        if (question, statement) != before[:2]:
            found = reading.stated(question, correction.wrong, statement, "statement")
            statement, answer = found.statement, found.answer
    elif not reading.says(answer, statement):
        if statement != before[1]:
            told = "What is right does not say this. Change one of the two."
            raise InvalidError(told, {"answer": told})
        statement = answer  # only the short answer was changed: it is what is right
    correction.question, correction.statement, correction.answer = question, statement, answer
    return True


def same_words(correction: Correction, found: learning.Correction) -> bool:
    same = normalise(correction.question) == normalise(found.question)
    return same and normalise(correction.statement) == normalise(found.statement)


def words_found(found: learning.Correction) -> dict[str, Any]:
    return {
        "question": found.question[:QUESTION_CHARS],
        "wrong": found.wrong[:WRONG_CHARS],
        "message": found.message,
        "statement": found.statement,
        "answer": found.answer,
    }


def _texts(correction: Correction) -> tuple[str, ...]:
    """All that others see of it once it is taught, and what is learned from it."""
    return correction.question, correction.statement, correction.answer, correction.message, correction.wrong


def flagged(correction: Correction) -> list[str]:
    """Raises InvalidError where it cannot be looked through: it is not taught unseen."""
    with reading.readable():
        return flags.kinds(*_texts(correction))
