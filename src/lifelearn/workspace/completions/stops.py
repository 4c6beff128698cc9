"""Texts at which an answer ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing


async def until(pieces: AsyncGenerator[str], stops: list[str]) -> AsyncGenerator[str]:
    """The pieces up to the first of `stops`. What may be the beginning of one is held back until it is known."""
    held = ""
    async with aclosing(pieces) as given:
        async for piece in given:
            held += piece
            if (end := min((at for stop in stops if (at := held.find(stop)) >= 0), default=-1)) >= 0:
                if end:
                    yield held[:end]
                return
            sure = len(held) - max((_begun(held, stop) for stop in stops), default=0)
            if sure:
                yield held[:sure]
            held = held[sure:]
    if held:
        yield held


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
