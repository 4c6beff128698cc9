"""`lifelearn bench …`: reads the rows, runs the bench, writes and shows the report.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lifelearn.bench.report import Report
    from lifelearn.chat_models.local import LocalChatModel
    from lifelearn.learning.chat_model import ChatModel
    from lifelearn.settings import Settings

bench = typer.Typer(name="bench", help="Measure what is claimed.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", metavar="REPORT.json", help="Where the report goes.")]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Hugging Face id, folder or `bundled`.")]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many rows.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of wordings, rollouts and row order.")]


@bench.command()
def corrections(
    out: Out,
    rows: Annotated[
        list[Path] | None,
        typer.Option(
            "--rows", metavar="FILE.jsonl", help="Evaluation rows, once or more; our 32 company rules if not given."
        ),
    ] = None,
    subset: Annotated[
        bool, typer.Option("--subset", help="The rows that every change is measured on: of ours, and of --rows.")
    ] = False,
    limit: Limit = None,
    seed: Seed = None,
    model: Model = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Keep the versions; those that are there aren't trained again."),
    ] = None,
    sequential: Annotated[
        int | None, typer.Option("--sequential", metavar="K", min=1, help="Learn K rows one on top of the other.")
    ] = None,
    baselines: Annotated[
        str, typer.Option("--baselines", metavar="A,B", help="icl, sft, sdft_reference, trl_sdft or all.")
    ] = "",
    baseline_rows: Annotated[
        int | None, typer.Option("--baseline-rows", metavar="N", min=1, help="Baselines on the first N rows only.")
    ] = None,
    text: Annotated[
        Path | None, typer.Option("--text", metavar="FILE.jsonl", help="General text for drift; our own if not given.")
    ] = None,
) -> None:
    """Corrections, each from its conversation to a verified version, and what became of them."""
    from lifelearn.bench import pictures
    from lifelearn.bench.baselines import BASELINES, check
    from lifelearn.bench.corrections import corrections as run
    from lifelearn.bench.report import summary, write
    from lifelearn.bench.rows import COMPANY, Row, chosen, read_all
    from lifelearn.learning.examiner.general import TEXT

    names = list(BASELINES) if baselines == "all" else [name for name in baselines.split(",") if name]
    try:
        check(names)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--baselines") from error
    files = [COMPANY, *(rows or [])] if subset else rows or [COMPANY]
    found = read_all(files, Row)
    if subset:
        found = chosen(found, typer.echo)
    texts = TEXT if text is None else _texts(text, len(TEXT), seed or 0)
    settings, local, expert = _opened(model, seed)
    report = run(
        local,
        found,
        settings.recipe(),
        expert=expert,
        limit=limit,
        sequential=sequential,
        baselines=names,
        baseline_rows=baseline_rows,
        texts=texts,
        say=typer.echo,
        reported=lambda so_far: write(so_far, out),
        log=out.with_suffix(".rows.jsonl"),
        resume=resume,
        keep=keep,
    )
    write(report, out)
    picture = out.with_suffix(".svg")
    if sequential:
        pictures.retention_matrix(report, picture)
    elif names:
        pictures.recipes({"ours": report["figures"], **report["baselines"]}, picture)
    typer.echo(summary(report))
    typer.echo(f"Written to {out}.")


@bench.command()
def detection(
    out: Out,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", metavar="FILE.jsonl", help="Conversations; ours that are in no fit if not given."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", hidden=True)] = None,
) -> None:
    """Which conversations end in a correction, and what is right according to it. No model is asked but an expert."""
    from lifelearn.backends import expert
    from lifelearn.bench.detection import detection as run
    from lifelearn.bench.rows import Dialogue, held_out, read_rows
    from lifelearn.settings import load_settings

    found = held_out() if rows is None else read_rows(rows, Dialogue)
    settings = load_settings()
    report = run(found, None if settings.local_structured else expert(settings), typer.echo)
    _tell(report, out)


Cases = Annotated[list[Path], typer.Option("--rows", metavar="FILE.jsonl", help="Cases with their labels.")]


@bench.command()
def judge(rows: Cases, out: Out) -> None:
    """Whether replies are right, as verification judges them."""
    from lifelearn.bench import reading
    from lifelearn.bench.rows import Judged, read_all

    _tell(reading.judge(read_all(rows, Judged), typer.echo), out)


@bench.command()
def kept(rows: Cases, out: Out) -> None:
    """Whether earlier answers survived, as verification judges them."""
    from lifelearn.bench import reading
    from lifelearn.bench.rows import KeptCase, read_all

    _tell(reading.kept(read_all(rows, KeptCase), typer.echo), out)


@bench.command(name="same-fact")
def same_fact(rows: Cases, out: Out) -> None:
    """Whether two questions ask for one fact, as the chat decides it."""
    from lifelearn.bench import reading
    from lifelearn.bench.rows import Pair, read_all
    from lifelearn.learning.author.english.same_question import is_same_question

    def alike(question: str, other: str) -> float:
        return float(is_same_question(question, other))

    _tell(reading.same_fact(read_all(rows, Pair), alike, 1.0, typer.echo), out)


@bench.command()
def marker(
    out: Out,
    rows: Annotated[
        list[Path] | None,
        typer.Option("--rows", metavar="FILE.jsonl", help="Replies with their labels; ours, if not given."),
    ] = None,
) -> None:
    """How often the benches' marker says what people said of a reply."""
    from lifelearn.bench import reading
    from lifelearn.bench.rows import MARKED, Judged, read_all

    _tell(reading.marker(read_all(rows or [MARKED], Judged), typer.echo), out)


