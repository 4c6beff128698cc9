"""A Llama-type decoder written out by hand, on the tensors of a transformers model.

It computes what transformers computes, several times faster for what learning does: many short rows with a
common prefix, forward, backward with LoRA, and batched decoding. A prefix is computed once, rows are not
padded except within attention, linear layers that share their input are one product, and LoRA's gradients
are four thin products (docs/decisions/0007). `Decoder.of` gives None for a model of another family, or one
whose answers it does not reproduce: network.py then runs transformers itself. Knows nothing of lessons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Parameter, functional
from transformers import PreTrainedModel

from lifelearn.learning.four_bit import ROWS, FourBit
from lifelearn.learning.packing import chunks

FAMILIES = frozenset(("llama", "mistral", "qwen2", "qwen3"))
READ = 32  # a cache grows by so many places, all of which are read: shapes change seldom
BATCHED = 12  # rows from which a decoding step's attention is faster as two batched products than as one kernel
GROUP_TOKENS = 2048  # rows in one pass, about: bounds the memory of their activations
TOLERANCE = 0.05  # KL to transformers' answers, nats per token; bfloat16's rounding gives 0.004 on the bundled model


# ---------------------------------------------------------------------------------------------------------------------
# Layers


class Dense:
    """Linear layers with a common input as one: weight [O, I], bias [O] or None.

    names, sizes: the model's own layers and their rows. Their weights become views of the joint one.
    """

    def __init__(self, names: Sequence[str], layers: Sequence[Linear]) -> None:
        self.names = tuple(names)
        self.sizes = [layer.out_features for layer in layers]
        self.weight = layers[0].weight.data
        self.bias: Tensor | None = None
        if len(layers) > 1:
            self.weight = torch.cat([layer.weight.data for layer in layers])
            for layer, part in zip(layers, self.weight.split(self.sizes), strict=True):
                layer.weight.data = part
        if any(layer.bias is not None for layer in layers):
            biases = [
                layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias.data
                for layer in layers
            ]
            self.bias = torch.cat(biases)
        self._packed = _packed(self.weight)

    def __call__(self, x: Tensor, low: LowRank | None = None) -> Tensor:
        """x: [N, I]; gives [N, O]."""
        if low is not None and torch.is_grad_enabled() and low.a.requires_grad:
            y: Tensor = _LowRankLinear.apply(x, self, low.a, low.b, low)  # type: ignore[no-untyped-call]
            return y
        if torch.is_grad_enabled() and x.requires_grad:
            return functional.linear(x, self.weight, self.bias)
        y = self.forward(x)
        if low is not None:
            y.addmm_(x @ low.a_low.T, low.b_low.T)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Without a gradient."""
        if len(x) <= ROWS and (four_bit := self.four_bit) is not None:
            y = four_bit(x)
            return y if self.bias is None else y.add_(self.bias)
        if self._packed is None:
            return functional.linear(x, self.weight, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return product

    @cached_property
    def four_bit(self) -> FourBit | None:
        """The weight in four bits where it loses nothing by that; made when a few rows first ask for it."""
        with torch.inference_mode(False):
            return FourBit.of(self.weight)


def _packed(weight: Tensor) -> Tensor | None:
    """The weight in the processor's own block layout, which small batches are twice as fast with."""
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16 or weight.shape[0] % 16:
        return None
    try:
        with torch.inference_mode(False):
            packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 16)
    except (AttributeError, RuntimeError):  # a build of torch without it
        return None
    return packed


