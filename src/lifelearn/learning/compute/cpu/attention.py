"""Attention of the hand-written decoder: of many rows with a common prefix, and of one new token a row.

The prefix attends to itself once; each row attends to the prefix and to itself, padded only here (docs/decisions/0007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lifelearn.learning.compute.cpu import kernels

BATCHED = 12  # rows from which a decoding step's attention is faster as two batched products than as one kernel


@dataclass(frozen=True)
class Heads:
    """A token's heads, side by side: `queries`, then `keys` of keys, then as many of values."""

    queries: int
    keys: int

    @property
    def all(self) -> int:
        return self.queries + 2 * self.keys

    @property
    def turned(self) -> int:
        """Those that have positions."""
        return self.queries + self.keys

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x [N, H + 2K, D]."""
        queries, keys, values = x.split([self.queries, self.keys, self.keys], 1)
        return queries, keys, values


@dataclass(frozen=True)
class Part:
    """A batched product: the queries of R rows of L places, to T keys each, of which the last L are the row's own.

    The G query heads of a key-value head share its products, so that its batch is B = R·K.
    queries: int64 [B·G·L], where each stands among the heads of the pass's N tokens, [N·(H + 2K)]; one past the end is
        padding. keys, values: int64 [B·T], the same. answers: int64 [B·G·L], the queries' places among [N·H].
    mask: [L, T], 0 or minus infinity.
    """

    batch: int
    width: int
    queries: Tensor
    answers: Tensor
    keys: Tensor
    values: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Layout:
    """Where the rows of a pass lie: P tokens of the common prefix, then each row's own, one row after another.

    parts: the prefix, unless P is 0, and the rows.
    answered: int64 [N·H], where each query stands among the queries of all parts.
    back: int64 [N·(H + 2K)], where each head stands first among the queries of all parts and then the keys and values
        of each.
    """

    prefix: int
    rows: int
    heads: Heads
    parts: tuple[Part, ...]
    answered: Tensor
    back: Tensor


def lay_out(lengths: Sequence[int], prefix: int, heads: Heads, device: torch.device, dtype: torch.dtype) -> Layout:
    """The layout of rows that have `lengths` tokens after the prefix; each at least one."""
    total = prefix + sum(lengths)
    first = torch.arange(prefix)
    own = torch.full((len(lengths), max(lengths)), total)  # a padding place is past all tokens
    start = prefix
    for row, length in enumerate(lengths):
        own[row, :length] = torch.arange(start, start + length)
        start += length
    seen = torch.cat([first.expand(len(lengths), -1), own], 1)

    def places(token_RT: Tensor, first: int, count: int, among: int) -> Tensor:
        """Where heads `first` to `first + count` of these tokens stand if each token has `among`: [R, T, count]."""
        return (token_RT[..., None] * among + torch.arange(first, first + count)).clamp_max(total * among)

    parts = []
    for asking_RL, asked_RT in ([(first[None], first[None])] if prefix else []) + [(own, seen)]:
        queries, answers = (
            places(asking_RL, 0, heads.queries, among).unflatten(-1, (heads.keys, -1)).permute(0, 2, 3, 1)
            for among in (heads.all, heads.queries)
        )
        keys, values = (
            places(asked_RT, start, heads.keys, heads.all).transpose(1, 2) for start in (heads.queries, heads.turned)
        )
        (rows, width), all_keys = asking_RL.shape, asked_RT.shape[1]
        mask = torch.full((width, all_keys), -math.inf, dtype=dtype).triu_(all_keys - width + 1)
        queries, answers, keys, values = (x.flatten().to(device) for x in (queries, answers, keys, values))
        parts.append(Part(rows * heads.keys, width, queries, answers, keys, values, mask.to(device)))
    stands = torch.cat([*(part.queries for part in parts), *(x for part in parts for x in (part.keys, part.values))])
    order = torch.arange(len(stands), device=device)
    back = stands.new_full((total * heads.all + 1,), len(stands)).scatter_reduce_(0, stands, order, "amin")[:-1]
    answered = back.view(total, heads.all)[:, : heads.queries].flatten()
    return Layout(prefix, len(lengths), heads, tuple(parts), answered, back)


def turn(x: Tensor, cos: Tensor, sin: Tensor, heads: Heads, direction: int = 1) -> Tensor:
    """The heads of x [N, H + 2K, D] with their rotary positions; without them again where direction is -1.

    cos, sin: [N, D]; the first half of the sines is negative.
    """
    if fast := kernels.of(x, cos, sin):
        return fast.turn(x, cos, sin, heads.turned, direction)
    both, values = x.split([heads.turned, heads.keys], 1)
    half = x.shape[-1] // 2
    turned = torch.addcmul(both * cos[:, None], both.roll(half, -1), sin[:, None], value=direction)
    return torch.cat([turned, values], 1)


def attention(
    x: Tensor, cos: Tensor, sin: Tensor, layout: Layout, kept: list[tuple[Tensor, Tensor]] | None = None
) -> Tensor:
    """Causal attention of the prefix to itself and of each row to prefix and itself.

    x: [N, H + 2K, D], not turned yet; gives [N, H, D]. kept: takes the turned keys and the values, [N, K, D] each.
    """
    if kept is None:
        y: Tensor = _Attention.apply(x, cos, sin, layout)  # type: ignore[no-untyped-call]
        return y
    y, turned, _ = _forward(x, cos, sin, layout)
    _, keys, values = layout.heads.split(turned)
    kept.append((keys, values))
    return y


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, layout: Layout) -> Tensor:
        y, _, saved = _forward(x, cos, sin, layout)
        ctx.layout = layout
        ctx.save_for_backward(cos, sin, *saved)
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        layout: Layout = ctx.layout
        heads, p = layout.heads, layout.prefix
        cos, sin, *saved = ctx.saved_tensors
        (dy,) = grad_outputs
        size = dy.shape[-1]
        asked = [len(part.queries) for part in layout.parts]
        sizes = [*asked, *(len(x) for part in layout.parts for x in (part.keys, part.values))]
        joint = dy.new_empty(sum(sizes), size)
        found = joint.split(sizes)
        for index, part in enumerate(layout.parts):
            q, k, v, weights = saved[4 * index : 4 * index + 4]
            at = len(layout.parts) + 2 * index
            dq, dk, dv = (x.view(part.batch, -1, size) for x in (found[index], found[at], found[at + 1]))
            dy_part = _gather(dy.reshape(-1, size), part.answers).view(q.shape)
            torch.bmm(weights.transpose(1, 2), dy_part, out=dv)
            d_scores = _softmax_backward(torch.bmm(dy_part, v.transpose(1, 2)), weights, part, size**-0.5)
            torch.bmm(d_scores, k, out=dq)
            torch.bmm(d_scores.transpose(1, 2), q, out=dk)
        dx = _gather(joint, layout.back).view(-1, heads.all, size)
        if p:  # each row's queries ask the prefix, too
            shares = (x.view(layout.rows, heads.keys, -1, size)[:, :, :p].float().sum(0) for x in found[-2:])
            dx[:p, heads.queries :] += torch.cat([x.transpose(0, 1) for x in shares], 1)
        return turn(dx, cos, sin, heads, -1), None, None, None


def _forward(x: Tensor, cos: Tensor, sin: Tensor, layout: Layout) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The answers [N, H, D], the turned heads, and of each part its queries, keys, values and weights."""
    turned = turn(x, cos, sin, layout.heads)
    flat = turned.view(-1, x.shape[-1])
    joint = flat.new_empty(sum(len(part.queries) for part in layout.parts), x.shape[-1])
    saved: list[Tensor] = []
    start = 0
    for part in layout.parts:
        q, k, v = (
            _gather(flat, which).view(part.batch, -1, x.shape[-1]) for which in (part.queries, part.keys, part.values)
        )
        weights = _softmax(torch.bmm(q, k.transpose(1, 2)), part, x.shape[-1] ** -0.5)
        torch.bmm(weights, v, out=joint[start : start + len(part.queries)].view(q.shape))
        start += len(part.queries)
        saved += [q, k, v, weights]
    return _gather(joint, layout.answered).view(len(x), -1, x.shape[-1]), turned, saved


