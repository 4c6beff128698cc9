"""A team whose members correct its model, for tests of corrections."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import func, select

from lifelearn.workspace.tables.chats import Message
from lifelearn.workspace.tables.corrections import Correction, Policy, Source, State
from lifelearn.workspace.tables.jobs import Job, Kind
from lifelearn.workspace.tables.jobs import State as JobState
from lifelearn.workspace.tables.organizations import AuditEvent, Organization
from lifelearn.workspace.tables.webhooks import Happening
from workspace.chatting import answered, ask
from workspace.fakes import Browser, Workspace
from workspace.versioned import corrected

LEAVE = "How many days of leave do we have a year?"
WRONG = "You have 20 days of leave a year."


class Team:
    """An organisation: anna owns it, ben is an admin, carl and dora are members; eve is of another one."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.anna, self.ben, self.carl, self.dora, self.eve = (
            workspace.person(f"{name}@example.org") for name in ("anna", "ben", "carl", "dora", "eve")
        )
        self.id = workspace.organization(self.anna, admin=[self.ben], member=[self.carl, self.dora])
        self.elsewhere = workspace.organization(self.eve, "Other")
        self.url = f"/o/{self.id}"
        workspace.inference.reply = lambda _: WRONG

    def policy(self, wanted: Policy) -> None:
        with self.workspace.database.write() as db:
            db.get_one(Organization, self.id).correction_policy = wanted

    def make(self, author: Browser, state: State = State.ASKED, question: str = LEAVE, **more: Any) -> Correction:
        values = {"wrong": WRONG, "source": Source.DETECTED, "author_id": author.user_id, **more}
        return corrected(self.workspace, self.id, question, values.pop("answer", "25 days"), state, **values)

    def now(self, correction: Correction) -> Correction:
        with self.workspace.database.read() as db:
            return db.get_one(Correction, correction.id)

    def of(self, correction: Correction) -> str:
        return f"{self.url}/corrections/{correction.id}"

    def job(self, correction: Correction, state: JobState, **more: Any) -> uuid.UUID:
        """A job that learns it, as a worker leaves it."""
        with self.workspace.database.write() as db:
            job = Job(organization_id=self.id, kind=Kind.LEARN, state=state, **more)
            db.add(job)
            db.flush()
            db.get_one(Correction, correction.id).job_id = job.id
            return job.id

    def jobs(self) -> int:
        with self.workspace.database.read() as db:
            return db.scalar(select(func.count()).select_from(Job)) or 0

    def actions(self) -> list[str]:
        with self.workspace.database.read() as db:
            return list(db.scalars(select(AuditEvent.action).order_by(AuditEvent.created_at)))

    def told(self) -> list[tuple[str, uuid.UUID | None]]:
        with self.workspace.database.read() as db:
            rows = db.scalars(select(Happening).order_by(Happening.created_at))
            return [(each.name, each.user_id) for each in rows]


def answer_of(team: Team, browser: Browser, shared: bool = False) -> tuple[str, Message]:
    thread = ask(browser, team.id, LEAVE)
    answer = answered(team.workspace)
    if shared:
        browser.post(f"{team.url}/threads/{thread}/share", {"shared": "true"})
    return f"{team.url}/threads/{thread}", answer
