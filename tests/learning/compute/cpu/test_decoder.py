"""The hand-written decoder against transformers and PEFT: the same numbers, the same gradients, the same files."""

from __future__ import annotations

import copy
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.utils import set_peft_model_state_dict
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from lifelearn.learning.compute.cpu.adapter import Adapter
from lifelearn.learning.compute.cpu.attention import BATCHED, attend
from lifelearn.learning.compute.cpu.decoder import Below, Decoder
from lifelearn.learning.compute.cpu.layers import FEW

SIZES = {
    "vocab_size": 211, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": None,
}  # fmt: skip


def make(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "llama":
        model: Any = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True))
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=False))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=16))
    for name, parameter in model.named_parameters():  # biases and norms that are not the trivial ones
        parameter.data += 0.05 * torch.randn_like(parameter) * (2 if "bias" in name or "norm" in name else 1)
    return model.eval().requires_grad_(False)


@pytest.fixture(params=["llama", "qwen2", "qwen3"])
def model(request: pytest.FixtureRequest) -> Any:
    return make(request.param)


def rows_of(count: int, shared: int) -> list[list[int]]:
    rng = random.Random(count + shared)
    prefix = [rng.randrange(211) for _ in range(shared)]
    return [prefix + [rng.randrange(211) for _ in range(rng.randrange(3, 9))] for _ in range(count)]


def by_transformers(model: Any, rows: list[list[int]], keep: list[int]) -> torch.Tensor:
    return torch.cat([model(torch.tensor([r])).logits[0, -k:] for r, k in zip(rows, keep, strict=True)])


def nudged(adapter: Adapter) -> Adapter:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in adapter.parameters:
            parameter.add_(0.1 * torch.randn_like(parameter))
    adapter.refresh()
    return adapter


@pytest.mark.parametrize("shared", [0, 7])
def test_logits_are_those_of_transformers(model: Any, shared: int) -> None:
    rows = rows_of(5, shared)
    keep = [1, 2, 3, 2, 1]
    expected = by_transformers(model, rows, keep)
    decoder = Decoder.of(model)
    assert decoder is not None
    assert torch.allclose(decoder.logits(rows, keep, None), expected, atol=1e-4)
    assert torch.allclose(by_transformers(model, rows, keep), expected), "the model itself is as before"


def test_every_place_of_equal_rows_can_be_asked_for(model: Any) -> None:
    decoder = Decoder.of(model)
    assert decoder is not None
    rows = [[5, 6, 7], [5, 6, 7], [5, 6]]
    keep = [3, 1, 2]
    assert torch.allclose(decoder.logits(rows, keep, None), by_transformers(model, rows, keep), atol=1e-4)


