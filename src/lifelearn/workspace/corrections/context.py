"""What the model is told until its weights have caught up: corrections on their way whose question is asked again.

A small model takes whatever it is told for what it is asked about. So a correction is told only where the question is
the same but for its wording, and a doubt speaks against telling. Knows no pages.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from functools import lru_cache

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning import types as learning
from lifelearn.learning.author.english.relations import Relation, recognise
from lifelearn.learning.words import WORD, clean, content_words, normalise, stem, stems
from lifelearn.workspace.corrections.reading import leans
from lifelearn.workspace.tables.corrections import TAUGHT, Correction

log = structlog.get_logger("lifelearn.context")

MOST = 3  # corrections that are told for one answer
LOOKED_AT = 500  # the latest of those on their way
QUESTION_CHARS = 1_000  # of a question that are compared

# Words that come and go when a question is put in another way, as stems.
_LIGHT = stems(
    """get got give tell told say know want need like find call called name named number amount many much exactly
    exact currently current now today total altogether right correct remind question answer use used using take takes
    go goes come comes let look think sure mean means happen usually normally generally really company team office
    person somebody someone thing kind sort type people"""
)
_NEGATED = re.compile(r"\b(?:not|no|never|without|except|neither|nor|none|cannot)\b|n't\b", re.IGNORECASE)
_PERSONS = {
    "i": re.compile(r"\b(?:i|me|my|mine|myself)\b", re.IGNORECASE),
    "you": re.compile(r"\b(?:you|your|yours|yourself)\b", re.IGNORECASE),
    "he": re.compile(r"\b(?:he|him|his)\b", re.IGNORECASE),
    "she": re.compile(r"\b(?:she|her|hers)\b", re.IGNORECASE),
}
_POLITE = re.compile(
    r"^\W*(?:(?:hi|hello|hey|please|ok(?:ay)?|so|thanks?)\b[\s,.!]*)*"
    r"(?:(?:can|could|would|will)\s+you\s+(?:please\s+)?(?:tell|remind|say|explain)(?:\s+(?:me|us))?(?:\s+again)?\s*,?\s*"
    r"|(?:do|does)\s+(?:you|anyone|anybody)\s+know\s*,?\s*|(?:please\s+)?(?:tell|remind)\s+(?:me|us)(?:\s+again)?\s*[,:]?\s*"
    r"|(?:i|we)(?:'d|\s+would|\s+want|\s+need|\s+'d)?\s*(?:like\s+|want\s+)?to\s+know\s*,?\s*)?",
    re.IGNORECASE,
)
_HANGING = re.compile(r"\b(?:of|to|for|by|from|with|under|over)\W*$", re.IGNORECASE)
_TAIL = re.compile(r"\b(?:please|again|thanks?(?:\s+you)?|right\s+now|these\s+days)$", re.IGNORECASE)
_MARKS = " \n,?.!"
# What is asked for; the first that fits. "what" asks for anything.
_ASKS = (
    ("count", r"how\s+(?:many|much)\b|(?:what|which)\s+(?:is|are|was|were)\s+the\s+(?:total\s+)?(?:number|amount)\b"),
    ("when", r"when\b|(?:at\s+|on\s+)?(?:what|which)\s+(?:week)?(?:day|date|time|month|year|hour)s?\b|since\s+when\b"),
    ("where", r"where\b|(?:in\s+)?(?:what|which)\s+(?:city|town|place|country|room|building|floor)\b"),
    ("who", r"who(?:m|se)?\b|(?:what|which)\s+(?:person|colleague)\b"),
    ("why", r"why\b|what\s+for\b"),
    ("how", r"how\b"),
    ("what", r"(?:to|for|by|with|from|on|in|at)?\s*(?:what|which)\b|name\b|(?:the|a|an|our)\b"),
    ("whether", r"(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am|may|must|isn't|aren't)\b"),
)
_KINDS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _ASKS)


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
        question_asked = _Question.of(asked)
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
            if (key := normalise(question)) not in told and _are_same(_Question.of(question), question_asked):
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


def is_same_question(one: str, other: str) -> bool:
    """Whether two questions ask for the same thing in words that may differ.

    Other subjects, other relations, another number, person, order or negation make another question: the words that
    only one of the two has must be such that say nothing by themselves.
    """
    return _are_same(_Question.of(one), _Question.of(other))


@dataclass(frozen=True)
class _Question:
    """A question as it is compared. plain: without politeness. The rest is of that, and empty where it leans."""

    leans: bool
    normal: str
    plain: str = ""
    plain_normal: str = ""
    relation: tuple[Relation, str] | None = None
    stems: frozenset[str] = frozenset()

    @staticmethod
    @lru_cache(maxsize=4 * LOOKED_AT)  # the same stored ones are compared with each question
    def of(text: str) -> _Question:
        text = text[:QUESTION_CHARS]
        normal = normalise(text)
        if leans(text):
            return _Question(True, normal)
        plain = _plain(text)
        return _Question(False, normal, plain, normalise(plain), recognise(_asking(plain)), frozenset(stems(plain)))


def _are_same(one: _Question, other: _Question) -> bool:
    if one.leans or other.leans:
        return False
    if one.normal == other.normal or one.plain_normal == other.plain_normal != "":
        return True
    if one.relation and other.relation:
        (first, of), (second, of_other) = one.relation, other.relation
        same = first.name == second.name and _subject(of) == _subject(of_other)
        return same and _agree(one.plain, other.plain)
    shared = (one.stems & other.stems) - _LIGHT
    if not shared or not one.stems ^ other.stems <= _LIGHT:
        return False
    return _kinds_agree(one.plain, other.plain) and _agree(one.plain, other.plain)


@lru_cache(maxsize=1_000)
def _log_unreadable(correction_id: uuid.UUID) -> None:
    """Once a process: the correction comes up with each answer until it is learned."""
    log.exception("a correction cannot be compared with what is asked", correction_id=str(correction_id))


def _agree(one: str, other: str) -> bool:
    if bool(_NEGATED.search(one)) != bool(_NEGATED.search(other)):
        return False
    if any(bool(form.search(one)) != bool(form.search(other)) for form in _PERSONS.values()):
        return False
    if re.findall(r"\d+(?:[.,:]\d+)*", one) != re.findall(r"\d+(?:[.,:]\d+)*", other):
        return False
    if _kind(one) in ("who", "whether"):
        # "Does Anna report to Bert?" has the words of its opposite, and so has "Who is Anna the manager of?"
        hang = bool(_HANGING.search(one)) == bool(_HANGING.search(other))
        return hang and _order(one, other) == _order(other, one)
    return True


def _order(one: str, within: str) -> list[str]:
    """The stems of a text that both have, in its order, each once."""
    common = stems(within) - _LIGHT
    return list(
        dict.fromkeys(word for word in (stem(each.removesuffix("'s")) for each in content_words(one)) if word in common)
    )


def _kinds_agree(one: str, other: str) -> bool:
    first, second = _kind(one), _kind(other)
    return first == second or {first, second} == {"what", ""}


def _kind(text: str) -> str:
    return next((name for name, pattern in _KINDS if pattern.match(text)), "")


def _plain(text: str) -> str:
    """Without what is said for politeness at both ends."""
    text = _POLITE.sub("", clean(text, QUESTION_CHARS), count=1).rstrip(_MARKS)
    text = _TAIL.sub("", text).rstrip(_MARKS)
    return re.sub(r"^(what|who|where|when|how)(?:'s|s)\b", r"\1 is", text, flags=re.IGNORECASE)


def _asking(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}?"


def _subject(name: str) -> str:
    return " ".join(word for word in WORD.findall(name.casefold()) if word not in ("the", "our", "a", "an"))
