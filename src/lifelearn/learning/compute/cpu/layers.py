"""Layers of the hand-written decoder: linear ones with LoRA, RMSNorm and SwiGLU, each with its own backward pass.

Linear layers that share their input are one product, weights are frozen, and LoRA's gradients are four thin products
(docs/decisions/0007). Knows nothing of the order of layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Parameter, functional

from lifelearn.learning.compute.cpu import kernels
from lifelearn.learning.compute.cpu.levels import Levels

FEW = 8  # rows up to which a processor is faster with LoRA's thin products in float32: bfloat16's take longer to begin


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
        return y if low is None else low.added(y, x)

    def forward(self, x: Tensor) -> Tensor:
        """Without a gradient."""
        if self._packed is None:
            return functional.linear(x, self.weight, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return product

    @cached_property
    def levels(self) -> Levels | None:
        """The weight in few bits where it loses nothing by that; made when decoding first asks for it."""
        with torch.inference_mode(False):
            return Levels.of(self.weight)


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
        """Renews the scaled b and the copies in the model's own type, after the masters changed."""
        self._b_wide = self.b * self.scale if self.mask is None else self.b * self.mask * self.scale
        self.a_low, self.b_low = self.a.to(self._dtype), self._b_wide.to(self._dtype)

    def added(self, y: Tensor, x: Tensor) -> Tensor:
        """y [N, O] with LoRA's share for x [N, I] added in place, without a gradient."""
        if len(x) <= FEW and x.dtype == torch.bfloat16 and x.device.type == "cpu":
            return y.add_((x.float() @ self.a.T) @ self._b_wide.T)
        return y.addmm_(x @ self.a_low.T, self.b_low.T)


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
        if fast := kernels.of(x, weight):
            y, inverse = fast.norm(x, weight, eps)
        else:
            wide = x.float()
            inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
            y = (wide * inverse).to(x.dtype) * weight
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (dy,) = grad_outputs
        x, weight, inverse = ctx.saved_tensors
        if fast := kernels.of(dy, x, weight):
            return fast.norm_backward(dy, x, weight, inverse), None, None
        unit = x * inverse
        d_unit = dy * weight.float()
        along = torch.linalg.vecdot(d_unit, unit)[..., None].div_(-x.shape[-1])
        return d_unit.addcmul_(unit, along).mul_(inverse).to(x.dtype), None, None


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    if torch.is_grad_enabled() and x.requires_grad:
        y: Tensor = _Norm.apply(x, weight, eps)  # type: ignore[no-untyped-call]
        return y
    if fast := kernels.of(x, weight):
        return fast.norm(x, weight, eps)[0]
    return functional.rms_norm(x, (x.shape[-1],), weight, eps)


class _SwiGLU(torch.autograd.Function):
    """silu(gate) · up of x = [gate, up]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _swiglu(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        (dy,) = grad_outputs
        if fast := kernels.of(dy, x):
            return fast.swiglu_backward(dy, x)
        gate, up = x.chunk(2, -1)
        d_gate: Tensor = torch.ops.aten.silu_backward(dy * up, gate)
        return torch.cat([d_gate, functional.silu(gate).mul_(dy)], -1)


def _swiglu(x: Tensor) -> Tensor:
    if fast := kernels.of(x):
        return fast.swiglu(x)
    gate, up = x.chunk(2, -1)
    return functional.silu(gate) * up


def swiglu(x: Tensor) -> Tensor:
    if torch.is_grad_enabled() and x.requires_grad:
        y: Tensor = _SwiGLU.apply(x)  # type: ignore[no-untyped-call]
        return y
    return _swiglu(x)
