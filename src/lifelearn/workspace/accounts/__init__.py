"""People: how they register, sign in and keep their accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifelearn.workspace.accounts.routes import router as router


def __getattr__(name: str) -> Any:
    """`router`, when it is asked for: pages.py needs the tables of this package, and the routes need pages.py."""
    if name == "router":
        from lifelearn.workspace.accounts.routes import router

        return router
    raise AttributeError(name)
