"""Which corrections a version holds: those that it, or a version that it comes from, has learned.

The manifests say so, and this is the one place that asks them. A correction's own `version` is the last that learned
it, which after a rollback may be of another line.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.workspace.database import as_id
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions.service import family_of

CACHED = 20_000  # versions whose corrections are remembered; they never change

_known: OrderedDict[uuid.UUID, tuple[uuid.UUID, ...]] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True)
class Without:
    """How a line of versions comes to be without a correction. base: the version to start from. again: what is learned
    on top of it, oldest first: a version, and those of its corrections that stay."""

    base: int
    again: dict[int, list[Correction]]


def held(db: Session, organization_id: uuid.UUID, number: int) -> set[uuid.UUID]:
    """The corrections that a version holds; those that were forgotten are among them, where it is older than that."""
    known = learned(db, organization_id)
    return {each for version in family_of(db, organization_id).line(number) for each in known[version]}


def without(db: Session, organization_id: uuid.UUID, number: int, correction_id: uuid.UUID) -> Without | None:
    """What a version would be without a correction; None where it does not hold it."""
    family, known = family_of(db, organization_id), learned(db, organization_id)
    line = family.line(number)[::-1]
    # The first that learned it: it may have been learned, forgotten, and after a rollback learned again.
    at = next((index for index, version in enumerate(line) if correction_id in known[version]), None)
    if at is None:
        return None
    last = {each: version for version in line[at:] for each in known[version] if each != correction_id}
    stay = (
        select(Correction)
        .where(Correction.organization_id == organization_id, Correction.state == State.LEARNED)
        .where(Correction.id.in_(last))
        .order_by(Correction.created_at, Correction.id)
    )
    again: dict[int, list[Correction]] = {}
    for correction in sorted(db.scalars(stay), key=lambda each: last[each.id]):
        again.setdefault(last[correction.id], []).append(correction)
    return Without(family.parents[line[at]], again)


def learned(db: Session, organization_id: uuid.UUID) -> Mapping[int, tuple[uuid.UUID, ...]]:
    """Which corrections each version of an organisation learned itself."""
    rows = db.execute(select(Version.id, Version.number).where(Version.organization_id == organization_id)).all()
    with _lock:
        found = {version_id: _known[version_id] for version_id, _ in rows if version_id in _known}
    missing = [version_id for version_id, _ in rows if version_id not in found]
    for start in range(0, len(missing), 500):
        some = missing[start : start + 500]
        parts = select(Version.id, Version.manifest["corrections"]).where(Version.id.in_(some))
        found |= {version_id: _ids(corrections) for version_id, corrections in db.execute(parts)}
    with _lock:
        for version_id in missing:
            _known[version_id] = found[version_id]
        while len(_known) > CACHED:
            _known.popitem(last=False)
    return {number: found[version_id] for version_id, number in rows}


def _ids(corrections: Iterable[Mapping[str, str]]) -> tuple[uuid.UUID, ...]:
    ids = (as_id(each["id"]) for each in corrections)
    return tuple(each for each in ids if each is not None)
