"""The worker beside the web process: started with it, started again when it dies, and ended with it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import structlog

from lifelearn.settings import Settings
from lifelearn.workspace.children import command, ended, environment, handed_over

MODULE = "lifelearn.workspace.jobs.worker"
GRACE = 5.0  # seconds that it has to end by itself
SOON, SELDOM = 0.25, 5.0  # waits before it is started again

log = structlog.get_logger("lifelearn.worker")


class EmbeddedWorker:
    """A child process that takes jobs; the web process runs none, and never imports the engine's running part."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keeper: asyncio.Task[None] | None = None

    @property
    def wanted(self) -> bool:
        return self._settings.worker == "embedded" and self._settings.inference_backend != "openai"

    async def start(self) -> None:
        if self.wanted:
            self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def _keep(self) -> None:
        wait = SOON
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._run()
            except OSError as error:
                log.error("the worker cannot be started", error=str(error))
            lived = asyncio.get_running_loop().time() - began
            wait = SOON if lived > SELDOM else min(2 * wait, SELDOM)
            log.warning("the worker ended and is started again", seconds=wait)
            await asyncio.sleep(wait)

    async def _run(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *command(MODULE),
            stdin=asyncio.subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(handed_over(self._settings)).encode() + b"\n")
            await process.stdin.drain()
            await process.wait()
        finally:
            with suppress(ProcessLookupError):
                await ended(process, GRACE)
