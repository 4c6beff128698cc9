"""All commands, in the order in which `lifelearn --help` shows them, and the entry point.

Every expected fault is one sentence on standard error and exit status 1 (2 for a wrong command line);
LL_DEBUG=1 shows the trace.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from lifelearn.bench.command import bench
from lifelearn.cli.chatting import chat, demo
from lifelearn.cli.learning import learn
from lifelearn.cli.models import models, pull
from lifelearn.cli.versions import export, rollback, versions
from lifelearn.cli.workspace import backup, restore, serve, worker
from lifelearn.learning import private
from lifelearn.terminal.train import train

app = typer.Typer(
    name="lifelearn",
    help="A chat with your own model, which learns what you correct.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench)
for each in (train, chat, demo, learn, versions, rollback, export, serve, worker, backup, restore, models, pull):
    app.command()(each)


def main() -> None:
    """The entry point."""
    private.umask()
    try:
        app()
    except Exception as error:
        from lifelearn.terminal.errors import sentence

        told = sentence(error)
        if told is None or os.environ.get("LL_DEBUG") == "1":
            raise
        typer.echo(told, err=True)
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lifelearn {version('lifelearn')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass
