"""The divergences at known points."""

from __future__ import annotations

import math

import pytest
import torch

from lifelearn.learning.compute.divergence import token_divergence
from lifelearn.learning.recipe import Divergence
from lifelearn.learning.sdft.loss import row_means

P = torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])
Q = torch.tensor([[0.2, 0.3, 0.5], [0.9, 0.05, 0.05]])
KINDS: list[Divergence] = ["forward", "reverse", "js"]


def kl(p: torch.Tensor, q: torch.Tensor) -> float:
    return sum(float(a) * math.log(float(a) / float(b)) for a, b in zip(p, q, strict=True) if a > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_when_equal_and_positive_when_not(kind: Divergence) -> None:
    values = token_divergence(P.log(), Q.log(), kind)
    assert values[0] > 0.05
    assert values[1] == pytest.approx(0, abs=1e-6)


def test_against_hand_computed_values() -> None:
    student, teacher = P.log(), Q.log()
    assert token_divergence(student, teacher, "forward")[0] == pytest.approx(kl(Q[0], P[0]), abs=1e-6)
    assert token_divergence(student, teacher, "reverse")[0] == pytest.approx(kl(P[0], Q[0]), abs=1e-6)
    mix = 0.3 * Q[0] + 0.7 * P[0]
    expected = 0.3 * kl(Q[0], mix) + 0.7 * kl(P[0], mix)
    assert token_divergence(student, teacher, "js", js_beta=0.3)[0] == pytest.approx(expected, abs=1e-6)


def test_top_k_compares_the_top_and_the_rest() -> None:
    value = token_divergence(P.log(), Q.log(), "forward", top_k=1)[0]
    assert value == pytest.approx(kl(torch.tensor([0.5, 0.5]), torch.tensor([0.2, 0.8])), abs=1e-5)
    whole = token_divergence(P.log(), Q.log(), "forward", top_k=3)
    assert torch.allclose(whole, token_divergence(P.log(), Q.log(), "forward"))


@pytest.mark.parametrize("kind", KINDS)
def test_masked_vocabulary_entries_are_safe(kind: Divergence) -> None:
    masked = torch.tensor([[0.6, 0.4, 0.0]]).log()
    student = masked.clone().requires_grad_(True)
    value = token_divergence(student, torch.tensor([[0.5, 0.5, 0.0]]).log(), kind).sum()
    assert torch.isfinite(value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_moves_the_student_to_the_teacher(kind: Divergence) -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    teacher = torch.tensor([[0.8, 0.1, 0.1]]).log()
    token_divergence(logits.log_softmax(-1), teacher, kind).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_rows_count_the_same_and_first_tokens_can_be_skipped() -> None:
    values = torch.tensor([1.0, 3.0, 10.0])
    assert row_means(values, [2, 1], [0, 0]).tolist() == [2.0, 10.0]
    assert row_means(values, [2, 1], [1, 1]).tolist() == [3.0, 0.0]
