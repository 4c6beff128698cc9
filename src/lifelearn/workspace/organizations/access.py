"""What a visitor may see of an organisation's chats and corrections: who reads some begins with one of these queries.

A private thread is its owner's alone: an organisation's owner and admins do not see it either. Before a correction is
taught it is its member's, and an admin's too once it waits for review; taught, it is the organisation's.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, or_, select

from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.chats import Thread
from lifelearn.workspace.tables.corrections import TAUGHT, Correction, State


def threads_seen_by(place: Place) -> Select[Thread]:
    mine = or_(Thread.shared, Thread.owner_id == place.user.id)
    return select(Thread).where(Thread.organization_id == place.organization.id, mine)


def corrections_seen_by(place: Place) -> Select[Correction]:
    seen = [Correction.author_id == place.user.id, taught()]
    if place.may_admin:
        withdrawn = and_(Correction.state == State.WITHDRAWN, Correction.job_id.is_not(None))
        seen += [Correction.state.in_((State.REVIEW, State.REJECTED)), withdrawn]
    return select(Correction).where(Correction.organization_id == place.organization.id, or_(*seen))


def taught() -> ColumnElement[bool]:
    """What is the organisation's: all its members may see it."""
    return or_(
        Correction.state.in_((*TAUGHT, State.LEARNED, State.FAILED)),
        and_(Correction.state == State.WITHDRAWN, Correction.version.is_not(None)),
    )
