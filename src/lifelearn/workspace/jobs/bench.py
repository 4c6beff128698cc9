"""What runs of jobs need of their worker, and where they work on the disk."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from lifelearn.settings import Settings
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.storage import Storage


@dataclass(frozen=True)
class Bench:
    """What runs need of their worker."""

    settings: Settings
    database: Database
    queue: LearningQueue
    worker_id: uuid.UUID

    @property
    def storage(self) -> Storage:
        return Storage(self.settings)

    def work(self, job_id: uuid.UUID) -> Path:
        """A folder for what a job leaves on the disk on its way."""
        return work_root(self.settings) / str(job_id)


def work_root(settings: Settings) -> Path:
    """Where jobs work: beside the versions, where another worker finds it; with an object store, on this machine."""
    place = settings.model_storage_dir
    return (place if isinstance(place, Path) else settings.cache_dir) / "work"
