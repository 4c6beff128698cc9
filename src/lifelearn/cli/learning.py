"""`lifelearn learn`: a correction from a file, and those that are pending."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lifelearn.cli.opening import opened, screen_for
from lifelearn.cli.options import CommandError, Data, Model

if TYPE_CHECKING:
    from lifelearn.learning.types import Conversation, Correction
    from lifelearn.settings import Settings
    from lifelearn.terminal.journal import Journal
    from lifelearn.terminal.screen import Screen
    from lifelearn.terminal.session import Session


def learn(
    conversation: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONVERSATION.json]", help='[{"role": …, "content": …}, …], ending with the correction.'
        ),
    ] = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="Learn what was acknowledged and not learned yet.")
    ] = False,
    withdraw: Annotated[str | None, typer.Option("--withdraw", metavar="ID", help="Drop a pending correction.")] = None,
    model: Model = None,
    data: Data = None,
) -> None:
    """Learn the correction at the end of a conversation, or those that are pending."""
    from lifelearn.terminal.opening import configured

    if sum([conversation is not None, pending, withdraw is not None]) != 1:
        raise typer.BadParameter("give a conversation's file, or --pending, or --withdraw ID.")
    settings = configured(data, model)
    if withdraw is not None:
        return _withdraw(settings, withdraw)
    said = _read(conversation) if conversation is not None else None
    if said is None and not _pending(settings):
        return typer.echo(f"Nothing is pending in {settings.folder}.")
    screen = screen_for()
    session = opened(settings, screen)
    corrections = _pending(settings) if said is None else [_noticed(session, said)]
    raise typer.Exit(0 if _learn_all(session, screen, corrections) else 1)


def _pending(settings: Settings) -> list[Correction]:
    return _journal(settings).pending()


def _withdraw(settings: Settings, correction_id: str) -> None:
    waiting = {correction.id: correction for correction in _pending(settings)}
    if correction_id not in waiting:
        known = ", ".join(waiting) or "none"
        raise CommandError(f"No correction {correction_id} is pending. Pending: {known}.")
    _journal(settings).settle(correction_id, "withdrawn", None, "by the user")
    shutil.rmtree(settings.folder / "work" / correction_id, ignore_errors=True)
    typer.echo(f"Withdrawn: {waiting[correction_id].statement}")


def _journal(settings: Settings) -> Journal:
    from lifelearn.terminal.journal import journal_of

    return journal_of(settings.folder)


def _read(file: Path) -> Conversation:
    """A conversation from JSON."""
    from pydantic import TypeAdapter, ValidationError

    from lifelearn.learning.types import Message

    try:
        return tuple(TypeAdapter(list[Message]).validate_json(file.read_bytes()))
    except ValidationError as error:
        raise CommandError(
            f'{file} is no conversation. It must be JSON like [{{"role": "user", "content": "…"}}, …], with the roles '
            "system, user and assistant."
        ) from error


def _noticed(session: Session, said: Conversation) -> Correction:
    correction = session.noticed_in(said)
    if correction is None:
        raise CommandError("The last message is no correction: it must say what is right about the answer before it.")
    return correction


def _learn_all(session: Session, screen: Screen, corrections: Sequence[Correction]) -> bool:
    """Learns one after the other; whether all are live. What could not be learned stays pending."""
    from lifelearn.terminal.chat import Chat
    from lifelearn.terminal.keyboard import Pipe

    chat = Chat(session, screen, Pipe(sys.stdin), auto=True)
    learned = True
    for correction in corrections:
        screen.correction(correction)
        learned = chat.learn(correction) and learned
    return learned
