"""Corrections: how one begins, who may say what to it, and what stands against teaching it. Pages and programs use it.

Before a correction is taught it is its member's, and an admin's too once it waits for review; taught, it is the
organisation's. Where several rows are locked, the organisation comes first, then the job, then the correction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, joinedload

from lifelearn.learning import types as learning
from lifelearn.learning.author.detect import corrected_turn
from lifelearn.learning.words import normalise
from lifelearn.settings import Settings
from lifelearn.workspace.accounts.tables import User
from lifelearn.workspace.accounts.throttle import Limit
from lifelearn.workspace.chats import service as chats
from lifelearn.workspace.chats.tables import Message, Thread
from lifelearn.workspace.corrections import flags, reading
from lifelearn.workspace.corrections.tables import OPEN, TAUGHT, Correction, Policy, Source, State
from lifelearn.workspace.database import now
from lifelearn.workspace.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    QuotaError,
    TooManyError,
)
from lifelearn.workspace.jobs import service as jobs
from lifelearn.workspace.jobs.queue import LearningQueue, queue_of
from lifelearn.workspace.jobs.tables import ENDED, Job, Kind
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.organizations.tables import Organization
from lifelearn.workspace.paging import paged
from lifelearn.workspace.quotas import check_correction
from lifelearn.workspace.versions import lines
from lifelearn.workspace.versions.tables import Version
from lifelearn.workspace.webhooks.service import tell

SURE = 0.85  # the confidence from which a correction that was noticed is taught without asking
HOUR = 3600
RIGHT_CHARS = chats.RIGHT_CHARS
QUESTION_CHARS = chats.MESSAGE_CHARS
WRONG_CHARS = 32_000
REASON_CHARS = 1_000
SHORT_CHARS = 80

# What may be said to a correction in which state; who may is in `may`.
POSSIBLE = {
    "teach": frozenset((State.ASKED, State.REVIEW, State.FAILED, State.REJECTED, State.DISMISSED, State.WITHDRAWN)),
    "dismiss": frozenset(OPEN),
    "reject": frozenset((State.REVIEW,)),
    "cancel": frozenset(TAUGHT),
    "forget": frozenset((State.LEARNED,)),
}


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


@dataclass(frozen=True)
class Cost:
    """What forgetting costs. again: corrections that are learned again. active: whether the active version holds it."""

    again: int
    seconds: float
    active: bool


# Reading


def taught() -> ColumnElement[bool]:
    """What is the organisation's: all its members may see it."""
    return or_(
        Correction.state.in_((*TAUGHT, State.LEARNED, State.FAILED)),
        and_(Correction.state == State.WITHDRAWN, Correction.version.is_not(None)),
    )


def visible(place: Place) -> Select[Correction]:
    """What the visitor may see."""
    seen = [Correction.author_id == place.user.id, taught()]
    if place.may_admin:
        withdrawn = and_(Correction.state == State.WITHDRAWN, Correction.job_id.is_not(None))
        seen += [Correction.state.in_((State.REVIEW, State.REJECTED)), withdrawn]
    return select(Correction).where(Correction.organization_id == place.organization.id, or_(*seen))


def correction_of(db: Session, place: Place, correction_id: uuid.UUID) -> Correction:
    """Raises NotFoundError, also for one that the visitor may not see yet."""
    found = db.scalar(visible(place).where(Correction.id == correction_id).options(joinedload(Correction.author)))
    if found is None:
        raise NotFoundError
    return found


def listed(
    db: Session,
    place: Place,
    states_wanted: Iterable[State] = (),
    search: str = "",
    before: str = "",
    limit: int = 50,
) -> tuple[list[Correction], str]:
    """What the visitor sees, newest first, and the cursor of the next page; "" for the last.

    search: words in question or answers. before: a cursor. Raises InvalidError for what is none.
    """
    query = visible(place)
    if wanted := tuple(states_wanted):
        query = query.where(Correction.state.in_(wanted))
    for word in chats.words_of(search):
        columns = (Correction.question, Correction.statement, Correction.wrong)
        query = query.where(or_(*(chats.contains(column, word) for column in columns)))
    return paged(db, query.options(joinedload(Correction.author)), Correction, before, limit)


