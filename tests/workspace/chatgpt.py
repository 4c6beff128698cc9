"""Chats as ChatGPT exports them, for tests of their import."""

from __future__ import annotations

import uuid
from typing import Any

from workspace.fakes import Browser


def node(
    name: str, parent: str | None, role: str = "user", text: Any = "", at: float | None = None, **message: Any
) -> dict[str, Any]:
    parts = text if isinstance(text, list) else [text]
    content = {"content_type": "text", "parts": parts}
    told = {"author": {"role": role}, "content": content, "create_time": at, **message}
    return {"id": name, "parent": parent, "children": [], "message": told}


def conversation(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    about = {"title": "Leave", "create_time": 1.7e9, "update_time": 1.7e9 + 60, "conversation_id": "c1"}
    return {**about, "mapping": {each["id"]: each for each in nodes}, **more}


SIMPLE = conversation(
    {"id": "root", "parent": None, "children": ["a"], "message": None},
    node("system", "root", "system", "You are ChatGPT"),
    node("a", "system", "user", "How many days?", 1.7e9),
    node("b", "a", "assistant", "20 days.", 1.7e9 + 1),
    node("b2", "a", "assistant", "25 days.", 1.7e9 + 2),
    node("c", "b", "user", "Sure?", 1.7e9 + 3),
    current_node="b2",
)


def upload(browser: Browser, organization: uuid.UUID, data: bytes, **more: Any) -> Any:
    files = {"file": ("conversations.json", data, "application/json")}
    return browser.client.post(f"/o/{organization}/import", data={"csrf": browser.csrf, **more}, files=files)
