"""The examiner: asks a version and marks its answers.

`verify` asks the parent and the new version all probes and makes the report by which a version goes live, as an
`Examiner`; `marking` says whether a text states an answer, for the gate and for the bench too; `general` is what must
not change. It knows nothing of who wrote the probes, nor of training.

Others import the room's modules that `__all__` names, and this protocol; the door itself imports none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lifelearn.learning.types import Probe, Report

__all__ = ["Examiner", "general", "marking", "verify"]


class Examiner(Protocol):
    """Measures versions of one model against their parent."""

    def verify(self, probes: Sequence[Probe], weights: Path) -> Report:
        """The report on the version in the folder `weights`. Leaves the model on the parent."""
        ...
