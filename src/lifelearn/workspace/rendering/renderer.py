"""Asks for the HTML of a text in Markdown, which a process of its own makes (process.py): what is slow, grows or breaks
there harms nothing here. What goes over a ceiling is shown as it is written.

One text at a time, in the order in which they were asked for. Who asks for what is made to be slow waits for a while:
one organisation does not take the process from the others. It is started at the first use and again after its end.
Knows neither database nor pages.
"""

from __future__ import annotations

import asyncio
import html
import json
import math
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from lifelearn.workspace.children import command, environment, how_ended

log = structlog.get_logger("lifelearn.rendering")

MODULE = "lifelearn.workspace.rendering.process"
FORM = 1  # of the HTML: raised where a text's becomes another one, so that what was kept is made again
MARKDOWN_CHARS = 40_000  # of a text; a longer one is nobody's answer to be read
SECONDS = 2.0  # of processor time, a text: ordinary ones of MARKDOWN_CHARS take a tenth of it, mere lists a half
MEMORY = 512 << 20  # bytes of address space of the process, which begins with 40 MB
PATIENCE = 1.0  # seconds that a text waits for its turn
SLOW_MOST, SLOW_SECONDS = 2, 60.0  # texts of one asker that took too long, within so many seconds: then none is tried
HANGS = 20.0  # seconds after which a process that says nothing is ended: it stands still, or the machine does


@dataclass(frozen=True)
class Shown:
    """A text as safe HTML. how: "rendered"; else it is as it was written: it went "over" a ceiling, or the process was
    "busy" or ended from outside, and another time the text may be rendered."""

    html: str
    how: Literal["rendered", "over", "busy"]

    @property
    def lasts(self) -> bool:
        """Whether asking again would give the same."""
        return self.how != "busy"


def as_written(text: str) -> str:
    """A text as it is, in safe HTML."""
    return f'<pre tabindex="0">{html.escape(text)}</pre>'


class Renderer:
    """`render` may be called from any thread, `rendered` on any event loop. The limits are what the constants say."""

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._limits = {"seconds": seconds, "memory": memory}
        self._turns = ThreadPoolExecutor(1, "rendering")
        self._process: subprocess.Popen[bytes] | None = None  # of the one thread there
        self._slow: dict[str, list[float]] = {}  # when texts of an asker took too long

    def render(self, text: str, of: str = "", left: float = math.inf) -> Shown:
        """A text's HTML. of: whose it is; "" is nobody in particular. left: seconds that it may wait for its turn,
        where those are fewer than its patience."""
        if (shown := self._refused(text, of)) is not None:
            return shown
        asked = self._turns.submit(self._made, text, of)
        try:
            return asked.result(min(left, self.patience))
        except TimeoutError:
            return Shown(as_written(text), "busy") if asked.cancel() else asked.result()

    async def rendered(self, text: str, of: str = "") -> Shown:
        """The same, without a thread that waits."""
        if (shown := self._refused(text, of)) is not None:
            return shown
        asked = self._turns.submit(self._made, text, of)
        made = asyncio.wrap_future(asked)
        try:
            await asyncio.wait({made}, timeout=self.patience)
            if not made.done() and asked.cancel():
                return Shown(as_written(text), "busy")
            return await made
        finally:
            made.cancel()  # where who asked is gone: nobody is told

    def _refused(self, text: str, of: str) -> Shown | None:
        """A text that is not tried."""
        if len(text) > MARKDOWN_CHARS:
            return Shown(as_written(text), "over")
        since = time.monotonic() - SLOW_SECONDS
        if sum(when > since for when in self._slow.get(of, ())) >= SLOW_MOST:
            return Shown(as_written(text), "busy")
        return None

    def close(self) -> None:
        """Ends the process; nothing can be asked any more. Without it the process ends with this one."""
        self._turns.shutdown(cancel_futures=True)
        self._end()

    # In the one thread

    def _made(self, text: str, of: str) -> Shown:
        if (shown := self._refused(text, of)) is not None:  # by what came before it
            return shown
        try:
            answer = self._asked(text)
        except (OSError, ValueError) as error:
            log.error("the renderer cannot be asked", error=str(error))
            self._end()
            return Shown(as_written(text), "busy")
        if answer is not None and "html" in answer:
            return Shown(answer["html"], "rendered")
        if answer is not None:
            log.warning("shown as written", why=answer["problem"], chars=len(text))
            return Shown(as_written(text), "over")
        status = self._end()
        slow = status == -signal.SIGPROF
        if slow and of:
            since = time.monotonic() - SLOW_SECONDS
            kept = {each: when for each, when in self._slow.items() if when[-1] > since}
            self._slow = {**kept, of: [*kept.get(of, ())[-SLOW_MOST:], time.monotonic()]}
        why = "it took too long" if slow else f"the renderer ended ({how_ended(status)})"
        log.warning("shown as written", why=why, chars=len(text))
        # SIGKILL comes from elsewhere: by hand, for want of memory of the whole machine, or from us when it hangs.
        return Shown(as_written(text), "busy" if status == -signal.SIGKILL else "over")

    def _asked(self, text: str) -> dict[str, Any] | None:
        """What the process says of a text; None where it ended at it."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        return self._said({"text": text})

    def _start(self) -> None:
        self._end()
        self._process = subprocess.Popen(  # noqa: S603  # our own module, by a list
            command(MODULE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for this process
        )
        if self._said(self._limits) is None:
            raise OSError(f"its process ended at its start: {how_ended(self._end())}")

    def _said(self, line: dict[str, Any]) -> dict[str, Any] | None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        watch = threading.Timer(HANGS, process.kill)
        watch.daemon = True
        watch.start()
        try:
            with suppress(BrokenPipeError):  # it ended: reading says so
                process.stdin.write(json.dumps(line).encode() + b"\n")
                process.stdin.flush()
            said = process.stdout.readline()
        finally:
            watch.cancel()
        answer: dict[str, Any] | None = json.loads(said) if said else None
        return answer

    def _end(self) -> int:
        """Ends the process if there is one; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            status = process.wait(HANGS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        process.stdout.close()
        return status


RENDERER = Renderer()  # for all applications of a process
