"""What several commands take, and how a command refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of versions and journal; LL_MODEL_STORAGE_DIR if not given."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="Hugging Face id, folder or `bundled`; LL_BASE_MODEL_NAME if not given."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


class CommandError(Exception):
    """A command cannot do what it was asked. The text says why and what to do."""
