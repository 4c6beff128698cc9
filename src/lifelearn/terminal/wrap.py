"""Wraps words while they stream in, so that an answer keeps its margin without waiting for its end."""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells


class Wrapper:
    """Takes pieces of text, gives back what can be written; the word that may still grow is held back."""

    def __init__(self, width: int, indent: int, column: int | None = None) -> None:
        self._width = max(width, indent + 10)
        self._indent = indent
        self._column = indent if column is None else column
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be written now that `piece` came."""
        words = re.findall(r"\n|[^\S\n]+|\S+", self._held + piece)
        self._held = words.pop() if words and not words[-1].isspace() else ""
        return "".join(map(self._place, words))

    def end(self) -> str:
        """The rest."""
        held, self._held = self._held, ""
        return self._place(held)

    def _place(self, word: str) -> str:
        if word == "\n":
            return self._break()
        if cell_len(word) <= self._width - self._column:
            self._column += cell_len(word)
            return word
        if word.isspace():
            return ""
        line = self._break() if self._column > self._indent else ""
        first, *rest = chop_cells(word, self._width - self._indent)
        self._column += cell_len(first)
        return line + first + "".join(self._break() + self._advance(part) for part in rest)

    def _break(self) -> str:
        self._column = self._indent
        return "\n" + " " * self._indent

    def _advance(self, part: str) -> str:
        self._column += cell_len(part)
        return part
