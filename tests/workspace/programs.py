"""Programs: their keys, how they show them, and what they ask."""

from __future__ import annotations

import uuid
from typing import Any

from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.programs import keys
from lifelearn.workspace.tables.programs import ApiKey, Scope
from workspace.fakes import Browser, Workspace

HELLO = [{"role": "user", "content": "hello there"}]


def key_of(
    workspace: Workspace, browser: Browser, organization_id: uuid.UUID, *scopes: str, **values: Any
) -> tuple[uuid.UUID, str]:
    """A key and its token, without the form."""
    token = new_token(keys.PREFIX)
    with workspace.database.write() as db:
        key = ApiKey(
            organization_id=organization_id,
            user_id=browser.user_id,
            name="Robot",
            start=token[: keys.START],
            token_hash=hash_token(token),
            scopes=list(scopes) or [scope.value for scope in Scope],
            **values,
        )
        db.add(key)
        db.flush()
        return key.id, token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