def waiting_for_review(db: Session, place: Place, limit: int) -> list[Correction]:
    """Those that wait for an admin, the oldest first."""
    query = visible(place).where(Correction.state == State.REVIEW).order_by(Correction.created_at, Correction.id)
    return list(db.scalars(query.options(joinedload(Correction.author)).limit(limit)))


def may(place: Place, correction: Correction, forgets: bool = False) -> frozenset[str]:
    """What the visitor may say to a correction that they see, as it is now. forgets: a job is about to forget it."""
    own, admin, state = correction.author_id == place.user.id, place.may_decide, correction.state
    approves = place.may_approve(*correction.writers)
    match state:
        case State.ASKED:
            verbs = {"teach", "dismiss"} if own else set()
        case State.REVIEW:
            verbs = {"teach"} if approves else set()
            verbs |= ({"reject"} if admin else set()) | ({"dismiss"} if own else set())
        case State.QUEUED | State.LEARNING:
            verbs = {"cancel"} if own or admin else set()
        case State.LEARNED:
            verbs = {"keep" if forgets else "forget"} if admin else set()
        case State.FAILED:
            verbs = {"teach"} if own or admin else set()
        case State.REJECTED:
            verbs = {"teach"} if approves else set()
        case State.DISMISSED:
            verbs = {"teach"} if own else set()
        case _:  # WITHDRAWN: what was learned once was forgotten by an admin
            verbs = {"teach"} if admin or (own and correction.version is None) else set()
    return frozenset(verbs)


def approved(correction: Correction) -> bool:
    """Whether an admin had it taught: only its author and admins can."""
    return correction.decided_by not in (None, correction.author_id)


def standing(db: Session, correction: Correction) -> Correction | None:
    """What holds for the same question, or will: of several corrections the one that was taught last.

    One that was learned counts if the active version has it; others were rolled back.
    """
    asked = normalise(correction.question)
    if not asked:
        return None
    held = held_now(db, correction.organization_id)
    query = (
        select(Correction.id, Correction.question, Correction.state)
        .outerjoin(Job, Job.id == Correction.job_id)
        .where(Correction.organization_id == correction.organization_id, Correction.id != correction.id)
        .where(Correction.state.in_((*TAUGHT, State.LEARNED)))
        .order_by(Job.created_at.desc(), Correction.created_at.desc(), Correction.id)
    )
    for found_id, question, state in db.execute(query):
        if normalise(question) == asked and (state != State.LEARNED or found_id in held):
            return db.get(Correction, found_id)
    return None


def rival(db: Session, correction: Correction) -> Correction | None:
    """The same, if its answer is another one."""
    found = standing(db, correction)
    return None if found is None or reading.same_answer(found.answer, correction.answer) else found


def held_now(db: Session, organization_id: uuid.UUID) -> set[uuid.UUID]:
    """The corrections that the active version holds."""
    return lines.held(db, organization_id, _active(db, organization_id))


def cost_of_forgetting(db: Session, correction: Correction) -> Cost:
    """What is learned again without it: all that the active version learned with it or after it."""
    organization_id = correction.organization_id
    found = lines.without(db, organization_id, _active(db, organization_id), correction.id)
    if found is None:
        return Cost(0, 0.0, active=False)
    seconds = db.scalar(
        select(func.coalesce(func.sum(Version.seconds), 0.0)).where(
            Version.organization_id == organization_id, Version.number.in_(found.again)
        )
    )
    return Cost(sum(map(len, found.again.values())), float(seconds or 0.0), active=True)


def _active(db: Session, organization_id: uuid.UUID) -> int:
    return db.scalar(select(Organization.active_version).where(Organization.id == organization_id)) or 0


