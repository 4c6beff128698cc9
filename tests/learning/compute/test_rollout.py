"""Packing and rollouts against the plain forward pass and transformers' own generate()."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.cpu.decoder import Decoder
from lifelearn.learning.compute.cpu.network import DecoderNetwork
from lifelearn.learning.compute.network import Network
from lifelearn.learning.compute.packing import chunks, pack, packed_logits
from lifelearn.learning.compute.rollout import rollout, sample, tokens
from lifelearn.learning.compute.torch_hub import HubNetwork


def rows_of(count: int, length: int = 12) -> list[list[int]]:
    rng = random.Random(1)
    prefix = [5, 6, 7, 8]
    return [prefix + [rng.randrange(5, 200) for _ in range(rng.randrange(1, length))] for _ in range(count)]


def test_equal_prefixes_are_computed_once() -> None:
    packed = pack([[1, 2, 3], [1, 2, 4], [1, 2, 3, 5]])
    assert packed.input_ids_1T.tolist() == [[1, 2, 3, 4, 5]]
    assert packed.position_ids_1T.tolist() == [[0, 1, 2, 2, 3]]
    assert [path.tolist() for path in packed.paths] == [[0, 1, 2], [0, 1, 3], [0, 1, 2, 4]]
    assert not packed.visible_TT[4, 3]


def test_packed_logits_and_gradients_are_those_of_separate_rows(tiny: Any) -> None:
    model = tiny.base.float()
    model.requires_grad_(True)
    rows = rows_of(5)
    packed = pack(rows)
    together = packed_logits(model, packed, torch.cat(packed.paths))
    apart = torch.cat([model(torch.tensor([row])).logits[0] for row in rows])
    assert torch.allclose(together, apart, atol=1e-4)
    weight = model.model.layers[0].mlp.up_proj.weight
    (first,) = torch.autograd.grad(together.square().sum(), weight)
    (second,) = torch.autograd.grad(apart.square().sum(), weight)
    assert torch.allclose(first, second, rtol=1e-3, atol=1e-3)


@pytest.fixture(params=["decoder", "hub"])
def network(request: pytest.FixtureRequest, tiny: Any) -> Network:
    """The tiny model in float32, both ways."""
    model = tiny.base.float()
    if request.param == "hub":
        return HubNetwork(model)
    decoder = Decoder.of(model)
    assert decoder is not None
    return DecoderNetwork(decoder)


def test_greedy_rollouts_equal_generate(network: Network, tiny: Any) -> None:
    model = tiny.base
    for row in rows_of(6):
        ours = rollout(network, [row], frozenset(), Sampling(max_tokens=10))[0]
        theirs = model.generate(torch.tensor([row]), max_new_tokens=10, do_sample=False, eos_token_id=None)
        assert ours == theirs[0, len(row) :].tolist()


def test_a_batch_equals_its_rows_one_by_one(network: Network) -> None:
    rows = rows_of(7)
    stop = frozenset(rollout(network, rows[:1], frozenset(), Sampling(max_tokens=6))[0][3:4])
    together = rollout(network, rows, stop, Sampling(max_tokens=10))
    assert together == [rollout(network, [row], stop, Sampling(max_tokens=10))[0] for row in rows]
    assert all(not stop & set(completion) for completion in together)


def test_the_same_seed_gives_the_same_samples(network: Network) -> None:
    rows = rows_of(4)
    draw = Sampling(max_tokens=8, temperature=1.0, top_p=0.9, seed=3)
    assert rollout(network, rows, frozenset(), draw) == rollout(network, rows, frozenset(), draw)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float) -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, -math.inf, 1.0])
    draw = Sampling(max_tokens=1, temperature=temperature)
    drawn = sample(logits.expand(20_000, -1), draw, torch.Generator().manual_seed(0))
    found = torch.bincount(drawn, minlength=5) / 20_000
    assert torch.allclose(found, (logits / temperature).softmax(-1), atol=0.01)
    assert found[3] == 0


def test_top_p_keeps_the_smallest_set_of_that_mass() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log().expand(200, -1)
    generator = torch.Generator().manual_seed(0)
    drawn = sample(logits, Sampling(max_tokens=1, temperature=1.0, top_p=0.8), generator)
    assert set(drawn.tolist()) == {0, 1}


@pytest.mark.parametrize("prompts", [[], [[5, 6]]])
def test_nothing_to_sample_gives_empty_completions(network: Network, prompts: list[list[int]]) -> None:
    assert rollout(network, prompts, frozenset(), Sampling(max_tokens=0)) == [[] for _ in prompts]


@pytest.mark.parametrize("draw", [Sampling(max_tokens=9), Sampling(max_tokens=9, temperature=1.0, top_p=0.9, seed=3)])
def test_token_by_token_is_the_rollout_of_that_row(network: Network, draw: Sampling) -> None:
    """Also where several take turns, and where a stop token ends one of them."""
    rows = rows_of(4)
    stop = frozenset(rollout(network, rows[:1], frozenset(), draw)[0][4:5])
    expected = [rollout(network, [row], stop, draw)[0] for row in rows]
    found: list[list[int]] = [[] for _ in rows]
    running = {index: tokens(network, row, stop, draw) for index, row in enumerate(rows)}
    while running:
        for index, steps in list(running.items()):
            token = next(steps, None)
            if token is None:
                del running[index]
            else:
                found[index].append(token)
    assert found == expected
    assert len(found[0]) < 9


def test_no_token_is_computed_before_it_is_asked_for(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    step = network.step

    def count(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return step(*arguments)

    monkeypatch.setattr(network, "step", count)
    asked = tokens(network, rows_of(1)[0], frozenset(), Sampling(max_tokens=3))
    next(asked)
    assert steps == 0
    assert not torch.is_inference_mode_enabled()
    assert len(list(asked)) == 2
    assert steps == 2


def test_chunks_hold_at_most_so_many_tokens_or_one_row_that_is_longer() -> None:
    rows = [[0] * size for size in (4, 4, 9, 1, 1)]
    assert [len(chunk) for chunk in chunks(rows, 8)] == [2, 1, 2]
