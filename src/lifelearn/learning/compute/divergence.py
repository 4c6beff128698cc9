"""Divergences between a teacher and a student over the full vocabulary: pure functions of tensors.

Names carry shapes: N tokens, V vocabulary entries. All are in nats, zero when both agree, and take a gradient through
the student only. Forward KL, the default, is what all published SDFT results used (the author's word:
idanshen/Self-Distillation, issue 5). Training moves by them, and drift is measured by them. Knows nothing of rows.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from lifelearn.learning.compute.cpu import kernels
from lifelearn.learning.recipe import Divergence

LEAST = -1e4  # nats; stands for minus infinity, whose product with a probability of zero would be no number


def token_divergence(
    student_logits_NV: Tensor,
    teacher_logprobs_NV: Tensor,
    kind: Divergence = "forward",
    *,
    js_beta: float = 0.5,
    top_k: int | None = None,
    top_k_of: Literal["teacher", "student"] = "teacher",
    rest: bool = True,
) -> Tensor:
    """The divergence at each token: float32 [N], nats.

    student_logits_NV: logits (or log-probabilities) of any float type; computed with in float32.
    teacher_logprobs_NV: log-probabilities; minus infinity is allowed on either side.
    kind: "forward" KL(teacher ‖ student), "reverse" KL(student ‖ teacher), or "js", the generalised
        Jensen-Shannon divergence: js_beta · KL(teacher ‖ mix) + (1 - js_beta) · KL(student ‖ mix) with
        mix = js_beta · teacher + (1 - js_beta) · student (Agarwal et al., arXiv 2306.13649).
    top_k: compares the k likeliest tokens only; the student is normalised over all tokens first.
    top_k_of: whose likeliest they are.
    rest: whether the mass of all other tokens counts as one more token. If not, both are normalised to the k.
    """
    if kind == "forward" and top_k is None:
        divergence_N: Tensor = _ForwardKL.apply(student_logits_NV, teacher_logprobs_NV)  # type: ignore[no-untyped-call]
        return divergence_N
    student_NV, teacher_NV = student_logits_NV.float().log_softmax(-1), teacher_logprobs_NV.float()
    if top_k is not None and top_k < student_NV.shape[-1]:
        student_NV, teacher_NV = _top_k(student_NV, teacher_NV, top_k, top_k_of, rest)
    if kind == "forward":
        return _kl(teacher_NV, student_NV)
    if kind == "reverse":
        return _kl(student_NV, teacher_NV)
    mix_NV = torch.logaddexp(teacher_NV + math.log(js_beta), student_NV + math.log1p(-js_beta))
    return js_beta * _kl(teacher_NV, mix_NV) + (1 - js_beta) * _kl(student_NV, mix_NV)


def _chunk(device: torch.device) -> int:
    """Tokens at a time: on a processor, so few that their float32 rows of the vocabulary stay in its cache."""
    return 8 if device.type == "cpu" else 512


def log_softmax(logits_NV: Tensor, dtype: torch.dtype) -> Tensor:
    """Log-probabilities [N, V] in `dtype`, without a gradient; normalised in float32, a chunk at a time."""
    if dtype == torch.bfloat16 and (fast := kernels.of(logits_NV)):
        return fast.log_softmax(logits_NV)
    parts = logits_NV.split(_chunk(logits_NV.device))
    return torch.cat([part.log_softmax(-1, dtype=torch.float32).to(dtype) for part in parts])


class _ForwardKL(torch.autograd.Function):
    """KL(teacher ‖ student) with its gradient, student - teacher probabilities, made in the same pass.

    The plain expression keeps a dozen float32 tensors of [N, V] for the backward pass; this keeps one, in
    the logits' own type.
    """

    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, teacher_NV: Tensor) -> Tensor:
        if fast := kernels.of(logits_NV, teacher_NV):
            divergence_N, gradient_NV = fast.forward_kl(logits_NV, teacher_NV, ctx.needs_input_grad[0])
            ctx.save_for_backward(gradient_NV)
            return divergence_N
        divergence_N = torch.empty(len(logits_NV), device=logits_NV.device)
        gradient_NV = torch.empty_like(logits_NV) if ctx.needs_input_grad[0] else None
        size = _chunk(logits_NV.device)
        for start in range(0, len(logits_NV), size):
            part = slice(start, start + size)
            student = logits_NV[part].log_softmax(-1, dtype=torch.float32).clamp_min_(LEAST)
            teacher = teacher_NV[part].to(torch.float32, copy=True).clamp_min_(LEAST)
            teacher_probs = teacher.exp()
            divergence_N[part] = torch.linalg.vecdot(teacher_probs, teacher.sub_(student))
            if gradient_NV is not None:
                gradient_NV[part] = student.exp_().sub_(teacher_probs)
        ctx.save_for_backward(gradient_NV)
        return divergence_N

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (gradient_NV,) = ctx.saved_tensors
        return gradient_NV.mul_(grad_outputs[0][:, None].to(gradient_NV.dtype)), None


def _kl(p_logprobs_NV: Tensor, q_logprobs_NV: Tensor) -> Tensor:
    """KL(p ‖ q): [N]. Where p is 0 the term is 0, whatever q is."""
    p_NV = p_logprobs_NV.exp()
    terms_NV = p_NV * (p_logprobs_NV - q_logprobs_NV)
    return torch.where(p_NV > 0, terms_NV, 0.0).sum(-1)


def _top_k(
    student_NV: Tensor, teacher_NV: Tensor, k: int, of: Literal["teacher", "student"], rest: bool
) -> tuple[Tensor, Tensor]:
    index_Nk = (teacher_NV if of == "teacher" else student_NV.detach()).topk(k, -1).indices
    student_Nk, teacher_Nk = student_NV.gather(-1, index_Nk), teacher_NV.gather(-1, index_Nk)
    if rest:
        return _with_rest(student_Nk), _with_rest(teacher_Nk)
    return student_Nk.log_softmax(-1), teacher_Nk.log_softmax(-1)


def _with_rest(logprobs_Nk: Tensor) -> Tensor:
    """The k log-probabilities and that of all other tokens together: [N, k + 1]."""
    rest_N1 = (1 - logprobs_Nk.exp().sum(-1, keepdim=True)).clamp_min(1e-9).log()
    return torch.cat([logprobs_Nk, rest_N1], -1)
