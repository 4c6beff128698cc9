"""Who is let in to the model: how many answers each may have in flight, and who is next where others wait.

Chats, programs, comparisons and rechecks all come through here. Places go to organisations in turn, and none of them
has all: another one's answer begins at once. What waits too long is told so.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Conversation
from lifelearn.workspace.errors import TooManyError
from lifelearn.workspace.inference import Inference
from lifelearn.workspace.turns import AT_ONCE

PLACES = AT_ONCE  # answers that the model is asked for at a time
OF_ONE = 12  # of them that one organisation has at most
OF_A_KEY = OF_A_PERSON = 8  # answers in flight, those that wait for a place included
OF_AN_ORGANIZATION = 64
WAIT_SECONDS = 60.0
RETRY_SECONDS = 10


@dataclass(frozen=True)
class Asker:
    """For whom an answer is."""

    organization: uuid.UUID
    person: uuid.UUID | None = None
    key: uuid.UUID | None = None


class Admission:
    """For one event loop."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._in_flight: Counter[tuple[str, uuid.UUID]] = Counter()
        self._placed: Counter[uuid.UUID] = Counter()  # by organisation
        self._waiting: OrderedDict[uuid.UUID, deque[asyncio.Future[None]]] = OrderedDict()  # whose turn it is first

    async def stream(
        self, asker: Asker, conversation: Conversation, sampling: Sampling, weights: Path | None
    ) -> AsyncGenerator[str]:
        """The answer in pieces. Raises TooManyError, and as the model's `stream` does."""
        async with self.place(asker):
            stream = self._inference.stream(conversation, sampling, weights, str(asker.organization))
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    yield piece

    @asynccontextmanager
    async def place(self, asker: Asker) -> AsyncIterator[None]:
        """A place at the model, once there is one. Raises TooManyError where there are too many already, or none in
        time."""
        names = []
        for kind, who, most, said in (
            ("key", asker.key, OF_A_KEY, "this key"),
            ("person", asker.person, OF_A_PERSON, "you"),
            ("organization", asker.organization, OF_AN_ORGANIZATION, "this organisation"),
        ):
            if who is not None:
                names.append((kind, who))
                if self._in_flight[kind, who] >= most:
                    told = f"{most} answers are being written for {said}. Wait for one of them."
                    raise TooManyError(told, RETRY_SECONDS)
        self._in_flight.update(names)
        try:
            await self._enter(asker.organization)
            try:
                yield
            finally:
                self._leave(asker.organization)
        finally:
            self._in_flight.subtract(names)
            self._in_flight += Counter()  # without those that have none

    async def _enter(self, organization: uuid.UUID) -> None:
        placed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(organization, deque()).append(placed)
        self._let_in()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await placed
        except BaseException as error:
            if placed.done() and not placed.cancelled():  # it came at the same moment
                self._leave(organization)
            else:
                self._forget(organization, placed)
            if isinstance(error, TimeoutError):
                told = "The model is busy: no answer could be begun within a minute. Try again in a moment."
                raise TooManyError(told, RETRY_SECONDS) from None
            raise

    def _leave(self, organization: uuid.UUID) -> None:
        self._placed[organization] -= 1
        if not self._placed[organization]:
            del self._placed[organization]
        self._let_in()

    def _let_in(self) -> None:
        """Gives free places away: to who has fewest, and among equals to who waits for a turn longest."""
        while self._placed.total() < PLACES:
            able = [each for each in self._waiting if self._placed[each] < OF_ONE]
            if not able:
                return
            chosen = min(able, key=lambda each: self._placed[each])
            placed = self._waiting[chosen].popleft()
            self._waiting.move_to_end(chosen)
            if not self._waiting[chosen]:
                del self._waiting[chosen]
            if not placed.done():  # whoever waited may just have left
                self._placed[chosen] += 1
                placed.set_result(None)

    def _forget(self, organization: uuid.UUID, placed: asyncio.Future[None]) -> None:
        if (queue := self._waiting.get(organization)) is not None and placed in queue:
            queue.remove(placed)
            if not queue:
                del self._waiting[organization]
