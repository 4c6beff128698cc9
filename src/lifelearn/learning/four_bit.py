"""Four bits a weight for the products of a few rows, which take as long as reading the weights does.

Only for weights that have these four bits already: models are often handed round with 32 neighbouring weights on 16
even steps (GGUF's Q4_1, as the bundled one), and stay so when they are unpacked. Nothing is rounded away that was not
before; a weight that is not of this form has none (`of` gives None) and is used as it is. Knows nothing of decoding.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 32  # weights of a row that share a least value and a step
STEPS = 15
ROWS = 4  # that the kernel takes at once; with more it is no faster than bfloat16
EXACT = 2.0**-7  # of the largest of a group: bfloat16 rounded its ends, and what is between, by up to half of that
UNPACK_ROWS = 512  # at a time, so that the float32 copy stays small


class FourBit:
    """A weight [O, I], packed: y = x Wᵀ for x [N, I] in bfloat16, by torch's own kernel."""

    def __init__(self, packed: Tensor, scales: Tensor) -> None:
        self._packed, self._scales = packed, scales  # scales [I / GROUP, O, 2]: step, and the value of level 8

    @classmethod
    @torch.no_grad()
    def of(cls, weight: Tensor) -> FourBit | None:
        """The packed weight, or None where it is not on 16 even steps or this build of torch cannot use it."""
        outputs, inputs = weight.shape
        if weight.device.type != "cpu" or weight.dtype != torch.bfloat16 or inputs % GROUP or outputs % 16:
            return None
        levels = torch.empty(outputs, inputs, dtype=torch.int32)
        scales = torch.empty(inputs // GROUP, outputs, 2, dtype=torch.bfloat16)
        for start in range(0, outputs, UNPACK_ROWS):
            part = slice(start, start + UNPACK_ROWS)
            groups = weight[part].float().unflatten(1, (-1, GROUP))
            least, most = torch.aminmax(groups, dim=-1, keepdim=True)
            step = (most - least) / STEPS
            level = ((groups - least) / step.clamp_min(torch.finfo(torch.float32).tiny)).round_()
            error = torch.addcmul(least, level, step).sub_(groups).abs_().amax(-1, keepdim=True)
            if bool((error > EXACT * torch.maximum(least.abs(), most.abs())).any()):
                return None
            levels[part] = level.flatten(1)
            scales[:, part] = torch.cat([step, least + 8 * step], -1).transpose(0, 1)
        try:
            return cls(torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels, 1), scales)
        except (AttributeError, RuntimeError):  # a build of torch without it
            return None

    def __call__(self, x: Tensor) -> Tensor:
        """x: [N, I]; gives [N, O]."""
        y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x, self._packed, GROUP, self._scales)
        return y
