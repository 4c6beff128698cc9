"""Attention of the hand-written decoder: of many rows with a common prefix, and of one new token a row.

The prefix attends to itself once; each row attends to the prefix and to itself, padded only here (docs/decisions/0007).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

BATCHED = 12  # rows from which a decoding step's attention is faster as two batched products than as one kernel


@dataclass(frozen=True)
class Layout:
    """Where the rows of a pass lie: P tokens of the common prefix, then the S tokens of R rows, one after another.

    gather: int64 [R·L], for each place of the padded rows its token among the S (any, where it is padding).
    valid: int64 [S], the reverse. pads: int64 [R·L - S], the places that are padding.
    prefix_mask [P, P], rows_mask [L, P + L]: 0 or minus infinity, in the model's own type.
    """

    prefix: int
    rows: int
    width: int
    gather: Tensor
    valid: Tensor
    pads: Tensor
    prefix_mask: Tensor
    rows_mask: Tensor

    def padded(self, x: Tensor) -> Tensor:
        """[S, …] to [R, L, …]."""
        return x.index_select(0, self.gather).view(self.rows, self.width, *x.shape[1:])

    def flat(self, x: Tensor) -> Tensor:
        """[R, L, …] to [S, …]."""
        return x.reshape(self.rows * self.width, *x.shape[2:]).index_select(0, self.valid)


def lay_out(lengths: Sequence[int], prefix: int, device: torch.device, dtype: torch.dtype) -> Layout:
    """The layout of rows that have `lengths` tokens after the prefix; each at least one."""
    width = max(lengths)
    starts = [0]
    for length in lengths[:-1]:
        starts.append(starts[-1] + length)
    gather: list[int] = []
    valid: list[int] = []
    pads: list[int] = []
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        gather += [*range(start, start + length), *[start] * (width - length)]
        valid += range(row * width, row * width + length)
        pads += range(row * width + length, (row + 1) * width)

    def causal(rows: int, before: int) -> Tensor:
        mask = torch.full((rows, before + rows), -math.inf, device=device, dtype=dtype)
        return mask.triu_(before + 1)

    return Layout(
        prefix,
        len(lengths),
        width,
        torch.tensor(gather, device=device),
        torch.tensor(valid, device=device),
        torch.tensor(pads, dtype=torch.long, device=device),
        causal(prefix, 0),
        causal(width, prefix),
    )


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
        p, heads, scale = layout.prefix, k.shape[1], q.shape[-1] ** -0.5
        parts: list[Tensor] = []
        saved: list[Tensor] = []
        for queries, keys, values, mask in _two(q, k, v, layout):
            weights = _softmax(queries, keys, mask, scale)
            out = torch.bmm(weights, values)
            if parts or not p:
                parts.append(layout.flat(_from_kv_head(out, layout.rows, heads, layout.width)))
            else:
                parts.append(_from_kv_head(out, 1, heads, p)[0])
            saved += [queries, keys, values, weights]
        ctx.layout, ctx.heads, ctx.scale = layout, heads, scale
        ctx.save_for_backward(*saved)
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        layout: Layout = ctx.layout
        p, heads = layout.prefix, ctx.heads
        (dy,) = grad_outputs
        dy_rows = layout.padded(dy[p:])
        dy_rows.view(-1, *dy.shape[1:]).index_fill_(0, layout.pads, 0)
        *prefix_saved, q, k, v, w = ctx.saved_tensors
        dq, dk, dv = _backward(_by_kv_head(dy_rows, heads), q, k, v, w, ctx.scale)
        rows, size = layout.rows, q.shape[-1]
        dq = layout.flat(_from_kv_head(dq, rows, heads, layout.width))
        dk, dv = (x.view(rows, heads, -1, size) for x in (dk, dv))
        own = [layout.flat(x[:, :, p:].transpose(1, 2)) for x in (dk, dv)]
        if not p:
            return dq, own[0], own[1], None
        shared = [x[:, :, :p].float().sum(0).to(x.dtype).transpose(0, 1) for x in (dk, dv)]
        p_q, p_k, p_v, p_weights = prefix_saved
        pq, pk, pv = _backward(_by_kv_head(dy[None, :p], heads), p_q, p_k, p_v, p_weights, ctx.scale)
        pq = _from_kv_head(pq, 1, heads, p)[0]
        return (
            torch.cat([pq, dq]),
            torch.cat([pk.transpose(0, 1) + shared[0], own[0]]),
            torch.cat([pv.transpose(0, 1) + shared[1], own[1]]),
            None,
        )


def attention(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Causal attention of the prefix to itself and of each row to prefix and itself: q [N, H, D], k and v [N, K, D]."""
    y: Tensor = _Attention.apply(q, k, v, layout)  # type: ignore[no-untyped-call]
    return y


