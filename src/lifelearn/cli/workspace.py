"""`lifelearn serve`, `worker`, `backup` and `restore`: a workspace and its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lifelearn.workspace.backup.manifest import Manifest


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port; 0 takes a free one.")] = 8080,
) -> None:
    """Open the workspace: a team's chat with its own model, in the browser."""
    from lifelearn.settings import load_settings
    from lifelearn.workspace.serve import serve as run

    run(load_settings(), host, port, typer.echo)


def worker() -> None:
    """Learn for a workspace on this machine: takes its jobs from PostgreSQL (see LL_DATABASE_URL)."""
    import threading

    from lifelearn.chat_models.default_model import resolve
    from lifelearn.settings import load_settings
    from lifelearn.workspace import logs
    from lifelearn.workspace.jobs import worker as workers

    settings = load_settings()
    workers.check(settings)
    logs.configure(settings.log_format)
    if settings.inference_backend != "mock":  # which learns without a model
        resolve(settings.base_model_name, settings.cache_dir, typer.echo)
    stopping = threading.Event()
    with suppress(KeyboardInterrupt):
        workers.run(settings, stopping, typer.echo)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, or a folder, in which it gets a name.")],
) -> None:
    """Write the database and all versions into one archive, while the workspace goes on."""
    from lifelearn.settings import load_settings
    from lifelearn.workspace.backup.backup import backup as back_up

    with _transfer() as progress:
        made, manifest = back_up(load_settings(), file, progress)
    typer.echo(f"Written: {made} ({_shown(manifest)}). Keep it as you keep a password: it holds all that was said.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of `lifelearn backup`.")],
    check: Annotated[bool, typer.Option("--check", help="Only read it from end to end; put nothing in place.")] = False,
) -> None:
    """Put a backup in place, into an empty database and an empty folder; nothing is ever overwritten."""
    from lifelearn.settings import load_settings
    from lifelearn.workspace.backup.restore import restore as put_back
    from lifelearn.workspace.backup.restore import verify

    with _transfer() as progress:
        manifest, left = (verify(file, progress), "") if check else put_back(load_settings(), file, progress)
    made = f"of {manifest.created_at}, release {manifest.release}"
    typer.echo(f"{'Sound' if check else 'Restored'}: {file} {made} ({_shown(manifest)}).")
    if left:
        typer.echo(left, err=True)


@contextmanager
def _transfer() -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how much is done. SIGTERM ends it as Ctrl-C does: with nothing left."""
    import signal

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _shown(manifest: Manifest) -> str:
    from lifelearn.terminal.text import size

    return f"{manifest.counted}, {size(manifest.size)}"
