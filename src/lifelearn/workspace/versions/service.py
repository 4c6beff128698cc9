"""Versions: which is active, and how another becomes it. Each change of it is an activation, and is recorded."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, cast

import structlog
from fastapi import Request
from sqlalchemy import ColumnElement, CursorResult, func, select, update
from sqlalchemy.orm import Session, joinedload
from sqlalchemy.orm.attributes import set_committed_value

from lifelearn.learning.types import Check
from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings
from lifelearn.workspace.database import Database, as_id, commit, database_of
from lifelearn.workspace.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.paging import paged
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.jobs import ENDED, Job
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Activation, Reason, Version
from lifelearn.workspace.webhooks.service import tell

log = structlog.get_logger("lifelearn.versions")

MOST_NUMBER = 2**31 - 1  # what the databases take


class State(StrEnum):
    """Of a version; derived, never kept."""

    ACTIVE = "active"
    ARCHIVED = "archived"  # it was active once
    CANDIDATE = "candidate"  # it passed, and was never active
    REJECTED = "rejected"


@dataclass(frozen=True)
class Learned:
    """A correction as a version learned it. What was said in the chat around it is not told."""

    id: uuid.UUID | None
    question: str
    wrong: str
    statement: str
    answer: str


@dataclass(frozen=True)
class Summary:
    """A version in a list: without its report's answers."""

    version: Version
    state: State
    checks: tuple[Check, ...]
    corrections: tuple[Learned, ...]

    @property
    def number(self) -> int:
        return self.version.number


class Family:
    """All versions of an organisation by number, each with its parent; 0 is the base, everybody's ancestor."""

    def __init__(self, parents: Mapping[int, int]) -> None:
        self.parents = parents

    def line(self, number: int) -> list[int]:
        """A version and its ancestors up to the base, which is not among them."""
        found: list[int] = []
        while number in self.parents and len(found) <= len(self.parents):
            found.append(number)
            number = self.parents[number]
        return found

    @cached_property
    def numbers(self) -> list[int]:
        return sorted(self.parents)


def version_of(db: Session, organization_id: uuid.UUID, number: int) -> Version:
    """A version by its number, from 1. Raises NotFoundError."""
    found = db.scalar(select(Version).where(Version.organization_id == organization_id, Version.number == number))
    if found is None:
        raise NotFoundError
    return found


def activate(
    db: Session, organization: Organization, number: int, reason: Reason, author_id: uuid.UUID | None = None
) -> Activation | None:
    """Makes a version the active one; 0 is the base. None where it is that already.

    Raises ConflictError where another version was made the active one since `organization` was read.
    """
    previous = organization.active_version
    if number == previous:
        return None
    if number:
        version_of(db, organization.id, number)
    # Past the object, whose revision counts changes of the settings.
    changed = db.execute(
        update(Organization)
        .where(Organization.id == organization.id, Organization.active_version == previous)
        .values(active_version=number)
        .execution_options(synchronize_session=False)
    )
    if not cast(CursorResult[Any], changed).rowcount:
        raise ConflictError("Another version was made the active one a moment ago. Look again, and choose anew.")
    set_committed_value(organization, "active_version", number)
    made = Activation(
        organization_id=organization.id, number=number, previous=previous, reason=reason, author_id=author_id
    )
    db.add(made)
    db.flush()
    name = f"Version {number}" if number else "The base model"
    told: dict[str, Any] = {"number": number, "previous": previous, "reason": str(reason)}
    tell(db, organization.id, "version.activated", f"{name} answers now.", "/versions", **told)
    return made


def choose(
    db: Session, request: Request, place: Place, number: int, confirm_failed: bool = False, seen: int | None = None
) -> Activation:
    """Makes a version the active one because somebody says so: an activation, or a rollback. The caller has checked
    who may. Ends the transaction: files may be far away, and the database is not to wait for them.

    confirm_failed: it is known that the version did not pass. seen: which was active when it was decided.
    """
    organization, settings = place.organization, cast(Settings, request.app.state.settings)
    version = version_of(db, organization.id, number) if number else None
    if seen is not None and seen != organization.active_version:
        raise ConflictError(
            f"{called(organization.active_version)} was made the active one meanwhile. Look again, and choose anew."
        )
    if number == organization.active_version:
        raise ConflictError(f"{called(number)} is the active one already.")
    if version is not None and not version.passed and not confirm_failed:
        told = failure(checks_of(version))
        raise InvalidError(
            f"Version {number} did not pass: {told}. Confirm that it is to answer all the same.",
            {"confirm_failed": f"It failed: {told}."},
        )
    previous = organization.active_version
    commit(db)
    try:
        if version is not None:
            Storage(settings).fetch(version)  # its files are there, and what they were
    except (VersionError, OSError):  # its text names folders of this machine
        log.exception("version not activated", number=number)
        raise UnavailableError(
            f"The files of version {number} are damaged or missing. {called(previous)} still "
            "answers. Tell who runs this server."
        ) from None
    action = "version.rolled_back" if number < previous else "version.activated"
    facts = {"previous": previous, "passed": version is None or version.passed}
    with database_of(request).write() as writing:
        made = activate(writing, organization, number, Reason.CHOSEN, place.user.id)
        assert made is not None
        audit.record(writing, request, organization.id, place.user, action, called(number), **facts)
    return made


