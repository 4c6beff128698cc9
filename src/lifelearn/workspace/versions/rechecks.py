"""Asking a version the questions of all learned corrections again, beside everything else, and keeping its verdicts.

What is to be asked is in the database: the verdicts that are missing or older than the asking. So another asking that
goes on with the same moment takes up where a process ended. Questions go one after the other, as chats come first.
Knows no pages.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

import structlog
from fastapi import Request
from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.types import Conversation
from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings
from lifelearn.workspace.admission import Admission, Asker
from lifelearn.workspace.database import Database, after_commit, ago, now
from lifelearn.workspace.errors import ConflictError, TooManyError, UnavailableError
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.organizations import AuditEvent, Organization
from lifelearn.workspace.tables.versions import Verdict
from lifelearn.workspace.texts import cleaned_piece
from lifelearn.workspace.versions.compare import conversation_of
from lifelearn.workspace.versions.folders import answering, weights_of
from lifelearn.workspace.versions.service import called, version_of

log = structlog.get_logger("lifelearn.rechecks")

ASKED_AGAIN = "version.asked_again"  # in the audit log, which so knows when each asking began
RUNNING_MOST = 2  # in one process; one in each organisation
ANSWER_TOKENS = 128  # what is right stands near the start, and an answer is the start of a longer one
QUESTION_SECONDS = 120.0
LEFT_SECONDS = 150  # an asking in which nothing happened for so long goes on nowhere


@dataclass(frozen=True)
class Progress:
    """Of the latest asking of a version. since: when it began; None if there was none."""

    since: datetime | None = None
    done: int = 0
    total: int = 0
    running: bool = False
    problem: str = ""

    @property
    def state(self) -> Literal["never", "running", "stopped", "done"]:
        if self.since is None:
            return "never"
        if self.done >= self.total:
            return "done"
        return "running" if self.running else "stopped"


@dataclass(frozen=True)
class _Asked:
    correction_id: uuid.UUID
    right: str
    conversation: Conversation
    sampling: Sampling
    weights: Path | None


class Rechecks:
    """The askings of this process. `begin` may be called from any thread, and is meant for `after_commit`."""

    def __init__(self, database: Database, admission: Admission, settings: Settings) -> None:
        self._database, self._admission, self._settings = database, admission, settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[uuid.UUID, tuple[int, asyncio.Task[None]]] = {}
        self._problems: dict[tuple[uuid.UUID, int], str] = {}
        self._closing = False

    async def start(self) -> None:
        """Called once, on the event loop."""
        self._loop = asyncio.get_running_loop()

    def running(self, organization_id: uuid.UUID) -> int | None:
        """Which version is being asked by this process."""
        found = self._running.get(organization_id)
        return None if found is None else found[0]

    def problem(self, organization_id: uuid.UUID, number: int) -> str:
        """Why the latest asking ended early; "" if it did not, or not here."""
        return self._problems.get((organization_id, number), "")

    def check_room(self) -> None:
        if self._closing or len(self._running) >= RUNNING_MOST:
            raise UnavailableError("Other versions are being asked at the moment. Try again in a few minutes.")

    def begin(self, organization_id: uuid.UUID, number: int, since: datetime) -> None:
        assert self._loop is not None, "start() comes first"
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin, organization_id, number, since)

    async def close(self) -> None:
        """Ends all askings. What was answered is kept; they can go on later."""
        self._closing = True
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, organization_id: uuid.UUID, number: int, since: datetime) -> None:
        if self._closing or organization_id in self._running or len(self._running) >= RUNNING_MOST:
            return  # it shows as stopped, and can go on
        self._problems.pop((organization_id, number), None)
        task = asyncio.create_task(self._run(organization_id, number, since))
        self._running[organization_id] = (number, task)
        task.add_done_callback(lambda _: self._running.pop(organization_id, None))

    async def _run(self, organization_id: uuid.UUID, number: int, since: datetime) -> None:
        try:
            while (asked := await asyncio.to_thread(self._next, organization_id, number, since)) is not None:
                async with asyncio.timeout(QUESTION_SECONDS):
                    text = await self._answer(asked, Asker(organization_id))
                await asyncio.to_thread(self._keep, organization_id, number, since, asked, text)
        except (ChatModelError, TooManyError) as error:
            self._problems[organization_id, number] = str(error)
        except TimeoutError:
            self._problems[organization_id, number] = "The model took too long for an answer."
        except VersionError:  # its text names folders of this machine
            log.exception("recheck")
            self._problems[organization_id, number] = "The version's files are damaged or missing."
        except Exception:  # the database, most likely
            log.exception("recheck")
            self._problems[organization_id, number] = "Something went wrong on our side."

    async def _answer(self, asked: _Asked, asker: Asker) -> str:
        stream = self._admission.stream(asker, asked.conversation, asked.sampling, asked.weights)
        async with aclosing(stream) as pieces:
            return cleaned_piece("".join([piece async for piece in pieces])).strip()

    # In a thread, with the database

    def _next(self, organization_id: uuid.UUID, number: int, since: datetime) -> _Asked | None:
        with self._database.read() as db:
            organization = db.get(Organization, organization_id)
            if organization is None:
                return None
            correction = db.scalar(
                select(Correction)
                .where(*_wanted(organization_id, since), ~_answered(number, since))
                .order_by(Correction.created_at, Correction.id)
                .limit(1)
            )
            if correction is None:
                return None
            version = answering(db, organization, number)
        return _Asked(
            correction.id,
            correction.answer,
            conversation_of(organization, correction.question),
            Sampling(min(organization.max_tokens, ANSWER_TOKENS)),
            weights_of(self._settings, version),
        )

    def _keep(self, organization_id: uuid.UUID, number: int, since: datetime, asked: _Asked, text: str) -> None:
        with self._database.write() as db:
            if db.get(Correction, asked.correction_id) is None:  # deleted meanwhile
                return
            key = {"organization_id": organization_id, "number": number, "correction_id": asked.correction_id}
            # Not before it began, whatever the clock does: else it would be asked for ever.
            values = {"holds": stated(asked.right, text), "answer": text, "asked_at": max(now(), since)}
            db.merge(Verdict(**key, **values))


def rechecks_of(request: Request) -> Rechecks:
    rechecks: Rechecks = request.app.state.rechecks
    return rechecks


def ask_again(db: Session, request: Request, place: Place, number: int, resume: bool = False) -> None:
    """Has a version asked all learned corrections. resume: goes on with the latest asking. The caller has checked who
    may. Raises ConflictError while one is on its way."""
    organization_id, rechecks = place.organization.id, rechecks_of(request)
    if number:
        version_of(db, organization_id, number)
    busy = rechecks.running(organization_id)
    at = progress(db, request, organization_id, number)
    if busy is not None or at.state == "running":
        raise ConflictError(
            f"{called(number if busy is None else busy)} is being asked already. Wait until it is done."
        )
    rechecks.check_room()
    if db.scalar(select(func.count()).select_from(Correction).where(*_wanted(organization_id, now()))) == 0:
        raise ConflictError("Nothing was learned yet, so that there is nothing to ask.")
    since = at.since if resume and at.state == "stopped" else None
    if since is None:
        audit.record(db, request, organization_id, place.user, ASKED_AGAIN, called(number))
        db.flush()
        since = _began(db, organization_id, number)
        assert since is not None
    after_commit(db, partial(rechecks.begin, organization_id, number, since))


def progress(db: Session, request: Request, organization_id: uuid.UUID, number: int) -> Progress:
    """How far the latest asking of a version is, whichever process does it."""
    since = _began(db, organization_id, number)
    if since is None:
        return Progress()
    rechecks, wanted = rechecks_of(request), _wanted(organization_id, since)
    total = db.scalar(select(func.count()).select_from(Correction).where(*wanted)) or 0
    done = db.scalar(select(func.count()).select_from(Correction).where(*wanted, _answered(number, since))) or 0
    latest = db.scalar(
        select(func.max(Verdict.asked_at)).where(Verdict.organization_id == organization_id, Verdict.number == number)
    )
    problem = rechecks.problem(organization_id, number)
    recent = max(since, latest or since) > ago(seconds=LEFT_SECONDS) and not problem
    return Progress(since, done, total, rechecks.running(organization_id) == number or recent, problem)


def _wanted(organization_id: uuid.UUID, since: datetime) -> list[ColumnElement[bool]]:
    """What an asking asks: what was learned when it began."""
    return [
        Correction.organization_id == organization_id,
        Correction.state == CorrectionState.LEARNED,
        or_(Correction.settled_at.is_(None), Correction.settled_at <= since),
    ]


def _answered(number: int, since: datetime) -> ColumnElement[bool]:
    return exists().where(
        and_(
            Verdict.organization_id == Correction.organization_id,
            Verdict.correction_id == Correction.id,
            Verdict.number == number,
            Verdict.asked_at >= since,
        )
    )


def _began(db: Session, organization_id: uuid.UUID, number: int) -> datetime | None:
    query = select(AuditEvent.created_at).where(
        AuditEvent.organization_id == organization_id,
        AuditEvent.action == ASKED_AGAIN,
        AuditEvent.target == called(number),
    )
    return db.scalar(query.order_by(AuditEvent.created_at.desc()).limit(1))
