"""What the model is told until its weights have caught up: corrections on their way whose question is asked again.

A small model takes whatever it is told for what it is asked about. So a correction is told only where the question is
the same but for its wording, and a doubt speaks against telling. Knows no pages.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning import types as learning
from lifelearn.learning.author.english.same_question import QUESTION_CHARS, Asked, are_same
from lifelearn.learning.words import normalise
from lifelearn.workspace.tables.corrections import TAUGHT, Correction

log = structlog.get_logger("lifelearn.context")

MOST = 3  # corrections that are told for one answer
LOOKED_AT = 500  # the latest of those on their way


@dataclass(frozen=True)
class Told:
    """A conversation as the model is asked, and how many corrections it is told in it."""

    conversation: learning.Conversation
    corrections: int


def with_corrections(db: Session, organization_id: uuid.UUID, conversation: learning.Conversation) -> Told:
    """The conversation, with corrections that are not learned yet as turns before it.

    What cannot be read is left out: no text that somebody wrote earlier keeps another from an answer.
    """
    last = next((turn.content for turn in reversed(conversation) if turn.role == "user"), "")
    asked = last[:QUESTION_CHARS]
    try:
        question_asked = Asked.of(asked)
    except Exception:
        log.exception("a question cannot be compared with corrections")
        return Told(conversation, 0)
    if question_asked.leans:
        return Told(conversation, 0)
    on_their_way = (
        select(Correction.id, Correction.question, Correction.statement, Correction.answer)
        .where(Correction.organization_id == organization_id, Correction.state.in_(TAUGHT))
        .order_by(Correction.created_at.desc(), Correction.id)
        .limit(LOOKED_AT)
    )
    told: dict[str, tuple[str, str]] = {}
    for correction_id, question, statement, answer in db.execute(on_their_way):
        if len(told) == MOST:
            break
        try:
            # Of two corrections of one question the later one counts.
            if (key := normalise(question)) not in told and are_same(Asked.of(question), question_asked):
                told[key] = (question, sentence(statement, answer))
        except Exception:
            _log_unreadable(correction_id)
    if not told:
        return Told(conversation, 0)
    first = 1 if conversation[0].role == "system" else 0
    turns = [
        learning.Message(role=role, content=content)
        for question, said in reversed(told.values())
        for role, content in (("user", question), ("assistant", said))
    ]
    return Told((*conversation[:first], *turns, *conversation[first:]), len(told))


def sentence(statement: str, answer: str) -> str:
    """What is right as an answer: a sentence, whatever the member wrote."""
    text = " ".join((statement or answer).split())
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in (".", "!", "?", "…", '"', "”") else f"{text}."


@lru_cache(maxsize=1_000)
def _log_unreadable(correction_id: uuid.UUID) -> None:
    """Once a process: the correction comes up with each answer until it is learned."""
    log.exception("a correction cannot be compared with what is asked", correction_id=str(correction_id))
