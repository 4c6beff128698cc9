"""A thread as a file to take away: JSON with everything in it, or the shown branch in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.threads.tree import Turn

FORMAT = "life-learn-chat"


def as_json(thread: Thread, messages: Sequence[Message]) -> str:
    """messages: all of the thread's, with their parents, so that the branches can be had again."""
    told: dict[str, Any] = {
        "format": FORMAT,
        "format_version": 1,
        "id": str(thread.id),
        "title": thread.title,
        "created_at": thread.created_at.isoformat(),
        "updated_at": thread.updated_at.isoformat(),
        "shared": thread.shared,
        "shown_until": str(thread.leaf_id) if thread.leaf_id else None,
        "messages": [_message(message) for message in messages],
    }
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def as_markdown(thread: Thread, turns: Sequence[Turn]) -> str:
    parts = [f"# {thread.title}\n"]
    for turn in turns:
        message = turn.message
        parts.append(f"## {who(message)}, {message.created_at:%Y-%m-%d %H:%M} UTC\n\n{message.content}\n")
        if message.marked_wrong_at is not None:
            right = f" Right is: {message.right_answer}" if message.right_answer else ""
            quoted = f"Marked as wrong.{right}".replace("\n", "\n> ")
            parts.append(f"> {quoted}\n")
    return "\n".join(parts)


def file_name(thread: Thread, ending: str) -> str:
    """A name that every system takes and that nothing can be smuggled in by."""
    plain = re.sub(r"[^a-z0-9]+", "-", thread.title.lower()).strip("-")[:60].strip("-")
    return f"{plain or 'chat'}.{ending}"


def who(message: Message) -> str:
    """Who speaks, in words."""
    if message.role == "assistant":
        return f"Assistant ({version_name(message.version)})"
    return message.author.name if message.author is not None else "Former member"


def version_name(version: int | None) -> str:
    if version is None:
        return "model unknown"
    return f"version {version}" if version else "base model"


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": str(message.id),
        "parent_id": str(message.parent_id) if message.parent_id else None,
        "role": message.role,
        "content": message.content,
        "created_at": message.created_at.isoformat(),
    }
    if message.role == "user":
        return {**told, "author": message.author.name if message.author is not None else None}
    return {
        **told,
        "status": message.status,
        "model": message.model,
        "version": message.version,
        "marked_wrong_at": message.marked_wrong_at.isoformat() if message.marked_wrong_at else None,
        "right_answer": message.right_answer,
    }
