"""The port by the hand-written decoder, with an adapter or bare. Knows nothing of lessons."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lifelearn.learning.compute.cpu.adapter import Adapter
from lifelearn.learning.compute.cpu.decoder import Below, Decoder
from lifelearn.learning.compute.cpu.decoding import Cache
from lifelearn.learning.compute.network import Rows, State


class DecoderNetwork:
    """The hand-written decoder with an adapter, or bare.

    below: shared by networks whose adapters all start at its first block or later; their equal rows cost less.
    """

    def __init__(self, decoder: Decoder, adapter: Adapter | None = None, below: Below | None = None) -> None:
        self._decoder = decoder
        self._layers = adapter.layers if adapter is not None else None
        self._below = below

    @property
    def device(self) -> torch.device:
        return self._decoder.device

    def logits(self, rows: Rows, keep: Sequence[int]) -> Tensor:
        return self._decoder.logits(rows, keep, self._layers, self._below)

    def prefill(self, prompts: Rows) -> tuple[Tensor, State]:
        return self._decoder.prefill(prompts, self._layers)

    def read(self, ids: Sequence[int], state: State) -> Tensor:
        assert isinstance(state, Cache)
        return self._decoder.read(ids, state, self._layers)

    def step(self, token_B: Tensor, state: State) -> Tensor:
        assert isinstance(state, Cache)
        return self._decoder.step(token_B, state, self._layers)
