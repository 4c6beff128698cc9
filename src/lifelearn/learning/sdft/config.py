"""Every number of a training run on demonstrations, in one frozen value; the names are those of TRL where it has them.

Each field says what it does and where its default comes from; the command line is made from the fields
(terminal/train.py). "Paper" is arXiv 2601.19897, "reference" the training script beside it. Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cache
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

Tracker = Literal["jsonl", "tensorboard", "trackio", "wandb"]

# What the paper's teacher sees instead of the prompt.
PAPER_CONTEXT = (
    "{prompt}\n\nThis is an example for a response to the question:\n{demonstration}\n\n"
    "Now answer with a response of your own, including the thinking process."
)
PROMPT, CONTEXT = "{prompt}", "{privileged_context}"
PAPER_TEMPLATE = PAPER_CONTEXT.replace("{demonstration}", CONTEXT)
# The paper's range for all weights is 5e-6 to 5e-5; LoRA wants ten to fifteen times as much.
FULL_LEARNING_RATE, LORA_LEARNING_RATE = 2e-5, 3e-4


class ConfigError(Exception):
    """The settings of a run cannot be used. The text names each and what it allows."""


def _setting(
    default: Any,
    description: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    bounds = {"at least": ge, "more than": gt, "at most": le, "less than": lt}
    return field(default=default, metadata={"help": description, "bounds": bounds})


@dataclass(frozen=True, kw_only=True)
class SDFTConfig:
    """Raises ConfigError, which names every value that cannot be used."""

    output_dir: str = field(metadata={"help": "Folder for checkpoints, logs and the trained model."})

    # Optimisation
    learning_rate: float | None = _setting(
        None, "Peak learning rate of AdamW. Unset: 2e-5 for all weights (reference), 3e-4 for LoRA.", gt=0
    )
    num_train_epochs: int = _setting(2, "Passes over the data. Default: the paper's for skills.", ge=1)
    max_steps: int = _setting(-1, "Optimiser steps; -1 is as many as the epochs give.", ge=-1)
    num_prompts_per_batch: int = _setting(
        32, "Prompts in one optimiser step, over all devices. Default: the reference's.", ge=1
    )
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = _setting(
        "cosine", "Course of the learning rate after warm-up. Default: the paper's."
    )
    warmup_steps: int = _setting(10, "Steps of linear warm-up. Default: the paper's.", ge=0)
    max_grad_norm: float = _setting(1.0, "Gradients are clipped to this norm. Default: the reference's.", gt=0)
    weight_decay: float = _setting(0.0, "Of AdamW. Default: TRL's.", ge=0)
    adam_beta1: float = _setting(0.9, "Of AdamW. Default: TRL's.", ge=0, lt=1)
    adam_beta2: float = _setting(0.999, "Of AdamW. Default: TRL's.", ge=0, lt=1)
    adam_epsilon: float = _setting(1e-08, "Of AdamW. Default: TRL's.", gt=0)
    seed: int = _setting(42, "Of data order, rollouts and new adapters. Default: TRL's.", ge=0, lt=2**32)

    # The teacher
    teacher_model_kind: Literal["ema", "base", "live"] = _setting(
        "ema",
        "The teacher's weights: an average that follows the student (the paper's), the base model as it was, "
        "or the student as it is (the paper saw it diverge).",
    )
    teacher_update_rate: float = _setting(
        0.01, "With ema: share of the student taken in at each update. Default: the reference's.", gt=0, le=1
    )
    teacher_sync_steps: int = _setting(1, "With ema: steps from one update to the next.", ge=1)
    teacher_prompt_template: str = _setting(
        PAPER_TEMPLATE,
        "What the teacher sees for the last user turn; {prompt} and {privileged_context} are filled in. "
        "Default: the paper's.",
    )

    # The loss
    distillation_alpha: float = _setting(
        0.0,
        "0 forward KL (teacher to student), 1 reverse, between them Jensen-Shannon. Default: the paper's.",
        ge=0,
        le=1,
    )
    distillation_mode: Literal["full_logits", "topk_logits", "sampled_token"] = _setting(
        "full_logits",
        "Compare the whole vocabulary (the reference), its k likeliest tokens, or the sampled token alone "
        "(reverse KL only).",
    )
    distillation_topk: int = _setting(100, "With topk_logits: how many tokens. Default: TRL's.", ge=1)
    distillation_topk_of: Literal["student", "teacher"] = _setting(
        "student", "With topk_logits: whose likeliest tokens. Default: TRL's."
    )
    distillation_add_tail: bool = _setting(
        False, "With topk_logits: count all other tokens as one more. Default: TRL's."
    )
    distillation_is_clip: float | None = _setting(
        2.0,
        "Where another engine samples the rollouts: a token counts by how much likelier it is to the student "
        "than to that engine, at most so often; 0 turns this off. Default: the reference's and TRL's.",
        ge=0,
    )
    num_loss_tokens_to_skip: int = _setting(
        3, "First tokens of a completion without loss. Default: the reference's.", ge=0
    )

    # Prompts and rollouts
    max_prompt_length: int = _setting(
        1024, "Most tokens of a prompt, the teacher's included. Default: the reference's.", ge=1
    )
    long_prompts: Literal["drop", "cut"] = _setting(
        "drop", "What becomes of rows with longer prompts: left out, or cut at their beginning (as in TRL)."
    )
    control_tokens: bool = _setting(
        False, "Control tokens that stand in the data set's texts are such; otherwise they are text. Trusted data only."
    )
    shuffle_dataset: bool = _setting(True, "A new order of the rows in each epoch. Default: TRL's.")
    max_completion_length: int = _setting(1024, "Most tokens of a rollout. Default: the reference's.", ge=1)
    num_generations: int = _setting(1, "Rollouts a prompt. Default: the paper's.", ge=1)
    temperature: float = _setting(
        1.0, "Of the rollouts and of both distributions in the loss, as in TRL. 0 is greedy, 1 in the loss.", ge=0
    )
    top_p: float = _setting(1.0, "Rollouts sample from the smallest set of tokens of this mass.", gt=0, le=1)
    generate_from_teacher: bool = _setting(
        False, "Rollouts by the teacher, from its own prompt, instead of the student. Default: the paper's."
    )
    rollouts: Literal["own", "vllm"] = _setting(
        "own", "What samples the rollouts: this program, or vLLM in the same process (to be installed)."
    )
    vllm_gpu_memory_utilization: float = _setting(
        0.3, "With vllm: its share of the device's memory. Default: the reference's.", gt=0, le=1
    )

    # The model
    use_peft: bool = _setting(False, "Train a LoRA adapter instead of all weights. Default: the paper's.")
    lora_r: int = _setting(16, "Rank of the adapter, on all linear layers; its alpha is twice that.", ge=1)
    merge_adapter: bool = _setting(False, "Write the whole model with the adapter in it, not the adapter.")
    bf16: bool | None = _setting(
        None, "Matrix products in bfloat16; trainable weights stay float32. Unset: where the device has them."
    )
    gradient_checkpointing: bool = _setting(False, "Less memory for activations, about a third more time.")
    fsdp: bool | None = _setting(
        None, "Spread all weights over the devices. Unset: where `accelerate launch` is told to (--use_fsdp)."
    )
    tokens_per_pass: int = _setting(
        2048, "Tokens of rows computed at once, about: what bounds the memory. A longer row is alone.", ge=1
    )
    rollouts_per_pass: int = _setting(64, "Rollouts sampled at once on a device.", ge=1)

    # Evaluation, saving, logging
    eval_split: float = _setting(0.0, "Share of the rows held out; the loss on them is reported.", ge=0, lt=1)
    eval_steps: int = _setting(50, "Steps from one evaluation to the next; the last step is one too.", ge=1)
    save_steps: int = _setting(
        100, "Steps from one checkpoint to the next; 0 keeps none. Default: the reference's.", ge=0
    )
    save_total_limit: int = _setting(2, "Checkpoints kept, the newest.", ge=1)
    logging_steps: int = _setting(1, "Steps from one line of the logs to the next. Default: the reference's.", ge=1)
    report_to: tuple[Tracker, ...] = _setting(
        ("jsonl",), "Where figures go: jsonl, tensorboard, trackio, wandb; several with commas between them."
    )
    run_name: str | None = _setting(None, "Name of the run for Trackio and W&B. Unset: the output's folder.")

    def __post_init__(self) -> None:
        wrong = list(self._wrong())
        if wrong:
            raise ConfigError(f"The training settings cannot be used: {'; '.join(wrong)}.")

    @property
    def peak_learning_rate(self) -> float:
        return self.learning_rate or (LORA_LEARNING_RATE if self.use_peft else FULL_LEARNING_RATE)

    @property
    def loss_temperature(self) -> float:
        return self.temperature or 1.0

    def _wrong(self) -> Iterator[str]:
        hints = types_of()
        for each in fields(self):
            value = getattr(self, each.name)
            if not _fits(value, hints[each.name]):
                choices = get_args(hints[each.name]) if get_origin(hints[each.name]) is Literal else ()
                wanted = f"one of {', '.join(choices)}" if choices else str(each.type)
                yield f"{each.name} must be {wanted}, not {value!r}"
                continue
            for name, bound in each.metadata.get("bounds", {}).items():
                if bound is not None and value is not None and not _HOLDS[name](value, bound):
                    yield f"{each.name} must be {name} {bound:g}, not {value:g}"
        if not self.output_dir:
            yield "output_dir must name a folder"
        if self.distillation_mode == "sampled_token" and self.distillation_alpha != 1:
            yield "distillation_mode sampled_token is reverse KL, so it needs distillation_alpha 1"
        if PROMPT not in self.teacher_prompt_template or CONTEXT not in self.teacher_prompt_template:
            yield f"teacher_prompt_template must contain {PROMPT} and {CONTEXT}"
        if self.merge_adapter and not self.use_peft:
            yield "merge_adapter needs use_peft: without an adapter the whole model is written anyway"
        if self.rollouts == "vllm" and self.generate_from_teacher:
            yield "rollouts vllm are the student's; generate_from_teacher needs rollouts own"


def learning_rate_share(step: int, steps: int, config: SDFTConfig) -> float:
    """The learning rate's share of its peak at `step`, counted from 0: linear warm-up, then the configured course."""
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.lr_scheduler_type == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return 1 - done if config.lr_scheduler_type == "linear" else 0.5 * (1 + math.cos(math.pi * done))


_HOLDS = {
    "at least": lambda value, bound: value >= bound,
    "more than": lambda value, bound: value > bound,
    "at most": lambda value, bound: value <= bound,
    "less than": lambda value, bound: value < bound,
}


@cache
def types_of() -> dict[str, Any]:
    """The type of each field."""
    return get_type_hints(SDFTConfig)


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(value, each) for each in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(each, get_args(kind)[0]) for each in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
