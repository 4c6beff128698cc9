"""Weights in four and eight bits: only where the weight has no more, and with the same values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lifelearn.learning.compute.cpu import kernels
from lifelearn.learning.compute.cpu.levels import BLOCK, GROUP, Levels

pytestmark = pytest.mark.usefixtures("fast")


def on_sixteen_steps(outputs: int = 48, inputs: int = 96) -> Tensor:
    """As GGUF's Q4_1 unpacks: each 32 weights are a least value and 0 to 15 steps."""
    torch.manual_seed(0)
    levels = torch.randint(0, 16, (outputs, inputs // 32, 32))
    levels[..., 0], levels[..., 1] = 0, 15
    step = 0.1 * torch.rand(outputs, inputs // 32, 1) + 0.01
    least = -(7 + torch.rand(outputs, inputs // 32, 1)) * step
    return (least + levels * step).view(outputs, inputs).to(torch.bfloat16)


def on_eight_bits(outputs: int = 48, inputs: int = 96) -> Tensor:
    """As its Q8_0 does: -127 to 127 steps, the largest weight of each 32 at one of the ends."""
    torch.manual_seed(0)
    levels = torch.randint(-127, 128, (outputs, inputs // 32, 32))
    levels[..., 5] = 127
    step = (0.01 * torch.rand(outputs, inputs // 32, 1) + 0.001).half().float()
    return (levels * step).view(outputs, inputs).to(torch.bfloat16)


def unpacked(levels: Levels) -> Tensor:
    """The weight [O, I], by what `Levels` says of itself."""
    packed = levels.levels.int()
    if levels.bits == 4:
        packed = torch.stack([packed & 15, packed >> 4], 2).flatten(1, 2)
    level = packed.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)  # [O, I]
    scales = levels.scales.float().permute(0, 3, 1, 2).flatten(0, 1).repeat_interleave(GROUP, 1)  # [O, I, 2 or 1]
    least = scales[..., 1] if levels.bits == 4 else -128 * scales[..., 0]
    return scales[..., 0] * level + least


@pytest.mark.parametrize(("weight", "bits"), [(on_sixteen_steps(), 4), (on_eight_bits(), 8)])
def test_its_values_are_those_of_the_weight(weight: Tensor, bits: int) -> None:
    levels = Levels.of(weight)
    assert levels is not None
    assert levels.bits == bits
    torch.testing.assert_close(unpacked(levels), weight.float(), rtol=2.0**-7, atol=2.0**-7 if bits == 4 else 0)
    assert levels.levels.numel() == weight.numel() * bits // 8


@pytest.mark.parametrize(
    "weight",
    [
        torch.randn(48, 96).to(torch.bfloat16),
        on_sixteen_steps().index_fill(1, torch.tensor([40]), 0.31),  # one weight in each row is off its step
        on_eight_bits() + 0.01 * torch.randn(48, 96).to(torch.bfloat16),
        on_sixteen_steps().float(),
        on_sixteen_steps(40),  # not the kernel's shapes
        on_sixteen_steps()[:, :80].contiguous(),
    ],
)
def test_other_weights_have_none(weight: Tensor) -> None:
    assert Levels.of(weight) is None


def test_equal_weights_are_one_step() -> None:
    levels = Levels.of(torch.full((BLOCK, GROUP), 0.75, dtype=torch.bfloat16))
    assert levels is not None
    assert unpacked(levels).unique().tolist() == [0.75]


def test_without_kernels_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_kernels", None)
    assert Levels.of(on_sixteen_steps()) is None
