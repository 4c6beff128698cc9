"""Weights that bench/fitting.py has written beside this file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def load(name: str) -> dict[str, float]:
    """The weights in a file, by the name of what they weigh."""
    found: dict[str, float] = json.loads((HERE / name).read_text("utf-8"))
    return found
