"""Accounts as people have them by the forms: registered, invited, signed in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import ahead
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import Invite, Role
from workspace.fakes import PASSWORD, Browser, Workspace

FIRST = {"email": "Anna@Example.org", "name": "Anna", "password": PASSWORD, "organization": "Acme"}
NEW = {"email": "ben@example.org", "name": "Ben", "password": "quite another passphrase"}


def users(workspace: Workspace) -> list[str]:
    with workspace.database.read() as db:
        return sorted(db.scalars(select(User.email)))


def sign_in(browser: Browser, email: str = "anna@example.org", password: str = PASSWORD, **more: str) -> Any:
    return browser.post("/sign-in", {"email": email, "password": password, **more})


def who(browser: Browser) -> str:
    """The address of who is signed in, as the account page shows it; "" for nobody."""
    answer = browser.get("/account")
    return "" if answer.status_code != 200 else answer.text.split("<dt>E-mail address</dt><dd>")[1].split("<")[0]


def invite(workspace: Workspace, organization_id: Any, email: str) -> str:
    """The path of an invite."""
    token = new_token()
    with workspace.database.write() as db:
        db.add(
            Invite(
                organization_id=organization_id,
                email=email,
                role=Role.MEMBER,
                token_hash=hash_token(token),
                expires_at=ahead(days=1),
            )
        )
    return f"/invites/{token}"