def _gather(x: Tensor, which: Tensor) -> Tensor:
    """The rows of x [N, D] that `which` names, zeros where it names N."""
    if fast := kernels.of(x):
        return fast.gather(x, which)
    return functional.pad(x, (0, 0, 0, 1)).index_select(0, which)


def _softmax(scores: Tensor, part: Part, scale: float) -> Tensor:
    """Attention's weights from the products of queries and keys, [B, G·L, T], in place.

    torch's bmm and softmax sum in float32, whatever the type; its baddbmm does not where the matrices are tiny.
    """
    if fast := kernels.of(scores):
        return fast.causal_softmax(scores, part.width, scale)
    scores.mul_(scale).view(-1, *part.mask.shape).add_(part.mask)
    return scores.softmax(-1)


def _softmax_backward(d_weights: Tensor, weights: Tensor, part: Part, scale: float) -> Tensor:
    """The gradient of those products, in place."""
    if fast := kernels.of(d_weights, weights):
        return fast.causal_softmax_backward(d_weights, weights, part.width, scale)
    d_scores: Tensor = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)
    return d_scores.mul_(scale)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of one new token a row. q: [B, K, H/K, D]; k, v: [B, K, T, D]; mask: [B, 1, 1, T], added."""
    rows, groups, _, size = k.shape[0], *k.shape[1:]
    if rows < BATCHED or q.device.type != "cpu":
        return functional.scaled_dot_product_attention(q, k, v, mask)
    masks = mask[:, 0].repeat_interleave(groups, 0)
    scores = torch.baddbmm(masks, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=size**-0.5)
    return torch.bmm(scores.softmax(-1), v.flatten(0, 1)).view_as(q)
