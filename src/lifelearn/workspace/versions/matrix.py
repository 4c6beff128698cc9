"""The retention matrix: corrections × versions, each cell with what it means. Read from verdicts; knows no pages.

A cell is judged by descent: a version should hold what it, or a version that it comes from, has learned.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from lifelearn.workspace.errors import NotFoundError
from lifelearn.workspace.organizations.access import taught
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Verdict, Version
from lifelearn.workspace.versions.lines import learned as learned_by
from lifelearn.workspace.versions.service import Family, State, activated, called, family_of, state_of

COLUMNS, ROWS = 30, 100  # of one page


class Kind(StrEnum):
    """What a cell says. OTHER: it answers otherwise, and never learned it. LATER, APART: nothing was asked, as the
    version is older than the correction, or of another line."""

    HELD = "held"
    LOST = "lost"
    OTHER = "other"
    UNASKED = "unasked"
    LATER = "later"
    APART = "apart"


SYMBOLS = {Kind.HELD: "✓", Kind.LOST: "✗", Kind.OTHER: "○", Kind.UNASKED: "·", Kind.LATER: "·", Kind.APART: "·"}
WORDS = {
    Kind.HELD: "holds",
    Kind.LOST: "lost",
    Kind.OTHER: "never learned",
    Kind.UNASKED: "not asked yet",
    Kind.LATER: "learned later",
    Kind.APART: "another line",
}


@dataclass(frozen=True)
class Column:
    number: int
    state: State | None  # None: the base, and it is not active

    @property
    def name(self) -> str:
        return called(self.number)


@dataclass(frozen=True)
class Cell:
    """kind: see there. why: a sentence. verdict: None where nothing was asked."""

    column: Column
    kind: Kind
    why: str
    verdict: Verdict | None

    @property
    def symbol(self) -> str:
        return SYMBOLS[self.kind]

    @property
    def words(self) -> str:
        return WORDS[self.kind]


@dataclass(frozen=True)
class Line:
    """A row: a correction, and its cell for each column."""

    correction: Correction
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Matrix:
    """A part of the whole. page: of the corrections, 1 has the latest."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    page: int
    pages: int
    total: int
    earlier: int | None  # `until` of the versions before these
    later: int | None

    def count(self, column: Column) -> tuple[int, int]:
        """Of what a version should hold and was asked on this page, how much it holds."""
        at = self.columns.index(column)
        kinds = [line.cells[at].kind for line in self.lines]
        held = kinds.count(Kind.HELD)
        return held, held + kinds.count(Kind.LOST)


