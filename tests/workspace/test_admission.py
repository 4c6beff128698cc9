"""Places at the model: by organisation in turn, within limits, and not waited for without end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Message
from lifelearn.workspace import admission
from lifelearn.workspace.admission import Admission, Asker
from lifelearn.workspace.errors import TooManyError
from workspace.fakes import ScriptedInference

ONE, OTHER, THIRD = (uuid.UUID(int=number) for number in (1, 2, 3))


def somebody(organization: uuid.UUID) -> Asker:
    return Asker(organization, uuid.uuid4(), uuid.uuid4())


class Crowd:
    """Answers that begin as they are let in, and end when they are told to."""

    def __init__(self) -> None:
        self.admission = Admission(ScriptedInference())
        self.begun: list[uuid.UUID] = []
        self.ends: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, organization: uuid.UUID, count: int = 1) -> None:
        for _ in range(count):
            self.tasks.append(asyncio.create_task(self._answer(somebody(organization))))

    async def _answer(self, asker: Asker) -> None:
        async with self.admission.place(asker):
            self.begun.append(asker.organization)
            end = asyncio.Event()
            self.ends.append(end)
            await end.wait()

    async def end(self, which: int) -> None:
        self.ends[which].set()
        await rest()


async def rest() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    found = Crowd()
    try:
        yield found
    finally:
        for task in found.tasks:
            task.cancel()
        await asyncio.gather(*found.tasks, return_exceptions=True)
        left = found.admission
        assert [*left._in_flight, *left._placed, *left._waiting] == [], "everything is given back"


def test_one_organisation_never_has_all_places() -> None:
    async def scenario() -> None:
        async with crowd() as people:
            people.ask(ONE, 40)
            await rest()
            assert people.begun == [ONE] * admission.OF_ONE
            people.ask(OTHER)
            await rest()
            assert people.begun[-1] == OTHER, "at once"

    asyncio.run(scenario())


def test_free_places_go_to_who_has_fewest() -> None:
    async def scenario() -> None:
        async with crowd() as people:
            people.ask(ONE, 40)
            await rest()
            people.ask(OTHER, 20)
            people.ask(THIRD, 2)
            await rest()
            assert len(people.begun) == admission.PLACES
            for which in range(5):
                await people.end(which)
            assert people.begun.count(ONE) == admission.OF_ONE, "it had more than the others all the time"
            assert people.begun.count(THIRD) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("asker", "most", "said"),
    [
        (Asker(ONE, key=OTHER), admission.OF_A_KEY, "this key"),
        (Asker(ONE, OTHER), admission.OF_A_PERSON, "you"),
        (Asker(ONE), admission.OF_AN_ORGANIZATION, "this organisation"),
    ],
)
def test_limits_of_what_is_in_flight(asker: Asker, most: int, said: str) -> None:
    async def scenario() -> None:
        places = Admission(ScriptedInference())

        async def hold() -> None:
            async with places.place(asker):
                await asyncio.Event().wait()

        held = [asyncio.create_task(hold()) for _ in range(most)]
        await rest()
        with pytest.raises(TooManyError, match=f"{most} answers are being written for {said}") as refused:
            async with places.place(asker):
                pass
        assert int(refused.value.headers["Retry-After"]) > 0
        async with places.place(somebody(OTHER)):
            pass  # others are not concerned
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        async with places.place(asker):
            pass

    asyncio.run(scenario())


def test_who_waits_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "WAIT_SECONDS", 0.01)

    async def scenario() -> None:
        async with crowd() as people, AsyncExitStack() as held:
            for _ in range(admission.OF_ONE):
                await held.enter_async_context(people.admission.place(somebody(ONE)))
            with pytest.raises(TooManyError, match="The model is busy"):
                async with people.admission.place(somebody(ONE)):
                    pass

    asyncio.run(scenario())


def test_an_answer_is_its_organisations_and_gives_its_place_back() -> None:
    async def scenario() -> None:
        places = Admission(inference := ScriptedInference())
        turns = (Message(role="user", content="Hello"),)
        for _ in range(admission.PLACES + 1):
            pieces = [piece async for piece in places.stream(somebody(ONE), turns, Sampling(max_tokens=9), Path("x"))]
        assert "".join(pieces) == "You said: Hello"
        assert inference.asked[-1][0] == turns

    asyncio.run(scenario())
