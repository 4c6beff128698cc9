"""Where messages come from: a keyboard with line editing and history, or a pipe with a message a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Protocol, TextIO

from lifelearn.terminal.text import clean

PROMPT = "you   › "
COLOURED = f"\x01\x1b[1;36m\x02{PROMPT}\x01\x1b[0m\x02"  # between \x01 and \x02: what takes no room on the line


class Source(Protocol):
    """Gives messages; `asks` says whether somebody is there to answer a question."""

    @property
    def asks(self) -> bool: ...

    def message(self) -> str | None:
        """The next message, cleaned; None at the end."""
        ...

    def ask(self, question: str, prefill: str = "") -> str:
        """The answer to a question; EOFError where nobody is there."""
        ...

    def close(self) -> None: ...


class Pipe:
    """A message a line; bytes that are no UTF-8 are replaced."""

    asks = False

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines

    def message(self) -> str | None:
        line = self._lines.readline()
        return clean(line).strip() if line else None

    def ask(self, question: str, prefill: str = "") -> str:
        raise EOFError

    def close(self) -> None:
        pass


class Keyboard:
    """Line editing by readline, where Python has it; the history is for the user's eyes only (0600)."""

    asks = True

    def __init__(self, history: Path, commands: Sequence[str], *, colour: bool = True) -> None:
        self._history = history
        self._readline = _readline()
        self._prompt = COLOURED if colour and self._readline is not None else PROMPT
        if self._readline is None:
            return
        self._readline.set_completer_delims("\n")
        self._readline.set_completer(
            lambda text, state: ([name for name in commands if text and name.startswith(text)] + [None])[state]
        )
        self._readline.parse_and_bind("tab: complete")
        self._readline.set_auto_history(False)
        self._readline.clear_history()
        with suppress(OSError):
            self._readline.read_history_file(history)

    def message(self) -> str | None:
        try:
            line = clean(input(self._prompt)).strip()
        except EOFError:
            return None
        if line and self._readline is not None:
            self._readline.add_history(line)
        return line

    def ask(self, question: str, prefill: str = "") -> str:
        if self._readline is not None and prefill:
            readline = self._readline
            readline.set_startup_hook(lambda: readline.insert_text(prefill))
        try:
            return clean(input(question)).strip()
        finally:
            if self._readline is not None:
                self._readline.set_startup_hook()

    def close(self) -> None:
        """Keeps the history; a folder that cannot be written is no reason to fail."""
        if self._readline is None:
            return
        with suppress(OSError):
            self._history.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._history, os.O_CREAT | os.O_WRONLY, 0o600))
            self._history.chmod(0o600)
            self._readline.set_history_length(1000)
            self._readline.write_history_file(self._history)


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:  # not on every system
        return None
    return readline