def _two(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Batched queries, keys, values and mask of the prefix (if there is one) and of the rows."""
    p, heads = layout.prefix, k.shape[1]
    if p:
        yield (
            _by_kv_head(q[None, :p], heads),
            k[:p].transpose(0, 1).contiguous(),
            v[:p].transpose(0, 1).contiguous(),
            layout.prefix_mask,
        )
    yield (
        _by_kv_head(layout.padded(q[p:]), heads),
        _keys(k[:p], layout.padded(k[p:])),
        _keys(v[:p], layout.padded(v[p:])),
        layout.rows_mask,
    )


def _by_kv_head(x: Tensor, heads: int) -> Tensor:
    """Queries [R, L, H, D] to [R·K, G·L, D]: the G query heads of a key-value head share its products."""
    rows, width, all_heads, size = x.shape
    split = x.view(rows, width, heads, all_heads // heads, size).permute(0, 2, 3, 1, 4)
    return split.reshape(rows * heads, -1, size)


def _from_kv_head(x: Tensor, rows: int, heads: int, width: int) -> Tensor:
    """The reverse: [R, L, H, D]."""
    size = x.shape[-1]
    return x.view(rows, heads, -1, width, size).permute(0, 3, 1, 2, 4).reshape(rows, width, -1, size)


def _keys(before: Tensor, own: Tensor) -> Tensor:
    """The prefix's [P, K, D] before each row's own [R, L, K, D]: [R·K, P + L, D]."""
    rows, width, heads, size = own.shape
    joint = own.new_empty(rows, heads, len(before) + width, size)
    joint[:, :, : len(before)] = before.transpose(0, 1)
    joint[:, :, len(before) :] = own.transpose(1, 2)
    return joint.view(rows * heads, -1, size)


def _softmax(q: Tensor, k: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention's weights, [B, G·L, T] in the type of q; the mask [L, T] repeats for the G heads.

    torch's bmm and softmax sum in float32, whatever the type; its baddbmm does not where the matrices are tiny.
    """
    scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
    scores.view(-1, *mask.shape).add_(mask)
    return scores.softmax(-1)


def _backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    dv = torch.bmm(weights.transpose(1, 2), dy)
    d_weights = torch.bmm(dy, v.transpose(1, 2))
    d_scores = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype).mul_(scale)
    return torch.bmm(d_scores, k), torch.bmm(d_scores.transpose(1, 2), q), dv


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of one new token a row. q: [B, K, H/K, D]; k, v: [B, K, T, D]; mask: [B, 1, 1, T], added."""
    rows, groups, _, size = k.shape[0], *k.shape[1:]
    if rows < BATCHED or q.device.type != "cpu":
        return functional.scaled_dot_product_attention(q, k, v, mask)
    masks = mask[:, 0].repeat_interleave(groups, 0)
    scores = torch.baddbmm(masks, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=size**-0.5)
    return torch.bmm(scores.softmax(-1), v.flatten(0, 1)).view_as(q)
