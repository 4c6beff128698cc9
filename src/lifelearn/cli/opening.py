"""The screen for who reads it, and a session on the configured model."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from lifelearn.settings import Settings
    from lifelearn.terminal.screen import Screen
    from lifelearn.terminal.session import Session


def screen_for(talks: bool = False) -> Screen:
    """The screen for who reads it: a person, who for a chat must also be at the keyboard, or a program."""
    from rich.console import Console

    from lifelearn.terminal.screen import ColourScreen, PlainScreen

    if sys.stdout.isatty() and (sys.stdin.isatty() or not talks):
        return ColourScreen(Console(highlight=False))
    for stream in (sys.stdin, sys.stdout):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    return PlainScreen(sys.stdout, sys.stderr)


def opened(settings: Settings, screen: Screen) -> Session:
    """A session on the configured model, once it is loaded."""
    from lifelearn.chat_models.default_model import resolve
    from lifelearn.terminal.opening import open_session

    if settings.inference_backend == "local":  # before the screen is busy: what is fetched shows its progress
        resolve(settings.base_model_name, settings.cache_dir, partial(typer.echo, err=True))
    with screen.busy("loading the model …"):
        session = open_session(settings)
    if settings.inference_backend == "mock":
        typer.echo(f"Answers come from the {session.model.name}, which cannot be taught.", err=True)
    return session
