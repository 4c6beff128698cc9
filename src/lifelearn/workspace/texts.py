"""Texts that people and models write, as they are kept. Knows no database."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def cleaned(text: str, one_line: bool = False) -> str:
    """A text as it is kept: without control characters and half surrogates, which databases refuse."""
    text = cleaned_piece(text.replace("\r\n", "\n").replace("\r", "\n"))
    return " ".join(text.split()) if one_line else text.strip()


def cleaned_piece(text: str) -> str:
    """The same for a part of a text, whose spaces count."""
    return _CONTROLS.sub("", text.encode("utf-8", "replace").decode())
