"""Records the demo as an SVG picture of the terminal: `python -m lifelearn.terminal.record OUT.svg [FACT]`.

Shows what was really said and measured; only the live progress line is left out.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lifelearn.terminal.demo import demo
from lifelearn.terminal.facts import FACTS
from lifelearn.terminal.opening import configured, open_session
from lifelearn.terminal.screen import ColourScreen
from lifelearn.terminal.session import Session

WIDTH = 100


def record(session: Session, fact: str, file: Path, console: Console | None = None) -> bool:
    """Plays the demo and writes the picture; whether the demo passed."""
    console = console or Console(record=True, width=WIDTH, force_terminal=True)
    console.print(Text(f"$ lifelearn demo --fact {fact}", style="bold"))
    outcome = demo(session, ColourScreen(console), FACTS[fact])
    picture = console.export_svg(title="lifelearn demo")
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), "utf-8")  # they are of another host
    return bool(outcome["passed"])


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 2 or (len(arguments) == 2 and arguments[1] not in FACTS):
        sys.stderr.write(f"usage: python -m lifelearn.terminal.record OUT.svg [{'|'.join(FACTS)}]\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="lifelearn-record-") as folder:
        session = open_session(configured(data=Path(folder)))
        fact = arguments[1] if len(arguments) == 2 else "leave"
        return 0 if record(session, fact, Path(arguments[0])) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
