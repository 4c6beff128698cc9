"""The compiled kernels against what they stand for in torch, computed in float32."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from test_levels import on_eight_bits, on_sixteen_steps
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from lifelearn.learning.compute.cpu import decoding, kernels
from lifelearn.learning.compute.cpu.adapter import Adapter
from lifelearn.learning.compute.cpu.attention import Heads, turn
from lifelearn.learning.compute.cpu.decoder import Decoder
from lifelearn.learning.compute.cpu.decoding import Decoding
from lifelearn.learning.compute.cpu.kernels import Kernels
from lifelearn.learning.compute.cpu.layers import norm, swiglu
from lifelearn.learning.compute.divergence import LEAST, token_divergence

ROUNDING = 2.0**-8  # of bfloat16, relative
SIZES: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512,
}  # fmt: skip


@pytest.fixture
def without(fast: Kernels, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """For tests that switch the kernels off."""
    return monkeypatch


def random(*shape: int, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))).bfloat16()


def close(found: Tensor, wanted: Tensor, roundings: float = 2) -> None:
    torch.testing.assert_close(found.float(), wanted.float(), rtol=roundings * ROUNDING, atol=roundings * ROUNDING / 4)


def gradients(function: Any, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.detach().clone().requires_grad_()
    y = function(leaf)
    y.backward(dy.to(y.dtype))
    assert leaf.grad is not None
    return y.detach(), leaf.grad


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("size", [16, 33, 576])  # 33: no vector's multiple
def test_norm_and_its_gradient(size: int) -> None:
    x, weight, dy = random(7, size, scale=3), random(size), random(7, size)
    found = gradients(lambda each: norm(each, weight, 1e-5), x, dy)
    wanted = gradients(lambda each: functional.rms_norm(each, (size,), weight.float(), 1e-5), x.float(), dy)
    close(found[0], wanted[0])
    close(found[1], wanted[1])
    assert torch.equal(norm(x, weight, 1e-5), found[0]), "serving computes what training does"


@pytest.mark.usefixtures("fast")
def test_swiglu_and_its_gradient() -> None:
    x, dy = random(5, 2 * 51, scale=4), random(5, 51)
    x[0, 0], x[1, 0] = 60000.0, -60000.0

    def formula(each: Tensor) -> Tensor:
        gate, up = each.chunk(2, -1)
        return functional.silu(gate) * up

    found, wanted = gradients(swiglu, x, dy), gradients(formula, x.float(), dy)
    close(found[0], wanted[0])
    close(found[1], wanted[1])


@pytest.mark.usefixtures("fast")
def test_positions_are_put_on_and_taken_off(without: pytest.MonkeyPatch) -> None:
    heads, x = Heads(4, 2), random(6, 8, 16)
    angles = torch.randn(6, 8).repeat(1, 2)
    sign = torch.tensor([-1.0] * 8 + [1.0] * 8)
    cos, sin = angles.cos().bfloat16(), (sign * angles.sin()).bfloat16()
    found = turn(x, cos, sin, heads)
    close(turn(found, cos, sin, heads, -1), x, 4)
    assert torch.equal(found[:, 6:], x[:, 6:]), "values have no positions"
    without.setattr(kernels, "_kernels", None)
    close(found, turn(x.float(), cos.float(), sin.float(), heads))


def test_gather_gives_zeros_past_the_end(fast: Kernels) -> None:
    x = random(4, 8)
    found = fast.gather(x, torch.tensor([3, 0, 4, 3]))
    assert torch.equal(found, torch.cat([x, torch.zeros(1, 8).bfloat16()])[[3, 0, 4, 3]])


@pytest.mark.parametrize(("width", "total"), [(5, 5), (5, 9), (1, 3), (17, 40), (33, 33)])
def test_attention_weights_see_what_was_before_and_their_gradient(fast: Kernels, width: int, total: int) -> None:
    scores, d_weights = random(3, 2 * width, total, scale=5), random(3, 2 * width, total)
    mask = torch.full((width, total), -math.inf).triu(total - width + 1).repeat(2, 1)
    wide = scores.float().requires_grad_()
    wanted = (0.5 * wide + mask).softmax(-1)
    wanted.backward(d_weights)
    found = fast.causal_softmax(scores.clone(), width, 0.5)
    close(found, wanted.detach())
    assert wide.grad is not None
    close(fast.causal_softmax_backward(d_weights.clone(), found, width, 0.5), wide.grad, 4)


@pytest.mark.usefixtures("fast")
def test_divergence_its_gradient_and_log_softmax(fast: Kernels) -> None:
    logits, teacher = random(6, 1001, scale=6), random(6, 1001, scale=4)
    teacher[0, 5:] = -math.inf
    teacher = teacher.float().log_softmax(-1).bfloat16()
    found = gradients(lambda each: token_divergence(each, teacher), logits, torch.arange(1.0, 7))
    wide = teacher.float().clamp_min(LEAST)
    wanted = gradients(
        lambda each: (wide.exp() * (wide - each.log_softmax(-1))).sum(-1), logits.float(), torch.arange(1.0, 7)
    )
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-4, atol=1e-4)
    close(found[1], wanted[1], 4)
    close(fast.log_softmax(logits), logits.float().log_softmax(-1))


@pytest.mark.usefixtures("fast")
def test_what_is_no_number_stays_none() -> None:
    x = random(3, 64)
    x[1, 7] = math.nan
    assert norm(x, random(64), 1e-5).isnan().any(-1).tolist() == [False, True, False]
    assert swiglu(x).isnan().any(-1).tolist() == [False, True, False]
    assert token_divergence(x, random(3, 64).float().log_softmax(-1).bfloat16()).isnan().tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_decoder_with_them_is_as_near_to_float32_as_without(kind: str, without: pytest.MonkeyPatch) -> None:
    model = decoders(kind)
    rows = [[5, 6, 7, 8, 9], [5, 6, 10], [5, 6, 7, 11, 12, 13, 14]]

    def computed(model: Any) -> tuple[Tensor, Tensor, list[Tensor]]:
        decoder = Decoder(model)
        adapter = Adapter(decoder, 4, 8, seed=0)
        generator = torch.Generator().manual_seed(1)
        for low in (low for layer in adapter.layers for low in layer if low is not None):
            low.b.data.normal_(std=0.05, generator=generator)
        adapter.refresh()
        logits = decoder.logits(rows, [2, 1, 3], adapter.layers)
        gradient = torch.autograd.grad(logits.float().square().sum(), adapter.parameters)
        prompt, cache = decoder.prefill(rows, adapter.layers)
        stepped = [prompt, decoder.step(torch.tensor([1, 2, 3]), cache, adapter.layers)]
        return logits.detach().float(), torch.cat(stepped).float(), [each.flatten() for each in gradient]

    with_them = computed(model)
    without.setattr(kernels, "_kernels", None)
    plain, exact = computed(model), computed(model.float())

    def error(found: tuple[Tensor, Tensor, list[Tensor]]) -> list[float]:
        pairs = zip((*found[:2], torch.cat(found[2])), (*exact[:2], torch.cat(exact[2])), strict=True)
        return [float((ours - right).norm() / right.norm()) for ours, right in pairs]

    for ours, theirs in zip(error(with_them), error(plain), strict=True):
        assert ours < 1.5 * theirs < 0.1


def decoders(kind: str) -> Any:
    """A small model whose weights are in bfloat16, on four or on eight bits."""
    torch.manual_seed(0)
    if kind == "qwen2":
        model: Any = Qwen2ForCausalLM(Qwen2Config(**{k: v for k, v in SIZES.items() if k != "head_dim"}))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**SIZES)) if kind == "qwen3" else LlamaForCausalLM(LlamaConfig(**SIZES))
    for name, parameter in model.named_parameters():
        if "bias" in name or "norm" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
        elif kind in {"4 bits", "8 bits"}:
            parameter.data = (on_sixteen_steps if kind == "4 bits" else on_eight_bits)(*parameter.shape).float() / 8
    return model.bfloat16().eval().requires_grad_(False)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "4 bits", "8 bits"])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 15, 16, 17, 35])
def test_a_step_of_decoding_is_what_torch_computes(kind: str, rows: int, without: pytest.MonkeyPatch) -> None:
    model = decoders(kind)
    decoder = Decoder(model)
    if "bits" in kind:
        assert all(dense.levels is not None for block in decoder.blocks for dense in block.denses())
    adapter = Adapter(decoder, 4, 8, seed=0, first=1)
    for low in (low for layer in adapter.layers for low in layer if low is not None):
        low.b.data.normal_(std=0.05)
    adapter.refresh()
    prompts = [[3 + row, *range(7, 8 + row % 4)] for row in range(rows)]
    without.setattr(decoding, "ROWS", 64)
    without.setattr(decoding, "ROWS_IN_TILES", 64)

    def stepped(decoder: Decoder, adapter: Adapter, prompts: list[list[int]], times: int) -> list[Tensor]:
        _, cache = decoder.prefill(prompts, adapter.layers)
        found = []
        for time in range(times):  # beyond what is read of a cache at first
            if time == 3 and len(prompts) > 2:
                kept = torch.tensor([0, len(prompts) - 1])
                cache.keep(kept)
                prompts = [prompts[0], prompts[-1]]
            token_B = torch.tensor([(11 * time + 5 * prompt[0]) % 512 for prompt in prompts])
            found.append(decoder.step(token_B, cache, adapter.layers).float())
        assert (cache.decoding is None) == (kernels._kernels is None)
        return found

    with_them = stepped(decoder, adapter, prompts, 36)
    without.setattr(kernels, "_kernels", None)
    plain = stepped(decoder, adapter, prompts, 36)
    wide = Decoder(model.float())
    exact_adapter = Adapter(wide, 4, 8, first=1)
    exact_adapter.fill(adapter.state())
    exact = stepped(wide, exact_adapter, prompts, 36)
    joined = [torch.cat([each.flatten() for each in found]) for found in (with_them, plain, exact)]
    ours, theirs = ((found - joined[2]).norm() / joined[2].norm() for found in joined[:2])
    assert ours < 1.5 * theirs < 0.05


@pytest.mark.usefixtures("fast")
def test_what_the_kernel_cannot_take_torch_computes(without: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    odd: Any = LlamaForCausalLM(LlamaConfig(**{**SIZES, "vocab_size": 211})).bfloat16().eval().requires_grad_(False)
    _, cache = (decoder := Decoder(odd)).prefill([[1, 2]], None)
    assert decoder.step(torch.tensor([3]), cache, None).isfinite().all()
    assert cache.decoding is None
    assert Decoding.of(Decoder(decoders("llama")), None, 1) is not None
    assert Decoding.of(Decoder(decoders("llama")), None, 1000) is None
    without.setattr(kernels, "_kernels", None)
    assert Decoding.of(Decoder(decoders("llama")), None, 1) is None
