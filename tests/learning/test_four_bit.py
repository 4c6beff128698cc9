"""Four bits a weight: only where the weight has no more, and with the same products."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import Linear

from lifelearn.learning.four_bit import FourBit
from lifelearn.learning.layers import Dense


def on_sixteen_steps(outputs: int = 48, inputs: int = 96) -> Tensor:
    """As GGUF's Q4_1 unpacks: each 32 weights are a least value and 0 to 15 steps."""
    torch.manual_seed(0)
    levels = torch.randint(0, 16, (outputs, inputs // 32, 32))
    levels[..., 0], levels[..., 1] = 0, 15
    step = 0.1 * torch.rand(outputs, inputs // 32, 1) + 0.01
    least = -(7 + torch.rand(outputs, inputs // 32, 1)) * step
    return (least + levels * step).view(outputs, inputs).to(torch.bfloat16)


@pytest.mark.parametrize("rows", [1, 4])
def test_its_products_are_those_of_the_weight(rows: int) -> None:
    weight = on_sixteen_steps()
    x = torch.randn(rows, 96).to(torch.bfloat16)
    four_bit = FourBit.of(weight)
    assert four_bit is not None
    torch.testing.assert_close(four_bit(x).float(), x.float() @ weight.float().T, rtol=0.02, atol=0.1)


@pytest.mark.parametrize(
    "weight",
    [
        torch.randn(48, 96).to(torch.bfloat16),
        on_sixteen_steps().index_fill(1, torch.tensor([40]), 0.31),  # one weight in each row is off its step
        on_sixteen_steps().float(),
        on_sixteen_steps(40),  # not the kernel's shapes
        on_sixteen_steps()[:, :80].contiguous(),
    ],
)
def test_other_weights_have_none(weight: Tensor) -> None:
    assert FourBit.of(weight) is None


def test_equal_weights_are_one_step() -> None:
    four_bit = FourBit.of(torch.full((16, 32), 0.75, dtype=torch.bfloat16))
    assert four_bit is not None
    assert four_bit(torch.ones(1, 32, dtype=torch.bfloat16)).tolist() == [[24.0] * 16]


def test_few_rows_use_it_and_many_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Linear(96, 48).to(torch.bfloat16).requires_grad_(False)
    layer.weight.data = on_sixteen_steps()
    dense = Dense(("layer",), (layer,))
    x = torch.randn(5, 96).to(torch.bfloat16)
    torch.testing.assert_close(dense(x[:4]), layer(x[:4]), rtol=0.02, atol=0.1)
    assert dense.four_bit is dense.four_bit
    used: list[int] = []

    def noted(self: FourBit, x: Tensor) -> Tensor:
        used.append(len(x))
        return x.new_zeros(len(x), 48)

    monkeypatch.setattr(FourBit, "__call__", noted)
    dense(x[:4])
    torch.testing.assert_close(dense(x), layer(x), rtol=0.02, atol=0.02)
    assert used == [4]
