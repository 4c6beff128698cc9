"""Who is on a workspace under attack: its attackers, and a member who works meanwhile and notes how long it takes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx2
from people import PER_ORGANIZATION, fill
from server import Served

from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import Database
from lifelearn.workspace.programs.keys import PREFIX, START
from lifelearn.workspace.tables.accounts import SignIn
from lifelearn.workspace.tables.programs import ApiKey, Scope

Figures = dict[str, Any]
ATTACKER, MEMBER = "127.0.0.1", "127.0.0.2"


class People:
    """Of two organisations: those who attack, and a member who works meanwhile."""

    def __init__(self, database: Database, server: Served) -> None:
        self.database, self.server = database, server
        everybody = fill(database, PER_ORGANIZATION + 1)
        self.attackers, self.member = everybody[:-1], everybody[-1]

    def client(self, person: dict[str, Any], of: str = ATTACKER) -> httpx2.Client:
        """A browser. of: the address that it comes from."""
        return self.server.browser(person["token"], of)

    def program(self, person: dict[str, Any], of: str = ATTACKER) -> httpx2.Client:
        token = new_token(PREFIX)
        organization_id = uuid.UUID(person["organization"])
        with self.database.write() as db:
            sign_in = db.query(SignIn).filter_by(token_hash=hash_token(person["token"])).one()
            key = {"name": "attack", "start": token[:START], "token_hash": hash_token(token), "scopes": [Scope.CHAT]}
            db.add(ApiKey(organization_id=organization_id, user_id=sign_in.user_id, **key))
        return httpx2.Client(
            base_url=f"{self.server.url}/v1",
            headers={"Authorization": f"Bearer {token}"},
            transport=httpx2.HTTPTransport(local_address=of),
            timeout=300,
        )


class Visitor:
    """Reads and writes as somebody does who works, and notes how long each took."""

    def __init__(self, people: People) -> None:
        self.browser = people.client(people.member, MEMBER)
        self.at = f"/o/{people.member['organization']}"
        self.seconds: list[float] = []
        self.refused = 0

    def look(self, times: int, every: float = 0.5) -> Figures:
        self.seconds, self.refused = [], 0
        for number in range(times):
            self._timed(lambda: self.browser.get(f"{self.at}/threads"))
            named = {"name": f"A member {number}", "theme": "dark"}
            self._timed(lambda named=named: self.browser.post("/account", data=named))  # type: ignore[misc]
            time.sleep(every)
        return {"slowest_page": round(max(self.seconds), 2), "refused": self.refused}

    def _timed(self, do: Callable[[], httpx2.Response]) -> None:
        started = time.perf_counter()
        try:
            self.refused += do().status_code >= 400
        except httpx2.HTTPError:
            self.refused += 1
        self.seconds.append(time.perf_counter() - started)


def first_token(program: httpx2.Client, text: str) -> float:
    """Seconds from a question to the first piece of its answer."""
    started = time.perf_counter()
    body = {"model": "life-learn", "messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": 16}
    with program.stream("POST", "/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            return float("inf")
        first = float("inf")
        for line in answer.iter_lines():
            if first == float("inf") and '"content": "' in line and '"content": ""' not in line:
                first = time.perf_counter() - started
    return first
