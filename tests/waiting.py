"""Waiting in tests: for what must come, on a machine of any speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HANG_SECONDS = 300.0  # nothing that works takes as long on the slowest machine; less than pytest's own limit for a test


def until(told: Callable[[], T | None], every: float = 0.02, hang: float = HANG_SECONDS) -> T:
    """Waits until something is so, and gives it. AssertionError if it hangs."""
    end = time.monotonic() + hang
    while not (found := told()):
        assert time.monotonic() < end, f"still {found!r} after {hang:.0f} seconds"
        time.sleep(every)
    return found