@bench.command()
def speed(out: Out, model: Model = None) -> None:
    """Our training step, rollouts and chat decoding beside those of others, in one run."""
    from lifelearn.bench.report import write
    from lifelearn.bench.speed import speed as run

    settings, local, _ = _opened(model, None)
    report = run(local, settings.recipe(), settings.cache_dir, say=typer.echo)
    write(report, out)
    typer.echo(f"Written to {out}.")


@bench.command()
def skills(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for report.json and the two pictures.")],
    methods: Annotated[str, typer.Option("--methods", metavar="A,B", help="sdft, sft, trl or all.")] = "all",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many held-out tasks a skill.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", min=1, help="Optimiser steps a skill.")] = None,
    seed: Seed = None,
    model: Model = None,
) -> None:
    """Three small skills, one after another: by SDFT, by SFT, by TRL. About 20 minutes on a core of its own."""
    import tempfile

    from lifelearn.bench import pictures
    from lifelearn.bench.report import write
    from lifelearn.bench.skills import METHODS, Plan, check, sentences
    from lifelearn.bench.skills import skills as run

    names = list(METHODS) if methods == "all" else [name for name in methods.split(",") if name]
    check(names, out)
    _, local, _ = _opened(model, None)
    given = {"seed": seed, "held_out": limit, "steps": steps}
    plan = Plan(**{name: value for name, value in given.items() if value is not None})
    with tempfile.TemporaryDirectory(dir=out, prefix="models-") as folder:
        report = run(
            local, plan, names, Path(folder), typer.echo, keep=lambda so_far: write(so_far, out / "report.json")
        )
    pictures.frontier(report, out / "frontier.png")
    pictures.sequence(report, out / "sequence.png")
    for sentence in sentences(report):
        typer.echo(sentence)
    typer.echo(f"Written to {out}: report.json, frontier.png, sequence.png.")


def _tell(report: Report, out: Path) -> None:
    """Writes the report, and says its figures."""
    from lifelearn.bench.report import write

    write(report, out)
    for name, figure in report["figures"].items():
        if figure["value"] is not None:
            interval = "" if figure["low"] is None else f", {figure['low']:.3f}–{figure['high']:.3f}"
            typer.echo(f"{name}: {figure['value']:.3f} ({figure['n']:g}/{figure['of']}){interval}")
    typer.echo(f"Written to {out}.")


def _opened(model: str | None, seed: int | None) -> tuple[Settings, LocalChatModel, ChatModel | None]:
    """Settings, the local model, and the expert if one is configured."""
    from lifelearn.backends import expert, trainable_model
    from lifelearn.settings import load_settings

    said: dict[str, Any] = {"base_model_name": model, "train_seed": seed}
    settings = load_settings().model_copy(update={name: value for name, value in said.items() if value is not None})
    return settings, trainable_model(settings), expert(settings)


def _texts(path: Path, count: int, seed: int) -> list[str]:
    """At most `count` texts of a JSON Lines file, which are under `text`; the same ones for a seed."""
    from lifelearn.bench.rows import RowsError

    try:
        texts = [str(json.loads(line)["text"]) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError, LookupError, TypeError) as error:
        raise RowsError(f'{path} must have a JSON object with "text" on each line: {error}') from error
    return random.Random(seed).sample(texts, min(count, len(texts)))
