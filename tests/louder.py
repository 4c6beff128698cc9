"""Larger random weights for the tiny model, whose own say little and hardly differ between two prompts."""

from __future__ import annotations

from typing import Any

import torch


def louder(model: Any, by: float) -> None:
    """Adds to the matrices of a transformers model, each time the same."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.add_((by * torch.randn(parameter.shape, generator=generator)).to(parameter.dtype))
