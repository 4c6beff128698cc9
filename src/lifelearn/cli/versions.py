"""`lifelearn versions`, `rollback` and `export`: what was learned, which of it is live, and taking it elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lifelearn.cli.opening import screen_for
from lifelearn.cli.options import AsJson, Data


def versions(data: Data = None, as_json: AsJson = False) -> None:
    """Show the versions; the active one is marked."""
    from lifelearn.learning.version import VersionStore
    from lifelearn.terminal.opening import configured

    store = VersionStore(configured(data).folder)
    active, found = store.active(), store.versions()
    if as_json:
        rows = [{**version.model_dump(mode="json"), "passed": version.report.passed} for version in found]
        return typer.echo(json.dumps({"active": active, "versions": rows}, ensure_ascii=False, indent=2))
    return screen_for().versions(found, active)


def rollback(number: Annotated[int, typer.Argument(metavar="N", min=0)], data: Data = None) -> None:
    """Make version N the active one; 0 is the base model."""
    from lifelearn.learning.version import VersionStore
    from lifelearn.terminal.opening import configured

    VersionStore(configured(data).folder).activate(number)
    typer.echo(f"Version {number} is active." if number else "The base model is active.")


def export(
    number: Annotated[int, typer.Argument(metavar="VERSION", min=1)],
    kind: Annotated[
        str, typer.Option("--format", metavar="adapter|merged|gguf", help="PEFT's, transformers' or llama.cpp's.")
    ] = "merged",
    output: Annotated[Path | None, typer.Option("--output", metavar="DIR", help="A new folder.")] = None,
    data: Data = None,
) -> None:
    """Write a version for other programs, with a model card: its adapter, merged weights, or a GGUF file."""
    from lifelearn.chat_models.exporting import ExportError
    from lifelearn.chat_models.exporting import export as write
    from lifelearn.learning.version import VersionStore
    from lifelearn.terminal.opening import configured

    if kind not in ("adapter", "merged", "gguf"):
        raise ExportError(f"--format {kind} is not known. Take adapter, merged or gguf.")
    settings = configured(data)
    target = output or Path(f"version-{number}-{kind}")
    made = write(VersionStore(settings.folder), number, kind, target, settings.cache_dir)  # type: ignore[arg-type]
    typer.echo(f"Written: {made}")
