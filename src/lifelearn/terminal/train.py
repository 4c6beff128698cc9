"""`lifelearn train`: SDFT on a data set of demonstrations. The options are the fields of `SDFTConfig`.

Several devices: `accelerate launch -m lifelearn train …`; only the first process talks. Nothing heavy is imported
before the command runs.
"""

from __future__ import annotations

import inspect
import os
import socket
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from lifelearn.learning.sdft.config import SDFTConfig, Tracker, types_of

if TYPE_CHECKING:
    from lifelearn.learning.types import Progress

HELP = {each.name: each.metadata["help"] for each in fields(SDFTConfig)}

# Where the command line is shorter than TRL's names.
OPTIONS = {
    "num_train_epochs": "--epochs",
    "num_prompts_per_batch": "--prompts-per-batch",
    "use_peft": "--lora/--full",
    "lora_r": "--lora-rank",
    "teacher_model_kind": "--teacher",
    "teacher_update_rate": "--ema-rate",
    "teacher_prompt_template": "--teacher-template",
    "distillation_alpha": "--alpha",
    "distillation_mode": "--loss",
    "distillation_topk": "--top-k",
    "distillation_topk_of": "--top-k-of",
    "distillation_add_tail": "--top-k-tail/--no-top-k-tail",
    "distillation_is_clip": "--importance-clip",
    "num_loss_tokens_to_skip": "--skip-tokens",
    "max_grad_norm": "--gradient-clip",
    "lr_scheduler_type": "--schedule",
    "merge_adapter": "--merge/--no-merge",
    "shuffle_dataset": "--shuffle/--no-shuffle",
}
GIVEN = ("output_dir", "report_to")  # written out below


class TrainCommandError(Exception):
    """The command line asks for what cannot be done. The text says why and what to do."""


def train(
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="FILE|ID", help="JSON, JSON Lines or Parquet, a folder, or a hub's id.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder of the trained model and its logs.")],
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Hugging Face id, folder or `bundled`.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Split of a data set that has several.")] = "train",
    subset: Annotated[
        str | None, typer.Option("--subset", help="Configuration of a data set that has several.")
    ] = None,
    eval_dataset: Annotated[
        str | None, typer.Option("--eval-dataset", metavar="FILE|ID", help="Held-out prompts, instead of --eval-split.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --output.")] = False,
    resume_from: Annotated[
        Path | None, typer.Option("--resume-from", metavar="DIR", help="Go on from that checkpoint.")
    ] = None,
    report_to: Annotated[str, typer.Option("--report-to", metavar="A,B", help=HELP["report_to"])] = "jsonl",
    **values: Any,
) -> None:
    """Train a model on demonstrations by SDFT, the paper's way: its own answers, moved towards what it would say had it
    seen the demonstration."""
    from lifelearn.backends import named_model
    from lifelearn.learning.sdft.data import read_demonstrations
    from lifelearn.terminal.opening import configured

    config = SDFTConfig(output_dir=str(output), report_to=trackers(report_to), **values)
    talks = int(os.environ.get("RANK", "0")) == 0
    if config.rollouts == "vllm":
        stand_alone()
    data = read_demonstrations(dataset, config.teacher_prompt_template, split=split, subset=subset)
    held = None
    if eval_dataset is not None:
        held = read_demonstrations(eval_dataset, config.teacher_prompt_template, split=split, subset=subset)
    base, tokenizer, name = named_model(configured(model=model))
    from lifelearn.learning.sdft.data_loop import SDFTTrainer

    say = typer.echo if talks else _silent
    trainer = SDFTTrainer(
        base, tokenizer, config, data, held, base_name=name, on_progress=lambda told: _show(told, config, say)
    )
    done = trainer.train(resume_from or resume)
    say(f"Trained {done.steps} steps. The {_kind(config)} is in {done.folder}.")
    if not config.use_peft or config.merge_adapter:
        say(f"Talk to it: lifelearn chat --model {done.folder}")


def trackers(names: str) -> tuple[Tracker, ...]:
    """Trackers from a list with commas between them; `none` is none of them."""
    known: tuple[Tracker, ...] = get_args(Tracker)
    asked = [name.strip() for name in names.split(",") if name.strip() not in ("", "none")]
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise TrainCommandError(f"--report-to {', '.join(unknown)} is not known. Take {', '.join(known)}, or none.")
    return tuple(name for name in known if name in asked)


def _with_options() -> None:
    """Gives `train` an option for each field of the configuration that it does not name itself."""
    own = [
        each
        for each in inspect.signature(train, eval_str=True).parameters.values()
        if each.kind is not each.VAR_KEYWORD
    ]
    kinds = types_of()
    made = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=_option(each.name, kinds[each.name]),
        )
        for each in fields(SDFTConfig)
        if each.name not in GIVEN
    ]
    train.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
    train.__annotations__ = {each.name: each.annotation for each in (*own, *made)}


def _option(name: str, kind: Any) -> Any:
    flag = OPTIONS.get(name, f"--{name.replace('_', '-')}")
    plain = next((each for each in get_args(kind) if each is not type(None)), kind) if _is_optional(kind) else kind
    if plain is bool and "/" not in flag:
        flag = f"{flag}/--no{flag[1:]}"
    return Annotated[kind, typer.Option(flag, help=HELP[name], show_default=name != "teacher_prompt_template")]


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) is not None and type(None) in get_args(kind)


def _show(told: Progress, config: SDFTConfig, say: Any) -> None:
    if told.loss is None:
        say(told.message)
    elif told.step in (1, told.steps) or told.step % config.logging_steps == 0 or "held-out" in told.message:
        say(f"step {told.step}/{told.steps}  loss {told.loss:.4f}  {told.message}")


def _kind(config: SDFTConfig) -> str:
    return "adapter" if config.use_peft and not config.merge_adapter else "model"


def _silent(text: str) -> None:
    pass


def stand_alone() -> None:
    """vLLM in the trainer's process wants a process group: of one, at a free port, where nothing was launched."""
    if "RANK" in os.environ:
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(alone)


_with_options()
