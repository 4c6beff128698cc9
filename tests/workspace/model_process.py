"""The model's process, as tests start it, ask it and look at it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Conversation, Message
from lifelearn.settings import Settings
from lifelearn.workspace.inference import ProcessInference
from waiting import HANG_SECONDS

SHORT = Sampling(max_tokens=8)
LONG = Sampling(max_tokens=400)


def user(text: str) -> Conversation:
    return (Message(role="user", content=text),)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[ProcessInference]:
    inference = ProcessInference(settings)
    await inference.start()
    try:
        yield inference
    finally:
        await inference.stop()


async def settled(inference: ProcessInference) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while inference.state == "loading":
            await asyncio.sleep(0.02)


async def rest(stream: AsyncIterator[str]) -> str:
    async with asyncio.timeout(HANG_SECONDS):
        return "".join([piece async for piece in stream])


async def answer(
    inference: ProcessInference, text: str, sampling: Sampling = SHORT, weights: Path | None = None
) -> str:
    return await rest(inference.stream(user(text), sampling, weights))


def child(inference: ProcessInference) -> int:
    assert inference._process is not None
    return inference._process.pid


def proc(pid: int, name: str) -> list[str]:
    """A file of a process's, by its fields."""
    return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace").replace("\0", " ").split(" ")


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists() and proc(pid, "stat")[2] != "Z"


def cpu_seconds(pid: int) -> float:
    return sum(map(int, proc(pid, "stat")[13:15])) / os.sysconf("SC_CLK_TCK")
