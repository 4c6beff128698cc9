"""`lifelearn chat` and `lifelearn demo`: a correction in a conversation, somebody's own or a played one."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from lifelearn.cli.opening import opened, screen_for
from lifelearn.cli.options import Data, Model


def chat(
    auto: Annotated[bool, typer.Option("--auto", help="Learn corrections without asking.")] = False,
    model: Model = None,
    data: Data = None,
) -> None:
    """Chat; corrections are noticed, learned and verified. Reads a message a line from a pipe."""
    from lifelearn.terminal.chat import COMMANDS, Chat, greeting
    from lifelearn.terminal.keyboard import Keyboard, Pipe, Source
    from lifelearn.terminal.opening import configured
    from lifelearn.terminal.screen import ColourScreen

    screen = screen_for(talks=True)
    session = opened(configured(data, model), screen)
    if isinstance(screen, ColourScreen):
        history = session.store.root / "history"
        source: Source = Keyboard(history, list(COMMANDS), colour="NO_COLOR" not in os.environ)
        for line in greeting(session):
            screen.note(line)
    else:
        source = Pipe(sys.stdin)
    raise typer.Exit(Chat(session, screen, source, auto=auto).run())


def demo(
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of rollouts and row order.")] = 1,
    fact: Annotated[
        str, typer.Option("--fact", metavar="leave|hotline|price|procedure", help="What is taught.")
    ] = "leave",
    file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all answers and times there.")
    ] = None,
    model: Model = None,
    data: Data = None,
) -> None:
    """Play a whole correction with the real model: wrong answer, lesson, training, verification, answers after."""
    from lifelearn.terminal.demo import demo as play
    from lifelearn.terminal.facts import FACTS
    from lifelearn.terminal.opening import configured

    if fact not in FACTS:
        raise typer.BadParameter(f"choose one of {', '.join(FACTS)}.", param_hint="--fact")
    screen = screen_for()
    folder = data or Path(tempfile.mkdtemp(prefix="lifelearn-demo-"))
    screen.note(f"The demo's versions are kept in {folder}; your own are not touched.")
    outcome = play(opened(configured(folder, model, seed), screen), screen, FACTS[fact])
    if file is not None:
        file.write_text(json.dumps(outcome, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    raise typer.Exit(0 if outcome["passed"] else 1)
