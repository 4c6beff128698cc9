"""Signed-in people who read and list, for `make load` (run.py beside this starts the server and fills it)."""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path
from typing import Any

from locust import HttpUser, between, task

PEOPLE: list[dict[str, Any]] = json.loads(Path(os.environ["LOAD_PEOPLE"]).read_text("utf-8"))
_next = itertools.cycle(PEOPLE)


class Reader(HttpUser):
    """Opens a page every five to ten seconds, as somebody does who reads."""

    wait_time = between(5, 10)

    def on_start(self) -> None:
        self.person = next(_next)
        self.client.cookies.set("lifelearn", self.person["token"])

    def page(self, name: str, path: str = "") -> None:
        with self.client.get(f"/o/{self.person['organization']}{path}", name=name, catch_response=True) as answer:
            if answer.status_code != 200 or "Sign in" in answer.text[:2000]:
                answer.failure(f"{answer.status_code}")

    @task(4)
    def thread(self) -> None:
        self.page("thread", f"/threads/{random.choice(self.person['threads'])}")
        self.page("list of chats", "/threads")

    @task(2)
    def new_chat(self) -> None:
        self.page("new chat")
        self.page("list of chats", "/threads")

    @task(1)
    def search(self) -> None:
        self.page("search", "/search?q=leave")

    @task(1)
    def members(self) -> None:
        self.page("members", "/members")

    @task(1)
    def model(self) -> None:
        self.page("model", "/model")
