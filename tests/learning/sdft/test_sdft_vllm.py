"""Rollouts by vLLM itself, on the bundled model: it has the student's weights at every step. `make vllm` runs this.

In float32 vLLM and this program compute the same but for the order of sums, so their greedy answers are equal and their
log-probabilities within TOLERANCE (measured: 6e-5). In bfloat16 the two round otherwise, and answers may differ.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lifelearn.chat_models.default_model import BUNDLED, resolve
from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.rollout import Sampled
from lifelearn.learning.sdft.config import SDFTConfig
from lifelearn.learning.sdft.data_loop import SDFTTrainer
from lifelearn.learning.sdft.loss import importance_ratio
from lifelearn.learning.sdft.own_rollouts import OwnRollouts
from lifelearn.settings import load_settings
from lifelearn.terminal.train import stand_alone

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; see make vllm"),
]

TOLERANCE = 1e-3  # nats
GREEDY = Sampling(max_tokens=16, temperature=0)
QUESTIONS = ("What is the capital of France?", "Name a colour.", "How do I boil an egg?", "Who wrote Hamlet?")
ROWS = [
    {"prompt": f"Convert {number} kilometres to miles.", "privileged_context": f"RESULT: {number * 0.62:.1f} miles."}
    for number in range(2, 8)
]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM reports nothing to anybody, and does not take a share of the memory but one GiB for its cache."""
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "1")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    stand_alone()


def trainer_of(folder: Path, **settings: Any) -> SDFTTrainer:
    given: dict[str, Any] = {
        "output_dir": str(folder), "rollouts": "vllm", "max_steps": 3, "num_prompts_per_batch": 4, "save_steps": 0,
        "max_prompt_length": 256, "max_completion_length": 24, "warmup_steps": 0, "num_loss_tokens_to_skip": 0,
    }  # fmt: skip
    return SDFTTrainer(resolve(BUNDLED, load_settings().cache_dir), None, SDFTConfig(**given, **settings), ROWS)


def furthest(trainer: SDFTTrainer, prompts: Sequence[list[int]], sampled: Sequence[Sampled]) -> float:
    """The largest difference between a token's log-probability by the engine and by the student as it is."""
    found = []
    with trainer.student.student() as network, torch.no_grad():
        for prompt, row in zip(prompts, sampled, strict=True):
            logits = network.logits([prompt + row.ids[:-1]], [len(row.ids)]).float()
            own = logits.log_softmax(-1)[range(len(row.ids)), row.ids]
            found.append(float((own - torch.tensor(row.logprobs)).abs().max()))
    return max(found)


@pytest.mark.parametrize("use_peft", [True, False], ids=["lora", "full"])
def test_vllm_answers_with_the_weights_of_each_step(
    use_peft: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(tmp_path / "out", use_peft=use_peft, bf16=False, learning_rate=2e-3 if use_peft else 2e-4)
    engine, own = trainer._engine, OwnRollouts(trainer._generating, trainer.codec)
    prompts = [trainer.codec.ask(question) for question in QUESTIONS]
    seeds = [0] * len(prompts)
    trainer._step(0)
    before = engine.sample(prompts, GREEDY, seeds)
    engine.sync(1)
    after = engine.sample(prompts, GREEDY, seeds)
    expected = [row.ids for row in own.sample(prompts, GREEDY, seeds)]
    assert [row.ids for row in after] == expected
    assert furthest(trainer, prompts, after) < TOLERANCE
    assert [row.ids for row in before] != expected
    assert furthest(trainer, prompts, before) > 100 * TOLERANCE, "the weights before the step would not pass"

    ratios: list[Tensor] = []

    def watched(student_N: Tensor, engine_N: Tensor, clip: float) -> Tensor:
        ratios.append((student_N - engine_N).exp())
        return importance_ratio(student_N, engine_N, clip)

    monkeypatch.setattr("lifelearn.learning.sdft.data_loop.importance_ratio", watched)
    done = trainer.train()
    assert len(done.losses) == 3
    assert all(math.isfinite(loss) and loss > 0 for loss in done.losses)
    ratio = torch.cat(ratios)
    assert len(ratio) > 3 * 4
    assert (ratio - 1).abs().max() < TOLERANCE


@pytest.mark.parametrize("use_peft", [True, False], ids=["lora", "full"])
def test_a_run_in_bfloat16_ends_with_ratios_near_one(use_peft: bool, tmp_path: Path) -> None:
    """As the command runs it by default. One token may differ by some tenths of a nat; on average they are close."""
    trainer = trainer_of(tmp_path / "out", use_peft=use_peft, eval_split=0.3, eval_steps=2)
    logs: list[Tensor] = []
    plain = trainer.objective

    def watched(logits_NV: Tensor, wanted_NV: Tensor, rows: Any) -> Tensor:
        tokens = [token for row in rows for token in row.completion]
        own = logits_NV.detach().float().log_softmax(-1)[range(len(tokens)), tokens]
        logs.append(own - torch.tensor([logprob for row in rows for logprob in row.logprobs]))
        return plain(logits_NV, wanted_NV, rows)

    trainer.objective = watched  # type: ignore[method-assign]
    done = trainer.train()
    assert all(math.isfinite(loss) for loss in (*done.losses, *done.eval_losses.values()))
    assert len(done.losses) == 3
    assert set(done.eval_losses) == {2, 3}
    assert torch.cat(logs).abs().mean() < 0.1
