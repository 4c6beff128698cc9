"""Answers while they are written: held, followed and collected by tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from lifelearn.workspace.admission import Admission
from lifelearn.workspace.chats.answers import Answers, State
from lifelearn.workspace.tables.chats import Message
from waiting import HANG_SECONDS, until
from workspace.chatting import ask, latest
from workspace.fakes import Browser, Workspace

T = TypeVar("T")
WORDS = "one two three four five"


def on_loop(workspace: Workspace, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs it on the application's event loop."""

    async def bounded() -> T:
        return await asyncio.wait_for(work(), HANG_SECONDS)

    result: T = workspace.portal.call(bounded)
    return result


def answers_of(workspace: Workspace) -> Answers:
    answers: Answers = workspace.app.state.answers
    return answers


def gate(workspace: Workspace) -> asyncio.Event:
    """Holds answers after their first word."""
    workspace.inference.gate = asyncio.Event()
    workspace.inference.reply = lambda _: WORDS
    return workspace.inference.gate


def begun(workspace: Workspace, browser: Browser, place: uuid.UUID) -> Message:
    """An answer of which the first word is saved."""
    ask(browser, place)
    until(lambda: latest(workspace).content != "")
    return latest(workspace)


async def collected(states: AsyncIterator[State]) -> list[State]:
    return [state async for state in states]


def another(workspace: Workspace) -> Answers:
    """Those of another process on the same database."""
    admission = Admission(workspace.inference)
    state = workspace.app.state
    return Answers(workspace.database, workspace.inference, admission, state.renderer, state.settings)
