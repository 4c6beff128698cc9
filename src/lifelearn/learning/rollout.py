"""Batched sampling from a network.

One prefill for all prompts, then one decoding step for all unfinished rows at a time; a finished row leaves
the batch. Greedy decoding is temperature 0. Knows nothing of lessons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.network import Network


@torch.inference_mode()
def rollout(
    network: Network,
    prompts: Sequence[Sequence[int]],
    stop_ids: frozenset[int],
    sampling: Sampling,
    on_token: Callable[[int, int], bool] | None = None,
) -> list[list[int]]:
    """Samples one completion a prompt.

    prompts: token ids, each non-empty; equal prompts cost one prefill.
    stop_ids: tokens that end a row; the stop token is not part of the completion.
    on_token: called with (row, token) for each sampled token; False ends that row.
    Returns the completions' token ids, in the order of the prompts, each at most `max_tokens` long.
    """
    completions: list[list[int]] = [[] for _ in prompts]
    if not prompts or sampling.max_tokens < 1:
        return completions
    generator = torch.Generator(device=network.device).manual_seed(sampling.seed)
    logits_BV, state = network.prefill(prompts)
    rows = torch.arange(len(prompts), device=network.device)  # which prompt each row of the batch is
    for step in range(sampling.max_tokens):
        token_B = sample(logits_BV, sampling, generator)
        keep: list[int] = []
        for index, (row, token) in enumerate(zip(rows.tolist(), token_B.tolist(), strict=True)):
            if token in stop_ids:
                continue
            completions[row].append(token)
            if on_token is None or on_token(row, token):
                keep.append(index)
        if not keep or step + 1 == sampling.max_tokens:
            break
        if len(keep) < len(rows):
            kept = torch.tensor(keep, device=network.device)
            rows, token_B = rows[kept], token_B[kept]
            state.keep(kept)
        logits_BV = network.step(token_B, state)
    return completions


def sample(logits_BV: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """One token a row, int64 [B], from logits [B, V]."""
    if sampling.temperature == 0:
        return logits_BV.argmax(-1)
    probs_BV = (logits_BV.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        sorted_BV, order_BV = probs_BV.sort(-1, descending=True)
        outside_BV = sorted_BV.cumsum(-1) - sorted_BV >= sampling.top_p
        probs_BV = torch.zeros_like(probs_BV).scatter(-1, order_BV, sorted_BV.masked_fill(outside_BV, 0))
    return torch.multinomial(probs_BV, 1, generator=generator)[:, 0]
