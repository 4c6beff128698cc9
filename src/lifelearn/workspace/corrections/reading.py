"""What is right, read out of a person's sentence by the engine's rules, without a model.

The web process has no model of its own: where the rules leave several spans, the first is taken, and the person
sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from lifelearn.learning import types as learning
from lifelearn.learning.author.detect import DetectionError, correction_from
from lifelearn.learning.examiner import marking
from lifelearn.learning.words import normalise
from lifelearn.workspace.errors import InvalidError, WorkspaceError

log = structlog.get_logger("lifelearn.corrections")

UNREADABLE = "This text cannot be read here. Say it in other words, in a sentence or two."


@contextmanager
def readable(field: str = "right_answer") -> Iterator[None]:
    """Rules that read a person's text may break on it: that is logged, and the person is told so.

    Raises InvalidError, with the field.
    """
    try:
        yield
    except (WorkspaceError, SQLAlchemyError):
        raise
    except Exception:
        log.exception("a text cannot be read")
        raise InvalidError(UNREADABLE, {field: UNREADABLE}) from None


def stated(question: str, wrong: str, text: str, field: str = "right_answer") -> learning.Correction:
    """The correction that somebody states. Raises InvalidError, with what is wrong with the field, where it is none."""
    with readable(field):
        try:
            return correction_from(question, wrong, text)
        except DetectionError as error:
            raise InvalidError(str(error), {field: str(error)}) from None


def says(answer: str, statement: str) -> bool:
    """Whether the statement says the short answer. Raises InvalidError where they cannot be read."""
    with readable("answer"):
        return marking.stated(answer, statement)


def same_answer(one: str, other: str) -> bool:
    """Whether two answers say the same: "25 days" and "twenty-five days", but not "25 days" and "25 days or more".

    Of answers that cannot be read it is not known: one that was kept earlier does not break another.
    """
    if normalise(one) == normalise(other):
        return True
    try:
        return marking.stated(one, other) and marking.stated(other, one)
    except Exception:
        log.exception("two answers cannot be compared")
        return False
