"""`lifelearn models` and `pull`: which models there are."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from lifelearn.cli.options import AsJson, CommandError


def models(as_json: AsJson = False) -> None:
    """Show which models can be used, which is configured, and whether there is an expert."""
    from rich.console import Console

    from lifelearn.terminal import models as listing
    from lifelearn.terminal.opening import configured

    found = listing.models(configured())
    if as_json:
        return typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    width = None if sys.stdout.isatty() else 200
    Console(highlight=False, width=width).print(listing.models_table(found))
    for note in listing.models_notes(found):
        typer.echo(note)
    return None


def pull(name: Annotated[str, typer.Argument(metavar="[bundled]")] = "bundled") -> None:
    """Fetch the bundled model, 93 MB, which otherwise comes at the first start."""
    from lifelearn.chat_models.default_model import BUNDLED, BUNDLED_NAME, bundled_model
    from lifelearn.settings import load_settings

    if name not in (BUNDLED, BUNDLED_NAME):
        raise CommandError(
            f"Only the bundled model is pulled, not {name}. A Hugging Face id is fetched when it is first used, and a "
            "folder is read where it is."
        )
    typer.echo(f"{BUNDLED_NAME} is in {bundled_model(load_settings().cache_dir, typer.echo)}.")
