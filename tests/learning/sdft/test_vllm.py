"""Rollouts by vLLM, as far as they can be had without it: it is given the weights of now, at every step."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lifelearn.learning.compute.rollout import Rollouts
from lifelearn.learning.sdft.vllm_rollouts import VllmError, VllmRollouts
from sdft.fakes import Fixed, Make


class FakeVllm:
    """vLLM's classes as this project calls them; samples the same three tokens, the last of which ends."""

    def __init__(self) -> None:
        self.loaded: dict[str, torch.Tensor] = {}
        self.adapters: list[tuple[str, int, bool]] = []
        self.after: list[str] = []
        self.params: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {}
        self.lora = SimpleNamespace(request=SimpleNamespace(LoRARequest=self._request))
        self.platforms = SimpleNamespace(current_platform=SimpleNamespace(is_cpu=lambda: True))

    def LLM(self, **settings: Any) -> Any:  # noqa: N802
        self.settings = settings
        return SimpleNamespace(
            collective_rpc=self._rpc,
            apply_model=lambda change: self.after.append(change.__name__),
            reset_prefix_cache=lambda: self.after.append("reset"),
            generate=self._generate,
        )

    def SamplingParams(self, **settings: Any) -> dict[str, Any]:  # noqa: N802
        return settings

    def _request(self, name: str, number: int, path: str) -> str:
        self.adapters.append((name, number, (Path(path) / "adapter_config.json").exists()))
        return name

    def _rpc(self, method: str, kwargs: dict[str, Any]) -> None:
        assert method == "reload_weights"
        self.loaded.update(kwargs["weights_iterator"])

    def _generate(self, asked: Any, sampling_params: Any, use_tqdm: bool, lora_request: Any) -> list[Any]:
        self.params += sampling_params
        places = [{token: SimpleNamespace(logprob=-2.0)} for token in (20, 30, 1)]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=(20, 30, 1), logprobs=places)]) for _ in asked]


@pytest.mark.parametrize("use_peft", [True, False])
def test_vllm_gets_the_students_weights_at_every_step(make: Make, use_peft: bool) -> None:
    fake = FakeVllm()

    def engine(student: Any, codec: Any) -> Rollouts:
        settings: dict[str, Any] = {"lora_rank": 4 if use_peft else None, "dtype": "float32", "context": 99}
        return VllmRollouts("model", student, codec.stop_ids, **settings, memory=0.3, seed=1, vllm=fake)

    trainer = make(use_peft=use_peft, max_steps=2, rollouts_by=engine)
    trainer.train()
    assert (fake.settings["max_model_len"], fake.settings["dtype"]) == (99, "float32")
    assert len({params["seed"] for params in fake.params}) == len(fake.params) == 4
    assert fake.params[0]["stop_token_ids"] == [trainer.codec.end_id]
    if use_peft:
        assert fake.settings["max_lora_rank"] == 8
        assert fake.adapters == [("sync-1", 1, True), ("sync-2", 2, True)], "a new number each time"
    else:
        assert fake.after.count("reset") == 2, "what was computed with the weights before is not used again"
        named = dict(trainer.model.named_parameters())
        assert set(fake.loaded) == set(named) - {"lm_head.weight"}
        assert any(not torch.equal(fake.loaded[name], named[name]) for name in fake.loaded), "as they are now"


def test_a_model_that_vllm_cannot_load(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeVllm()

    def broken(**_: Any) -> Any:
        raise ValueError("Free memory is less than desired.\nMore lines")

    monkeypatch.setattr(fake, "LLM", broken)

    def engine(student: Any, codec: Any) -> Rollouts:
        settings: dict[str, Any] = {"lora_rank": None, "dtype": "float32", "context": 99, "memory": 0.3, "seed": 1}
        return VllmRollouts("model", student, codec.stop_ids, **settings, vllm=fake)

    with pytest.raises(VllmError, match=r"^vLLM cannot load model: Free memory is less than desired\. Change"):
        make(rollouts_by=engine)


def test_held_out_prompts_are_answered_with_the_weights_of_now(make: Make) -> None:
    engine = Fixed()
    make(rollouts_by=engine, eval_split=0.4, eval_steps=1, max_steps=2).train()
    assert engine.synced == [0, 1, 1, 2], "before each step, and after it"


def test_vllm_that_is_not_installed(make: Make) -> None:
    if "vllm" in sys.modules:
        pytest.skip("vLLM is installed")
    with pytest.raises(VllmError, match=r"vLLM is not installed. .*or take rollouts own"):
        make(rollouts="vllm")