def matrix(db: Session, organization: Organization, page: int = 1, until: int | None = None) -> Matrix:
    """The last `COLUMNS` versions up to `until`, and a page of corrections, oldest first on each page."""
    family = family_of(db, organization.id)
    columns, earlier, later = _columns(db, organization, family, until)
    shown = _shown(organization.id)
    total = db.scalar(select(func.count()).select_from(Correction).where(*shown)) or 0
    pages = max(1, -(-total // ROWS))
    if page > pages:
        raise NotFoundError
    query = select(Correction).where(*shown).order_by(Correction.created_at.desc(), Correction.id.desc())
    corrections = list(db.scalars(query.offset((page - 1) * ROWS).limit(ROWS)))[::-1]
    return Matrix(columns, _lines(db, organization, family, columns, corrections), page, pages, total, earlier, later)


def line_of(
    db: Session, organization: Organization, correction_id: uuid.UUID, until: int | None = None
) -> tuple[Line, int | None, int | None]:
    """One correction and what each version says to it; and `until` of the versions before and after. Raises
    NotFoundError where it is none of the matrix's."""
    family = family_of(db, organization.id)
    correction = db.scalar(select(Correction).where(*_shown(organization.id), Correction.id == correction_id))
    if correction is None:
        raise NotFoundError
    columns, earlier, later = _columns(db, organization, family, until)
    (line,) = _lines(db, organization, family, columns, [correction])
    return line, earlier, later


def with_rows(db: Session, organization_id: uuid.UUID, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the corrections that have a row."""
    return set(db.scalars(select(Correction.id).where(*_shown(organization_id), Correction.id.in_(ids))))


def _shown(organization_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    """What has a row: of what everybody may see, what was learned, and what a version was asked about."""
    asked = exists().where(and_(Verdict.organization_id == organization_id, Verdict.correction_id == Correction.id))
    return (
        Correction.organization_id == organization_id,
        taught(),
        or_(Correction.state == CorrectionState.LEARNED, asked),
    )


def _columns(
    db: Session, organization: Organization, family: Family, until: int | None
) -> tuple[tuple[Column, ...], int | None, int | None]:
    """Versions in order, the base before the first."""
    numbers = [0, *family.numbers]
    known = [number for number in numbers if until is None or number <= until]
    shown = known[-COLUMNS:]
    after = numbers[len(known) :]
    found = {
        version.number: version
        for version in db.scalars(
            select(Version).where(Version.organization_id == organization.id, Version.number.in_(shown))
        )
    }
    were_active = activated(db, organization.id, shown)
    columns = []
    for number in shown:
        state = State.ACTIVE if number == organization.active_version else None
        columns.append(Column(number, state_of(found[number], organization, were_active) if number else state))
    earlier = known[-COLUMNS - 1] if len(known) > COLUMNS else None
    return tuple(columns), earlier, after[min(COLUMNS, len(after)) - 1] if after else None


def _lines(
    db: Session,
    organization: Organization,
    family: Family,
    columns: Sequence[Column],
    corrections: Sequence[Correction],
) -> tuple[Line, ...]:
    numbers = [column.number for column in columns]
    ids = [correction.id for correction in corrections]
    verdicts = {
        (verdict.number, verdict.correction_id): verdict
        for verdict in db.scalars(
            select(Verdict).where(
                Verdict.organization_id == organization.id,
                Verdict.number.in_(numbers),
                Verdict.correction_id.in_(ids),
            )
        )
    }
    learned: dict[uuid.UUID, set[int]] = {}  # by correction, the versions that learned it
    for number, its_corrections in learned_by(db, organization.id).items():
        for correction_id in its_corrections:
            learned.setdefault(correction_id, set()).add(number)
    lines = {column.number: set(family.line(column.number)) for column in columns}
    return tuple(
        Line(
            correction,
            tuple(
                _cell(
                    column,
                    lines[column.number],
                    learned.get(correction.id, set()),
                    verdicts.get((column.number, correction.id)),
                )
                for column in columns
            ),
        )
        for correction in corrections
    )


def _cell(column: Column, line: set[int], learned: set[int], verdict: Verdict | None) -> Cell:
    name, from_it = column.name, line & learned
    if verdict is not None and from_it:
        where = f"It learned it in version {min(from_it)}"
        if verdict.holds:
            return Cell(column, Kind.HELD, f"{where}, and holds it.", verdict)
        return Cell(column, Kind.LOST, f"{where}, and does not give the right answer.", verdict)
    if verdict is not None:
        if verdict.holds:
            return Cell(
                column, Kind.HELD, f"{name} never learned it, and gives the right answer all the same.", verdict
            )
        return Cell(column, Kind.OTHER, f"{name} never learned it, and answers otherwise.", verdict)
    if from_it:
        told = f"Not asked yet: verification of {name.lower()} did not ask it. “Ask again” does."
        return Cell(column, Kind.UNASKED, told, None)
    if learned and column.number < min(learned):
        return Cell(column, Kind.LATER, f"Learned later, in version {min(learned)}.", None)
    if learned:
        told = f"{name} is of another line: it does not come from version {min(learned)}, which learned it."
        return Cell(column, Kind.APART, told, None)
    return Cell(column, Kind.APART, f"{name} did not learn it.", None)
