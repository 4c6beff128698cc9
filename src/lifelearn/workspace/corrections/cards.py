"""Corrections as cards: everything that a page shows of them, looked up for all cards of a page together."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session, joinedload, undefer

from lifelearn.learning import types as learning
from lifelearn.learning.author.english.same_question import leans
from lifelearn.workspace.corrections import finding, flags, permits, standing
from lifelearn.workspace.corrections.beginning import SURE
from lifelearn.workspace.corrections.progress import Progress, look
from lifelearn.workspace.corrections.words import Word
from lifelearn.workspace.database import ago
from lifelearn.workspace.organizations import access
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.chats import Message
from lifelearn.workspace.tables.corrections import OPEN, Correction, Policy, Source, State
from lifelearn.workspace.tables.versions import Verdict, Version
from lifelearn.workspace.versions.compare import Part, differences
from lifelearn.workspace.versions.service import figure

log = structlog.get_logger("lifelearn.corrections")

FAILURES = 4  # answers that are shown for each failed check
PENDING_SECONDS = 90  # for so long a page waits for a message to be examined
CURVE_WIDTH, CURVE_HEIGHT = 160, 32

# What each state is called; the sign beside it tells it apart without colour.
NAMES = {
    State.ASKED: "needs your word",
    State.REVIEW: "waits for review",
    State.QUEUED: "queued",
    State.LEARNING: "being learned",
    State.LEARNED: "learned",
    State.FAILED: "not learned",
    State.REJECTED: "not approved",
    State.DISMISSED: "not taught",
    State.WITHDRAWN: "withdrawn",
}
SOURCES = {
    Source.DETECTED: "noticed in a message",
    Source.EXPLICIT: "stated under an answer",
    Source.PROGRAM: "sent by a program",
}
STAGES = {
    "augment": "Asking it in other words",
    "demonstrate": "Writing right answers",
    "lesson": "Building the lesson",
    "train": "Training",
    "verify": "Checking what it answers now",
    "version": "Keeping the version",
}
CHECKS = {
    "efficacy": "It does not answer the corrected question right.",
    "generalisation": "It does not answer the question right in other words.",
    "locality": "It answers other questions otherwise than before.",
    "retention": "It no longer holds earlier corrections.",
    "drift": "It writes otherwise than before in general.",
}


@dataclass(frozen=True)
class Failure:
    """A check that did not pass, with some of the answers that are why."""

    name: str
    said: str
    held: str
    answers: tuple[learning.ProbeAnswer, ...]


@dataclass(frozen=True)
class Way:
    """How far a correction is, as it is shown; the same for all who look."""

    progress: Progress

    @property
    def stages(self) -> list[tuple[str, str]]:
        """What is done on the way, each with "done", "now" or ""."""
        names = list(STAGES)
        at = names.index(self.progress.stage) if self.progress.stage in names else -1
        return [
            (said, "done" if index < at else "now" if index == at else "") for index, said in enumerate(STAGES.values())
        ]

    @property
    def curve(self) -> str:
        """The losses so far, as points of a line; "" where there are too few."""
        losses = self.progress.losses
        if len(losses) < 2:
            return ""
        top = max(losses) or 1.0
        across, high = CURVE_WIDTH / (len(losses) - 1), (CURVE_HEIGHT - 2) / top
        return " ".join(
            f"{index * across:.1f},{CURVE_HEIGHT - 1 - max(loss, 0) * high:.1f}" for index, loss in enumerate(losses)
        )


@dataclass
class Card:
    """A correction as the visitor sees it. word: what they entered, where the form is shown again.

    held: whether the active version holds it; it may have been rolled back.
    """

    correction: Correction
    place: Place
    progress: Progress
    may: frozenset[str]
    rival: Correction | None = None
    held: bool = True
    before: list[Part] = field(default_factory=list)
    after: list[Part] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    errors: Mapping[str, str] = field(default_factory=dict)
    word: Word = field(default_factory=Word)

    @property
    def id(self) -> uuid.UUID:
        return self.correction.id

    @property
    def url(self) -> str:
        return f"{self.place.url}/corrections/{self.id}"

    @property
    def own(self) -> bool:
        return self.correction.author_id == self.place.user.id

    @property
    def author(self) -> str:
        if self.own:
            return "You"
        return self.correction.author.name if self.correction.author else "Former member"

    @property
    def name(self) -> str:
        if self.correction.state == State.ASKED and not self.own:
            return "waits for its author"
        if self.correction.state == State.WITHDRAWN and self.correction.version is not None:
            return "forgotten"
        return NAMES[State(self.correction.state)]

    @property
    def is_open(self) -> bool:
        return self.correction.state in OPEN

    @property
    def confidence(self) -> str:
        """In words, where it was noticed and not stated."""
        return "" if self.correction.source != Source.DETECTED else f"{round(100 * self.correction.confidence)} % sure"

    @property
    def question(self) -> str:
        return self.correction.question if self.word.question is None else self.word.question

    @property
    def statement(self) -> str:
        return self.correction.statement if self.word.statement is None else self.word.statement

    @property
    def answer(self) -> str:
        return self.correction.answer if self.word.answer is None else self.word.answer

    @property
    def findings(self) -> list[flags.Found]:
        """What is flagged in it, where it still can be kept from being taught."""
        one = self.correction
        if not self.may_teach:
            return []
        try:
            return flags.find(self.question, self.statement, self.answer, one.message, one.wrong)
        except Exception:  # its card is shown with others; who has it taught is told so
            log.exception("a correction cannot be looked through", correction_id=str(one.id))
            return []

    @property
    def may_teach(self) -> bool:
        return "teach" in self.may

    @property
    def hands_over(self) -> bool:
        """Whether the visitor's word hands it to the admins."""
        reviewed = self._reviewed and not self.place.may_approve(*self.correction.writers)
        return reviewed and not (self.correction.state == State.FAILED and permits.approved(self.correction))

    @property
    def approves_own(self) -> bool:
        """Whether the visitor's word approves their own, since nobody else can."""
        mine = self.place.user.id in self.correction.writers
        return self._reviewed and mine and self.place.may_approve(*self.correction.writers)

    @property
    def _reviewed(self) -> bool:
        return self.place.organization.correction_policy == Policy.REVIEW or self.correction.state == State.REVIEW

    @property
    def unsure(self) -> bool:
        return self.correction.source == Source.DETECTED and self.correction.confidence < SURE

    @property
    def leans(self) -> bool:
        return leans(self.question)

    @property
    def way(self) -> Way:
        return Way(self.progress)

    @property
    def announced(self) -> str:
        """Its end, for who cannot see it."""
        match self.correction.state:
            case State.LEARNED:
                return f"Learned. Version {self.correction.version} answers now."
            case State.FAILED:
                return f"Not learned. {self.correction.problem}"
            case _:
                return f"The correction is {self.name}."