# How a correction begins


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
            **_words(found),
        ),
    )


def correct_answer(
    db: Session, request: Request, place: Place, thread: Thread, answer: Message, right: str
) -> Correction | None:
    """Marks an answer as wrong; where it is said what is right, that is a correction, and is returned.

    Again replaces what the visitor said before. Raises InvalidError where the text does not say what is right.
    """
    _lock(db, place.organization.id)
    chats.correct(answer, right)
    audit.record(db, request, place.organization.id, place.user, "answer.marked_wrong", str(answer.id))
    question, wrong = _asked(db, place, answer) if answer.right_answer else ("", "")
    found = reading.stated(question, wrong, answer.right_answer) if normalise(question) else None
    for earlier in _stated_about(db, answer):
        if earlier.author_id == place.user.id:
            if found is not None and _same_words(earlier, found):  # said twice
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
        **_words(found),
    )
    return _begun(db, request.app.state.settings, queue_of(request), made, request)


def withdraw_answer(db: Session, request: Request, place: Place, answer: Message) -> None:
    """Takes the mark back, and with it what was said to be right, unless that was learned already."""
    _lock(db, place.organization.id)
    for earlier in _stated_about(db, answer):
        if earlier.author_id != place.user.id and not place.may_decide:
            raise ForbiddenError("Only who said what is right, or an admin, can take that back.")
        _take_back(db, request, place, earlier)
    chats.withdraw(answer)
    audit.record(db, request, place.organization.id, place.user, "answer.mark_withdrawn", str(answer.id))


def sent(db: Session, request: Request, place: Place, question: str, right: str, wrong: str) -> tuple[Correction, bool]:
    """A correction by a program, and whether it is new: the same again is the one that is there."""
    question, right, wrong = (chats.cleaned(each) for each in (question, right, wrong))
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
        **_words(found),
    )
    _lock(db, place.organization.id)
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


# What is said to it


def teach(db: Session, request: Request, place: Place, correction_id: uuid.UUID, word: Word) -> Correction:
    """Has it learned: for the first time, after a failure, or after all. By its member, or by an admin.

    Where admins review, a member's word hands it to them, but for another try of what one of them approved; and so does
    an admin's word about their own, where there is another admin. Raises InvalidError, with fields: `replace` where an
    older correction speaks against it, `anyway` where something in it is flagged, `own` where an admin who is the only
    one approves their own, `question`, `statement`, `answer`.
    """
    correction = _locked(db, place, correction_id)
    _need(place, correction, "teach")
    before = State(correction.state)
    if before not in OPEN:
        check_correction(db, request.app.state.settings, place.organization.id, correction.author_id)
    changed = _changed(correction, word)
    if changed:
        correction.worded_by = place.user.id
    correction.flags = _flagged(correction)
    found = rival(db, correction)
    correction.conflicts_with = found.id if found else None
    again = before == State.FAILED and not changed
    reviews = place.organization.correction_policy == Policy.REVIEW or before == State.REVIEW
    reviewed = reviews and not place.may_approve(*correction.writers)
    own = correction.author_id == place.user.id
    if reviewed and not (again and approved(correction)):
        _to_review(db, correction)
        audit.record(db, request, place.organization.id, place.user, "correction.proposed", str(correction.id))
        return correction
    wanted: dict[str, str] = {}
    if found is not None and not word.replace and not again:
        wanted["replace"] = "Another answer to this question was taught before. Say that this one replaces it."
    if correction.flags and not word.anyway and not again:
        seen = ", ".join(flags.KINDS[kind] for kind in correction.flags if kind in flags.KINDS)
        wanted["anyway"] = f"It holds {seen}. Say that it is to be taught anyway."
    if reviews and not reviewed and place.user.id in correction.writers and not (word.own or again):
        wanted["own"] = "It is your own, and there is no other admin. Say that you approve it yourself."
    if wanted:
        raise InvalidError(" ".join(wanted.values()), wanted)
    if own:
        _limit(request.app.state.settings).count(db, str(place.user.id))
    if not reviewed:  # else it stays approved by who did
        correction.decided_by = place.user.id
    correction.reason = ""
    jobs.teach(db, queue_of(request), correction, place.user.id)
    action = "correction.approved" if before in (State.REVIEW, State.REJECTED) else "correction.taught"
    told = {"replaces": str(found.id)} if found else {}
    audit.record(db, request, place.organization.id, place.user, action, str(correction.id), **told)
    _tell_queued(db, correction)
    return correction


