"""Is a message a correction? Asked in the background, once for each message that follows an answer.

A reply never waits for it. What a process that ended has left is examined by the next one: a message counts as examined
in the transaction that keeps its correction. Knows no pages.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import structlog
from fastapi import Request
from sqlalchemy import CursorResult, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from lifelearn.backends import expert
from lifelearn.learning import types as learning
from lifelearn.learning.author.detect import DetectionError, detect
from lifelearn.learning.chat_model import ChatModel, ChatModelError
from lifelearn.settings import Settings
from lifelearn.workspace.corrections import beginning
from lifelearn.workspace.database import Database, ago, now
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.tables.chats import UNEXAMINED, Message
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.threads.tree import conversation_of

log = structlog.get_logger("lifelearn.detection")

AT_ONCE = 4
SWEEP_SECONDS = 30.0
SWEPT_HOURS = 1.0  # an older message that was never examined stays so: nobody waits for its card
SWEPT_MOST = 200  # at a time
WAITS = (1.0, 5.0, 20.0)  # before an expert is asked again


@dataclass(frozen=True)
class _Asked:
    """A message as it is examined. answer_id: the answer that it may correct."""

    conversation: learning.Conversation
    answer_id: uuid.UUID | None


class Detector:
    """`begin` may be called from any thread, and is meant for `after_commit`."""

    def __init__(self, database: Database, settings: Settings, queue: LearningQueue) -> None:
        self._database, self._settings, self._queue = database, settings, queue
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._expert = None if settings.local_structured else expert(settings)

    async def start(self) -> None:
        """Called once, on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._sweeper = asyncio.create_task(self._sweep_forever())

    async def close(self) -> None:
        """Ends what runs; what is not examined is left to the next process."""
        tasks = [*self._running.values(), *([self._sweeper] if self._sweeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, message_id: uuid.UUID) -> None:
        """Has a message examined that is in the database."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin, message_id)

    # On the event loop

    def _begin(self, message_id: uuid.UUID) -> None:
        if message_id not in self._running and not (self._sweeper and self._sweeper.done()):
            task = asyncio.create_task(self._logged(self._examine(message_id)))
            self._running[message_id] = task
            task.add_done_callback(lambda _: self._running.pop(message_id, None))

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        """Its trouble is logged and nobody's: the message stays unexamined, and is taken up again."""
        try:
            await work
        except SQLAlchemyError as error:
            log.warning("not examined", error=str(error).splitlines()[0])
        except Exception:
            log.exception("not examined")

    async def _examine(self, message_id: uuid.UUID) -> None:
        async with self._turns:
            asked = await asyncio.to_thread(self._asked, message_id)
            if asked is not None:
                found = await self._found(message_id, asked.conversation)
                try:
                    await asyncio.to_thread(self._keep, message_id, asked, found)
                except SQLAlchemyError:
                    raise
                except Exception:  # of its text, and so it would be the next time
                    log.exception("a correction cannot be kept", message_id=str(message_id))
                    await asyncio.to_thread(self._keep, message_id, asked, None)

    async def _found(self, message_id: uuid.UUID, conversation: learning.Conversation) -> learning.Correction | None:
        """An expert is asked patiently. One that cannot be had loses nothing: the written rules decide instead.

        None at once where nothing can be taught, and where reading the message breaks: it would again, for ever.
        """
        if not self._queue.teaches:
            return None
        if self._expert is not None:
            for wait in (*WAITS, None):
                try:
                    return await asyncio.to_thread(_detect, conversation, self._expert)
                except (ChatModelError, DetectionError) as error:
                    log.warning("the expert did not say whether a message is a correction", problem=str(error))
                    if wait is not None:
                        await asyncio.sleep(wait)
                except Exception:
                    log.exception("what the expert said cannot be read", message_id=str(message_id))
                    break
            log.error("examined without the expert", message_id=str(message_id))
        try:
            return await asyncio.to_thread(_detect, conversation)
        except DetectionError as error:
            log.info("nothing to teach", message_id=str(message_id), problem=str(error))
        except Exception:
            log.exception("a message cannot be read", message_id=str(message_id))
        return None

    async def _sweep_forever(self) -> None:
        while True:
            with suppress(SQLAlchemyError):  # tried again in a moment
                for message_id in await asyncio.to_thread(self._left):
                    self._begin(message_id)
            await asyncio.sleep(SWEEP_SECONDS)

    # In a thread, with the database

    def _asked(self, message_id: uuid.UUID) -> _Asked | None:
        with self._database.read() as db:
            message = db.get(Message, message_id)
            if message is None or message.role != "user" or message.examined_at is not None:
                return None
            organization = db.get_one(Organization, message.organization_id)
            conversation = beginning.without_instructions(conversation_of(db, organization, message))
            return _Asked(conversation, _answer_before(db, message))

    def _keep(self, message_id: uuid.UUID, asked: _Asked, found: learning.Correction | None) -> None:
        with self._database.write() as db:
            claimed = db.execute(
                update(Message)
                .where(Message.id == message_id, Message.examined_at.is_(None))
                .values(examined_at=now())
                .execution_options(synchronize_session=False)
            )
            if not cast(CursorResult[Any], claimed).rowcount:  # deleted, or another process was faster
                return
            message = db.get_one(Message, message_id)
            if found is not None and message.author_id is not None:
                made = beginning.detected(db, self._settings, self._queue, message, asked.answer_id, found)
                log.info("correction", correction_id=str(made.id), state=made.state, confidence=made.confidence)

    def _left(self) -> list[uuid.UUID]:
        """Messages that nobody has examined, of the last hour."""
        query = select(Message.id).where(
            UNEXAMINED,  # as its index has it
            Message.created_at > ago(hours=SWEPT_HOURS),
            Message.parent_id.is_not(None),
        )
        with self._database.read() as db:
            return list(db.scalars(query.order_by(Message.created_at).limit(SWEPT_MOST)))


def detector_of(request: Request) -> Detector:
    detector: Detector = request.app.state.detector
    return detector


def _detect(conversation: learning.Conversation, expert: ChatModel | None = None) -> learning.Correction | None:
    started = time.perf_counter()
    try:
        return detect(conversation, expert)
    finally:
        log.debug("examined", ms=round(1000 * (time.perf_counter() - started), 1))


def _answer_before(db: Session, message: Message) -> uuid.UUID | None:
    """The answer that comes before a message, past those without text."""
    seen: set[uuid.UUID] = set()
    at = message.parent_id
    while at is not None and at not in seen:
        seen.add(at)
        before = db.get(Message, at)
        if before is None:
            return None
        if before.role == "assistant" and before.content:
            return before.id
        at = before.parent_id
    return None
