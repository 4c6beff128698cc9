"""The losses of training on demonstrations: hand-computed values, and TRL's own on the same tensors."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.divergence import token_divergence
from lifelearn.learning.compute.rollout import chances, sample
from lifelearn.learning.sdft.config import SDFTConfig
from lifelearn.learning.sdft.data_loop import SDFTTrainer
from lifelearn.learning.sdft.loss import importance_ratio, row_means, sampled_token_loss
from lifelearn.learning.sdft.rows import EncodedRow

P = torch.tensor([[0.5, 0.3, 0.2]])  # the student
Q = torch.tensor([[0.2, 0.3, 0.5]])  # the teacher


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_top_k_of_the_student_without_the_rest() -> None:
    """The student's two likeliest are the first and the second; both sides are normalised to them."""
    p, q = [0.5 / 0.8, 0.3 / 0.8], [0.2 / 0.5, 0.3 / 0.5]
    forward = token_divergence(P.log(), Q.log(), top_k=2, top_k_of="student", rest=False)
    assert forward[0] == pytest.approx(kl(q, p), abs=1e-6)
    reverse = token_divergence(P.log(), Q.log(), "reverse", top_k=2, top_k_of="student", rest=False)
    assert reverse[0] == pytest.approx(kl(p, q), abs=1e-6)
    teachers = token_divergence(P.log(), Q.log(), top_k=2, rest=False)
    assert teachers[0] == pytest.approx(kl([0.5 / 0.8, 0.3 / 0.8], [0.2 / 0.5, 0.3 / 0.5]), abs=1e-6)


def test_the_sampled_tokens_loss_and_its_gradient() -> None:
    logits = P.log().requires_grad_(True)
    loss = sampled_token_loss(logits, Q.log(), torch.tensor([0]))
    assert loss[0].item() == pytest.approx(math.log(0.5 / 0.2) * math.log(0.5), abs=1e-6)
    loss.sum().backward()
    assert logits.grad is not None
    expected = math.log(0.5 / 0.2) * (torch.tensor([[1.0, 0, 0]]) - P)
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_in_expectation_that_gradient_is_the_reverse_kls() -> None:
    exact = P.log().requires_grad_(True)
    token_divergence(exact, Q.log(), "reverse").sum().backward()
    total = torch.zeros(1, 3)
    for token in range(3):
        logits = P.log().requires_grad_(True)
        sampled_token_loss(logits, Q.log(), torch.tensor([token])).sum().backward()
        assert logits.grad is not None
        total += P[0, token] * logits.grad
    assert exact.grad is not None
    assert torch.allclose(total, exact.grad, atol=1e-6)


def test_importance_ratios_are_clipped_from_above() -> None:
    student = torch.tensor([0.5, 0.2, 0.9]).log().requires_grad_(True)
    ratio = importance_ratio(student, torch.tensor([0.25, 0.4, 0.1]).log(), 2.5)
    assert ratio.tolist() == pytest.approx([2.0, 0.5, 2.5])
    assert not ratio.requires_grad


def test_a_rows_own_numbers_choose_its_tokens() -> None:
    logits = torch.tensor([[0.5, 0.0, 0.3, 0.2]]).log().expand(4, -1)
    drawn = sample(logits, Sampling(1, temperature=1.0), torch.Generator(), torch.tensor([0.0, 0.499, 0.6, 0.99999]))
    assert drawn.tolist() == [0, 0, 2, 3]
    assert torch.equal(chances([7, 8], 5)[1], chances([8], 5)[0]), "a row's numbers depend on its own seed alone"
    shares = chances([1], 20_000)[0].float()
    drawn = sample(logits[:1].expand(20_000, -1), Sampling(1, temperature=1.0), torch.Generator(), shares)
    assert torch.bincount(drawn, minlength=4).div(20_000).tolist() == pytest.approx([0.5, 0, 0.3, 0.2], abs=0.02)


MODES: list[dict[str, Any]] = [
    {"distillation_mode": "full_logits", "distillation_alpha": 0.0},
    {"distillation_mode": "full_logits", "distillation_alpha": 1.0},
    {"distillation_mode": "full_logits", "distillation_alpha": 0.3},
    {"distillation_mode": "topk_logits", "distillation_alpha": 0.0, "distillation_topk": 5},
    {"distillation_mode": "topk_logits", "distillation_alpha": 0.5, "distillation_topk": 5},
    {
        "distillation_mode": "topk_logits",
        "distillation_alpha": 1.0,
        "distillation_topk": 5,
        "distillation_add_tail": True,
    },
    {"distillation_mode": "sampled_token", "distillation_alpha": 1.0},
]


@pytest.mark.parametrize("clip", [None, 1.5])
@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: f"{mode['distillation_mode']}-{mode['distillation_alpha']}")
def test_the_loss_and_its_gradient_are_trls(mode: dict[str, Any], skip: int, clip: float | None) -> None:
    """A padded batch through TRL's `_compute_self_distillation_loss`, the same rows unpadded through ours."""
    trl = pytest.importorskip("trl.experimental.sdft.sdft_trainer")
    temperature, lengths, size = 0.8, [4, 3], 12
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, size), torch.randn(2, 4, size)
    tokens, sampled = torch.randint(size, (2, 4)), torch.randn(2, 4).clamp_max(0)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])

    args = SimpleNamespace(distillation_is_clip=clip, distillation_topk=100, distillation_add_tail=False)
    vars(args).update(mode)
    accelerator = SimpleNamespace(gather=lambda value: value)
    theirs = SimpleNamespace(args=args, accelerator=accelerator, _log_self_distillation_metric=lambda *_: None)
    padded = student.clone().requires_grad_(True)
    loss = trl.SDFTTrainer._compute_self_distillation_loss(
        theirs,
        SimpleNamespace(training=True),
        {"old_per_token_logps": sampled},
        trl.DistillationLogits(
            completion_ids=tokens,
            loss_mask=mask * (torch.arange(4) >= skip),
            student_logits=padded / temperature,
            teacher_logits=teacher / temperature,
        ),
    )
    loss.backward()

    config = SDFTConfig(output_dir="x", temperature=temperature, distillation_is_clip=clip, **mode)
    rows = [
        EncodedRow([1], [1], tokens[row, :length].tolist(), replay=False, logprobs=sampled[row, :length].tolist())
        for row, length in enumerate(lengths)
    ]
    kept = mask.bool()
    logits_NV = student[kept].clone().requires_grad_(True)
    wanted_NV = (teacher[kept] / temperature).log_softmax(-1)
    ours = row_means(SDFTTrainer.objective(_with(config), logits_NV, wanted_NV, rows), lengths, [skip] * 2).mean()
    ours.backward()

    assert ours.item() == pytest.approx(loss.item(), rel=1e-5, abs=1e-6)
    assert padded.grad is not None
    assert logits_NV.grad is not None
    assert torch.allclose(logits_NV.grad, padded.grad[kept], atol=1e-6)


def _with(config: SDFTConfig) -> Any:
    """What `objective` reads of a trainer."""
    return SimpleNamespace(config=config)