def dismiss(db: Session, request: Request, place: Place, correction_id: uuid.UUID) -> Correction:
    """Its member says that it is none."""
    correction = _locked(db, place, correction_id)
    _need(place, correction, "dismiss")
    reviewed = correction.state == State.REVIEW
    _settled(correction, State.DISMISSED, place.user.id)
    if correction.source == Source.EXPLICIT and correction.answer_id is not None:
        answer = db.get(Message, correction.answer_id)
        if answer is not None and normalise(answer.right_answer) == normalise(correction.message):
            chats.withdraw(answer)
    audit.record(db, request, place.organization.id, place.user, "correction.dismissed", str(correction.id))
    if reviewed:  # of which others had heard
        _tell_mine(db, correction, "correction.withdrawn", "A correction was taken back from review.")
    return correction


def reject(db: Session, request: Request, place: Place, correction_id: uuid.UUID, reason: str) -> Correction:
    """An admin says no, and why."""
    reason = chats.cleaned(reason)
    if not reason:
        raise InvalidError("Say why, so that its author knows.", {"reason": "Say why, so that its author knows."})
    if len(reason) > REASON_CHARS:
        raise InvalidError("The reason is too long.", {"reason": f"At most {REASON_CHARS} characters."})
    correction = _locked(db, place, correction_id)
    _need(place, correction, "reject")
    _settled(correction, State.REJECTED, place.user.id, reason)
    audit.record(db, request, place.organization.id, place.user, "correction.rejected", str(correction.id))
    _tell_mine(db, correction, "correction.rejected", f"Your correction was not approved: {_short(reason)}")
    return correction


def cancel(db: Session, request: Request, place: Place, correction_id: uuid.UUID) -> Correction:
    """Ends its learning, at once or within a second or so."""
    _lock(db, place.organization.id)
    correction = correction_of(db, place, correction_id)
    _need(place, correction, "cancel")
    if not _cancel(db, place, correction):
        raise ConflictError("It is being learned together with others' corrections. An admin can cancel them all.")
    audit.record(db, request, place.organization.id, place.user, "correction.cancelled", str(correction.id))
    return correction


def forget(db: Session, request: Request, place: Place, correction_id: uuid.UUID) -> Correction:
    """Has what was learned forgotten."""
    _lock(db, place.organization.id)
    correction = correction_of(db, place, correction_id)
    _need(place, correction, "forget")
    if _forgetting(db, correction) is not None:
        raise ConflictError("It is being forgotten already.")
    jobs.forget(db, queue_of(request), correction, place.user.id)
    audit.record(db, request, place.organization.id, place.user, "correction.forgotten", str(correction.id))
    return correction


def keep(db: Session, request: Request, place: Place, correction_id: uuid.UUID) -> Correction:
    """Ends its forgetting, at once or within a second or so. The caller has checked who may."""
    _lock(db, place.organization.id)
    correction = correction_of(db, place, correction_id)
    job = _forgetting(db, correction)
    if job is None:
        raise ConflictError("It is not being forgotten, or is forgotten by now. Load the page again and look.")
    jobs.cancel(db, job)
    audit.record(db, request, place.organization.id, place.user, "correction.kept", str(correction.id))
    return correction