class LowRank:
    """LoRA on one Dense: y += scale · x Aᵀ Bᵀ, a: [K·R, I], b: [O, K·R] for K joint layers of rank R; float32.

    b's blocks belong to one layer each; `mask` keeps the others zero.
    """

    def __init__(self, dense: Dense, rank: int, scale: float, generator: torch.Generator | None) -> None:
        inputs, count = dense.weight.shape[1], len(dense.sizes)
        device = dense.weight.device
        bound = 1 / math.sqrt(inputs)  # Kaiming's uniform with a = √5, as PEFT starts
        start = torch.zeros(count * rank, inputs)
        if generator is not None:
            start.uniform_(-bound, bound, generator=generator)
        self.a = Parameter(start.to(device))
        self.b = Parameter(torch.zeros(sum(dense.sizes), count * rank, device=device))
        self.scale = scale
        self.mask: Tensor | None = None
        if count > 1:
            blocks = [torch.ones(size, rank, device=device) for size in dense.sizes]
            self.mask = torch.block_diag(*blocks)
        self._dtype = dense.weight.dtype
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Renews the copies in the model's own type, after the masters changed."""
        b = self.b * self.scale if self.mask is None else self.b * self.mask * self.scale
        self.a_low, self.b_low = self.a.to(self._dtype), b.to(self._dtype)


class _LowRankLinear(torch.autograd.Function):
    """A linear layer with LoRA; gradients for the input and the two factors, none for the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dense: Dense, a: Tensor, b: Tensor, low: LowRank) -> Tensor:
        y = dense.forward(x)
        inner = x @ low.a_low.T
        y.addmm_(inner, low.b_low.T)
        ctx.dense, ctx.low = dense, low
        ctx.save_for_backward(x, inner)
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        (dy,) = grad_outputs
        x, inner = ctx.saved_tensors
        low: LowRank = ctx.low
        d_inner = dy @ low.b_low
        dx = None
        if ctx.needs_input_grad[0]:
            dx = dy @ ctx.dense.weight
            dx.addmm_(d_inner, low.a_low)
        da = (d_inner.T @ x).float()
        db = (dy.T @ inner).float().mul_(low.scale)
        if low.mask is not None:
            db *= low.mask
        return dx, None, da, db, None


class _Norm(torch.autograd.Function):
    """RMSNorm with a frozen weight, computed in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, inverse)
        return (wide * inverse).to(x.dtype) * weight

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        x, weight, inverse = ctx.saved_tensors
        unit = x * inverse
        d_unit = grad_outputs[0].float() * weight
        dx = (d_unit - unit * (d_unit * unit).mean(-1, keepdim=True)) * inverse
        return dx.to(x.dtype), None, None


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    if torch.is_grad_enabled() and x.requires_grad:
        y: Tensor = _Norm.apply(x, weight, eps)  # type: ignore[no-untyped-call]
        return y
    return functional.rms_norm(x, (x.shape[-1],), weight, eps)


class _SwiGLU(torch.autograd.Function):
    """silu(gate) · up of x = [gate, up]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        gate, up = x.chunk(2, -1)
        return functional.silu(gate) * up

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        (dy,) = grad_outputs
        gate, up = x.chunk(2, -1)
        sigmoid = gate.sigmoid()
        silu = gate * sigmoid
        dx = torch.empty_like(x)
        d_gate, d_up = dx.chunk(2, -1)
        torch.mul(dy, silu, out=d_up)
        # d silu / d gate = sigmoid + silu · (1 - sigmoid)
        torch.mul(sigmoid.addcmul_(silu, 1 - sigmoid), up, out=d_gate)
        d_gate.mul_(dy)
        return dx


def swiglu(x: Tensor) -> Tensor:
    if torch.is_grad_enabled() and x.requires_grad:
        y: Tensor = _SwiGLU.apply(x)  # type: ignore[no-untyped-call]
        return y
    gate, up = x.chunk(2, -1)
    return functional.silu(gate) * up


# ---------------------------------------------------------------------------------------------------------------------
# Attention


@dataclass(frozen=True)
class Layout:
    """Where the rows of a pass lie: P tokens of the common prefix, then the S tokens of R rows, one after another.

    gather: int64 [R·L], for each place of the padded rows its token among the S (any, where it is padding).
    valid: int64 [S], the reverse. prefix_mask [P, P], rows_mask [L, P + L]: 0 or minus infinity, float32.
    """

    prefix: int
    rows: int
    width: int
    gather: Tensor
    valid: Tensor
    prefix_mask: Tensor
    rows_mask: Tensor

    def padded(self, x: Tensor) -> Tensor:
        """[S, …] to [R, L, …]."""
        return x.index_select(0, self.gather).view(self.rows, self.width, *x.shape[1:])

    def flat(self, x: Tensor) -> Tensor:
        """[R, L, …] to [S, …]."""
        return x.reshape(self.rows * self.width, *x.shape[2:]).index_select(0, self.valid)


def lay_out(lengths: Sequence[int], prefix: int, device: torch.device) -> Layout:
    """The layout of rows that have `lengths` tokens after the prefix; each at least one."""
    width = max(lengths)
    starts = [0]
    for length in lengths[:-1]:
        starts.append(starts[-1] + length)
    gather: list[int] = []
    valid: list[int] = []
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        gather += [*range(start, start + length), *[start] * (width - length)]
        valid += range(row * width, row * width + length)

    def causal(rows: int, before: int) -> Tensor:
        mask = torch.full((rows, before + rows), -math.inf, device=device)
        return mask.triu_(before + 1)

    return Layout(
        prefix,
        len(lengths),
        width,
        torch.tensor(gather, device=device),
        torch.tensor(valid, device=device),
        causal(prefix, 0),
        causal(width, prefix),
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
    """Attention's weights, [B, G·L, T] in the type of q; the mask [L, T] repeats for the G heads."""
    scores = torch.bmm(q, k.transpose(1, 2)).float().mul_(scale)
    width, total = mask.shape
    scores.view(-1, width, total).add_(mask)
    return scores.softmax(-1).to(q.dtype)


