"""The port: a language model as the engine uses it, logits of many rows and batched decoding.

Two implementations: `cpu/network.py`, the hand-written decoder for the common families, and `torch_hub.py`, any causal
model of transformers. Knows nothing of lessons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

Rows = Sequence[Sequence[int]]


class State(Protocol):
    """What decoding has computed of B rows so far."""

    def keep(self, rows: Tensor) -> None:
        """Leaves only these rows, int64 [B']."""
        ...


class Network(Protocol):
    """Rows are non-empty lists of token ids; V is the vocabulary."""

    @property
    def device(self) -> torch.device: ...

    def logits(self, rows: Rows, keep: Sequence[int]) -> Tensor:
        """Next-token logits at the last `keep` places of each row (at least one), in order: [sum(keep), V]."""
        ...

    def prefill(self, prompts: Rows) -> tuple[Tensor, State]:
        """Next-token logits after each prompt, [B, V], and the state to go on from."""
        ...

    def read(self, ids: Sequence[int], state: State) -> Tensor:
        """Next-token logits after more tokens of the one row, [1, V], as a longer prompt's: at least one."""
        ...

    def step(self, token_B: Tensor, state: State) -> Tensor:
        """Next-token logits after one more token a row, [B, V]."""
        ...
