"""Answers that are being written."""

from __future__ import annotations

from lifelearn.workspace.database import Database
from lifelearn.workspace.inference import Inference


class Answers:
    def __init__(self, database: Database, inference: Inference) -> None:
        self._database, self._inference = database, inference

    def mark_interrupted(self) -> None: ...

    async def close(self) -> None: ...
