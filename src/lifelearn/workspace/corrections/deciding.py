"""What is said to a correction: that it is taught, or not; that it is forgotten, or kept. Pages and programs use it."""

from __future__ import annotations

import uuid

from fastapi import Request
from sqlalchemy.orm import Session

from lifelearn.learning.words import normalise
from lifelearn.workspace.corrections import flags
from lifelearn.workspace.corrections.course import (
    cancel_job,
    forgetting_job,
    hourly_limit,
    lock,
    locked,
    settle,
    to_review,
)
from lifelearn.workspace.corrections.finding import correction_of
from lifelearn.workspace.corrections.permits import approved, need
from lifelearn.workspace.corrections.standing import rival
from lifelearn.workspace.corrections.telling import short, tell_mine, tell_queued
from lifelearn.workspace.corrections.words import Word, flagged, reworded
from lifelearn.workspace.errors import ConflictError, InvalidError
from lifelearn.workspace.jobs import service as jobs
from lifelearn.workspace.jobs.queue import queue_of
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.quotas import check_correction
from lifelearn.workspace.tables.chats import Message
from lifelearn.workspace.tables.corrections import OPEN, Correction, Policy, Source, State
from lifelearn.workspace.texts import cleaned
from lifelearn.workspace.threads import marks

REASON_CHARS = 1_000


def teach(db: Session, request: Request, place: Place, correction_id: uuid.UUID, word: Word) -> Correction:
    """Has it learned: for the first time, after a failure, or after all. By its member, or by an admin.

    Where admins review, a member's word hands it to them, but for another try of what one of them approved; and so does
    an admin's word about their own, where there is another admin. Raises InvalidError, with fields: `replace` where an
    older correction speaks against it, `anyway` where something in it is flagged, `own` where an admin who is the only
    one approves their own, `question`, `statement`, `answer`.
    """
    correction = locked(db, place, correction_id)
    need(place, correction, "teach")
    before = State(correction.state)
    if before not in OPEN:
        check_correction(db, request.app.state.settings, place.organization.id, correction.author_id)
    changed = reworded(correction, word)
    if changed:
        correction.worded_by = place.user.id
    correction.flags = flagged(correction)
    found = rival(db, correction)
    correction.conflicts_with = found.id if found else None
    again = before == State.FAILED and not changed
    reviews = place.organization.correction_policy == Policy.REVIEW or before == State.REVIEW
    reviewed = reviews and not place.may_approve(*correction.writers)
    own = correction.author_id == place.user.id
    if reviewed and not (again and approved(correction)):
        to_review(db, correction)
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
        hourly_limit(request.app.state.settings).count(db, str(place.user.id))
    if not reviewed:  # else it stays approved by who did
        correction.decided_by = place.user.id
    correction.reason = ""
    jobs.teach(db, queue_of(request), correction, place.user.id)
    action = "correction.approved" if before in (State.REVIEW, State.REJECTED) else "correction.taught"
    told = {"replaces": str(found.id)} if found else {}
    audit.record(db, request, place.organization.id, place.user, action, str(correction.id), **told)
    tell_queued(db, correction)
    return correction


def dismiss(db: Session, request: Request, place: Place, correction_id: uuid.UUID) -> Correction:
    """Its member says that it is none."""
    correction = locked(db, place, correction_id)
    need(place, correction, "dismiss")
    reviewed = correction.state == State.REVIEW
    settle(correction, State.DISMISSED, place.user.id)
    if correction.source == Source.EXPLICIT and correction.answer_id is not None:
        answer = db.get(Message, correction.answer_id)
        if answer is not None and normalise(answer.right_answer) == normalise(correction.message):
            marks.withdraw(answer)
    audit.record(db, request, place.organization.id, place.user, "correction.dismissed", str(correction.id))
    if reviewed:  # of which others had heard
        tell_mine(db, correction, "correction.withdrawn", "A correction was taken back from review.")
    return correction


def reject(db: Session, request: Request, place: Place, correction_id: uuid.UUID, reason: str) -> Correction:
    """An admin says no, and why."""
    reason = cleaned(reason)
    if not reason:
        raise InvalidError("Say why, so that its author knows.", {"reason": "Say why, so that its author knows."})
    if len(reason) > REASON_CHARS:
        raise InvalidError("The reason is too long.", {"reason": f"At most {REASON_CHARS} characters."})
    correction = locked(db, place, correction_id)
    need(place, correction, "reject")
    settle(correction, State.REJECTED, place.user.id, reason)
    audit.record(db, request, place.organization.id, place.user, "correction.rejected", str(correction.id))
    tell_mine(db, correction, "correction.rejected", f"Your correction was not approved: {short(reason)}")
    return correction


def cancel(db: Session, request: Request, place: Place, correction_id: uuid.UUID) -> Correction:
    """Ends its learning, at once or within a second or so."""
    lock(db, place.organization.id)
    correction = correction_of(db, place, correction_id)
    need(place, correction, "cancel")
    if not cancel_job(db, place, correction):
        raise ConflictError("It is being learned together with others' corrections. An admin can cancel them all.")
    audit.record(db, request, place.organization.id, place.user, "correction.cancelled", str(correction.id))
    return correction


def forget(db: Session, request: Request, place: Place, correction_id: uuid.UUID) -> Correction:
    """Has what was learned forgotten."""
    lock(db, place.organization.id)
    correction = correction_of(db, place, correction_id)
    need(place, correction, "forget")
    if forgetting_job(db, correction) is not None:
        raise ConflictError("It is being forgotten already.")
    jobs.forget(db, queue_of(request), correction, place.user.id)
    audit.record(db, request, place.organization.id, place.user, "correction.forgotten", str(correction.id))
    return correction


def keep(db: Session, request: Request, place: Place, correction_id: uuid.UUID) -> Correction:
    """Ends its forgetting, at once or within a second or so. The caller has checked who may."""
    lock(db, place.organization.id)
    correction = correction_of(db, place, correction_id)
    job = forgetting_job(db, correction)
    if job is None:
        raise ConflictError("It is not being forgotten, or is forgotten by now. Load the page again and look.")
    jobs.cancel(db, job)
    audit.record(db, request, place.organization.id, place.user, "correction.kept", str(correction.id))
    return correction