# The rules


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
    _lock(db, correction.organization_id)
    organization = db.get_one(Organization, correction.organization_id)
    stated = correction.source != Source.DETECTED
    full = ""
    try:
        check_correction(db, settings, correction.organization_id, correction.author_id)
    except QuotaError as error:
        if stated:
            raise
        full = error.message
    correction.flags = _flagged(correction)
    correction.state = State.ASKED
    db.add(correction)
    db.flush()
    found = standing(db, correction)
    if found is not None and reading.same_answer(found.answer, correction.answer):
        known = f"version {found.version} learned the same" if found.version else "the same is on its way"
        _settled(correction, State.DISMISSED, None, f"Already taught: {known}.")
        return correction
    correction.conflicts_with = found.id if found else None
    if full:
        _settled(correction, State.DISMISSED, None, full)  # it can be taught after all, once there is room
        return correction
    sure = stated or (correction.confidence >= SURE and organization.correction_policy == Policy.AUTO)
    if organization.correction_policy == Policy.REVIEW:
        _to_review(db, correction)
    elif found or correction.flags or not sure or reading.leans(correction.question):
        _ask(db, correction)
    else:
        try:
            _limit(settings).count(db, str(correction.author_id))
        except TooManyError:
            if not patient:
                raise
            correction.problem = "You had many corrections taught within an hour. Teach this one a little later."
            _ask(db, correction)
            return correction
        jobs.teach(db, queue, correction, correction.author_id if stated else None)
        author = db.get(User, correction.author_id) if correction.author_id else None
        if author is not None:
            how = {"by": "the author" if stated else "the organisation's policy"}
            audit.record(db, request, organization.id, author, "correction.taught", str(correction.id), **how)
        _tell_queued(db, correction)
    return correction


def _ask(db: Session, correction: Correction) -> None:
    correction.state = State.ASKED
    _tell_mine(db, correction, "correction.asked", "Was that a correction? Say whether it is to be taught.")


def _to_review(db: Session, correction: Correction) -> None:
    correction.state, correction.settled_at, correction.reason = State.REVIEW, None, ""
    correction.version, correction.problem, correction.decided_by = None, "", None  # of what it said before
    # For everybody who may see it, and without its words: those are its member's and the admins' until it is taught.
    _tell(db, correction, "correction.review", "A correction waits for review.", "/review")


def _need(place: Place, correction: Correction, verb: str) -> None:
    if verb in may(place, correction):
        return
    if correction.state not in POSSIBLE[verb]:
        raise ConflictError("This correction is further than that by now. Load the page again and look.")
    if place.may_admin and not place.decides:
        raise ForbiddenError("This key lacks the scope admin, which that takes. Make one that has it.")
    if verb == "teach" and place.may_admin and place.user.id in correction.writers:
        raise ForbiddenError("Nobody approves their own correction, nor own words in another's. Another admin has to.")
    raise ForbiddenError("Only its author or an admin may do that.")


def _changed(correction: Correction, word: Word) -> bool:
    """Puts in what was changed; whether anything was. Raises InvalidError, with fields."""
    before = (correction.question, correction.statement, correction.answer)
    question = before[0] if word.question is None else chats.cleaned(word.question)
    statement = before[1] if word.statement is None else chats.cleaned(word.statement)
    answer = before[2] if word.answer is None else chats.cleaned(word.answer, one_line=word.answer != before[2])
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


def _cancel(db: Session, place: Place, correction: Correction) -> bool:
    """Ends the job that learns it; False if others' corrections would go with it, and the visitor may not end those."""
    if correction.job_id is None:
        return False
    job = db.scalar(select(Job).where(Job.id == correction.job_id).with_for_update())
    db.refresh(correction)
    if job is None or correction.job_id != job.id or correction.state not in TAUGHT:
        raise ConflictError("This correction is further than that by now. Load the page again and look.")
    together = jobs.corrections_of(db, job)
    if any("cancel" not in may(place, each) for each in together):
        return False
    jobs.cancel(db, job)
    for each in together:
        if each.state == State.WITHDRAWN:
            _tell_mine(db, each, "correction.withdrawn", f"Not learned any more: {_short(each.statement)}")
    return True


