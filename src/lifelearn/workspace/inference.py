"""How the web process reaches the model: a port, and the process that holds it.

`Inference` is what the workspace asks; `ProcessInference` runs the configured model in a child process. torch is
imported there and never here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol

import structlog

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.types import Conversation
from lifelearn.settings import Settings
from lifelearn.workspace.children import MODEL, command, ended, environment, handed_over

log = structlog.get_logger("lifelearn.model")

MODULE = "lifelearn.workspace.model_process"
LINE_BYTES = 16 << 20  # of one line from it, at most
GRACE = 5.0  # seconds that it has to end by itself
SOON, SELDOM = 0.5, 60.0  # waits before it is started again, in seconds
LASTS = 60.0  # a process that lived so long was well

State = Literal["loading", "ready", "failed"]


class Inference(Protocol):
    """Answers for all organisations from one base model."""

    @property
    def state(self) -> State: ...

    @property
    def name(self) -> str:
        """The model's name, as shown; "" while it is loading."""
        ...

    @property
    def doing(self) -> str:
        """What takes so long while it is loading, in a sentence; "" otherwise, and where it does not take long."""
        ...

    @property
    def problem(self) -> str:
        """Why it failed, in a sentence; "" otherwise."""
        ...

    async def start(self) -> None:
        """Begins to load the model and does not wait for it."""
        ...

    async def stop(self) -> None: ...

    def stream(
        self, conversation: Conversation, sampling: Sampling, weights: Path | None = None, of: str = ""
    ) -> AsyncGenerator[str]:
        """The answer in pieces, by the version in the folder `weights` or by the base. Closing it stops the model.

        of: whose it is; the model goes round by that.
        Waits while the model is loading. Raises ChatModelError where no answer can be had.
        """
        ...


class ProcessInference:
    """The configured model in a child process (model_process.py), which is started again when it dies."""

    def __init__(self, settings: Settings) -> None:
        self.state: State = "loading"
        self.name = ""
        self.doing = ""
        self.problem = ""
        self._first_line = json.dumps(handed_over(settings, MODEL)).encode() + b"\n"
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # the model is ready, or cannot be had
        self._answers: dict[int, asyncio.Queue[str | ChatModelError | None]] = {}
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        self._is("failed", problem="The workspace is being stopped.")
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def stream(
        self, conversation: Conversation, sampling: Sampling, weights: Path | None = None, of: str = ""
    ) -> AsyncGenerator[str]:
        await self._settled.wait()
        if self.state == "failed":
            raise ChatModelError(self.problem)
        number = next(self._numbers)
        pieces: asyncio.Queue[str | ChatModelError | None] = asyncio.Queue()
        self._answers[number] = pieces
        turns = [turn.model_dump() for turn in conversation]
        asked = {"conversation": turns, "sampling": asdict(sampling), "weights": str(weights) if weights else None}
        complete = False
        try:
            self._send({"id": number, "of": of, **asked})
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, ChatModelError):
                    complete = True
                    raise piece
                yield piece
            complete = True
        finally:
            del self._answers[number]
            if not complete:
                self._send({"id": number, "stop": True})

    async def _keep(self) -> None:
        """Runs the process, again and again, with growing waits while it does not last."""
        wait = SOON
        while True:
            started = time.monotonic()
            try:
                await self._run()
            except OSError as error:
                self._is("failed", problem=f"The model's process cannot be started: {error.strerror or error}.")
            if time.monotonic() - started > LASTS:
                wait = SOON
            await asyncio.sleep(wait)
            wait = min(2 * wait, SELDOM)

    async def _run(self) -> None:
        """One life of the process."""
        process = await asyncio.create_subprocess_exec(
            *command(MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for this process, which saves what was answered before it ends that one
            limit=LINE_BYTES,
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(self._first_line)
            async for line in process.stdout:
                self._heard(json.loads(line))
        finally:
            self._process = None
            how = await ended(process, GRACE)
            if self.state == "ready":
                log.error("the model's process ended", how=how)
                self._is("loading")
            elif self.state == "loading":
                log.error("the model's process ended while it was loading", how=how)
                self._is("failed", problem=f"The model's process ended while it was loading: {how}.")
            broken = f"The model's process ended while it was answering ({how}). Try again in a moment."
            for pieces in self._answers.values():
                pieces.put_nowait(ChatModelError(broken))

    def _heard(self, line: dict[str, Any]) -> None:
        if "doing" in line:
            self.doing = line["doing"]
        elif "state" in line:
            if line["state"] == "failed":
                log.error("the model cannot be loaded", problem=line["problem"])
            self._is(line["state"], line.get("name", ""), line.get("problem", ""))
        elif (pieces := self._answers.get(line["id"])) is None:
            pass  # its reader is gone
        elif "error" in line:
            pieces.put_nowait(ChatModelError(line["error"]))
        else:
            pieces.put_nowait(line.get("piece"))

    def _is(self, state: State, name: str = "", problem: str = "") -> None:
        self.state, self.name, self.problem, self.doing = state, name, problem, ""
        if state == "loading":
            self._settled.clear()
        else:
            self._settled.set()

    def _send(self, line: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
