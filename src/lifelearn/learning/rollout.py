"""Batched sampling from a causal language model.

One prefill for all prompts, packed so that a shared prefix is computed once (packing.py), then one
decoding step for all unfinished rows at a time; a finished row leaves the batch. Greedy decoding is
temperature 0. Knows nothing of lessons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.packing import additive_mask, pack

PREFILL_TOKENS = 1024  # prompts are prefilled in packs of about this size: attention is quadratic in it


@torch.inference_mode()
def rollout(
    model: PreTrainedModel,
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
    generator = torch.Generator(device=model.device).manual_seed(sampling.seed)
    logits_BV, cache, lengths_B = _prefill(model, prompts)
    rows = torch.arange(len(prompts), device=model.device)  # which prompt each row of the batch is
    width = int(lengths_B.max())
    pad_B = width - lengths_B
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
            kept = torch.tensor(keep, device=model.device)
            rows, token_B, pad_B = rows[kept], token_B[kept], pad_B[kept]
            cache.batch_select_indices(kept)
        width += 1
        mask = None
        if int(pad_B.max()):
            visible = torch.arange(width, device=model.device)[None] >= pad_B[:, None]
            mask = additive_mask(visible, model.dtype)[:, None, None]
        output = model(
            input_ids=token_B[:, None],
            position_ids=(width - 1 - pad_B)[:, None],
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )
        logits_BV = output.logits[:, -1].float()
    return completions


def sample(logits_BV: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """One token a row, int64 [B], from logits [B, V]."""
    if sampling.temperature == 0:
        return logits_BV.argmax(-1)
    probs_BV = (logits_BV / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        sorted_BV, order_BV = probs_BV.sort(-1, descending=True)
        outside_BV = sorted_BV.cumsum(-1) - sorted_BV >= sampling.top_p
        probs_BV = torch.zeros_like(probs_BV).scatter(-1, order_BV, sorted_BV.masked_fill(outside_BV, 0))
    return torch.multinomial(probs_BV, 1, generator=generator)[:, 0]


def _prefill(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, DynamicCache, Tensor]:
    """Last-token logits [B, V], a left-padded cache of all prompts, and their lengths [B]."""
    lengths_B = torch.tensor([len(p) for p in prompts], device=model.device)
    width = int(lengths_B.max())
    logits, layers = [], []
    for chunk in chunks(prompts, PREFILL_TOKENS):
        packed = pack(chunk, model.device)
        cache = DynamicCache()
        ends = torch.stack([path[-1] for path in packed.paths])
        last_nodes, inverse = ends.unique(return_inverse=True)
        output = model(
            input_ids=packed.input_ids_1T,
            position_ids=packed.position_ids_1T,
            attention_mask=additive_mask(packed.visible_TT, model.dtype)[None, None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=last_nodes,
        )
        logits.append(output.logits[0].float()[inverse])
        # A left pad repeats node 0; it is masked wherever it is read.
        padded = torch.stack([torch.nn.functional.pad(path, (width - len(path), 0)) for path in packed.paths])
        layers.append(
            [(keys[0][:, padded].transpose(0, 1), values[0][:, padded].transpose(0, 1)) for keys, values, *_ in cache]
        )
    joined = [tuple(torch.cat(parts) for parts in zip(*layer, strict=True)) for layer in zip(*layers, strict=True)]
    return torch.cat(logits), DynamicCache(joined), lengths_B


def chunks(rows: Sequence[Sequence[int]], tokens: int) -> Iterator[Sequence[Sequence[int]]]:
    """Consecutive rows in groups of at most `tokens` tokens (a longer row is a group of its own)."""
    start, size = 0, 0
    for index, row in enumerate(rows):
        if index > start and size + len(row) > tokens:
            yield rows[start:index]
            start, size = index, 0
        size += len(row)
    if rows:
        yield rows[start:]
