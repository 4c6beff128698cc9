"""Which program calls: the key in `Authorization: Bearer ll_…`, checked before anything else. No cookie counts here.

A route of /api takes `Reads`, `Writes` or `Administers`: the place where the key acts, in the request's own session;
`Reader` has the key too. One of /v1, which holds no session, takes `Chats`. Each asks for the scope of its name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from sqlalchemy.orm import Session

from lifelearn.workspace.crypto import hash_token
from lifelearn.workspace.database import Database, Db, ago, database_of, now
from lifelearn.workspace.errors import ForbiddenError, SignedOutError
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.pages import address_of
from lifelearn.workspace.programs import keys
from lifelearn.workspace.programs.keys import Caller
from lifelearn.workspace.tables.organizations import Role
from lifelearn.workspace.tables.programs import ApiKey, Scope
from lifelearn.workspace.throttle import network, throttle

CALLS, CALLS_SECONDS = 600, 60  # of one key
FAILURES, FAILURES_SECONDS = 60, 60  # from one address

BEARER = HTTPBearer(
    scheme_name="API key",
    description="A key made on the page “API keys” of an organisation. It acts for who made it, in that organisation.",
    auto_error=False,
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


def _caller(request: Request, scopes: SecurityScopes, bearer: Bearer) -> Caller:
    """Opens sessions of its own and closes them, so that it must come before the request's: see `_here`."""
    database = database_of(request)
    if bearer is None:
        raise SignedOutError("Send an API key: Authorization: Bearer ll_…", {"WWW-Authenticate": "Bearer"})
    request.state.key_hash = hash_token(bearer.credentials)
    with database.read() as db:
        found = keys.caller(db, request.state.key_hash)
    if found is None:
        where = hash_token(network(address_of(request)))[:32]
        throttle(database, f"key-failed:{where}", FAILURES, FAILURES_SECONDS)
        raise _invalid()
    throttle(database, f"key:{found.key.id}", CALLS, CALLS_SECONDS)
    _need(found, scopes.scopes)
    _used(database, found.key)
    return found


def again(request: Request, db: Session) -> Caller:
    """The caller, looked up again: what was true a moment ago may not be so now. Raises SignedOutError."""
    found = keys.caller(db, request.state.key_hash)
    if found is None:
        raise _invalid()
    return found


def _here(request: Request, _caller: Annotated[Caller, Depends(_caller)], db: Db) -> Caller:
    """The caller in the session of the request."""
    return again(request, db)


def _place(caller: Annotated[Caller, Depends(_here)]) -> Place:
    return caller.place


def _place_of_writer(caller: Annotated[Caller, Depends(_here)]) -> Place:
    """What an admin decides about others takes the scope for it."""
    return replace(caller.place, decides=Scope.ADMIN in caller.key.scopes)


def _place_of_admin(place: Annotated[Place, Depends(_place)]) -> Place:
    place.need(Role.ADMIN)
    return place


Chats = Annotated[Caller, Security(_caller, scopes=[Scope.CHAT.value])]
Reader = Annotated[Caller, Security(_here, scopes=[Scope.READ.value])]
Reads = Annotated[Place, Security(_place, scopes=[Scope.READ.value])]
Writes = Annotated[Place, Security(_place_of_writer, scopes=[Scope.WRITE.value])]
Administers = Annotated[Place, Security(_place_of_admin, scopes=[Scope.ADMIN.value])]


def _need(caller: Caller, scopes: list[str]) -> None:
    for scope in scopes:
        if scope not in caller.key.scopes:
            told = f'Bearer error="insufficient_scope", scope="{scope}"'
            raise ForbiddenError(
                f"This key lacks the scope {scope}. Make one that has it.", headers={"WWW-Authenticate": told}
            )


def _invalid() -> SignedOutError:
    return SignedOutError(
        "This API key does not work. It is wrong, or was revoked, or has expired, or its user left the organisation.",
        {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


def _used(database: Database, key: ApiKey) -> None:
    """Notes the use, to the minute."""
    if key.last_used_at is not None and key.last_used_at > ago(minutes=1):
        return
    with database.write() as db:
        if (again := db.get(ApiKey, key.id)) is not None:
            again.last_used_at = now()
