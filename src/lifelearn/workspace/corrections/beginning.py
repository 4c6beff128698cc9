"""How a correction begins: noticed in a message, stated under an answer, or sent by a program."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning import types as learning
from lifelearn.learning.author.detect import corrected_turn
from lifelearn.learning.author.english.same_question import leans
from lifelearn.learning.words import normalise
from lifelearn.settings import Settings
from lifelearn.workspace.corrections import reading
from lifelearn.workspace.corrections.course import HOUR, ask, cancel_job, hourly_limit, lock, settle, to_review
from lifelearn.workspace.corrections.standing import standing
from lifelearn.workspace.corrections.telling import tell_mine, tell_queued
from lifelearn.workspace.corrections.words import flagged, same_words, words_found
from lifelearn.workspace.errors import ConflictError, ForbiddenError, InvalidError, QuotaError, TooManyError
from lifelearn.workspace.jobs import service as jobs
from lifelearn.workspace.jobs.queue import LearningQueue, queue_of
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.quotas import check_correction
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.corrections import OPEN, TAUGHT, Correction, Policy, Source, State
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.texts import cleaned
from lifelearn.workspace.threads import marks
from lifelearn.workspace.threads.tree import conversation_of
from lifelearn.workspace.throttle import Limit

SURE = 0.85  # the confidence from which a correction that was noticed is taught without asking


def detected(
    db: Session,
    settings: Settings,
    queue: LearningQueue,
    message: Message,
    answer_id: uuid.UUID | None,
    found: learning.Correction,
) -> Correction:
    """A correction that was noticed in a message; taught at once where the organisation wants that and nothing
    speaks against it."""
    return _begun(
        db,
        settings,
        queue,
        Correction(
            organization_id=message.organization_id,
            thread_id=message.thread_id,
            message_id=message.id,
            answer_id=answer_id,
            author_id=message.author_id,
            source=Source.DETECTED,
            confidence=found.confidence,
            **words_found(found),
        ),
    )


def correct_answer(
    db: Session, request: Request, place: Place, thread: Thread, answer: Message, right: str
) -> Correction | None:
    """Marks an answer as wrong; where it is said what is right, that is a correction, and is returned.

    Again replaces what the visitor said before. Raises InvalidError where the text does not say what is right.
    """
    lock(db, place.organization.id)
    marks.correct(answer, right)
    audit.record(db, request, place.organization.id, place.user, "answer.marked_wrong", str(answer.id))
    question, wrong = _asked(db, place, answer) if answer.right_answer else ("", "")
    found = reading.stated(question, wrong, answer.right_answer) if normalise(question) else None
    for earlier in _stated_about(db, answer):
        if earlier.author_id == place.user.id:
            if found is not None and same_words(earlier, found):  # said twice
                return earlier
            _take_back(db, request, place, earlier)
    if found is None:
        return None
    made = Correction(
        organization_id=place.organization.id,
        thread_id=thread.id,
        answer_id=answer.id,
        author_id=place.user.id,
        source=Source.EXPLICIT,
        confidence=1.0,
        **words_found(found),
    )
    return _begun(db, request.app.state.settings, queue_of(request), made, request)


def withdraw_answer(db: Session, request: Request, place: Place, answer: Message) -> None:
    """Takes the mark back, and with it what was said to be right, unless that was learned already."""
    lock(db, place.organization.id)
    for earlier in _stated_about(db, answer):
        if earlier.author_id != place.user.id and not place.may_decide:
            raise ForbiddenError("Only who said what is right, or an admin, can take that back.")
        _take_back(db, request, place, earlier)
    marks.withdraw(answer)
    audit.record(db, request, place.organization.id, place.user, "answer.mark_withdrawn", str(answer.id))


def sent(db: Session, request: Request, place: Place, question: str, right: str, wrong: str) -> tuple[Correction, bool]:
    """A correction by a program, and whether it is new: the same again is the one that is there."""
    question, right, wrong = (cleaned(each) for each in (question, right, wrong))
    if not normalise(question):
        raise InvalidError("The question is empty.", {"question": "Say which question it is about."})
    _sent_limit(request.app.state.settings).count(db, str(place.user.id))
    found = reading.stated(question, wrong, right)
    made = Correction(
        id=uuid.uuid4(),
        organization_id=place.organization.id,
        author_id=place.user.id,
        source=Source.PROGRAM,
        confidence=1.0,
        **words_found(found),
    )
    lock(db, place.organization.id)
    known = standing(db, made)
    if known is not None and reading.same_answer(known.answer, made.answer):
        return known, False
    waiting = select(Correction).where(
        Correction.organization_id == place.organization.id,
        Correction.author_id == place.user.id,
        Correction.source == Source.PROGRAM,
        Correction.state.in_(OPEN),
    )
    for each in db.scalars(waiting):
        if normalise(each.question) == normalise(question) and reading.same_answer(each.answer, made.answer):
            return each, False
    _begun(db, request.app.state.settings, queue_of(request), made, request, patient=False)
    return made, True


def _begun(
    db: Session,
    settings: Settings,
    queue: LearningQueue,
    correction: Correction,
    request: Request | None = None,
    patient: bool = True,
) -> Correction:
    """Keeps a new correction and decides where it goes: into the queue, to its member or to an admin.

    patient: above the hourly limit it waits for its member, instead of being refused. Raises ForbiddenError where the
    model cannot be taught.
    """
    queue.need()
    lock(db, correction.organization_id)
    organization = db.get_one(Organization, correction.organization_id)
    stated = correction.source != Source.DETECTED
    full = ""
    try:
        check_correction(db, settings, correction.organization_id, correction.author_id)
    except QuotaError as error:
        if stated:
            raise
        full = error.message
    correction.flags = flagged(correction)
    correction.state = State.ASKED
    db.add(correction)
    db.flush()
    found = standing(db, correction)
    if found is not None and reading.same_answer(found.answer, correction.answer):
        known = f"version {found.version} learned the same" if found.version else "the same is on its way"
        settle(correction, State.DISMISSED, None, f"Already taught: {known}.")
        return correction
    correction.conflicts_with = found.id if found else None
    if full:
        settle(correction, State.DISMISSED, None, full)  # it can be taught after all, once there is room
        return correction
    sure = stated or (correction.confidence >= SURE and organization.correction_policy == Policy.AUTO)
    if organization.correction_policy == Policy.REVIEW:
        to_review(db, correction)
    elif found or correction.flags or not sure or leans(correction.question):
        ask(db, correction)
    else:
        try:
            hourly_limit(settings).count(db, str(correction.author_id))
        except TooManyError:
            if not patient:
                raise
            correction.problem = "You had many corrections taught within an hour. Teach this one a little later."
            ask(db, correction)
            return correction
        jobs.teach(db, queue, correction, correction.author_id if stated else None)
        author = db.get(User, correction.author_id) if correction.author_id else None
        if author is not None:
            how = {"by": "the author" if stated else "the organisation's policy"}
            audit.record(db, request, organization.id, author, "correction.taught", str(correction.id), **how)
        tell_queued(db, correction)
    return correction


def _take_back(db: Session, request: Request, place: Place, correction: Correction) -> None:
    """Of what was stated about an answer, what was not learned yet."""
    if correction.state in OPEN:
        reviewed = correction.state == State.REVIEW
        settle(correction, State.WITHDRAWN, place.user.id)
        if reviewed:
            tell_mine(db, correction, "correction.withdrawn", "A correction was taken back from review.")
    elif not cancel_job(db, place, correction):
        raise ConflictError("It is being learned together with others' corrections. An admin can cancel them all.")
    audit.record(db, request, place.organization.id, place.user, "correction.withdrawn", str(correction.id))


def _stated_about(db: Session, answer: Message) -> Sequence[Correction]:
    """What was stated under an answer and is not learned yet."""
    query = select(Correction).where(
        Correction.answer_id == answer.id,
        Correction.organization_id == answer.organization_id,
        Correction.source == Source.EXPLICIT,
        Correction.state.in_((*OPEN, *TAUGHT)),
    )
    return db.scalars(query.order_by(Correction.created_at)).all()


def _asked(db: Session, place: Place, answer: Message) -> tuple[str, str]:
    """The question that an answer answers, and the answer; empty where there is none."""
    question = None if answer.parent_id is None else db.get(Message, answer.parent_id)
    if question is None:
        return "", ""
    before = without_instructions(conversation_of(db, place.organization, question))
    turns = [
        learning.Message(role="assistant", content=answer.content),
        learning.Message(role="user", content=answer.right_answer),
    ]
    with reading.readable():
        return corrected_turn((*before, *turns)) or ("", "")


def without_instructions(conversation: learning.Conversation) -> learning.Conversation:
    return tuple(turn for turn in conversation if turn.role != "system")


def _sent_limit(settings: Settings) -> Limit:
    """Of what a program sends in, whatever becomes of it: much is known already, or waits."""
    return Limit("correction-sent", 10 * settings.corrections_per_hour, HOUR)
