"""The timeline: versions and activations, newest first, and at its side the line of descent.

The line is drawn as in a graph of commits: a lane for each line of versions, a dot for each version, and a bend where
a version came from an older one than the last. Coordinates are for templates; it knows no pages.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, not_, select
from sqlalchemy.orm import Session, joinedload

from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.paging import cursor, older, read_cursor
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Activation, Reason, Version
from lifelearn.workspace.versions import service
from lifelearn.workspace.versions.service import Family, Summary, called

PAGE = 30
GONE = "That page of the timeline does not exist. Start at the newest."
LANE, FIRST, DOT = 16, 12, 24  # between two lanes; from the edge to the first; from the top of a row to its dot
MOST_LANES = 8  # more are drawn one upon the other
VERSION, CHANGE = 1, 2  # of two at the same moment, the version was made before it was activated


@dataclass(frozen=True)
class Line:
    """A part of the line of descent. strong: it leads to the active version."""

    path: str
    strong: bool


@dataclass(frozen=True)
class Rail:
    """What is drawn beside an entry. through: lanes that go from top to bottom; below, above: from the dot."""

    width: int
    dot: int | None = None
    through: tuple[tuple[int, bool], ...] = ()
    above: tuple[tuple[int, bool], ...] = ()
    below: tuple[tuple[int, bool], ...] = ()
    bends: tuple[Line, ...] = ()


@dataclass
class Entry:
    """A version, the base (neither), or a change of the active version."""

    moment: datetime | None
    summary: Summary | None = None
    activation: Activation | None = None
    rail: Rail = field(default_factory=lambda: Rail(2 * FIRST))

    @property
    def is_base(self) -> bool:
        return self.summary is None and self.activation is None

    @property
    def is_rollback(self) -> bool:
        change = self.activation
        return change is not None and change.reason == Reason.CHOSEN and change.number < change.previous

    @property
    def title(self) -> str:
        """What happened, in a sentence; of an activation."""
        change = self.activation
        assert change is not None
        if change.reason == Reason.LEARNED:
            return f"{called(change.number)} was learned and answers now"
        if change.reason == Reason.FORGOTTEN:
            return f"{called(change.number)} answers now, without what was forgotten"
        who = change.author.name if change.author else "A former member"
        name = f"version {change.number}" if change.number else "the base model"
        return f"{who} rolled back to {name}" if self.is_rollback else f"{who} activated {name}"


def page(
    db: Session, organization: Organization, family: Family, before: str = "", most: int = PAGE
) -> tuple[list[Entry], str]:
    """Entries, newest first, and the cursor of the next page; "" for the last, which ends with the base."""
    at = _read(before) if before else None
    versions_before = [] if at is None else [_older(Version, VERSION, at)]
    query = select(Version.number).where(Version.organization_id == organization.id, *versions_before)
    query = query.order_by(Version.created_at.desc(), Version.id.desc()).limit(most + 1)
    numbers = list(db.scalars(query))
    versions = service.summaries(db, organization, Version.number.in_(numbers), limit=most + 1)
    changes_before = [] if at is None else [_older(Activation, CHANGE, at)]
    changes = db.scalars(
        select(Activation)
        .where(Activation.organization_id == organization.id, *changes_before)
        .order_by(Activation.created_at.desc(), Activation.id.desc())
        .limit(most + 1)
        .options(joinedload(Activation.author))
    )
    keyed = [
        ((each.version.created_at, VERSION, each.version.id), Entry(each.version.created_at, each)) for each in versions
    ]
    keyed += [((each.created_at, CHANGE, each.id), Entry(each.created_at, activation=each)) for each in changes]
    keyed.sort(key=lambda pair: pair[0], reverse=True)
    shown = keyed[:most]
    entries = [entry for _, entry in shown]
    following = _cursor(shown[-1][0]) if len(keyed) > most else ""
    if not following:
        entries.append(Entry(None))
    above: Sequence[int] = ()
    if at is not None:
        newer = select(Version.number).where(
            Version.organization_id == organization.id, not_(_older(Version, VERSION, at))
        )
        above = db.scalars(newer.order_by(Version.created_at.desc(), Version.id.desc())).all()
    draw(entries, family, organization.active_version, above)
    return entries, following


def draw(entries: Iterable[Entry], family: Family, active: int, above: Iterable[int] = ()) -> None:
    """Gives each entry its part of the line of descent. above: the versions of the pages before, latest first."""
    strong = {*family.line(active), 0}
    lanes: list[int | None] = []  # of each, the version that it leads down to
    tops: dict[int, int] = {}  # of each lane, the version that it comes from: the line is strong if both ends are
    for number in above:
        _place(lanes, tops, number, family)
    for entry in entries:
        if entry.activation is not None:
            entry.rail = Rail(_width(lanes), through=_open(lanes, tops, strong))
            continue
        number = entry.summary.number if entry.summary else 0
        before, sources = list(lanes), dict(tops)
        waited = [lane for lane, awaited in enumerate(before) if awaited == number]
        lane = _place(lanes, tops, number, family)
        entry.rail = Rail(
            width=max(_width(before), _width(lanes), _x(lane) + FIRST),
            dot=_x(lane),
            through=tuple(
                (_x(each), sources[each] in strong and awaited in strong)
                for each, awaited in enumerate(before)
                if awaited is not None and awaited != number
            ),
            above=tuple((_x(each), sources[each] in strong and number in strong) for each in waited if each == lane),
            below=((_x(lane), number in strong),) if number else (),
            bends=tuple(
                Line(_bend(_x(each), _x(lane)), sources[each] in strong and number in strong)
                for each in waited
                if each != lane
            ),
        )


def _place(lanes: list[int | None], tops: dict[int, int], number: int, family: Family) -> int:
    """Puts a version into the first lane that leads to it, or into a free one; from there it leads to the parent."""
    waited = [lane for lane, awaited in enumerate(lanes) if awaited == number]
    for lane in waited:
        lanes[lane] = None
    if waited:
        lane = waited[0]
    elif None in lanes:
        lane = lanes.index(None)
    else:
        lanes.append(None)
        lane = len(lanes) - 1
    lanes[lane] = family.parents.get(number, 0) if number else None
    tops[lane] = number
    while lanes and lanes[-1] is None:
        lanes.pop()
    return lane


def _open(lanes: list[int | None], tops: dict[int, int], strong: set[int]) -> tuple[tuple[int, bool], ...]:
    return tuple(
        (_x(lane), tops[lane] in strong and awaited in strong)
        for lane, awaited in enumerate(lanes)
        if awaited is not None
    )


def _x(lane: int) -> int:
    return FIRST + LANE * min(lane, MOST_LANES - 1)


def _width(lanes: list[int | None]) -> int:
    return _x(max(len(lanes) - 1, 0)) + FIRST


def _bend(start: int, end: int) -> str:
    return f"M {start} 0 C {start} {DOT * 2 // 3}, {end} {DOT // 3}, {end} {DOT}"


# Cursors: as of any list, and before it which kind of row


def _older(
    table: type[Version] | type[Activation], kind: int, at: tuple[int, datetime, uuid.UUID]
) -> ColumnElement[bool]:
    at_kind, moment, row_id = at
    if kind < at_kind:
        return table.created_at <= moment
    if kind > at_kind:
        return table.created_at < moment
    return older(table.created_at, table.id, moment, row_id)


def _cursor(key: tuple[datetime, int, uuid.UUID]) -> str:
    moment, kind, row_id = key
    return f"{kind}-{cursor(moment, row_id)}"


def _read(before: str) -> tuple[int, datetime, uuid.UUID]:
    kind, _, rest = before.partition("-")
    if kind not in (str(VERSION), str(CHANGE)):
        raise InvalidError(GONE)
    return int(kind), *read_cursor(rest, GONE)
