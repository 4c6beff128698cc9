"""The loss that a step has: the objective by hand, whatever is chosen, and in however many passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lifelearn.learning.compute.cpu.decoder import Decoder
from sdft.fakes import ROWS, Fixed, Make, by_hand, logits_of


@pytest.mark.parametrize("use_peft", [True, False])
@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_first_loss_is_the_kl_by_hand(make: Make, use_peft: bool, skip: int, temperature: float) -> None:
    engine = Fixed()
    trainer = make(
        ROWS[:1], max_steps=1, use_peft=use_peft, num_loss_tokens_to_skip=skip, temperature=temperature,
        rollouts_by=engine,
    )  # fmt: skip
    student, teacher = by_hand(trainer, engine.ids, temperature)
    expected = (teacher.exp() * (teacher - student)).sum(-1)[skip:].mean()
    assert expected > 0.01
    assert trainer.train().losses == [pytest.approx(float(expected), rel=1e-3)]


@pytest.mark.parametrize(
    "settings",
    [
        {"distillation_alpha": 1.0},
        {"distillation_alpha": 0.5},
        {"distillation_mode": "topk_logits", "distillation_topk": 4},
        {"distillation_mode": "topk_logits", "distillation_topk": 4, "distillation_topk_of": "teacher"},
        {"distillation_mode": "topk_logits", "distillation_topk": 4, "distillation_add_tail": True},
        {"distillation_mode": "sampled_token", "distillation_alpha": 1.0},
    ],
    ids=lambda settings: ",".join(f"{value}" for value in settings.values()),
)
def test_every_objective_reaches_the_loss(make: Make, settings: dict[str, Any]) -> None:
    """The trainer's first loss is the mean of its objective over the row, which test_sdft_loss.py has from TRL."""
    engine = Fixed()
    trainer = make(ROWS[:1], max_steps=1, rollouts_by=engine, **settings)
    student, teacher = by_hand(trainer, engine.ids)
    rows = trainer._sampled(trainer.train_rows, [""])
    expected = float(trainer.objective(student, teacher, rows).mean())
    plain = make(ROWS[:1], rollouts_by=engine)
    assert expected != pytest.approx(float(plain.objective(student, teacher, rows).mean()), rel=1e-3)
    assert trainer.train().losses == [pytest.approx(expected, rel=1e-3)]


@pytest.mark.parametrize(("clip", "ratio"), [(4.0, 4.0), (100.0, 16.0), (0, 1.0), (None, 1.0)])
def test_another_engines_rollouts_are_weighed(make: Make, clip: float | None, ratio: float) -> None:
    """Each token 16 times likelier to the student than the engine said."""
    plain = make(ROWS[:1], max_steps=1, rollouts_by=Fixed())
    student, _ = by_hand(plain, [20, 30, 40, 1])
    said = student[range(4), [20, 30, 40, 1]] - torch.tensor(16.0).log()
    engine = Fixed(logprobs=said.tolist())
    trainer = make(ROWS[:1], max_steps=1, rollouts_by=engine, distillation_is_clip=clip)
    (loss,), (expected,) = trainer.train().losses, plain.train().losses
    assert loss == pytest.approx(expected * ratio, rel=1e-3)


def test_rows_are_split_into_passes_without_a_trace(make: Make) -> None:
    one, many = make(max_steps=1), make(max_steps=1, tokens_per_pass=1)
    assert one.train().losses == pytest.approx(many.train().losses, rel=1e-5)
    assert torch.allclose(logits_of(one), logits_of(many), atol=1e-4)


@pytest.mark.parametrize("use_peft", [True, False])
def test_gradient_checkpointing_changes_memory_only(
    make: Make, use_peft: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decoder, "of", classmethod(lambda cls, model: None))  # whose adapter starts otherwise
    calls: list[int] = []
    found = []
    for checkpointing in (False, True):
        trainer = make(max_steps=2, use_peft=use_peft, gradient_checkpointing=checkpointing, rollouts_by=Fixed())
        if checkpointing:
            layer = trainer.student._student if not use_peft else trainer.model  # type: ignore[attr-defined]
            layer.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(torch.is_grad_enabled()))
        found.append(trainer.train().losses)
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert calls.count(True) >= 2 * 2, "once forward, and once more for the backward pass, at each of two steps"
