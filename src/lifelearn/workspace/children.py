"""Processes of our own, as those that start them and they themselves see them: the model's, the worker, the trainers,
the renderer.

Each is handed what it needs of the settings on its standard input, speaks lines, and ends when its input does, however
the process that started it ended. Knows nothing of what they do.
"""

from __future__ import annotations

import asyncio
import os
import queue
import re
import signal
import sys
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

if TYPE_CHECKING:  # a child that needs no settings is started without what reads them
    from lifelearn.settings import Settings

T = TypeVar("T")

_OURS = re.compile(r"LL_|OPENAI_API_KEY$", re.IGNORECASE)
MODEL = frozenset(
    {"inference_backend", "base_model_name", "cache_dir", "openai_model", "openai_base_url", "log_format"}
)  # settings that a child needs to have a model and an expert
_SECRETS = frozenset({"openai_api_key", "secret_key", "smtp_url", "metrics_token", "oidc_client_secret"})


# For those that start one


def command(module: str) -> list[str]:
    """What runs a module of ours."""
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """This process's, without our settings: those are handed over."""
    return {name: value for name, value in os.environ.items() if not _OURS.match(name)}


def handed_over(settings: Settings, needed: Collection[str] | None = None) -> dict[str, Any]:
    """The settings for a child, all but secrets, or those that it needs; and the expert's key. They are written to it:
    others see arguments and environments."""
    include = None if needed is None else set(needed)
    values = settings.model_dump(mode="json", include=include, exclude=set(_SECRETS))
    if settings.expert_key:
        values["OPENAI_API_KEY"] = settings.expert_key
    return values


async def ended(process: asyncio.subprocess.Process, grace: float) -> str:
    """Ends a process, as it likes within so many seconds or else by force; says how it ended."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(grace):
            status = await process.wait()
    except TimeoutError:
        process.kill()
        status = await process.wait()
    return how_ended(status)


def how_ended(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"status {status}"
    name = signal.Signals(-status).name
    return f"{name}, often for want of memory" if name == "SIGKILL" else name


# For the child itself


def own_output() -> BinaryIO:
    """Standard output for our lines alone: whatever else is printed, by libraries too, goes to standard error."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


def sender(stream: BinaryIO) -> Callable[[bytes], None]:
    """Writes lines, from any thread. Where nobody is left to read them the process ends."""
    lock = threading.Lock()

    def send(line: bytes) -> None:
        try:
            with lock:
                stream.write(line + b"\n")
                stream.flush()
        except OSError:
            os._exit(0)

    return send


def inbox(read: Callable[[bytes], T]) -> queue.SimpleQueue[T]:
    """The lines of standard input as they come; where they end, so does the process, whatever it is doing."""
    lines: queue.SimpleQueue[T] = queue.SimpleQueue()

    def pass_on() -> None:
        for line in sys.stdin.buffer:
            lines.put(read(line))
        os._exit(0)

    threading.Thread(target=pass_on, daemon=True).start()
    return lines
