"""The way into the durable engine: a job's run is enqueued in the transaction that makes the job.

Only runs.py, steps.py and this module know the engine (DBOS). The web process enqueues and never runs anything.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fastapi import Request
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Database, DatabaseError
from lifelearn.workspace.errors import ForbiddenError
from lifelearn.workspace.tables.jobs import Job

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions

APPLICATION = "lifelearn"
QUEUE = "learning"
WORKFLOW = "learn"
# Runs are of no release: a newer one goes on with what an older one began. See decisions/0011.
APPLICATION_VERSION = "1"


def workflow_id(job_id: uuid.UUID) -> str:
    return f"learn:{job_id}"


class LearningQueue:
    """Enqueues jobs, first in first out in each organisation, one at a time there.

    teaches: whether there is anybody to take them; a model of another server cannot be taught here.
    """

    def __init__(self, database: Database, teaches: bool = True) -> None:
        self._database, self.teaches = database, teaches
        self._client: DBOSClient | None = None

    def prepare(self) -> None:
        """Makes the engine's tables, or brings them up to date. It is imported here: pages need not wait for it.

        Raises DatabaseError where that cannot be.
        """
        from dbos import run_dbos_database_migrations

        try:
            run_dbos_database_migrations(engine_url(self._database))
        except Exception as error:  # of a command line's kind, without a reason: the engine's log has it
            raise DatabaseError(
                "The tables of the job engine cannot be made or brought up to date. The log above says why."
            ) from error

    @property
    def is_prepared(self) -> bool:
        """A quick look at whether its tables are there."""
        sqlite, postgresql = "SELECT 1 FROM workflow_status LIMIT 1", "SELECT 1 FROM dbos.workflow_status LIMIT 1"
        try:
            with self._database.read() as db:
                db.execute(text(sqlite if self._database.is_sqlite else postgresql))
        except SQLAlchemyError:
            return False
        return True

    def need(self) -> None:
        """Raises ForbiddenError where nothing can be taught."""
        if not self.teaches:
            raise ForbiddenError(
                "The model is another server's, and cannot be taught here. Who runs this workspace can give it a model "
                "of its own: LL_INFERENCE_BACKEND=local."
            )

    def enqueue(self, db: Session, job: Job) -> None:
        """Has the job run once this transaction is kept, and never if it is not. Raises ForbiddenError."""
        self.need()
        if self._client is None:
            from dbos import DBOSClient, DBOSPortableJSONSerializer

            self._client = DBOSClient(
                system_database_url=engine_url(self._database),
                serializer=DBOSPortableJSONSerializer(),
                application_name=APPLICATION,
                lazy=True,
            )
        before = db.scalar(select(func.count()).where(Job.organization_id == job.organization_id)) or 0
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": QUEUE,
            "workflow_id": workflow_id(job.id),
            "app_version": APPLICATION_VERSION,
            "queue_partition_key": str(job.organization_id),
            "priority": before + 1,  # the engine's own times are by the second on SQLite, and clocks jump
        }
        self._client.enqueue_in_transaction(db, options, str(job.id))

    def close(self) -> None:
        if self._client is not None:
            self._client.destroy()


def engine_url(database: Database) -> str:
    """The database's URL for the engine, which takes no relative paths of ours."""
    url = database.url
    if database.is_sqlite and url.database:
        url = url.set(database=str(Path(url.database).absolute()))
    return url.render_as_string(hide_password=False)


def queue_of(request: Request) -> LearningQueue:
    return cast(LearningQueue, request.app.state.queue)
