"""How far corrections are on their way into the weights: looked up for all readers of this process at once.

A reader gets the whole state, so that it may come late, leave, and come back. Knows no pages.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi import Request
from sqlalchemy import and_, func, select, tuple_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from lifelearn.workspace.database import Database
from lifelearn.workspace.tables import jobs
from lifelearn.workspace.tables.corrections import TAUGHT, Correction, State
from lifelearn.workspace.tables.jobs import ENDED, Job, Kind

log = structlog.get_logger("lifelearn.progress")

POLL_SECONDS = 0.5
POLLED = 500  # in one query
LOSSES = 200  # points of a curve


@dataclass(frozen=True)
class Progress:
    """How far a correction is. before: jobs of the organisation that come first. forgets: its job takes it out again.

    step, steps: of the stage. losses: of the training so far. together: corrections that the job learns.
    """

    state: str
    job_state: str = ""
    forgets: bool = False
    cancelling: bool = False
    before: int = 0
    stage: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    losses: tuple[float, ...] = field(default=())
    message: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it changes by itself."""
        return self.state in TAUGHT or self.forgets

    @property
    def runs(self) -> bool:
        return self.job_state == jobs.State.RUNNING


def look(db: Session, correction_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Progress]:
    """How far each is; what is gone is left out."""
    wanted = list(correction_ids)
    learning, forgetting, other = Job, aliased(Job), aliased(Job)
    unended = [each.value for each in jobs.State if each not in ENDED]
    its = tuple_(*(func.coalesce(getattr(forgetting, name), getattr(learning, name)) for name in ("created_at", "id")))
    before = (
        select(func.count())
        .select_from(other)
        .where(other.organization_id == Correction.organization_id, other.state.in_(unended))
        .where(tuple_(other.created_at, other.id) < its)
        .correlate(Correction, learning, forgetting)
        .scalar_subquery()
    )
    query = (
        select(Correction.id, Correction.state, learning, forgetting, before)
        .outerjoin(learning, and_(learning.id == Correction.job_id, Correction.state.in_(TAUGHT)))
        .outerjoin(
            forgetting,
            and_(
                forgetting.organization_id == Correction.organization_id,
                forgetting.correction_id == Correction.id,
                forgetting.kind == Kind.FORGET,
                forgetting.state.in_(unended),
                Correction.state == State.LEARNED,
            ),
        )
    )
    found: dict[uuid.UUID, Progress] = {}
    for start in range(0, len(wanted), POLLED):
        some = query.where(Correction.id.in_(wanted[start : start + POLLED])).execution_options(populate_existing=True)
        for correction_id, state, learns, forgets, count in db.execute(some):
            found[correction_id] = _progress(state, forgets or learns, forgets is not None, count or 0)
    return found


def _progress(state: str, job: Job | None, forgets: bool, before: int) -> Progress:
    if job is None:
        return Progress(state)
    told: Mapping[str, Any] = job.progress or {}
    return Progress(
        state=state,
        job_state=job.state,
        forgets=forgets,
        cancelling=job.cancel_requested_at is not None,
        before=before,
        stage=job.stage,
        step=int(told.get("step") or 0),
        steps=int(told.get("steps") or 0),
        loss=told.get("loss"),
        losses=tuple(float(each) for each in (told.get("losses") or ())[-LOSSES:]),
        message=str(told.get("message") or ""),
    )


class Watch:
    """Follows corrections for readers, on the event loop, with one look at the database for all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers: Counter[uuid.UUID] = Counter()
        self._seen: dict[uuid.UUID, Progress | None] = {}  # None: looked for, and gone
        self._looked = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._closing = False

    async def follow(self, correction_id: uuid.UUID) -> AsyncIterator[Progress]:
        """Its states from now on, each that differs from the one before; the last is one that does not change by
        itself. Ends at once where the correction is gone."""
        self._readers[correction_id] += 1
        try:
            if self._poller is None or self._poller.done():
                self._poller = asyncio.create_task(self._poll())
            last: Progress | None = None
            while not self._closing:
                looked = self._looked  # of the look to come
                if correction_id in self._seen:
                    state = self._seen[correction_id]
                    if state is None:
                        return
                    if state != last:
                        last = state
                        yield state
                    if not state.is_live:
                        return
                await looked.wait()
        finally:
            self._readers[correction_id] -= 1
            if not self._readers[correction_id]:
                del self._readers[correction_id]
                self._seen.pop(correction_id, None)

    async def close(self) -> None:
        self._closing = True
        self._looked.set()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

    async def _poll(self) -> None:
        """Looks until nobody reads."""
        while self._readers and not self._closing:
            wanted = list(self._readers)
            try:
                found = await asyncio.to_thread(self._look, wanted)
            except SQLAlchemyError as error:
                log.warning("progress not looked up", error=str(error).splitlines()[0])  # tried again in a moment
            else:
                for correction_id in wanted:
                    if correction_id in self._readers:
                        self._seen[correction_id] = found.get(correction_id)
                # Who came during the look was not looked for, and waits for the next one.
                looked, self._looked = self._looked, asyncio.Event()
                looked.set()
            await asyncio.sleep(POLL_SECONDS)

    def _look(self, correction_ids: list[uuid.UUID]) -> dict[uuid.UUID, Progress]:
        with self._database.read() as db:
            return look(db, correction_ids)


def watch_of(request: Request) -> Watch:
    watch: Watch = request.app.state.watch
    return watch