def cards(db: Session, place: Place, corrections: Sequence[Correction]) -> list[Card]:
    """Cards for corrections that the visitor may see, in their order."""
    progress = look(db, [each.id for each in corrections])
    rivals = _rivals(db, place, corrections)
    answers = _answers(db, corrections)
    learned = any(each.state == State.LEARNED for each in corrections)
    held = standing.held_now(db, place.organization.id) if learned else set()
    made = []
    for each in corrections:
        way = progress.get(each.id, Progress(each.state))
        card = Card(each, place, way, permits.may(place, each, way.forgets))
        card.rival = rivals.get(each.conflicts_with) if each.conflicts_with else None
        if each.state == State.LEARNED:
            card.held = each.id in held
            if after := answers.get(each.id):
                card.before, card.after = differences(each.wrong, after)
        elif each.state == State.FAILED and each.version is not None:
            card.failures = _failures(db, each)
        made.append(card)
    return made


def card_of(db: Session, place: Place, correction_id: uuid.UUID) -> Card:
    """Raises NotFoundError."""
    (card,) = cards(db, place, [finding.correction_of(db, place, correction_id)])
    return card


def below_messages(db: Session, place: Place, messages: Iterable[Message]) -> dict[uuid.UUID, Card]:
    """What is shown below which message: the correction that it makes, or the last one stated under the answer."""
    ids = [message.id for message in messages]
    if not ids:
        return {}
    stated = and_(Correction.answer_id.in_(ids), Correction.source == Source.EXPLICIT)
    query = access.corrections_seen_by(place).where(or_(Correction.message_id.in_(ids), stated))
    found = db.scalars(query.order_by(Correction.created_at, Correction.id).options(joinedload(Correction.author)))
    below: dict[uuid.UUID, Correction] = {}
    for each in found:
        at = each.message_id if each.source == Source.DETECTED else each.answer_id
        if at is not None:
            below[at] = each
    return dict(zip(below, cards(db, place, list(below.values())), strict=True))


def is_pending(message: Message) -> bool:
    """Whether it is still to be seen if a message is a correction."""
    recent = message.created_at > ago(seconds=PENDING_SECONDS)
    return message.role == "user" and message.parent_id is not None and message.examined_at is None and recent


def _rivals(db: Session, place: Place, corrections: Sequence[Correction]) -> dict[uuid.UUID, Correction]:
    ids = {each.conflicts_with for each in corrections if each.conflicts_with}
    if not ids:
        return {}
    query = access.corrections_seen_by(place).where(Correction.id.in_(ids)).options(joinedload(Correction.author))
    return {each.id: each for each in db.scalars(query)}


def _answers(db: Session, corrections: Sequence[Correction]) -> dict[uuid.UUID, str]:
    """What the version that learned each answered when it was asked."""
    learned = {each.id: each.version for each in corrections if each.state == State.LEARNED}
    if not learned:
        return {}
    organization_id = corrections[0].organization_id
    query = select(Verdict).where(Verdict.organization_id == organization_id, Verdict.correction_id.in_(learned))
    return {each.correction_id: each.answer for each in db.scalars(query) if learned[each.correction_id] == each.number}


def _failures(db: Session, correction: Correction) -> list[Failure]:
    """Why the version did not pass, with the answers that it gave."""
    query = select(Version).where(
        Version.organization_id == correction.organization_id, Version.number == correction.version
    )
    version = db.scalar(query.options(undefer(Version.manifest)))
    if version is None:
        return []
    return [
        Failure(
            check.name,
            CHECKS.get(check.name, check.name),
            figure(check),
            tuple(answer for answer in check.answers if not answer.passed)[:FAILURES],
        )
        for check in version.model().report.failed
    ]
