"""Rows of tokens packed into one sequence without padding and without a repeated prefix.

Rows of a lesson share most of their tokens: the system prompt, often the question. A causal model
gives equal prefixes equal states, so each distinct prefix needs to be computed only once. `pack`
lays the rows out as a trie, one node a distinct prefix; a node's position is its depth and it
attends to its ancestors alone. The model sees a batch of one; losses and gradients are those of
the separate rows. Knows nothing of lessons or losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Pack:
    """A trie of token rows.

    input_ids_1T, position_ids_1T: int64, [1, T] for T distinct prefixes.
    visible_TT: bool, [T, T]; entry (i, j) says that node i attends to node j.
    paths: for each row, int64 [L]: the node of each of its tokens.
    """

    input_ids_1T: Tensor
    position_ids_1T: Tensor
    visible_TT: Tensor
    paths: list[Tensor]


def pack(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Pack:
    """Packs `rows` (each a non-empty list of token ids) into one trie."""
    children: dict[tuple[int, int], int] = {}
    tokens: list[int] = []
    depths: list[int] = []
    parents: list[int] = []
    paths: list[Tensor] = []
    for row in rows:
        node, path = -1, []
        for depth, token in enumerate(row):
            key = (node, token)
            found = children.get(key)
            if found is None:
                found = children[key] = len(tokens)
                tokens.append(token)
                depths.append(depth)
                parents.append(node)
            node = found
            path.append(node)
        paths.append(torch.tensor(path, device=device))
    visible = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    for node, parent in enumerate(parents):  # a parent always precedes its children
        if parent >= 0:
            visible[node] = visible[parent]
        visible[node, node] = True
    return Pack(
        torch.tensor([tokens], device=device),
        torch.tensor([depths], device=device),
        visible.to(device),
        paths,
    )


def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where visible, the type's lowest number elsewhere: what every attention kernel accepts."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)


def packed_logits(model: PreTrainedModel, packed: Pack, nodes: Tensor) -> Tensor:
    """Next-token logits at `nodes` (int64 [N]) of the trie: [N, V], in the type that the model computes in."""
    mask = additive_mask(packed.visible_TT, model.dtype)[None, None]
    output = model(
        input_ids=packed.input_ids_1T,
        position_ids=packed.position_ids_1T,
        attention_mask=mask,
        use_cache=False,
        logits_to_keep=nodes,
    )
    logits_NV: Tensor = output.logits[0]
    return logits_NV


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