# Reading


def called(number: int) -> str:
    """A version's name for people."""
    return f"Version {number}" if number else "The base model"


def family_of(db: Session, organization_id: uuid.UUID) -> Family:
    query = select(Version.number, Version.parent).where(Version.organization_id == organization_id)
    return Family(dict(db.execute(query).all()))


def activated(db: Session, organization_id: uuid.UUID, numbers: Collection[int]) -> set[int]:
    """Which of them were active at some time."""
    query = select(Activation.number).where(
        Activation.organization_id == organization_id, Activation.number.in_(numbers)
    )
    return set(db.scalars(query.distinct()))


def state_of(version: Version, organization: Organization, were_active: Collection[int]) -> State:
    if version.number == organization.active_version:
        return State.ACTIVE
    if not version.passed:
        return State.REJECTED
    return State.ARCHIVED if version.number in were_active else State.CANDIDATE


def summaries(db: Session, organization: Organization, *where: ColumnElement[bool], limit: int = 100) -> list[Summary]:
    """Versions, the latest first."""
    query = (
        select(Version, Version.manifest["corrections"])
        .where(Version.organization_id == organization.id, *where)
        .order_by(Version.number.desc())
        .limit(limit)
        .options(joinedload(Version.author))
    )
    rows: Sequence[Any] = db.execute(query).all()
    were_active = activated(db, organization.id, [row[0].number for row in rows])
    return [
        Summary(version, state_of(version, organization, were_active), checks_of(version), learned_of(corrections))
        for version, corrections in rows
    ]


def summary_of(db: Session, organization: Organization, number: int) -> Summary:
    """Raises NotFoundError."""
    found = summaries(db, organization, Version.number == number, limit=1)
    if not found:
        raise NotFoundError
    return found[0]


def checks_of(version: Version) -> tuple[Check, ...]:
    """A version's checks, without the answers."""
    return tuple(Check.model_validate(each) for each in version.checks)


def learned_of(corrections: Iterable[Mapping[str, Any]]) -> tuple[Learned, ...]:
    """Corrections as a manifest tells them, without the message, which may be from a private chat."""
    return tuple(
        Learned(as_id(each["id"]), each["question"], each["wrong"], each["statement"], each["answer"])
        for each in corrections
    )


def activations(
    db: Session, organization_id: uuid.UUID, before: str = "", limit: int = 50
) -> tuple[list[Activation], str]:
    """The latest first, and the cursor of the next page; "" for the last. Raises InvalidError for no cursor."""
    query = select(Activation).where(Activation.organization_id == organization_id)
    return paged(db, query.options(joinedload(Activation.author)), Activation, before, limit)


def active_since(db: Session, organization: Organization) -> Activation | None:
    """The activation that made the active version so; None for a base that was always active."""
    latest, _ = activations(db, organization.id, limit=1)
    return next(iter(latest), None)


def latest_number(db: Session, organization_id: uuid.UUID) -> int:
    return db.scalar(select(func.max(Version.number)).where(Version.organization_id == organization_id)) or 0


# Words


def share(check: Check) -> str:
    """A check's figure, short: "9/12", or "0.02 nats" for the drift."""
    if check.name == "drift":
        return f"{check.value:.3f} nats"
    return f"{check.numerator:g}/{check.denominator}"


def figure(check: Check) -> str:
    """The same with what is needed: "9 of 12 (80% needed)", or "0.123 nats a token (at most 0.1)"."""
    if check.name == "drift":
        return f"{check.value:.3f} nats a token (at most {check.threshold:g})"
    return f"{check.numerator:g} of {check.denominator} ({check.threshold:.0%} needed)"


def failure(checks: Iterable[Check]) -> str:
    """Which checks failed: "locality 9 of 12 (80% needed)"."""
    failed = [f"{check.name} {figure(check)}" for check in checks if not check.passed]
    return ", ".join(failed) or "no check says why"


def sweep_versions(database: Database, settings: Settings) -> int:
    """Removes folders of versions that are in no row: their job ended between publishing and keeping them. Returns how
    many. Organisations with a job on its way are left for the next time."""
    storage = Storage(settings)
    removed = 0
    for organization_id in storage.organizations():
        found = storage.versions(organization_id)  # before the rows are read: what is added meanwhile is not seen
        with database.read() as db:
            busy = db.scalar(
                select(Job.id).where(Job.organization_id == organization_id, Job.state.not_in(ENDED)).limit(1)
            )
            kept = set(db.scalars(select(Version.id).where(Version.organization_id == organization_id)))
        if busy is None:
            for version_id in found - kept:
                storage.remove(organization_id, version_id)
                removed += 1
    return removed
