"""Answers that are being written: each by a task of this process, for as many readers as there are, or none.

An answer belongs to nobody's connection. Its text is saved about once a second and at its end; who follows it gets
its whole state, so that a reader may come late, leave, and come back. With several web processes, one that does not
write an answer follows it through the database. Knows no pages.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import structlog
from fastapi import Request
from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings
from lifelearn.workspace.admission import Admission
from lifelearn.workspace.chats.asked import asked_for, asker_of
from lifelearn.workspace.database import Database, ago, now
from lifelearn.workspace.errors import TooManyError, UnavailableError
from lifelearn.workspace.inference import Inference
from lifelearn.workspace.rendering.renderer import FORM, Renderer
from lifelearn.workspace.tables.chats import Message, Status
from lifelearn.workspace.texts import cleaned_piece
from lifelearn.workspace.threads.writing import LEFT_SECONDS, is_left

log = structlog.get_logger("lifelearn.answers")

MOST = 200  # answers that are written at a time, with those that wait for the model
SAVE_SECONDS = 1.0
BEAT_SECONDS = 5.0  # how often an answer that has nothing new says that it is still being written
POLL_SECONDS = 0.5  # how often other processes' answers are looked up, all at once
POLLED = 500  # in one query
ANSWER_CHARS = 200_000

_UNFINISHED = (Status.STREAMING, Status.INTERRUPTED)  # one that was given up by mistake is taken up again


@dataclass(frozen=True)
class State:
    """How far an answer is."""

    text: str
    status: Status
    error: str = ""


class _Writing:
    """An answer that this process writes."""

    def __init__(self, answer_id: uuid.UUID) -> None:
        self.id = answer_id
        self.state = State("", Status.STREAMING)
        self.model = self.of = ""  # of: whose it is
        self.version: int | None = None
        self.told = 0
        self.begun = self.stopping = self.ending = False
        self.saved_text, self.saved_at = "", time.monotonic()
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def now_is(self, text: str, status: Status = Status.STREAMING, error: str = "") -> None:
        self.state = State(text, status, error)
        self.changed.set()
        self.changed = asyncio.Event()

    def cancel(self) -> None:
        """Ends it early. A task that has not begun would end without saving: it sees the mark instead."""
        self.stopping = True
        if self.begun and not self.ending and self.task is not None:
            self.task.cancel()

    def row(self) -> dict[str, Any]:
        return {
            "content": self.state.text,
            "html": None,  # of what it was before, where a page has kept that
            "model": self.model,
            "version": self.version,
            "told": self.told,
            "saved_at": now(),
        }


class Answers:
    """`begin` and `stop` may be called from any thread, and are meant for `after_commit`."""

    def __init__(
        self, database: Database, inference: Inference, admission: Admission, renderer: Renderer, settings: Settings
    ) -> None:
        self._database, self._inference, self._settings = database, inference, settings
        self._admission, self._renderer = admission, renderer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._written: dict[uuid.UUID, _Writing] = {}
        self._saver: asyncio.Task[None] | None = None
        self._awaited: dict[uuid.UUID, asyncio.Event] = {}  # other processes' answers that have readers here
        self._poller: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Called once, on the event loop, before the first answer."""
        self._loop = asyncio.get_running_loop()
        self._errand(asyncio.to_thread(self.mark_interrupted))

    def check_room(self) -> None:
        """Raises UnavailableError where this process has as many answers to write as it takes."""
        if self._closing or len(self._written) >= MOST:
            raise UnavailableError("Too many answers are being written at the moment. Try again in a minute.")

    def begin(self, answer_id: uuid.UUID) -> None:
        """Has an answer written that is in the database, still empty."""
        self._on_loop(self._begin, answer_id)

    def stop(self, answer_id: uuid.UUID) -> None:
        """Ends an answer early, with what it has; does nothing for one that has ended."""
        self._on_loop(self._stop, answer_id)

    async def follow(self, answer_id: uuid.UUID) -> AsyncIterator[State]:
        """Its states from now on, the last one at its end. A slow reader misses some between. None if it is gone."""
        last: State | None = None
        while True:
            if (writing := self._written.get(answer_id)) is not None:
                while True:
                    changed, state = writing.changed, writing.state  # in this order, so that no change is missed
                    yield state
                    if state.status is not Status.STREAMING:
                        return
                    await changed.wait()
            read = await asyncio.to_thread(self._read, answer_id)
            if read is None:
                return
            if read != last:
                last = read
                yield read
            if read.status is not Status.STREAMING or self._closing:
                return
            if answer_id not in self._written:
                await self._changed_elsewhere(answer_id)

    def mark_interrupted(self) -> None:
        """Marks answers that nobody writes any more: what a process that ended has left. They keep what they had."""
        saved = func.coalesce(Message.saved_at, Message.created_at)
        with self._database.write() as db:
            db.execute(
                update(Message)
                .where(Message.status == Status.STREAMING, saved < ago(seconds=LEFT_SECONDS))
                .values(status=Status.INTERRUPTED)
                .execution_options(synchronize_session=False)
            )

    async def close(self) -> None:
        """Ends all answers and saves what they have. No other begins; a second call does nothing."""
        self._closing = True
        for writing in list(self._written.values()):
            writing.cancel()
        for changed in self._awaited.values():
            changed.set()
        tasks = [each.task for each in self._written.values() if each.task is not None]
        for ticking in (self._saver, self._poller):
            if ticking is not None:
                ticking.cancel()
                tasks.append(ticking)
        await asyncio.gather(*tasks, *self._errands, return_exceptions=True)

    # On the event loop

    def _on_loop(self, do: Any, answer_id: uuid.UUID) -> None:
        assert self._loop is not None, "Answers.start() comes first"
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            do(answer_id)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(do, answer_id)

    def _errand(self, work: Any) -> None:
        """A short task beside the answers; its trouble is logged and nobody's."""

        async def run() -> None:
            try:
                await work
            except SQLAlchemyError:
                log.exception("errand")

        task = asyncio.ensure_future(run())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _begin(self, answer_id: uuid.UUID) -> None:
        if answer_id in self._written:
            return
        writing = self._written[answer_id] = _Writing(answer_id)
        if answer_id in self._awaited:
            self._awaited[answer_id].set()
        writing.stopping = self._closing
        writing.task = asyncio.create_task(self._write(writing))
        if self._saver is None or self._saver.done():
            self._saver = asyncio.create_task(self._save_all())

    def _stop(self, answer_id: uuid.UUID) -> None:
        if (writing := self._written.get(answer_id)) is not None:
            writing.cancel()
        else:
            self._errand(asyncio.to_thread(self._stop_elsewhere, answer_id))

    async def _changed_elsewhere(self, answer_id: uuid.UUID) -> None:
        """Waits until an answer that this process does not write has changed, or may have. All wait for one query."""
        changed = self._awaited.setdefault(answer_id, asyncio.Event())
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        await changed.wait()

    async def _poll(self) -> None:
        """Looks up what is awaited until nothing is; who waits is woken where something is new."""
        known: dict[uuid.UUID, tuple[Any, ...]] = {}
        while True:
            await asyncio.sleep(POLL_SECONDS)  # those just woken come back to wait meanwhile
            if not self._awaited:
                return
            try:
                found = await asyncio.to_thread(self._look, list(self._awaited))
            except SQLAlchemyError:
                log.exception("answers not looked up")  # tried again in a moment
                continue
            for answer_id, changed in list(self._awaited.items()):
                seen = found.get(answer_id)
                # The first look may come after a change that the reader has not seen: it looks once more itself.
                if seen is None or known.get(answer_id) != seen:
                    del self._awaited[answer_id]
                    changed.set()
            known = found

    async def _write(self, writing: _Writing) -> None:
        writing.begun = True
        status, error = Status.COMPLETE, ""
        try:
            if writing.stopping:
                raise asyncio.CancelledError
            if len(self._written) > MOST:
                raise ChatModelError("Too many answers are being written at the moment. Try again in a minute.")
            asker = await asyncio.to_thread(asker_of, self._database, writing.id)
            if asker is None:  # deleted meanwhile
                raise asyncio.CancelledError
            writing.of = str(asker.organization)
            async with self._admission.place(asker):
                await self._ask(writing)
            if not writing.state.text:
                raise ChatModelError("The model gave no answer. Try again, or ask in other words.")
        except asyncio.CancelledError:
            status = Status.INTERRUPTED if self._closing else Status.STOPPED
        except (ChatModelError, TooManyError) as problem:
            status, error = Status.FAILED, str(problem)
        except VersionError:  # its text names folders of this machine
            log.exception("version")
            status, error = Status.FAILED, "The active version of the model is damaged or missing. An admin can help."
        except Exception:
            log.exception("answer")
            status, error = Status.FAILED, "Something went wrong on our side. Try again."
        writing.ending = True  # from here on nothing cancels it
        row = {**writing.row(), "status": status, "error": error, **await self._html(writing)}
        try:
            await asyncio.to_thread(self._end, writing.id, row)
        except SQLAlchemyError:
            log.exception("answer not saved")
        finally:
            del self._written[writing.id]
            writing.now_is(writing.state.text, status, error)

    async def _ask(self, writing: _Writing) -> None:
        asked = await asyncio.to_thread(asked_for, self._database, self._settings, writing.id)
        if asked is None:  # deleted meanwhile
            raise asyncio.CancelledError
        writing.version, writing.told = asked.version, asked.told
        stream = self._inference.stream(asked.conversation, asked.sampling, asked.weights, writing.of)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                writing.model = self._inference.name
                writing.now_is(writing.state.text + cleaned_piece(piece))
                if len(writing.state.text) > ANSWER_CHARS:
                    break

    async def _html(self, writing: _Writing) -> dict[str, Any]:
        """What is kept of it beside an answer that has ended. Nothing where that would take long: pages see to it."""
        if not writing.state.text or self._closing:
            return {}
        shown = await self._renderer.rendered(writing.state.text, writing.of)
        return {"html": shown.html, "html_form": FORM} if shown.lasts else {}

    async def _save_all(self) -> None:
        """Saves what is being written, all of it in one transaction; ends with the last answer."""
        while self._written:
            await asyncio.sleep(SAVE_SECONDS)
            moment = time.monotonic()
            due = [
                each
                for each in self._written.values()
                if not each.ending and (each.state.text != each.saved_text or moment - each.saved_at >= BEAT_SECONDS)
            ]
            if not due:
                continue
            texts = {each.id: each.state.text for each in due}
            try:
                gone = await asyncio.to_thread(self._save, {each.id: each.row() for each in due})
            except SQLAlchemyError:
                log.exception("answers not saved")  # tried again in a second
                continue
            for each in due:
                each.saved_text, each.saved_at = texts[each.id], moment
                if each.id in gone:  # deleted, or stopped by another process
                    each.cancel()

    # In a thread, with the database

    def _read(self, answer_id: uuid.UUID) -> State | None:
        """From the database; an answer that nobody writes any more is marked on the way."""
        with self._database.read() as db:
            answer = db.get(Message, answer_id)
        if answer is None:
            return None
        if is_left(answer) and answer_id not in self._written:
            self.mark_interrupted()
            return State(answer.content, Status.INTERRUPTED)
        return State(answer.content, Status(answer.status), answer.error)

    def _look(self, answer_ids: list[uuid.UUID]) -> dict[uuid.UUID, tuple[Any, ...]]:
        """What shows that an answer has changed, of those that are still being written."""
        found: dict[uuid.UUID, tuple[Any, ...]] = {}
        with self._database.read() as db:
            for start in range(0, len(answer_ids), POLLED):
                some = answer_ids[start : start + POLLED]
                rows = db.execute(
                    select(Message.id, Message.saved_at, func.length(Message.content)).where(
                        Message.id.in_(some),
                        Message.status == Status.STREAMING,
                        func.coalesce(Message.saved_at, Message.created_at) >= ago(seconds=LEFT_SECONDS),
                    )
                )
                found |= {answer_id: tuple(mark) for answer_id, *mark in rows}
        return found

    def _save(self, rows: Mapping[uuid.UUID, dict[str, Any]]) -> set[uuid.UUID]:
        """Saves unfinished answers; returns those that are not to be finished."""
        with self._database.write() as db:
            return {
                answer_id
                for answer_id, row in sorted(rows.items())  # in one order: two writers do not block each other
                if not _updated(db, answer_id, _UNFINISHED, {**row, "status": Status.STREAMING})
            }

    def _end(self, answer_id: uuid.UUID, row: dict[str, Any]) -> None:
        with self._database.write() as db:
            _updated(db, answer_id, (*_UNFINISHED, Status.STOPPED), row)

    def _stop_elsewhere(self, answer_id: uuid.UUID) -> None:
        """For an answer of another process, which sees it when it saves next."""
        with self._database.write() as db:
            _updated(db, answer_id, (Status.STREAMING,), {"status": Status.STOPPED})


def answers_of(request: Request) -> Answers:
    answers: Answers = request.app.state.answers
    return answers


def _updated(db: Session, answer_id: uuid.UUID, statuses: tuple[Status, ...], row: Mapping[str, Any]) -> bool:
    """Changes an answer that has one of the statuses; whether there is one."""
    changed = db.execute(
        update(Message)
        .where(Message.id == answer_id, Message.status.in_(statuses))
        .values(**row)
        .execution_options(synchronize_session=False)
    )
    return bool(cast(CursorResult[Any], changed).rowcount)
