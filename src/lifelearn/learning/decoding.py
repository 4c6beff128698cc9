"""One more token for a few rows by native/decode.c: the decoder's tensors and an adapter's, laid out for one call.

What it computes is what decoder.py's `step` says in torch. Knows nothing of prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure, byref, c_float, c_int64, c_void_p
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lifelearn.learning import kernels
from lifelearn.learning.kernels import Kernels
from lifelearn.learning.layers import Dense, LowRank
from lifelearn.learning.levels import BLOCK

if TYPE_CHECKING:
    from lifelearn.learning.decoder import Cache, Decoder

ROWS_IN_TILES, ROWS = 48, 16  # up to which one call is faster than torch's products, with AMX and without


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
    """`step` of one decoder with one adapter, as both are now. `of` makes one."""

    @classmethod
    def of(cls, decoder: Decoder, layers: Sequence[Sequence[LowRank | None]] | None, rows: int) -> Decoding | None:
        """None where torch's products are faster for so many rows, or the model is not of the kernel's shapes."""
        fast = kernels.of(decoder.embedding)
        if fast is None or rows > (ROWS_IN_TILES if _has_tiles() else ROWS):  # asked at each step: cheap ones first
            return None
        outputs = {dense.weight.shape[0] for block in decoder.blocks for dense in block.denses()}
        outputs |= {decoder.head.weight.shape[0], decoder.blocks[0].down.weight.shape[1]}
        return None if any(each % BLOCK for each in outputs) else cls(fast, decoder, layers)

    def __init__(self, fast: Kernels, decoder: Decoder, layers: Sequence[Sequence[LowRank | None]] | None) -> None:
        self._fast, self._decoder = fast, decoder
        self._held: list[Tensor] = []  # what the structures point to
        self._layers = (_Layer * len(decoder.blocks))()
        for index, (own, block) in enumerate(zip(self._layers, decoder.blocks, strict=True)):
            own.attention_norm, own.mlp_norm = self._at(block.attention_norm), self._at(block.mlp_norm)
            own.query_norm, own.key_norm = self._at(block.q_norm), self._at(block.k_norm)
            lows = (None,) * 4 if layers is None else layers[index]
            own.qkv, own.out, own.gate_up, own.down = map(self._linear, block.denses(), lows)
        self._head = self._linear(decoder.head, None)
        heads = decoder.heads
        self._shape = _Shape(
            layers=len(self._layers), queries=heads.queries, keys=heads.keys, size=decoder.head_size, eps=decoder.eps
        )

    def step(self, token_B: Tensor, cos_BD: Tensor, sin_BD: Tensor, cache: Cache, places: int) -> Tensor:
        """Next-token logits [B, V] after one more token a row, whose place in the cache is `cache.width`."""
        for own, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            assert keys.is_contiguous()
            assert values.is_contiguous()
            own.keys, own.values = keys.data_ptr(), values.data_ptr()
        shape = self._shape
        shape.rows, shape.places, shape.at = len(token_B), places, cache.width
        x_BE = self._decoder.embedding[token_B]
        logits_BV = x_BE.new_empty(len(token_B), self._head.outputs)
        self._fast.decode(
            byref(self._layers), byref(self._head), byref(shape),
            self._decoder.final_norm, x_BE, cos_BD, sin_BD, cache.pad_B, logits_BV,
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
