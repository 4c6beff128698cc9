"""A workspace without a model process, and people who use it as browsers do."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from lifelearn.learning.chat_model import ChatModelError, Sampling
from lifelearn.learning.types import Conversation
from lifelearn.settings import Settings
from lifelearn.workspace.app import create_app
from lifelearn.workspace.crypto import hash_password, hash_token, new_token
from lifelearn.workspace.database import Database, ahead, now
from lifelearn.workspace.inference import State
from lifelearn.workspace.pages import Pages
from lifelearn.workspace.tables.accounts import SignIn, User
from lifelearn.workspace.tables.organizations import Membership, Organization, Role

_ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.check("PostgreSQL"))
POSTGRESQL = pytest.mark.parametrize("database_url", [_ON_POSTGRESQL], indirect=True)
BOTH = pytest.mark.parametrize("database_url", ["sqlite", _ON_POSTGRESQL], indirect=True)  # runs a test on both
PASSWORD = "correct horse battery staple"
ORIGIN = "http://testserver"
_HASH = hash_password(PASSWORD)


def waits_for_a_lock(database: Database) -> bool:
    """Whether somebody on a PostgreSQL database waits for a row that another holds."""
    waiting = "wait_event_type = 'Lock' AND datname = current_database()"
    with database.read() as db:
        return bool(db.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}")))


class ScriptedInference:
    """Answers as told, a word at a time. reply: from the conversation to the answer; may raise ChatModelError.

    gate: an answer waits for it before each word but the first, so that a test can look on while it is being written.
    """

    def __init__(self, reply: Callable[[Conversation], str] | None = None) -> None:
        self.state: State = "ready"
        self.name = "scripted"
        self.doing = ""
        self.problem = ""
        self.reply = reply or (lambda conversation: f"You said: {conversation[-1].content}")
        self.gate: asyncio.Event | None = None
        self.asked: list[tuple[Conversation, Sampling, Path | None]] = []
        self.closed = 0

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def stream(
        self, conversation: Conversation, sampling: Sampling, weights: Path | None = None, of: str = ""
    ) -> AsyncGenerator[str]:
        self.asked.append((conversation, sampling, weights))
        if self.state == "failed":
            raise ChatModelError(self.problem)
        words = re.findall(r"\S+\s*", self.reply(conversation))
        try:
            for index, word in enumerate(words):
                if index and self.gate is not None:
                    await self.gate.wait()
                yield word
                await asyncio.sleep(0)
        finally:
            self.closed += 1


class Workspace:
    """A running application with its database; makes people and organisations without their forms."""

    def __init__(self, app: FastAPI, inference: ScriptedInference) -> None:
        self.app, self.inference = app, inference
        self.portal: Any = None  # one event loop for all browsers, while the application runs

    @property
    def database(self) -> Database:
        database: Database = self.app.state.database
        return database

    @property
    def pages(self) -> Pages:
        pages: Pages = self.app.state.pages
        return pages

    def visitor(self) -> Browser:
        """Somebody who is signed out."""
        return Browser(self)

    def person(self, email: str = "anna@example.org", name: str = "") -> Browser:
        """Somebody who is signed in; the account is made if there is none."""
        with self.database.write() as db:
            user = db.query(User).filter_by(email=email).one_or_none()
            if user is None:
                user = User(email=email, name=name or email.split("@", maxsplit=1)[0].title(), password_hash=_HASH)
                db.add(user)
                db.flush()
            token = new_token()
            times = {"last_seen_at": now(), "expires_at": ahead(days=14), "confirmed_at": now()}
            db.add(SignIn(user_id=user.id, token_hash=hash_token(token), **times))
        browser = Browser(self, token)
        browser.user_id, browser.email = user.id, email
        return browser

    def organization(self, owner: Browser, name: str = "Acme", **members: Sequence[Browser]) -> uuid.UUID:
        """An organisation. members: browsers by role, admin=[…], member=[…]."""
        with self.database.write() as db:
            organization = Organization(name=name, base_model="bundled")
            db.add(organization)
            db.flush()
            roles = [(owner, Role.OWNER), *((each, Role(role)) for role, group in members.items() for each in group)]
            for browser, role in roles:
                db.add(Membership(organization_id=organization.id, user_id=browser.user_id, role=role))
        return organization.id

    def join(self, organization: uuid.UUID, browser: Browser, role: Role = Role.MEMBER) -> None:
        """Makes somebody a member, or a member something else."""
        with self.database.write() as db:
            db.merge(Membership(organization_id=organization, user_id=browser.user_id, role=role))


class Browser:
    """A person at a browser: follows no redirects by itself, sends forms with the token that belongs to the cookie."""

    def __init__(self, workspace: Workspace, token: str = "") -> None:
        self.workspace = workspace
        self.client = TestClient(workspace.app, base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=False)
        self.client.portal = workspace.portal
        self.user_id = uuid.UUID(int=0)
        self.email = ""
        if token:
            self.client.cookies.set(workspace.pages.cookie, token)

    @property
    def csrf(self) -> str:
        token = self.client.cookies.get(self.workspace.pages.cookie)
        if not token:  # as a browser, which has seen the form first
            self.client.get("/sign-in")
            token = self.client.cookies.get(self.workspace.pages.cookie)
        return self.workspace.pages.csrf(token or "")

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, **options)

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> Any:
        """Sends a form."""
        return self.client.post(path, data={"csrf": self.csrf, **(data or {})}, **options)

    def htmx(self, method: str, path: str, data: dict[str, Any] | None = None, **options: Any) -> Any:
        """Asks as htmx does, with the token in a header."""
        headers = {"HX-Request": "true", "X-CSRF-Token": self.csrf, "Origin": ORIGIN, **options.pop("headers", {})}
        return self.client.request(method, path, data=data, headers=headers, **options)


def running(settings: Settings, inference: ScriptedInference | None = None) -> Workspace:
    inference = inference or ScriptedInference()
    return Workspace(create_app(settings, inference), inference)


@contextmanager
def started(settings: Settings, **changes: Any) -> Iterator[Workspace]:
    """A workspace with these settings, from start-up to shutdown."""
    found = running(settings.model_copy(update=changes))
    with found.visitor().client as client:
        found.portal = client.portal
        yield found
