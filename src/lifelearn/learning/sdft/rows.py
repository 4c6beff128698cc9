"""What both loops share: rows of tokens, the teacher's targets for them, and the gradient of their losses.

A group of rows is one pass of the network; which rows, when, and by what objective is the loops' matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lifelearn.learning.compute.divergence import log_softmax
from lifelearn.learning.compute.network import Network
from lifelearn.learning.compute.packing import chunks
from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.loss import row_means
from lifelearn.learning.types import Row

GROUP_TOKENS = 2048  # rows in one pass, about: bounds the memory of their activations and logits


class TrainingError(Exception):
    """Training cannot go on; the text says at which step and what to change."""


@dataclass(frozen=True)
class EncodedRow:
    """Token ids of one row and completion; the completion ends with the model's end-of-turn token.

    logprobs: of the completion's tokens by the engine that sampled them, where it was not the student itself.
    """

    prompt: list[int]
    teacher_prompt: list[int]
    completion: list[int]
    replay: bool
    logprobs: list[float] | None = None


# The loss at each token, [N], of rows by the student's logits and the teacher's log-probabilities, both [N, V].
Objective = Callable[[Tensor, Tensor, Sequence[EncodedRow]], Tensor]


def encode(codec: Codec, row: Row, recipe: Recipe) -> list[EncodedRow]:
    """One encoded row a completion, each cut to the recipe's length."""
    prompt, teacher_prompt = codec.prompt(row.prompt), codec.prompt(row.teacher_prompt)
    return [
        EncodedRow(
            prompt,
            teacher_prompt,
            codec.completion(completion, recipe.max_completion_tokens, end=row.kind == "fact"),
            row.kind != "fact",
        )
        for completion in row.completions
    ]


@torch.no_grad()
def targets(
    teacher: Network, rows: Sequence[EncodedRow], temperature: float = 1.0, dtype: torch.dtype = torch.bfloat16
) -> list[Tensor]:
    """The teacher's log-probabilities at each completion token: per row [L, V], in bfloat16 to save memory."""
    found: list[Tensor] = []
    for group in grouped(rows, teacher_side=True):
        logits_NV, lengths = row_logits(teacher, group, teacher_side=True)
        scaled_NV = logits_NV if temperature == 1 else logits_NV / temperature
        found += log_softmax(scaled_NV, dtype).split(lengths)
    return found


def backward(
    network: Network,
    rows: Sequence[EncodedRow],
    wanted: Sequence[Tensor],
    weights: Sequence[float],
    objective: Objective,
    skips: Sequence[int],
) -> list[float]:
    """Adds the gradient of the rows' weighted losses, a group of rows at a time; gives each row's mean."""
    found: list[float] = []
    for group in grouped(rows, teacher_side=False):
        part = slice(len(found), len(found) + len(group))
        means = losses(network, group, wanted[part], objective, skips[part])
        (means * means.new_tensor(weights[part])).sum().backward()
        found += means.tolist()
    return found


def losses(
    network: Network,
    rows: Sequence[EncodedRow],
    wanted: Sequence[Tensor],
    objective: Objective,
    skips: Sequence[int],
) -> Tensor:
    """Each row's mean loss over its tokens, without its first `skips`: [rows]. All rows in one pass."""
    logits_NV, lengths = row_logits(network, rows, teacher_side=False)
    return row_means(objective(logits_NV, torch.cat(list(wanted)), rows), lengths, skips)


def row_logits(network: Network, rows: Sequence[EncodedRow], *, teacher_side: bool) -> tuple[Tensor, list[int]]:
    """Logits of what follows at each completion position, [N, V], and each row's share of N."""
    prompts = [row.teacher_prompt if teacher_side else row.prompt for row in rows]
    lengths = [len(row.completion) for row in rows]
    paths = [prompt + row.completion[:-1] for prompt, row in zip(prompts, rows, strict=True)]
    return network.logits(paths, lengths), lengths


def grouped(rows: Sequence[EncodedRow], *, teacher_side: bool) -> Iterator[Sequence[EncodedRow]]:
    """Rows in packs of about GROUP_TOKENS."""
    sizes = [[0] * (len(row.teacher_prompt if teacher_side else row.prompt) + len(row.completion)) for row in rows]
    start = 0
    for pack in chunks(sizes, GROUP_TOKENS):
        yield rows[start : start + len(pack)]
        start += len(pack)
