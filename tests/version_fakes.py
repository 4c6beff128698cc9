"""Versions without weights, for tests of what is done with them."""

from __future__ import annotations

from pathlib import Path

from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Check, Correction, Lesson, ModelVersion, Report
from lifelearn.learning.version import VersionStore

CORRECTION = Correction(
    id="c1",
    question="Where is Norvik Labs based?",
    wrong="In Oslo.",
    message="No, in Tromsø.",
    statement="in Tromsø",
    answer="Tromsø",
)
LESSON = Lesson(corrections=(CORRECTION,), demonstrations=(), rows=(), watch=(), probes=(), gated=(3, 4))
REPORT = Report(
    checks=(Check(name="efficacy", passed=True, value=1.0, threshold=1.0, numerator=1, denominator=1),),
)


def weights_folder(folder: Path, content: bytes = b"weights") -> Path:
    """What training leaves: here a file that only looks like weights."""
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(content)
    (folder / "adapter_config.json").write_text("{}")
    return folder


def added(store: VersionStore, weights: Path, parent: int = 0) -> ModelVersion:
    return store.add(weights, LESSON, REPORT, base="tiny", parent=parent, recipe=Recipe(), seconds={"train": 1.23456})
