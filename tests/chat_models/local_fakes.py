"""Messages to the tiny model, and versions of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Conversation, Message


def user(text: str) -> Conversation:
    return (Message(role="user", content=text),)


def adapter(tiny: Any, folder: Path, by: float = 0.05, method: Any = "lora") -> Path:
    student = make_student(tiny.base, tiny.decoder, Recipe(method=method), None)
    torch.manual_seed(1)
    for parameter in student.parameters:
        parameter.data += by * torch.randn_like(parameter)
    student.save(folder)
    student.close()
    return folder


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.network.logits([[5, 6, 70, 80]], [4])
    return found


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
