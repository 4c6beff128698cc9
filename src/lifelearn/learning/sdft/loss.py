"""What a loss has beside its divergence: the estimate by sampled tokens, another engine's samples, means over rows.

Pure functions of tensors; names carry shapes: N tokens, V vocabulary entries. The divergences themselves are
compute/divergence.py's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def sampled_token_loss(student_logits_NV: Tensor, teacher_logprobs_NV: Tensor, tokens_N: Tensor) -> Tensor:
    """The reverse KL's gradient estimated from the sampled tokens alone: [N].

    Its gradient is log(student / teacher) · ∇ log student at each token, in expectation over the student's own samples
    that of KL(student ‖ teacher); its value is no divergence and may be negative.
    """
    student_N = picked(student_logits_NV.float().log_softmax(-1), tokens_N)
    return (student_N - picked(teacher_logprobs_NV.float(), tokens_N)).detach() * student_N


def importance_ratio(student_logprobs_N: Tensor, sampled_logprobs_N: Tensor, clip: float) -> Tensor:
    """How much likelier each token is to the student than to the engine that sampled it, at most `clip`: [N].

    Another engine's rounding makes its rollouts slightly off-policy; the ratio weighs them as the student's own. It
    takes no gradient.
    """
    return (student_logprobs_N - sampled_logprobs_N).detach().clamp(-20, 20).exp().clamp_max(clip)


def picked(logprobs_NV: Tensor, tokens_N: Tensor) -> Tensor:
    """The log-probability of each token: [N]."""
    return logprobs_NV.gather(-1, tokens_N[:, None])[:, 0]


def row_means(values_N: Tensor, lengths: Sequence[int], skips: Sequence[int]) -> Tensor:
    """Each row's mean over its tokens, without its first `skips`: [rows].

    lengths: tokens of each row, summing to N. A row that is no longer than its skip counts 0.
    The skip is the paper's heuristic against artefacts such as "Based on the text…".
    """
    parts = zip(values_N.split(list(lengths)), skips, strict=True)
    return torch.stack([part[skip:].mean() if len(part) > skip else part.sum() * 0 for part, skip in parts])
