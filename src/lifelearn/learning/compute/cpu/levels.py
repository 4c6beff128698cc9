"""Weights in four or eight bits, for the decoding of a few rows, which takes as long as reading the weights does.

Only for weights that have no more already: models are often handed round with groups of 32 neighbouring weights on even
steps (GGUF's Q4_1 and Q8_0, as the bundled one), and stay so when they are unpacked. Nothing is rounded away that was
not before; a weight that is not of this form has none (`of` gives None) and is used as it is. native/levels.c finds
them, native/decode.c reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lifelearn.learning.compute.cpu import kernels

GROUP = 32  # weights of a row that share a step
BLOCK = 16  # outputs that are computed at a time


@dataclass(frozen=True)
class Levels:
    """A weight [O, I] on `bits`, 4 or 8.

    levels: uint8, of each two neighbouring inputs and all outputs of a block, [O / BLOCK, I / 2, BLOCK, 2]; in four
        bits two such pairs share bytes, [O / BLOCK, I / 4, BLOCK, 2], the first in the lower halves.
    scales: float16 [O / BLOCK, I / GROUP, 2 or 1, BLOCK]: the steps and, in four bits, the values of level 0; in eight
        bits level 128 is zero.
    """

    bits: int
    levels: Tensor
    scales: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Levels | None:
        """The packed weight, or None where it has more bits or is not of the kernels' shape and type."""
        outputs, inputs = weight.shape
        fast = kernels.of(weight)
        if fast is None or inputs % GROUP or outputs % BLOCK:
            return None
        for bits in (4, 8):
            levels = torch.zeros(outputs // BLOCK, inputs * bits // 16, BLOCK, 2, dtype=torch.uint8)
            scales = torch.empty(outputs // BLOCK, inputs // GROUP, 2 if bits == 4 else 1, BLOCK, dtype=torch.float16)
            if fast.fill_levels(weight, levels, scales, bits):
                return cls(bits, levels, scales)
        return None
