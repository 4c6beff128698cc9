"""Demonstrations for the tiny model, rollouts that are always the same, and what there is of a trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.rollout import Rollouts, Sampled
from lifelearn.learning.sdft.data_loop import SDFTTrainer

WORDS = ["one", "two", "three", "four", "five"]
ROWS = [{"prompt": f"Say {word}", "privileged_context": f"It is {word}."} for word in WORDS]
QUICK: dict[str, Any] = {
    "learning_rate": 1e-3,
    "num_train_epochs": 1,
    "num_prompts_per_batch": 2,
    "warmup_steps": 0,
    "max_prompt_length": 100,
    "max_completion_length": 8,
    "num_loss_tokens_to_skip": 0,
    "teacher_prompt_template": "{prompt} as: {privileged_context}",
    "bf16": False,
    "save_steps": 0,
    "lora_r": 4,
}
Make = Callable[..., SDFTTrainer]


class Fixed:
    """Rollouts that are always the same; remembers what it was asked."""

    def __init__(self, ids: Sequence[int] = (20, 30, 40, 1), logprobs: list[float] | None = None) -> None:
        self.ids, self.logprobs = list(ids), logprobs
        self.asked: list[list[int]] = []
        self.synced: list[int] = []

    def __call__(self, *_: Any) -> Rollouts:
        return self

    def sync(self, step: int) -> None:
        self.synced.append(step)

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]) -> list[Sampled]:
        self.asked += [list(prompt) for prompt in prompts]
        return [Sampled(self.ids, self.logprobs) for _ in prompts]

    def close(self) -> None:
        pass


def logits_of(trainer: SDFTTrainer, ids: list[int] | None = None) -> torch.Tensor:
    ids = ids or [5, 20, 30, 40]
    with trainer.student.student() as network, torch.no_grad():
        logits: torch.Tensor = network.logits([ids], [len(ids)]).float()
    return logits


def weights_of(trainer: SDFTTrainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.student.parameters]


def same(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def by_hand(trainer: SDFTTrainer, completion: list[int], temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Student's and teacher's log-probabilities for the first row and a completion, by transformers alone."""
    row = trainer.train_rows[0]

    def logprobs(prompt: list[int]) -> torch.Tensor:
        with torch.no_grad():
            logits = trainer.model(torch.tensor([[*prompt, *completion[:-1]]])).logits[0, -len(completion) :]
        found: torch.Tensor = (logits.float() / temperature).log_softmax(-1)
        return found

    return logprobs(row.prompt), logprobs(row.teacher_prompt)
