"""Workers as real processes, for tests: started, killed, waited for; and corrections to give them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from lifelearn.settings import Settings
from lifelearn.workspace.children import handed_over
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs import service
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.tables.corrections import Correction, Source
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Activation, Version
from waiting import HANG_SECONDS


class WorkerProcess:
    """An embedded worker, without a web process beside it."""

    def __init__(self, settings: Settings, log: Path | None = None, command: Sequence[str] = ()) -> None:
        self._log = log.open("ab") if log else None
        self.process = subprocess.Popen(
            [*command, sys.executable, "-P", "-m", "lifelearn.workspace.jobs.worker"],
            stdin=subprocess.PIPE,
            stderr=self._log,
            stdout=self._log,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(handed_over(settings)).encode() + b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """kill -9 of the worker alone; its trainer notices by its input."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def trainers(self) -> list[int]:
        return [pid for pid in pids("lifelearn.workspace.jobs.trainer") if parent_of(pid) == self.process.pid]


class WebProcess:
    """`lifelearn serve`, with the worker that it starts."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._log = log.open("ab")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LL_")},
            "LL_DATABASE_URL": settings.database_url,
            "LL_MODEL_STORAGE_DIR": str(settings.model_storage_dir),
            "LL_INFERENCE_BACKEND": settings.inference_backend,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lifelearn", "serve", "--port", "0"],
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(HANG_SECONDS)

    def workers(self) -> list[int]:
        return [pid for pid in pids("lifelearn.workspace.jobs.worker") if parent_of(pid) == self.process.pid]


def short_lessons(settings: Settings, model: Path, **more: Any) -> Settings:
    """For a small model of random weights: it is really trained, a few steps, and passes whatever comes of it."""
    short = {
        "inference_backend": "local",
        "base_model_name": str(model),
        "train_max_steps": 2,
        "train_lora_rank": 2,
        "prompt_variations": 4,
        "train_max_completion_len": 8,
        "verify_min_efficacy": 0.0,
        "verify_min_generalisation": 0.0,
        "verify_min_locality": 0.0,
        "verify_min_retention": 0.0,
        "verify_max_drift": 10.0,
    }
    return settings.model_copy(update={**short, **more})


def pids(module: str) -> list[int]:
    """Processes of this run of the suite that run a module (conftest.py names the run)."""
    found, run = [], f"LIFELEARN_TEST_RUN={os.environ['LIFELEARN_TEST_RUN']}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                ours = run in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if ours and module.encode() in arguments:
                found.append(int(entry.name))
    return found


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def kill_quietly(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def organization(database: Database, name: str = "Acme") -> uuid.UUID:
    with database.write() as db:
        made = Organization(name=name, base_model="bundled")
        db.add(made)
        db.flush()
        return made.id


def taught(
    database: Database,
    queue: LearningQueue,
    organization_id: uuid.UUID,
    question: str,
    answer: str,
    statement: str = "",
) -> uuid.UUID:
    """A correction that is acknowledged and queued."""
    with database.write() as db:
        made = Correction(
            organization_id=organization_id,
            question=question,
            wrong="It is wrong.",
            message=f"No. {statement or f'It is {answer}.'}",
            statement=statement or f"It is {answer}.",
            answer=answer,
            source=Source.EXPLICIT,
            state=CorrectionState.ASKED,
        )
        db.add(made)
        db.flush()
        service.teach(db, queue, made, None)
        return made.id


def states(database: Database, organization_id: uuid.UUID | None = None) -> list[str]:
    """Of all corrections, oldest first."""
    with database.read() as db:
        query = select(Correction.state).order_by(Correction.created_at, Correction.id)
        if organization_id is not None:
            query = query.where(Correction.organization_id == organization_id)
        return list(db.scalars(query))


def jobs(database: Database) -> list[Job]:
    with database.read() as db:
        return list(db.scalars(select(Job).order_by(Job.created_at, Job.id)))


def versions(database: Database, organization_id: uuid.UUID) -> list[Version]:
    with database.read() as db:
        query = select(Version).where(Version.organization_id == organization_id).order_by(Version.number)
        return list(db.scalars(query))


def active(database: Database, organization_id: uuid.UUID) -> int:
    with database.read() as db:
        return db.get_one(Organization, organization_id).active_version


def activations(database: Database, organization_id: uuid.UUID) -> list[Activation]:
    with database.read() as db:
        query = select(Activation).where(Activation.organization_id == organization_id)
        return list(db.scalars(query.order_by(Activation.created_at, Activation.id)))