def _forgetting(db: Session, correction: Correction) -> Job | None:
    """The job that is about to forget it, locked, if there is one."""
    query = select(Job).where(
        Job.organization_id == correction.organization_id,
        Job.kind == Kind.FORGET,
        Job.correction_id == correction.id,
        Job.state.not_in(ENDED),
    )
    return db.scalar(query.with_for_update())


def _take_back(db: Session, request: Request, place: Place, correction: Correction) -> None:
    """Of what was stated about an answer, what was not learned yet."""
    if correction.state in OPEN:
        reviewed = correction.state == State.REVIEW
        _settled(correction, State.WITHDRAWN, place.user.id)
        if reviewed:
            _tell_mine(db, correction, "correction.withdrawn", "A correction was taken back from review.")
    elif not _cancel(db, place, correction):
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
    before = without_instructions(chats.conversation_of(db, place.organization, question))
    turns = [
        learning.Message(role="assistant", content=answer.content),
        learning.Message(role="user", content=answer.right_answer),
    ]
    with reading.readable():
        return corrected_turn((*before, *turns)) or ("", "")


def without_instructions(conversation: learning.Conversation) -> learning.Conversation:
    return tuple(turn for turn in conversation if turn.role != "system")


def _same_words(correction: Correction, found: learning.Correction) -> bool:
    same = normalise(correction.question) == normalise(found.question)
    return same and normalise(correction.statement) == normalise(found.statement)


def _words(found: learning.Correction) -> dict[str, Any]:
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


def _flagged(correction: Correction) -> list[str]:
    """Raises InvalidError where it cannot be looked through: it is not taught unseen."""
    with reading.readable():
        return flags.kinds(*_texts(correction))


def _settled(correction: Correction, state: State, by: uuid.UUID | None, reason: str = "") -> None:
    correction.state, correction.settled_at = state, now()
    correction.decided_by, correction.reason = by, reason


def _sent_limit(settings: Settings) -> Limit:
    """Of what a program sends in, whatever becomes of it: much is known already, or waits."""
    return Limit("correction-sent", 10 * settings.corrections_per_hour, HOUR)


def _limit(settings: Settings) -> Limit:
    return Limit("correction", settings.corrections_per_hour, HOUR)


def _lock(db: Session, organization_id: uuid.UUID) -> None:
    """In an organisation one thing is said at a time, so that two corrections that contradict each other see one
    another, and nobody waits for who waits for them."""
    db.execute(select(Organization.id).where(Organization.id == organization_id).with_for_update(key_share=True))


def _locked(db: Session, place: Place, correction_id: uuid.UUID) -> Correction:
    _lock(db, place.organization.id)
    query = visible(place).where(Correction.id == correction_id).with_for_update(of=Correction)
    found = db.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFoundError
    return found


# What is told of it


def _tell_queued(db: Session, correction: Correction) -> None:
    about = {"question": correction.question, "answer": correction.answer}
    _tell_mine(db, correction, "correction.queued", f"Being learned: {_short(correction.statement)}", **about)


def _tell_mine(db: Session, correction: Correction, name: str, title: str, **details: Any) -> None:
    """Tells its member. Webhooks hear of it, too, so its words are left out unless it was taught."""
    path = f"/corrections/{correction.id}"
    _tell(db, correction, name, title, path, correction.author_id, personal=True, **details)


def _tell(
    db: Session,
    correction: Correction,
    name: str,
    title: str,
    path: str,
    user_id: uuid.UUID | None = None,
    **details: Any,
) -> None:
    about = {"id": str(correction.id), "source": str(correction.source), "state": str(correction.state), **details}
    tell(db, correction.organization_id, name, title, path, user_id, **about)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT_CHARS else line[:SHORT_CHARS].rstrip() + "…"
