"""What a step does to the student and to the teacher: learning rate, optimiser, adapter, average, seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import Linear

from lifelearn.learning.sdft.config import SDFTConfig, learning_rate_share
from sdft.fakes import ROWS, Fixed, Make, logits_of, same, weights_of


def test_the_course_of_the_learning_rate() -> None:
    def course(**settings: Any) -> list[float]:
        config = SDFTConfig(output_dir="x", **settings)
        return [learning_rate_share(step, 10, config) for step in range(10)]

    cosine = course(warmup_steps=2)
    assert cosine[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert cosine[6] == pytest.approx(0.5)
    assert 0 < cosine[9] < 0.1
    assert course(warmup_steps=0, lr_scheduler_type="constant") == [1.0] * 10
    assert course(warmup_steps=5, lr_scheduler_type="linear")[5:] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_the_default_learning_rate_depends_on_what_is_trained() -> None:
    full, lora = SDFTConfig(output_dir="x"), SDFTConfig(output_dir="x", use_peft=True)
    assert 0 < full.peak_learning_rate < lora.peak_learning_rate
    for use_peft in (False, True):
        assert SDFTConfig(output_dir="x", use_peft=use_peft, learning_rate=1e-4).peak_learning_rate == 1e-4


def test_gradients_are_clipped(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, *rest: Any) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))
        return step(self, *rest)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    make(max_steps=1, max_grad_norm=1e-3).train()
    assert norms == [pytest.approx(1e-3, rel=1e-2)]


def test_the_optimisers_settings_reach_it(make: Make) -> None:
    trainer = make(weight_decay=0.1, adam_beta1=0.8, adam_beta2=0.95, adam_epsilon=1e-6)
    group = trainer.optimizer.param_groups[0]
    assert (group["weight_decay"], group["betas"], group["eps"]) == (0.1, (0.8, 0.95), 1e-6)


@pytest.mark.parametrize("use_peft", [True, False])
def test_the_teacher_follows_at_its_rate_and_steps(make: Make, use_peft: bool) -> None:
    """Synchronised every second step: after three it is start + rate · (student after two - start)."""
    settings: dict[str, Any] = {"use_peft": use_peft, "teacher_update_rate": 0.25, "teacher_sync_steps": 2}
    trainer = make(max_steps=3, **settings)
    start = weights_of(trainer)
    after: list[list[torch.Tensor]] = []
    update = trainer.student.update_teacher

    def watched() -> None:
        after.append(weights_of(trainer))
        update()

    trainer.student.update_teacher = watched  # type: ignore[method-assign]
    trainer.train()
    assert len(after) == 1
    for average, begun, then in zip(trainer.student.averages, start, after[0], strict=True):
        assert torch.allclose(average, begun + 0.25 * (then - begun), atol=1e-6)


def test_a_frozen_teacher_stays_and_a_live_one_is_the_student(make: Make) -> None:
    frozen = make(teacher_model_kind="base", rollouts_by=Fixed())
    live = make(teacher_model_kind="live", rollouts_by=Fixed())
    assert frozen.student.averages == live.student.averages == []
    ids = [5, 20, 30]
    for trainer, moves in ((frozen, False), (live, True)):
        with trainer._teacher() as network:
            before = network.logits([ids], [3]).clone()
            assert not before.requires_grad
        trainer.train()
        with trainer._teacher() as network:
            after = network.logits([ids], [3])
        assert torch.equal(before, after) is not moves
        assert torch.equal(after, logits_of(trainer, ids)) is moves


def test_all_layers_carry_the_adapter(make: Make) -> None:
    """Each matrix of each block has a pair of its own in the file, of the rank that was asked for."""
    trainer = make(use_peft=True, lora_r=3, max_steps=1)
    state = load_file(trainer.train().folder / "adapter_model.safetensors")
    matrices = [name for name, module in trainer.model.model.layers.named_modules() if isinstance(module, Linear)]
    assert matrices
    for name in matrices:
        (a,), (b,) = ([each for key, each in state.items() if f".{name}.lora_{side}." in key] for side in "AB")
        assert a.shape[0] == b.shape[1] == 3, name
    assert len(state) == 2 * len(matrices)


@pytest.mark.parametrize("use_peft", [True, False])
def test_the_loss_falls(make: Make, use_peft: bool) -> None:
    """On the same completions, towards a teacher that stays."""
    rate = 2e-2 if use_peft else 3e-3
    trainer = make(
        ROWS[:2], max_steps=15, use_peft=use_peft, learning_rate=rate, rollouts_by=Fixed(), teacher_model_kind="base"
    )
    losses = trainer.train().losses
    assert losses[-1] < 0.5 * losses[0]


def test_the_seed_decides(make: Make, tmp_path: Path) -> None:
    runs = [make(seed=seed, output_dir=str(tmp_path / name)) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    losses = [run.train().losses for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert same(weights_of(runs[0]), weights_of(runs[1]))
