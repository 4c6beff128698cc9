"""Chats: threads, their messages, and the answers that are being written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifelearn.workspace.chats.routes import router as router


def __getattr__(name: str) -> Any:
    """`router`, when it is asked for: corrections need the rules of this package, and its pages show corrections."""
    if name == "router":
        from lifelearn.workspace.chats.routes import router

        return router
    raise AttributeError(name)
