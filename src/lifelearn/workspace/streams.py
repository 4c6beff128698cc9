"""Who reads a stream of this process: how many streams each may have, and whether they still may read.

A sign-in that ended, a member who was removed and a key that was revoked end their streams within seconds: the guard
shows the stream that its visitor has left. One look at the database is for all streams. Knows not what they carry.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from fastapi import Request
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from lifelearn.workspace.database import Database, now
from lifelearn.workspace.errors import TooManyError
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.programs import keys
from lifelearn.workspace.tables.accounts import SignIn
from lifelearn.workspace.tables.organizations import Membership

log = structlog.get_logger("lifelearn.streams")

OF_A_PERSON = 32  # at a time, in one process: a browser's tabs and a program's answers
CHECK_SECONDS = 2.0  # between two looks at whether readers may still read
RETRY_SECONDS = 10


@dataclass(frozen=True)
class Reader:
    """Who reads: a member by a sign-in or by a key."""

    organization_id: uuid.UUID
    user_id: uuid.UUID
    sign_in_id: uuid.UUID | None = None
    key_id: uuid.UUID | None = None

    @classmethod
    def of(cls, place: Place, sign_in: SignIn) -> Reader:
        """A member who looks at a page."""
        return cls(place.organization.id, place.user.id, sign_in.id)


class Streams:
    """For one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: dict[asyncio.Event, Reader] = {}
        self._of: Counter[uuid.UUID] = Counter()
        self._checking: asyncio.Task[None] | None = None

    def check_room(self, user_id: uuid.UUID) -> None:
        """Raises TooManyError where a person reads as many streams as they may. Asked before a stream begins, from any
        thread: a burst may be over by the few that are asked at the same moment."""
        if self._of[user_id] >= OF_A_PERSON:
            told = f"You follow {OF_A_PERSON} things at once already. Close a page or end an answer."
            raise TooManyError(told, RETRY_SECONDS)

    @contextmanager
    def reading(self, scope: Scope, reader: Reader) -> Iterator[None]:
        """While a request's stream is read."""
        ended: asyncio.Event = scope["state"]["ended"]
        self._open[ended] = reader
        self._of[reader.user_id] += 1
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        try:
            yield
        finally:
            del self._open[ended]
            self._of[reader.user_id] -= 1
            if not self._of[reader.user_id]:
                del self._of[reader.user_id]

    async def close(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)

    async def _check(self) -> None:
        """Looks until nobody reads."""
        while self._open:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                gone = await asyncio.to_thread(self._gone, set(self._open.values()))
            except SQLAlchemyError as error:
                log.warning("readers not looked up", error=str(error).splitlines()[0])  # tried again in a moment
                continue
            for ended, reader in self._open.items():
                if reader in gone:
                    ended.set()

    def _gone(self, readers: set[Reader]) -> set[Reader]:
        """Those who may not read any more."""
        users = {each.user_id for each in readers}
        browsers = {each.sign_in_id for each in readers if each.sign_in_id is not None}
        programs = {each.key_id for each in readers if each.key_id is not None}
        members = select(Membership.organization_id, Membership.user_id).where(Membership.user_id.in_(users))
        signed_in = select(SignIn.id).where(SignIn.id.in_(browsers), SignIn.expires_at > now())
        with self._database.read() as db:
            there = {tuple(each) for each in db.execute(members)}
            valid = {None, *db.scalars(signed_in), *keys.working(db, programs)}
        return {
            each
            for each in readers
            if (each.organization_id, each.user_id) not in there
            or each.sign_in_id not in valid
            or each.key_id not in valid
        }


def streams_of(request: Request) -> Streams:
    streams: Streams = request.app.state.streams
    return streams
