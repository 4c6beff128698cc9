"""Three whole steps of TRL's trainer and of ours, from the same data and completions: the same losses and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.rollout import Sampled
from lifelearn.learning.sdft.config import SDFTConfig
from lifelearn.learning.sdft.data_loop import SDFTTrainer

pytestmark = pytest.mark.check("engine")

ROWS = [{"prompt": f"Say {number}", "privileged_context": f"It is {number * 'very '}big."} for number in range(6)]
COMPLETION = [20, 30, 40, 50, 1]
RATE = 1e-3
TEMPLATE = "{prompt} as: {privileged_context}"


class Fixed:
    """Rollouts that are always the same."""

    def sync(self, step: int) -> None:
        pass

    def sample(self, prompts: Any, sampling: Sampling, seeds: Any) -> list[Sampled]:
        return [Sampled(COMPLETION) for _ in prompts]

    def close(self) -> None:
        pass


@pytest.mark.parametrize("kind", ["base", "ema"])
@pytest.mark.parametrize(("alpha", "mode"), [(0.0, "full_logits"), (1.0, "sampled_token"), (0.5, "topk_logits")])
def test_three_steps_are_trls(
    tiny_model_folder: Path, tmp_path: Path, alpha: float, mode: Any, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trl = pytest.importorskip("trl.experimental.sdft")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    common: dict[str, Any] = {
        "learning_rate": RATE, "warmup_steps": 0, "lr_scheduler_type": "constant", "max_grad_norm": 1.0, "seed": 1,
        "teacher_model_kind": kind, "teacher_update_rate": 0.3, "teacher_prompt_template": TEMPLATE,
        "distillation_alpha": alpha, "distillation_mode": mode, "distillation_topk": 7, "num_loss_tokens_to_skip": 1,
        "max_completion_length": 8, "max_prompt_length": 200, "num_generations": 1, "shuffle_dataset": False,
        "bf16": False,
    }  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    data = [{**row, "prompt": [{"role": "user", "content": row["prompt"]}]} for row in ROWS]
    args = trl.SDFTConfig(
        output_dir=str(tmp_path / "theirs"), max_steps=3, per_device_train_batch_size=2, gradient_accumulation_steps=1,
        gradient_checkpointing=False, use_cpu=True, report_to=[], save_strategy="no", logging_steps=1,
        logging_strategy="steps", disable_tqdm=True, **common,
    )  # fmt: skip
    monkeypatch.setattr(
        trl.SDFTTrainer, "_generate", lambda self, prompts: (prompts, [list(COMPLETION) for _ in prompts])
    )
    theirs = trl.SDFTTrainer(model=model, args=args, train_dataset=Dataset.from_list(data), processing_class=tokenizer)
    theirs.train()
    logged = [float(line["loss"]) for line in theirs.state.log_history if "loss" in line]

    config = SDFTConfig(output_dir=str(tmp_path / "ours"), max_steps=3, num_prompts_per_batch=2, save_steps=0, **common)
    ours = SDFTTrainer(str(tiny_model_folder), None, config, ROWS, rollouts=lambda *_: Fixed())
    # A loss of sampled tokens is a sum of terms of both signs: what is rounded is of their size, not of the sum's. And
    # terms are differences of logarithms of about 5, in float32.
    assert ours.train().losses == pytest.approx(logged, rel=1e-3, abs=1e-6 + 1e-4 * max(map(abs, logged)))
    expected = dict(theirs.model.named_parameters())
    student: Any = ours.student
    start = dict(ours.model.named_parameters())
    for name, parameter in student._student.named_parameters():
        # By the mean: Adam blows up the rounding of gradients that are nearly zero.
        apart, moved = (parameter - expected[name]).abs().mean(), (parameter - start[name]).abs().mean()
        assert apart < 0.01 * moved, name
