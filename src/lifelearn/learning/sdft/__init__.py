"""The method: self-distillation, by which a student moves towards what its teacher, given the demonstration, would say.

Two loops, each to be read from top to bottom, on the same rows and losses: `lesson_loop` for corrections, `data_loop`
for a data set as in the paper. It knows no versions, no users, and not where a lesson comes from.

Others import the room's modules that `__all__` names; the door itself imports none of them: `config` is light, and most
of the others load torch. Programs of users take `SDFTConfig` and `SDFTTrainer` from here (docs/training.md), which are
looked up when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifelearn.learning.sdft.config import SDFTConfig as SDFTConfig
    from lifelearn.learning.sdft.data_loop import SDFTTrainer as SDFTTrainer

__all__ = ["config", "data", "data_loop", "lesson_loop", "rows", "student"]


def __getattr__(name: str) -> Any:
    if name == "SDFTConfig":
        from lifelearn.learning.sdft import config

        return config.SDFTConfig
    if name == "SDFTTrainer":
        from lifelearn.learning.sdft import data_loop  # loads torch

        return data_loop.SDFTTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