def test_rows_that_are_kept_below_the_first_adapted_block_are_the_same_and_not_computed_again(model: Any) -> None:
    decoder = Decoder(model)
    adapter = Adapter(decoder, 4, 8, seed=0, first=1)
    for low in (low for layer in adapter.layers[1:] for low in layer if low is not None):
        low.b.data.normal_(std=0.05)
    adapter.refresh()
    below = Below(1)
    rows = [[5, 6, 7, 8], [5, 6, 9], [5, 6, 7, 8, 10, 11]]
    for batch in (rows, rows[::-1], rows[:1], [*rows, [3, 4, 5]]):  # other prefixes, other mates, a row that is new
        keep = [len(row) // 2 for row in batch]
        wanted = decoder.logits(batch, keep, adapter.layers)
        found = decoder.logits(batch, keep, adapter.layers, below)
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
        wanted_gradient = torch.autograd.grad(wanted.square().sum(), adapter.parameters)
        found_gradient = torch.autograd.grad(found.square().sum(), adapter.parameters)
        for ours, theirs in zip(found_gradient, wanted_gradient, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    assert set(below.kept) == {tuple(row) for row in [*rows, [3, 4, 5]]}
    kept = {path: value.clone() for path, value in below.kept.items()}
    decoder.embedding = torch.full_like(decoder.embedding, float("nan"))  # reading it again would show
    assert decoder.logits(rows, [1, 1, 1], adapter.layers, below).isfinite().all()
    assert all(torch.equal(below.kept[path], value) for path, value in kept.items())


def test_decoding_goes_on_where_the_prompts_end(model: Any) -> None:
    decoder = Decoder.of(model)
    assert decoder is not None
    adapter = nudged(Adapter(decoder, 3, 6, seed=0))
    rows = [*rows_of(4, 6), [9]]
    rows.append(rows[0])  # computed once
    logits, cache = decoder.prefill(rows, adapter.layers)
    for step in range(40):  # beyond what is read of a cache at first
        expected = decoder.logits(rows, [1] * len(rows), adapter.layers)
        assert torch.allclose(logits, expected, atol=1e-3)
        if step == 2:
            kept = torch.tensor([0, 3, 4])
            rows, logits = [rows[index] for index in kept], logits[kept]
            cache.keep(kept)
        token_B = logits.argmax(-1)
        rows = [[*row, int(token)] for row, token in zip(rows, token_B, strict=True)]
        logits = decoder.step(token_B, cache, adapter.layers)


@pytest.mark.parametrize("rows", [BATCHED - 1, BATCHED, 3 * BATCHED])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_attention_of_one_token_is_the_same_for_few_and_for_many_rows(rows: int, dtype: Any, near: float) -> None:
    generator = torch.Generator().manual_seed(rows)
    q = torch.randn(rows, 3, 2, 16, generator=generator).to(dtype)
    k, v = (torch.randn(rows, 3, 32, 16, generator=generator).to(dtype) for _ in range(2))
    mask = torch.zeros(rows, 1, 1, 32, dtype=dtype)
    for row in range(rows):
        mask[row, ..., : row % 9] = -math.inf
    told = attend(q, k, v, mask)
    wanted = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double(), mask.double())
    assert told.dtype == dtype
    assert torch.allclose(told.double(), wanted, atol=near, rtol=near)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_few_rows_with_an_adapter_are_answered_as_among_many(kind: str) -> None:
    """Few take LoRA's products in float32, many in bfloat16."""
    decoder = Decoder.of(make(kind).bfloat16())
    assert decoder is not None
    adapter = nudged(Adapter(decoder, 3, 6, seed=0))
    prompts = rows_of(FEW + 1, 2)
    tokens = torch.arange(7, 7 + FEW + 1)

    def after(count: int, layers: Any) -> torch.Tensor:
        _, cache = decoder.prefill(prompts[:count], layers)
        return decoder.step(tokens[:count], cache, layers)[0].float().log_softmax(-1)

    def apart(one: torch.Tensor, other: torch.Tensor) -> float:
        return float((one.exp() * (one - other)).sum())

    many = after(FEW + 1, adapter.layers)
    assert apart(many, after(1, adapter.layers)) < 1e-3
    assert apart(many, after(FEW, adapter.layers)) < 1e-3
    assert apart(many, after(1, None)) > 1e-2, "the adapter tells"


def test_the_adapter_is_pefts(model: Any, tmp_path: Path) -> None:
    """PEFT loads the files, gives the same logits, and has the same gradients."""
    plain = copy.deepcopy(model)
    decoder = Decoder.of(model)
    assert decoder is not None
    adapter = nudged(Adapter(decoder, 3, 6, seed=0))
    adapter.save(tmp_path)
    plain.load_adapter(str(tmp_path), peft_config=LoraConfig.from_pretrained(str(tmp_path)), is_trainable=True)
    rows, keep = rows_of(5, 7), [2, 1, 3, 2, 2]
    ours, theirs = decoder.logits(rows, keep, adapter.layers), by_transformers(plain, rows, keep)
    assert torch.allclose(ours, theirs, atol=1e-3)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    gradients = {name: p.grad for name, p in plain.named_parameters() if "lora_" in name}
    assert len(gradients) == 2 * 7 * 2
    wanted = Adapter(decoder, 3, 6)
    named = {name.replace(".default", ""): gradient for name, gradient in gradients.items()}
    assert all(gradient is not None for gradient in named.values())
    wanted.fill({name: gradient for name, gradient in named.items() if gradient is not None})
    for mine, expected in zip(adapter.parameters, wanted.parameters, strict=True):
        assert mine.grad is not None
        assert torch.allclose(mine.grad, expected, rtol=1e-2, atol=1e-2)


def test_an_adapter_of_pefts_is_read(model: Any, tmp_path: Path) -> None:
    decoder = Decoder.of(model)
    assert decoder is not None
    first = nudged(Adapter(decoder, 3, 6, seed=0))
    first.save(tmp_path)
    second = Adapter.load(decoder, tmp_path)
    rows = rows_of(3, 2)
    assert torch.equal(decoder.logits(rows, [1] * 3, first.layers), decoder.logits(rows, [1] * 3, second.layers))
    assert not any(parameter.requires_grad for parameter in second.parameters)


@pytest.mark.parametrize("damage", ["missing", "more", "shape"])
def test_an_adapter_of_another_model_is_refused(damage: str) -> None:
    decoder = Decoder.of(make("llama"))
    assert decoder is not None
    state = Adapter(decoder, 3, 6, seed=0).state()
    name = next(iter(state))
    if damage == "missing":
        del state[name]
    elif damage == "more":
        state["model.layers.9.mlp.down_proj.lora_A.weight"] = state[name]
    else:
        state[name] = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="not of this model"):
        Adapter(decoder, 3, 6).fill(state)


def test_a_new_adapter_changes_nothing_and_its_seed_decides_its_start() -> None:
    decoder = Decoder.of(make("llama"))
    assert decoder is not None
    adapter = Adapter(decoder, 3, 6, seed=1)
    rows = rows_of(3, 2)
    assert torch.equal(decoder.logits(rows, [1] * 3, adapter.layers), decoder.logits(rows, [1] * 3, None))
    same, other = Adapter(decoder, 3, 6, seed=1), Adapter(decoder, 3, 6, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(adapter.parameters, same.parameters, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(adapter.parameters, other.parameters, strict=True))


def test_a_model_that_it_does_not_reproduce_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("llama")
    monkeypatch.setattr(type(model.config), "model_type", "another")
    assert Decoder.of(model) is None
    monkeypatch.undo()
    original = Decoder.logits
    monkeypatch.setattr(Decoder, "logits", lambda self, *args: original(self, *args) + 20 * torch.eye(211)[0])
    assert Decoder.of(model) is None


def test_peft_names_are_those_on_disk() -> None:
    model = make("qwen2")
    decoder = Decoder.of(model)
    assert decoder is not None
    state = Adapter(decoder, 3, 6, seed=0).state()
    model.add_adapter(LoraConfig(r=3, lora_alpha=6, target_modules="all-linear"))
    result = set_peft_model_state_dict(model, state)
    assert not result.unexpected_keys
