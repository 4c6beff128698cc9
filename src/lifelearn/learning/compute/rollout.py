"""Sampling from a network: many rows as a batch, or one row a token at a time.

A batch has one prefill for all prompts, then one decoding step for all unfinished rows at a time; a finished row
leaves the batch. Greedy decoding is temperature 0. Knows nothing of lessons.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.network import Network

READ_TOKENS = 128  # of a prompt that `tokens` reads at a time: about a tenth of a second on two cores


@dataclass(frozen=True)
class Sampled:
    """A completion, with the token that ended it if one did. logprobs: by the engine that sampled it, if another."""

    ids: list[int]
    logprobs: list[float] | None = None


class Rollouts(Protocol):
    """What samples completions of the student: this program's own decoding, or another engine."""

    def sync(self, step: int) -> None:
        """Takes over the student's weights as they are before `step`."""
        ...

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]) -> list[Sampled]:
        """One completion a prompt, each by its own seed."""
        ...

    def close(self) -> None: ...


@torch.inference_mode()
def rollout(
    network: Network,
    prompts: Sequence[Sequence[int]],
    stop_ids: frozenset[int],
    sampling: Sampling,
    seeds: Sequence[int] | None = None,
) -> list[list[int]]:
    """Samples one completion a prompt.

    prompts: token ids, each non-empty; equal prompts cost one prefill.
    stop_ids: tokens that end a row; the stop token is not part of the completion.
    seeds: one a prompt. A row then depends on its own seed alone, not on the rows beside it, nor on the device that
        draws; without them one generator draws for the whole batch, by `sampling.seed`.
    Returns the completions' token ids, in the order of the prompts, each at most `max_tokens` long.
    """
    completions: list[list[int]] = [[] for _ in prompts]
    if not prompts or sampling.max_tokens < 1:
        return completions
    generator = torch.Generator(device=network.device).manual_seed(sampling.seed)
    chances_BT = None if seeds is None else chances(seeds, sampling.max_tokens).to(network.device)
    logits_BV, state = network.prefill(prompts)
    rows = torch.arange(len(prompts), device=network.device)  # which prompt each row of the batch is
    for step in range(sampling.max_tokens):
        chance_B = None if chances_BT is None else chances_BT[rows, step]
        token_B = sample(logits_BV, sampling, generator, chance_B)
        keep: list[int] = []
        for index, (row, token) in enumerate(zip(rows.tolist(), token_B.tolist(), strict=True)):
            if token not in stop_ids:
                completions[row].append(token)
                keep.append(index)
        if not keep or step + 1 == sampling.max_tokens:
            break
        if len(keep) < len(rows):
            kept = torch.tensor(keep, device=network.device)
            rows, token_B = rows[kept], token_B[kept]
            state.keep(kept)
        logits_BV = network.step(token_B, state)
    return completions


@torch.inference_mode()
def tokens(
    network: Network, prompt: Sequence[int], stop_ids: frozenset[int], sampling: Sampling
) -> Generator[int | None, None, None]:
    """One completion, a token at a time: each is computed when it is asked for, so that several can take turns.

    A long prompt is read in parts, with None after each but the last. The same tokens as `rollout` of that prompt
    alone, but for the rounding of parts. prompt: token ids, not empty.
    """
    generator = torch.Generator(device=network.device).manual_seed(sampling.seed)
    logits_BV, state = network.prefill([prompt[:READ_TOKENS]])
    for at in range(READ_TOKENS, len(prompt), READ_TOKENS):
        yield None
        logits_BV = network.read(prompt[at : at + READ_TOKENS], state)
    for count in range(1, sampling.max_tokens + 1):
        token_B = sample(logits_BV, sampling, generator)
        token = int(token_B)
        if token in stop_ids:
            return
        yield token
        if count < sampling.max_tokens:
            logits_BV = network.step(token_B, state)


def chances(seeds: Sequence[int], length: int) -> Tensor:
    """Uniform numbers in [0, 1), a row by each seed: float64 [B, length]."""
    drawn = [torch.rand(length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in seeds]
    return torch.stack(drawn)


def sample(logits_BV: Tensor, sampling: Sampling, generator: torch.Generator, chance_B: Tensor | None = None) -> Tensor:
    """One token a row, int64 [B], from logits [B, V]: the one on which `chance_B` falls, uniform in [0, 1).

    Without it, `generator` draws it. One number a row: torch.multinomial draws one for each of V tokens.
    """
    if sampling.temperature == 0:
        return logits_BV.max(-1).indices  # five times as fast as argmax on a processor
    probs_BV = (logits_BV.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        sorted_BV, order_BV = probs_BV.sort(-1, descending=True)
        outside_BV = sorted_BV.cumsum(-1) - sorted_BV >= sampling.top_p
        probs_BV = torch.zeros_like(probs_BV).scatter(-1, order_BV, sorted_BV.masked_fill(outside_BV, 0))
    if chance_B is None:
        chance_B = torch.rand(len(probs_BV), generator=generator, dtype=torch.float64, device=probs_BV.device)
    mass_BV = probs_BV.cumsum(-1, dtype=torch.float64)
    at_B1 = torch.searchsorted(mass_BV, (chance_B.double() * mass_BV[:, -1])[:, None], right=True)
    return at_B1[:, 0].clamp_max(probs_BV.shape[-1] - 1)
