"""Who may say what to a correction, as it is now."""

from __future__ import annotations

from lifelearn.workspace.errors import ConflictError, ForbiddenError
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.corrections import OPEN, TAUGHT, Correction, State

# What may be said to a correction in which state; who may is in `may`.
POSSIBLE = {
    "teach": frozenset((State.ASKED, State.REVIEW, State.FAILED, State.REJECTED, State.DISMISSED, State.WITHDRAWN)),
    "dismiss": frozenset(OPEN),
    "reject": frozenset((State.REVIEW,)),
    "cancel": frozenset(TAUGHT),
    "forget": frozenset((State.LEARNED,)),
}


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


def need(place: Place, correction: Correction, verb: str) -> None:
    if verb in may(place, correction):
        return
    if correction.state not in POSSIBLE[verb]:
        raise ConflictError("This correction is further than that by now. Load the page again and look.")
    if place.may_admin and not place.decides:
        raise ForbiddenError("This key lacks the scope admin, which that takes. Make one that has it.")
    if verb == "teach" and place.may_admin and place.user.id in correction.writers:
        raise ForbiddenError("Nobody approves their own correction, nor own words in another's. Another admin has to.")
    raise ForbiddenError("Only its author or an admin may do that.")