class _Attention(torch.autograd.Function):
    """Causal attention of the prefix to itself and of each row to prefix and itself: q [N, H, D], k and v [N, K, D]."""

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
        if layout.valid.numel() < layout.gather.numel():
            pads = torch.ones(layout.rows * layout.width, dtype=torch.bool, device=dy.device)
            pads[layout.valid] = False
            dy_rows.view(-1, *dy.shape[1:])[pads] = 0
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


def _backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    dv = torch.bmm(weights.transpose(1, 2), dy)
    d_weights = torch.bmm(dy, v.transpose(1, 2)).float()
    d_scores = d_weights.sub_((d_weights * weights).sum(-1, keepdim=True)).mul_(weights).mul_(scale).to(q.dtype)
    return torch.bmm(d_scores, k), torch.bmm(d_scores.transpose(1, 2), q), dv


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of one new token a row. q: [B, K, H/K, D]; k, v: [B, K, T, D]; mask: [B, 1, 1, T], added."""
    rows, groups, _, size = k.shape[0], *k.shape[1:]
    if rows < BATCHED or q.device.type != "cpu":
        return functional.scaled_dot_product_attention(q, k, v, mask)
    masks = mask[:, 0].repeat_interleave(groups, 0)
    scores = torch.baddbmm(masks, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=1 / math.sqrt(size))
    weights = scores.softmax(-1, dtype=torch.float32).to(q.dtype)
    return torch.bmm(weights, v.flatten(0, 1)).view_as(q)


# ---------------------------------------------------------------------------------------------------------------------
# The decoder


@dataclass(frozen=True)
class Block:
    """One layer. q_norm, k_norm: where queries and keys are normalised per head (Qwen3)."""

    attention_norm: Tensor
    qkv: Dense
    q_norm: Tensor | None
    k_norm: Tensor | None
    out: Dense
    mlp_norm: Tensor
    gate_up: Dense
    down: Dense

    def denses(self) -> tuple[Dense, Dense, Dense, Dense]:
        return self.qkv, self.out, self.gate_up, self.down


Layers = Sequence[tuple[LowRank | None, ...]]


class Below:
    """What enters block `first`, kept by row: no block before it has an adapter, so it never changes in training."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.kept: dict[tuple[int, ...], Tensor] = {}  # a row's token ids to [L, E]


