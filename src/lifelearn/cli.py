"""The command line: chat, learn, train, versions, export, serve, worker, backup, restore, pull, bench and the like.

Commands are thin: they read the settings, open a session and hand over to `terminal/`. Nothing heavy
is imported before a command needs it. Every expected fault is one sentence on standard error and
exit status 1 (2 for a wrong command line); LL_DEBUG=1 shows the trace.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lifelearn.bench.command import bench
from lifelearn.learning import private
from lifelearn.terminal.train import train

if TYPE_CHECKING:
    from lifelearn.learning.types import Conversation, Correction
    from lifelearn.settings import Settings
    from lifelearn.terminal.journal import Journal
    from lifelearn.terminal.screen import Screen
    from lifelearn.terminal.session import Session
    from lifelearn.workspace.backup.manifest import Manifest

app = typer.Typer(
    name="lifelearn",
    help="A chat with your own model, which learns what you correct.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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

app.add_typer(bench)
app.command()(train)


class CommandError(Exception):
    """A command cannot do what it was asked. The text says why and what to do."""


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


@app.command()
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

    screen = _screen(talks=True)
    session = _open(configured(data, model), screen)
    if isinstance(screen, ColourScreen):
        history = session.store.root / "history"
        source: Source = Keyboard(history, list(COMMANDS), colour="NO_COLOR" not in os.environ)
        for line in greeting(session):
            screen.note(line)
    else:
        source = Pipe(sys.stdin)
    raise typer.Exit(Chat(session, screen, source, auto=auto).run())


@app.command()
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
    screen = _screen()
    folder = data or Path(tempfile.mkdtemp(prefix="lifelearn-demo-"))
    screen.note(f"The demo's versions are kept in {folder}; your own are not touched.")
    outcome = play(_open(configured(folder, model, seed), screen), screen, FACTS[fact])
    if file is not None:
        file.write_text(json.dumps(outcome, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    raise typer.Exit(0 if outcome["passed"] else 1)


@app.command()
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
    screen = _screen()
    session = _open(settings, screen)
    corrections = _pending(settings) if said is None else [_noticed(session, said)]
    raise typer.Exit(0 if _learn_all(session, screen, corrections) else 1)


@app.command()
def versions(data: Data = None, as_json: AsJson = False) -> None:
    """Show the versions; the active one is marked."""
    from lifelearn.learning.version import VersionStore
    from lifelearn.terminal.opening import configured

    store = VersionStore(configured(data).folder)
    active, found = store.active(), store.versions()
    if as_json:
        rows = [{**version.model_dump(mode="json"), "passed": version.report.passed} for version in found]
        return typer.echo(json.dumps({"active": active, "versions": rows}, ensure_ascii=False, indent=2))
    return _screen().versions(found, active)


@app.command()
def rollback(number: Annotated[int, typer.Argument(metavar="N", min=0)], data: Data = None) -> None:
    """Make version N the active one; 0 is the base model."""
    from lifelearn.learning.version import VersionStore
    from lifelearn.terminal.opening import configured

    VersionStore(configured(data).folder).activate(number)
    typer.echo(f"Version {number} is active." if number else "The base model is active.")


@app.command()
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


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port; 0 takes a free one.")] = 8080,
) -> None:
    """Open the workspace: a team's chat with its own model, in the browser."""
    from lifelearn.settings import load_settings
    from lifelearn.workspace.serve import serve as run

    run(load_settings(), host, port, typer.echo)


@app.command()
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


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, or a folder, in which it gets a name.")],
) -> None:
    """Write the database and all versions into one archive, while the workspace goes on."""
    from lifelearn.settings import load_settings
    from lifelearn.workspace.backup.backup import backup as back_up

    with _transfer() as progress:
        made, manifest = back_up(load_settings(), file, progress)
    typer.echo(f"Written: {made} ({_shown(manifest)}). Keep it as you keep a password: it holds all that was said.")


@app.command()
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


@app.command()
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


@app.command()
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


def _screen(talks: bool = False) -> Screen:
    """The screen for who reads it: a person, who for a chat must also be at the keyboard, or a program."""
    from rich.console import Console

    from lifelearn.terminal.screen import ColourScreen, PlainScreen

    if sys.stdout.isatty() and (sys.stdin.isatty() or not talks):
        return ColourScreen(Console(highlight=False))
    for stream in (sys.stdin, sys.stdout):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    return PlainScreen(sys.stdout, sys.stderr)


def _open(settings: Settings, screen: Screen) -> Session:
    from lifelearn.chat_models.default_model import resolve
    from lifelearn.terminal.opening import open_session

    if settings.inference_backend == "local":  # before the screen is busy: what is fetched shows its progress
        resolve(settings.base_model_name, settings.cache_dir, partial(typer.echo, err=True))
    with screen.busy("loading the model …"):
        session = open_session(settings)
    if settings.inference_backend == "mock":
        typer.echo(f"Answers come from the {session.model.name}, which cannot be taught.", err=True)
    return session


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
