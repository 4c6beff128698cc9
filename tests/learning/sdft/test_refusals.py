"""What is said when a training cannot begin, or cannot go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.compute.rollout import Sampled
from lifelearn.learning.sdft.checkpoints import CHECKPOINT
from lifelearn.learning.sdft.config import ConfigError, SDFTConfig
from lifelearn.learning.sdft.data import DataError
from lifelearn.learning.sdft.data_loop import SDFTTrainer
from lifelearn.learning.sdft.rows import TrainingError
from sdft.fakes import ROWS, Fixed, Make


@pytest.mark.parametrize("use_peft", [True, False])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    make: Make, tmp_path: Path, use_peft: bool
) -> None:
    trainer = make(save_steps=1, use_peft=use_peft, num_prompts_per_batch=1)
    plain = trainer._step

    def spoiled(step: int) -> dict[str, float]:
        if step == 2:
            trainer.student.parameters[0].data.fill_(float("nan"))
        return plain(step)

    trainer._step = spoiled  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"not finite at step 3. Lower learning_rate \(now 0.001\).*checkpoint-2"):
        trainer.train()
    folder = tmp_path / "out" / f"{CHECKPOINT}2"
    assert make(save_steps=1, use_peft=use_peft, num_prompts_per_batch=1).train(folder).steps == 5


def test_a_learning_rate_far_too_high_is_noticed(make: Make) -> None:
    with pytest.raises(TrainingError, match=r"not finite at step \d.*No checkpoint was kept"):
        make(learning_rate=1e30, num_train_epochs=2).train()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    ],
)
def test_out_of_memory_says_what_to_lower(make: Make, error: Exception) -> None:
    class Full(Fixed):
        def sample(self, *_: Any) -> list[Sampled]:
            raise error

    said = r"Memory ran out at step 1. Lower tokens_per_pass .*max_completion_length \(8\).*gradient_checkpointing"
    with pytest.raises(TrainingError, match=said):
        make(rollouts_by=Full()).train()


def test_a_bug_is_not_taken_for_want_of_memory(make: Make) -> None:
    class Broken(Fixed):
        def sample(self, *_: Any) -> list[Sampled]:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        make(rollouts_by=Broken()).train()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": -1}, "learning_rate must be more than 0, not -1"),
        ({"distillation_alpha": 2}, "distillation_alpha must be at most 1, not 2"),
        ({"distillation_mode": "sampled_token"}, "needs distillation_alpha 1"),
        ({"teacher_prompt_template": "{prompt}"}, "must contain {prompt} and {privileged_context}"),
        ({"merge_adapter": True}, "merge_adapter needs use_peft"),
        ({"rollouts": "vllm", "generate_from_teacher": True}, "generate_from_teacher needs rollouts own"),
        (
            {"seed": "x", "lr_scheduler_type": "step"},
            "lr_scheduler_type must be one of cosine, linear, constant, not 'step'",
        ),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SDFTConfig(output_dir="x", **settings)


def test_what_does_not_fit(make: Make) -> None:
    with pytest.raises(DataError, match="nothing left to train on: all 5 rows"):
        make(max_prompt_length=3)
    with pytest.raises(ConfigError, match="completions of 500 do not fit in the model's context of 512"):
        make(max_completion_length=500)
    with pytest.raises(ConfigError, match="FSDP spreads the weights over several processes"):
        make(fsdp=True)


def test_a_tokenizer_without_a_chat_template(wide_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(wide_folder)
    tokenizer.chat_template = None
    with pytest.raises(ChatModelError, match="has no chat template"):
        SDFTTrainer(str(wide_folder), tokenizer, SDFTConfig(output_dir=str(tmp_path)), ROWS)


def test_a_model_with_an_adapter_on_it_is_no_start(tiny: Any, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(tiny.base, LoraConfig(target_modules=["q_proj"]))
    config = SDFTConfig(output_dir=str(tmp_path / "out"), use_peft=False)
    for model in (adapted, adapted.get_base_model()):
        with pytest.raises(ChatModelError, match=r"is an adapter, or holds one.*merge_and_unload"):
            SDFTTrainer(model, tiny.codec._tokenizer, config, ROWS)
