"""Two versions asked the same question, side by side while they answer; and where two texts differ.

An answer here is nobody's message: nothing of it is kept. It is written while nothing of the database is held, and ends
when its reader leaves, begins another comparison, or may not read here any more.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import structlog
from fastapi import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.types import Conversation, Message
from lifelearn.workspace.admission import Admission, Asker
from lifelearn.workspace.errors import TooManyError, UnavailableError
from lifelearn.workspace.leaving import until_gone
from lifelearn.workspace.streams import Reader, Streams
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.texts import cleaned_piece
from lifelearn.workspace.throttle import Limit

log = structlog.get_logger("lifelearn.compare")

COMPARISONS = Limit("compare", most=20, seconds=60)  # of one member
RUNNING_MOST = 8  # in one process
QUESTION_CHARS = 4_000
ANSWER_CHARS = 20_000
MOST_SECONDS = 180.0
DIFFERENCE_WORDS = 1_000  # of a text in which differences are looked for

Part = tuple[str, bool]  # a piece of a text, and whether the other text has it not


@dataclass
class Side:
    """One of the two: a version, the folder of its weights, and what it says."""

    number: int
    weights: Path | None
    text: str = ""
    problem: str = ""


@dataclass
class Comparisons:
    """What this process compares at the moment, one comparison for each reader."""

    running: dict[uuid.UUID, asyncio.Task[None]] = field(default_factory=dict)

    def begin(self, user_id: uuid.UUID, task: asyncio.Task[None]) -> None:
        """A reader's newer comparison ends the older one."""
        if (older := self.running.pop(user_id, None)) is not None:
            older.cancel()
        if len(self.running) >= RUNNING_MOST:
            raise UnavailableError("Too many comparisons are being written at the moment. Try again in a minute.")
        self.running[user_id] = task

    def end(self, user_id: uuid.UUID, task: asyncio.Task[None]) -> None:
        if self.running.get(user_id) is task:
            del self.running[user_id]


def conversation_of(organization: Organization, question: str) -> Conversation:
    """A question in a fresh chat of the organisation."""
    system = (Message(role="system", content=organization.instructions),) if organization.instructions else ()
    return (*system, Message(role="user", content=question))


class Comparison(Response):
    """Two answers that are still to be written.

    Events, where they are asked for: `a` and `b` with a piece of an answer each, as JSON; `done` with what `finished`
    makes of both. Otherwise that alone, once both are complete.
    """

    def __init__(
        self,
        sides: tuple[Side, Side],
        conversation: Conversation,
        sampling: Sampling,
        admission: Admission,
        streams: Streams,
        reader: Reader,
        comparisons: Comparisons,
        finished: Callable[[tuple[Side, Side]], Response],
        events: bool,
    ) -> None:
        self.sides, self.conversation, self.sampling = sides, conversation, sampling
        self.admission, self.streams, self.reader = admission, streams, reader
        self.comparisons, self.finished, self.events = comparisons, finished, events
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.streams.reading(scope, self.reader):
            await until_gone(receive, self._run(scope, receive, send))

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        written: asyncio.Queue[str | None] = asyncio.Queue()
        work = asyncio.create_task(self._write_both(written))
        try:
            self.comparisons.begin(self.reader.user_id, work)
            if self.events:
                headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            while (event := await written.get()) is not None:
                if self.events:
                    await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        finally:
            self.comparisons.end(self.reader.user_id, work)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        response = await run_in_threadpool(self.finished, self.sides)
        if not self.events:
            return await response(scope, receive, send)
        body = _event("done", bytes(response.body).decode()).encode()
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return None

    async def _write_both(self, written: asyncio.Queue[str | None]) -> None:
        named = zip("ab", self.sides, strict=True)
        tasks = [asyncio.create_task(self._write(name, side, written)) for name, side in named]
        try:
            async with asyncio.timeout(MOST_SECONDS):
                await asyncio.wait(tasks)
        except TimeoutError:
            self._unfinished("It was ended here: it took too long.")
        except asyncio.CancelledError:
            self._unfinished("It was ended here: you began another comparison.")
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            written.put_nowait(None)

    async def _write(self, name: str, side: Side, written: asyncio.Queue[str | None]) -> None:
        asker = Asker(self.reader.organization_id, self.reader.user_id)
        stream = self.admission.stream(asker, self.conversation, self.sampling, side.weights)
        try:
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    side.text += cleaned_piece(piece)
                    written.put_nowait(_event(name, json.dumps(cleaned_piece(piece))))
                    if len(side.text) > ANSWER_CHARS:
                        break
        except (ChatModelError, TooManyError) as error:
            side.problem = str(error)
        except Exception:
            log.exception("comparison")
            side.problem = "Something went wrong on our side. Try again."
        else:
            if not side.text:
                side.problem = "It gave no answer."

    def _unfinished(self, why: str) -> None:
        for side in self.sides:
            side.problem = side.problem or why


def _event(name: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n"


def differences(before: str, after: str) -> tuple[list[Part], list[Part]]:
    """Both texts in pieces, each with whether the other text has it not; word by word. Long texts are left whole."""
    old, new = _words(before), _words(after)
    if len(old) > DIFFERENCE_WORDS or len(new) > DIFFERENCE_WORDS:
        return [(before, False)], [(after, False)]
    # Frequent words of long texts begin no match of their own: without that, texts that repeat themselves take minutes.
    matcher = SequenceMatcher(None, [word.strip() for word in old], [word.strip() for word in new])
    left: list[Part] = []
    right: list[Part] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        _add(left, "".join(old[i1:i2]), tag != "equal")
        _add(right, "".join(new[j1:j2]), tag != "equal")
    return left, right


def _words(text: str) -> list[str]:
    """Words with the space after them; punctuation by itself."""
    return re.findall(r"\w+\s*|[^\w\s]\s*|\s+", text)


def _add(parts: list[Part], text: str, differs: bool) -> None:
    """Spaces at the end of a marked piece are not marked."""
    if not text:
        return
    kept = text.rstrip() if differs else text
    if kept:
        parts.append((kept, differs))
    if len(kept) < len(text):
        parts.append((text[len(kept) :], False))