class Cache:
    """Keys and values of B rows, right-aligned: per layer [B, K, T, D], of which `width` places are filled."""

    def __init__(self, keys: list[Tensor], values: list[Tensor], width: int, pad_B: Tensor) -> None:
        self.keys, self.values, self.width, self.pad_B = keys, values, width, pad_B

    def keep(self, rows: Tensor) -> None:
        """Leaves only these rows."""
        self.keys = [each.index_select(0, rows) for each in self.keys]
        self.values = [each.index_select(0, rows) for each in self.values]
        self.pad_B = self.pad_B[rows]

    def room(self) -> int:
        """Makes room for one more token; how many places there are."""
        places = -(-(self.width + 1) // READ) * READ
        if places > self.keys[0].shape[2]:
            more = (0, 0, 0, places - self.keys[0].shape[2])
            self.keys = [functional.pad(each, more) for each in self.keys]
            self.values = [functional.pad(each, more) for each in self.values]
        return places


class Decoder:
    """The model's tensors in the order in which they are used. `of` makes one."""

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config
        trunk: Any = model.model
        self.eps = float(config.rms_norm_eps)
        self.head_size = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        self.heads, self.kv_heads = int(config.num_attention_heads), int(config.num_key_value_heads)
        self.embedding: Tensor = trunk.embed_tokens.weight.data
        self.final_norm: Tensor = trunk.norm.weight.data
        self.head = Dense(("lm_head",), (model.lm_head,))
        self._rotary = trunk.rotary_emb
        self._cos = self._sin = self.embedding.new_empty(0, self.head_size)
        self.blocks = [_block(f"model.layers.{index}", layer) for index, layer in enumerate(trunk.layers)]

    @classmethod
    @torch.no_grad()
    def of(cls, model: PreTrainedModel) -> Decoder | None:
        """A decoder on the tensors of `model`, or None where it does not compute the same as the model."""
        config = model.config
        plain = (
            config.model_type in FAMILIES
            and getattr(config, "hidden_act", "") == "silu"
            and not getattr(config, "use_sliding_window", False)
            and (config.model_type != "mistral" or not getattr(config, "sliding_window", None))
            and all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or ())
            and getattr(model.model.rotary_emb, "rope_type", "default") in ("default", "llama3", "linear")
        )
        if not plain:
            return None
        decoder = cls(model)
        size = int(config.vocab_size)
        rows = [[(7 * i * i + 3 * i + row) % size for i in range(1, 9 + row)] for row in (0, 3)]
        ours = decoder.logits(rows, [len(row) for row in rows], None).float().log_softmax(-1)
        theirs = [model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0] for row in rows]
        wanted = torch.cat(theirs).float().log_softmax(-1)
        difference = (wanted.exp() * (wanted - ours)).sum(-1).mean()
        return decoder if float(difference) < TOLERANCE else None

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    def logits(
        self,
        rows: Sequence[Sequence[int]],
        keep: Sequence[int],
        layers: Layers | None,
        below: Below | None = None,
    ) -> Tensor:
        """Next-token logits at the last `keep` places of each row, in order: [sum(keep), V]. At least one a row.

        below: of `layers`; rows that it has, or will have, skip the blocks before its first.
        """
        prefix = _common_prefix(rows, keep)
        layout, ids, positions = self._placed(rows, prefix)
        wanted: list[int] = []
        end = prefix
        for row, count in zip(rows, keep, strict=True):
            end += len(row) - prefix
            wanted += range(end - count, end)
        if below is None:
            hidden = self._trunk(self.embedding[ids], positions, layout, layers)
        else:
            entering = self._entering(rows, prefix, below)
            hidden = self._trunk(entering, positions, layout, layers, first=below.first)
        hidden = hidden.index_select(0, torch.tensor(wanted, device=self.device))
        return self.head(norm(hidden, self.final_norm, self.eps))

    @torch.no_grad()
    def prefill(self, prompts: Sequence[Sequence[int]], layers: Layers | None) -> tuple[Tensor, Cache]:
        """Next-token logits [B, V] after each prompt, and their cache. Equal prompts are computed once."""
        distinct = {tuple(prompt): None for prompt in prompts}
        order = {prompt: index for index, prompt in enumerate(distinct)}
        which = [order[tuple(prompt)] for prompt in prompts]
        width = max(len(prompt) for prompt in distinct)
        logits, keys, values = [], [], []
        for group in chunks(list(distinct), GROUP_TOKENS):
            prefix = _common_prefix(group, [1] * len(group))
            layout, ids, positions = self._placed(group, prefix)
            kept: list[tuple[Tensor, Tensor]] = []
            hidden = self._trunk(self.embedding[ids], positions, layout, layers, kept)
            ends, at = [], prefix - 1
            places = []
            for prompt in group:
                own = len(prompt) - prefix
                path = [*range(prefix), *range(at + 1, at + 1 + own)]
                places.append([0] * (width - len(path)) + path)  # a pad repeats a token; it is masked where it is read
                at += own
                ends.append(at)
            hidden = hidden.index_select(0, torch.tensor(ends, device=self.device))
            logits.append(self.head(norm(hidden, self.final_norm, self.eps)))
            index = torch.tensor(places, device=self.device)
            keys.append([k[index].transpose(1, 2) for k, _ in kept])
            values.append([v[index].transpose(1, 2) for _, v in kept])
        chosen = torch.tensor(which, device=self.device)

        def joined(parts: list[list[Tensor]]) -> list[Tensor]:
            return [torch.cat(layer).index_select(0, chosen) for layer in zip(*parts, strict=True)]

        pad_B = torch.tensor([width - len(prompt) for prompt in prompts], device=self.device)
        return torch.cat(logits)[chosen], Cache(joined(keys), joined(values), width, pad_B)

    @torch.no_grad()
    def step(self, token_B: Tensor, cache: Cache, layers: Layers | None) -> Tensor:
        """Next-token logits [B, V] after one more token a row."""
        at, total, count = cache.width, cache.room(), len(token_B)
        cos, sin = self._rope(at + 1)
        position_B = at - cache.pad_B
        cos_B, sin_B = cos[position_B][:, None], sin[position_B][:, None]
        places = torch.arange(total, device=self.device)
        mask = torch.zeros(count, 1, 1, total, dtype=self.dtype, device=self.device)
        mask.masked_fill_(((places < cache.pad_B[:, None]) | (places > at))[:, None, None], -math.inf)
        x = self.embedding[token_B]
        for index, (block, low) in enumerate(self._adapted(layers)):
            q, k, v = self._heads(block, block.qkv(norm(x, block.attention_norm, self.eps), low[0]), cos_B, sin_B)
            keys, values = cache.keys[index], cache.values[index]
            keys[:, :, at], values[:, :, at] = k, v
            # The query heads of a key-value head stand where positions would: one small product instead of several.
            queries = q.reshape(count, self.kv_heads, -1, self.head_size)
            y = attend(queries, keys, values, mask)
            x = self._after_attention(block, x, y.reshape(count, -1), low)
        cache.width += 1
        return self.head(norm(x, self.final_norm, self.eps))

    @torch.no_grad()
    def _entering(self, rows: Sequence[Sequence[int]], prefix: int, below: Below) -> Tensor:
        """What enters block `below.first` of rows as they are laid out, [N, E]; each row is computed once."""
        paths = [tuple(row) for row in rows]
        missing = [path for path in dict.fromkeys(paths) if path not in below.kept]
        if missing:
            shared = _common_prefix(missing, [1] * len(missing))
            layout, ids, positions = self._placed(missing, shared)
            x = self._trunk(self.embedding[ids], positions, layout, None, last=below.first)
            own = x[shared:].split([len(path) - shared for path in missing])
            for path, part in zip(missing, own, strict=True):
                below.kept[path] = torch.cat([x[:shared], part])
        return torch.cat([below.kept[paths[0]][:prefix], *(below.kept[path][prefix:] for path in paths)])

    def _trunk(
        self,
        x: Tensor,
        positions: Tensor,
        layout: Layout,
        layers: Layers | None,
        kept: list[tuple[Tensor, Tensor]] | None = None,
        first: int = 0,
        last: int | None = None,
    ) -> Tensor:
        """Hidden states [N, E] after blocks `first` to `last` of x [N, E]; their keys, values [N, K, D] to `kept`."""
        cos, sin = self._rope(int(positions.max()) + 1)
        cos, sin = cos[positions][:, None], sin[positions][:, None]
        for block, low in list(self._adapted(layers))[first:last]:
            q, k, v = self._heads(block, block.qkv(norm(x, block.attention_norm, self.eps), low[0]), cos, sin)
            if kept is not None:
                kept.append((k, v))
            y: Tensor = _Attention.apply(q, k, v, layout)  # type: ignore[no-untyped-call]
            x = self._after_attention(block, x, y.reshape(len(x), -1), low)
        return x

    def _adapted(self, layers: Layers | None) -> Iterator[tuple[Block, tuple[LowRank | None, ...]]]:
        """Each block with its adapters, none of them without `layers`."""
        return zip(self.blocks, [(None,) * 4] * len(self.blocks) if layers is None else layers, strict=True)

    def _after_attention(self, block: Block, x: Tensor, y: Tensor, low: tuple[LowRank | None, ...]) -> Tensor:
        """The rest of a block: x [N, E] with the attention's output y [N, H·D] and the MLP added."""
        x = x + block.out(y, low[1])
        return x + block.down(swiglu(block.gate_up(norm(x, block.mlp_norm, self.eps), low[2])), low[3])

    def _heads(self, block: Block, qkv: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [N, H, D], keys and values [N, K, D], with their positions in them."""
        split = qkv.view(len(qkv), -1, self.head_size)
        both, v = split[:, : self.heads + self.kv_heads], split[:, self.heads + self.kv_heads :]
        if block.q_norm is not None and block.k_norm is not None:
            q, k = both[:, : self.heads], both[:, self.heads :]
            both = torch.cat([norm(q, block.q_norm, self.eps), norm(k, block.k_norm, self.eps)], 1)
        turned = torch.addcmul(both * cos, both.roll(self.head_size // 2, -1), sin)
        return turned[:, : self.heads], turned[:, self.heads :], v

    def _rope(self, count: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T, D] for at least `count` positions; the first half of the sines is negative."""
        if len(self._cos) < count:
            positions = torch.arange(max(count, 256, 2 * len(self._cos)), device=self.device)[None]
            with torch.inference_mode(False), torch.no_grad():
                cos, sin = self._rotary(self.embedding, positions)
                half = self.head_size // 2
                sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)
                self._cos, self._sin = cos[0].to(self.dtype), sin[0].to(self.dtype)
        return self._cos, self._sin

    def _placed(self, rows: Sequence[Sequence[int]], prefix: int) -> tuple[Layout, Tensor, Tensor]:
        """Layout, token ids [N] and positions [N] of the prefix and then each row's own tokens."""
        ids, positions = list(rows[0][:prefix]), list(range(prefix))
        for row in rows:
            ids += row[prefix:]
            positions += range(prefix, len(row))
        layout = lay_out([len(row) - prefix for row in rows], prefix, self.device)
        return layout, torch.tensor(ids, device=self.device), torch.tensor(positions, device=self.device)


def _block(name: str, layer: Any) -> Block:
    attention, mlp = layer.self_attn, layer.mlp
    parts = ("q_proj", "k_proj", "v_proj")
    return Block(
        layer.input_layernorm.weight.data,
        Dense([f"{name}.self_attn.{part}" for part in parts], [getattr(attention, part) for part in parts]),
        attention.q_norm.weight.data if hasattr(attention, "q_norm") else None,
        attention.k_norm.weight.data if hasattr(attention, "k_norm") else None,
        Dense([f"{name}.self_attn.o_proj"], [attention.o_proj]),
        layer.post_attention_layernorm.weight.data,
        Dense([f"{name}.mlp.gate_proj", f"{name}.mlp.up_proj"], [mlp.gate_proj, mlp.up_proj]),
        Dense([f"{name}.mlp.down_proj"], [mlp.down_proj]),
    )


def _common_prefix(rows: Sequence[Sequence[int]], keep: Sequence[int]) -> int:
    """How many first tokens all rows share, none of those whose logits are wanted among them."""
    longest = min(len(row) - count for row, count in zip(rows, keep, strict=True))
    first = rows[0]
    for at in range(longest):
        if any(row[at] != first[at] for row in rows):
            return at
    return max(longest, 0)
