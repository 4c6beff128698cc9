"""What decoding has computed of rows so far, and one more token for a few of them by native/decode.c.

For that one call the model's tensors and an adapter's are laid out once. What it computes is what decoder.py's `step`
says in torch. Knows nothing of prompts.
"""

from __future__ import annotations

from ctypes import Structure, byref, c_float, c_int64, c_void_p

import torch
from torch import Tensor
from torch.nn import functional

from lifelearn.learning.compute.cpu import kernels
from lifelearn.learning.compute.cpu.kernels import Kernels
from lifelearn.learning.compute.cpu.layers import Dense, LowRank
from lifelearn.learning.compute.cpu.levels import BLOCK
from lifelearn.learning.compute.cpu.weights import Layers, Weights

READ = 32  # a cache grows by so many places, all of which are read: shapes change seldom
ROWS_IN_TILES, ROWS = 48, 16  # up to which one call is faster than torch's products, with AMX and without


class Cache:
    """Keys and values of B rows, right-aligned: per layer [B, K, T, D], of which `width` places are filled."""

    def __init__(self, keys: list[Tensor], values: list[Tensor], width: int, pad_B: Tensor) -> None:
        self.keys, self.values, self.width, self.pad_B = keys, values, width, pad_B
        self.decoding: Decoding | None = None  # made when a few rows first take a step

    def keep(self, rows: Tensor) -> None:
        """Leaves only these rows."""
        self.keys = [each.index_select(0, rows) for each in self.keys]
        self.values = [each.index_select(0, rows) for each in self.values]
        self.pad_B = self.pad_B[rows]

    def room(self, more: int = 1) -> int:
        """Makes room for more tokens; how many places there are."""
        places = -(-(self.width + more) // READ) * READ
        if places > self.keys[0].shape[2]:
            added = (0, 0, 0, places - self.keys[0].shape[2])
            self.keys = [functional.pad(each, added) for each in self.keys]
            self.values = [functional.pad(each, added) for each in self.values]
        return places


class _Linear(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("weight", "scales", "bias", "a", "b")),
        *((name, c_int64) for name in ("outputs", "inputs", "rank", "bits")),
    ]


class _Layer(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("attention_norm", "query_norm", "key_norm", "mlp_norm")),
        *((name, _Linear) for name in ("qkv", "out", "gate_up", "down")),
        *((name, c_void_p) for name in ("keys", "values")),
    ]


class _Shape(Structure):
    _fields_ = [
        *((name, c_int64) for name in ("layers", "rows", "queries", "keys", "size", "places", "at")),
        ("eps", c_float),
    ]


class Decoding:
    """`step` of one model with one adapter, as both are now. `of` makes one."""

    @classmethod
    def of(cls, weights: Weights, layers: Layers | None, rows: int) -> Decoding | None:
        """None where torch's products are faster for so many rows, or the model is not of the kernel's shapes."""
        fast = kernels.of(weights.embedding)
        if fast is None or rows > (ROWS_IN_TILES if _has_tiles() else ROWS):  # asked at each step: cheap ones first
            return None
        outputs = {dense.weight.shape[0] for block in weights.blocks for dense in block.denses()}
        outputs |= {weights.head.weight.shape[0], weights.blocks[0].down.weight.shape[1]}
        return None if any(each % BLOCK for each in outputs) else cls(fast, weights, layers)

    def __init__(self, fast: Kernels, weights: Weights, layers: Layers | None) -> None:
        self._fast, self._weights = fast, weights
        self._held: list[Tensor] = []  # what the structures point to
        self._layers = (_Layer * len(weights.blocks))()
        for index, (own, block) in enumerate(zip(self._layers, weights.blocks, strict=True)):
            own.attention_norm, own.mlp_norm = self._at(block.attention_norm), self._at(block.mlp_norm)
            own.query_norm, own.key_norm = self._at(block.q_norm), self._at(block.k_norm)
            lows = (None,) * 4 if layers is None else layers[index]
            own.qkv, own.out, own.gate_up, own.down = map(self._linear, block.denses(), lows)
        self._head = self._linear(weights.head, None)
        heads = weights.heads
        self._shape = _Shape(
            layers=len(self._layers), queries=heads.queries, keys=heads.keys, size=weights.head_size, eps=weights.eps
        )

    def step(self, token_B: Tensor, cos_BD: Tensor, sin_BD: Tensor, cache: Cache, places: int) -> Tensor:
        """Next-token logits [B, V] after one more token a row, whose place in the cache is `cache.width`."""
        for own, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            assert keys.is_contiguous()
            assert values.is_contiguous()
            own.keys, own.values = keys.data_ptr(), values.data_ptr()
        shape = self._shape
        shape.rows, shape.places, shape.at = len(token_B), places, cache.width
        x_BE = self._weights.embedding[token_B]
        logits_BV = x_BE.new_empty(len(token_B), self._head.outputs)
        self._fast.decode(
            byref(self._layers), byref(self._head), byref(shape),
            self._weights.final_norm, x_BE, cos_BD, sin_BD, cache.pad_B, logits_BV,
        )  # fmt: skip
        return logits_BV

    def _linear(self, dense: Dense, low: LowRank | None) -> _Linear:
        outputs, inputs = dense.weight.shape
        made = _Linear(bias=self._at(dense.bias), outputs=outputs, inputs=inputs, bits=16)
        if (levels := dense.levels) is None:
            made.weight = self._at(dense.weight)
        else:
            made.bits, made.weight, made.scales = levels.bits, self._at(levels.levels), self._at(levels.scales)
        if low is not None:
            made.a, made.b, made.rank = self._at(low.a_low), self._at(low.b_low.T), low.a_low.shape[0]
        return made

    def _at(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        self._held.append(tensor if tensor.is_contiguous() else tensor.contiguous())
        return self._held[-1].data_ptr()


def _has_tiles() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())
