"""A version's report in words: what each check asks, how it was trained, where the time went. Knows no pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lifelearn.learning.types import Check, ModelVersion

ASKS = {
    "efficacy": "The corrected question itself. The answer must state what is right.",
    "generalisation": "The same in other words, which training never saw.",
    "locality": "Neighbouring and unrelated questions. What was right stays right, and the new answer leaks nowhere.",
    "retention": "What was corrected before. It must still hold.",
    "drift": "Ordinary text. How far the model moved from its parent on it, in nats per token.",
}
KINDS = {
    "efficacy": "corrected question",
    "generalisation": "other words",
    "neighbour": "neighbour",
    "unrelated": "unrelated",
    "retention": "earlier correction",
}
STAGES = {
    "detect": "Noticing the correction",
    "augment": "Finding other wordings",
    "demonstrate": "Writing right answers",
    "lesson": "Making the lesson",
    "train": "Training",
    "verify": "Verifying",
    "version": "Keeping the version",
}
SETTINGS = {
    "method": "Method",
    "lora_rank": "Rank of the adapter",
    "adapted_layers": "Share of layers with adapters",
    "rounds": "Trainings at most",
    "aim": "Share of unseen wordings right, below which it is trained again",
    "learning_rate": "Learning rate, at its peak",
    "warmup_steps": "Steps of warm-up",
    "max_steps": "Steps at most",
    "epochs": "Passes over the facts at most",
    "min_steps": "Steps before an early stop",
    "watch_slack": "Share of watch probes that may fail at an early stop",
    "target_loss": "Loss at which training may stop early (nats per token)",
    "check_every": "Steps between two askings of the watch probes",
    "mine_every": "Steps between two askings of further neighbours",
    "mined_per_step": "Rows in a step where the model had changed most elsewhere",
    "cold_start_steps": "First steps on the teacher's answers",
    "on_policy_steps": "Then steps on the model's own answers",
    "rollout_temperature": "Temperature of the model's own answers",
    "rollout_tokens": "Tokens of the model's own answers",
    "facts_per_step": "Fact rows in a step",
    "replay_per_step": "Replay rows in a step",
    "retained_per_step": "Rows of earlier corrections in a step",
    "replay_weight": "Weight of replay",
    "retained_weight": "Weight of earlier corrections",
    "grad_clip": "Gradient norm at most",
    "divergence": "Divergence",
    "js_beta": "Weight within Jensen-Shannon",
    "top_k": "Likeliest tokens compared",
    "skip_tokens": "First tokens left out of the loss",
    "teacher": "Teacher",
    "ema_rate": "Rate at which a moving teacher follows",
    "training_prompts": "Wordings to train on",
    "demonstrations": "An expert's answers per wording",
    "max_prompt_tokens": "Tokens of a prompt at most",
    "max_completion_tokens": "Tokens of an answer at most",
    "seed": "Seed",
}
_DIVERGENCES = {"forward": "forward KL", "reverse": "reverse KL", "js": "Jensen-Shannon"}


@dataclass(frozen=True)
class Stage:
    """share: of the whole time, in percent."""

    name: str
    seconds: float
    share: float


def stages(seconds: Mapping[str, float]) -> list[Stage]:
    whole = sum(seconds.values()) or 1.0
    return [Stage(STAGES.get(name, name), spent, round(100 * spent / whole, 1)) for name, spent in seconds.items()]


def settings_table(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each training setting with its value; those of another release under their own names."""
    return [(SETTINGS.get(name, name), "none" if value is None else str(value)) for name, value in settings.items()]


def in_words(version: ModelVersion) -> str:
    """How it was trained, in a few sentences."""
    settings, training = version.settings, version.training
    if version.method == "lora":
        share = settings.get("adapted_layers")
        layers = f"on the last {share:.0%} of the layers" if isinstance(share, float) and share < 1 else "on all layers"
        told = [f"An adapter (LoRA) of rank {settings.get('lora_rank', '?')} {layers}; the base model is unchanged."]
    else:
        told = ["All weights were trained."]
    teacher = "a teacher that moves along" if settings.get("teacher") == "ema" else "a frozen teacher"
    divergence = _DIVERGENCES.get(str(settings.get("divergence")), "a divergence")
    told.append(
        f"The model learned to answer as {teacher} that was shown the right answer ({divergence}), with "
        f"{settings.get('facts_per_step', '?')} rows of facts and {settings.get('replay_per_step', '?')} rows of "
        "what it must keep in each step."
    )
    if training is not None:
        told.append(f"It took {training.steps} steps, on {training.completion_tokens:,} tokens of answers.")
        rate, wanted = training.learning_rate, settings.get("learning_rate")
        if rate is not None and isinstance(wanted, float) and rate < wanted:
            told.append(f"The learning rate was lowered from {wanted:.2g} to {rate:.2g}, as the loss rose at once.")
        if training.watch_total:
            told.append(f"At the end {training.watch_passed} of {training.watch_total} watch probes held.")
    return " ".join(told)


def threshold(check: Check) -> str:
    return f"at most {check.threshold:g}" if check.name == "drift" else f"at least {check.threshold:.0%}"


def value(check: Check) -> str:
    return f"{check.value:.4f}" if check.name == "drift" else f"{check.value:.0%}"


def size(count: int) -> str:
    """Bytes for people."""
    number = float(count)
    for unit in ("bytes", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
