"""What must not change while something is learned: general questions, general text, names to swap subjects with.

`KNOWN` pairs are asked before and after a lesson; `EVERYDAY` questions are replayed; the two never meet. Drift is
measured on `TEXT`. The values stand in general.toml.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files

_TABLE = tomllib.loads(files(__package__).joinpath("general.toml").read_text("utf-8"))

KNOWN: tuple[tuple[str, str], ...] = tuple((question, answer) for question, answer in _TABLE["known"])
EVERYDAY: tuple[str, ...] = tuple(_TABLE["everyday"])
TEXT: tuple[str, ...] = tuple(_TABLE["text"])
SUBJECTS: dict[str, tuple[str, ...]] = {kind: tuple(names) for kind, names in _TABLE["subjects"].items()}
WORDS: tuple[str, ...] = tuple(_TABLE["words"])
SMALL_WORDS: tuple[str, ...] = tuple(_TABLE["small_words"])
