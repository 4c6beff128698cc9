"""The page on which people make, see and revoke API keys."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import ConflictError, InvalidError
from lifelearn.workspace.organizations.place import Here, Place
from lifelearn.workspace.pages import go, render
from lifelearn.workspace.programs import keys
from lifelearn.workspace.tables.programs import Scope

router = APIRouter(prefix="/o/{organization_id}/keys")

EXPIRY: dict[str, int | None] = {"30": 30, "90": 90, "365": 365, "never": None}
MEANINGS = {
    Scope.CHAT: "Ask the model, as at OpenAI's address (/v1)",
    Scope.READ: "Read the organisation, its members and your chats (/api)",
    Scope.WRITE: "Start, change and delete chats, and correct answers (/api)",
    Scope.ADMIN: "Invites, e-mail addresses, the audit log, and what admins decide about others' corrections (/api)",
}


class KeyForm(BaseModel):
    """What is chosen is checked in the route, so that the form can be shown again with what was entered."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    csrf: str = ""
    name: str = Field("", max_length=1000)
    scopes: list[Annotated[str, Field(max_length=20)]] = Field([], max_length=10)
    expiry: str = Field("", max_length=20)


@router.get("")
def show(request: Request, place: Here, db: Db) -> HTMLResponse:
    return _page(request, place, db, KeyForm(scopes=[Scope.CHAT], expiry="90"))


@router.post("")
def make(request: Request, place: Here, db: Db, form: Annotated[KeyForm, Form()]) -> HTMLResponse:
    """Answers with the page itself and not with a redirect: the key is in no address and nowhere kept."""
    try:
        key, token = keys.make(db, request, place, form.name, _scopes(form), _days(form))
    except InvalidError as error:  # nothing was changed
        return _page(request, place, db, form, error.fields, status=error.status)
    except ConflictError as error:
        return _page(request, place, db, form, {"form": error.message}, status=error.status)
    return _page(request, place, db, KeyForm(scopes=[Scope.CHAT], expiry="90"), made=key, token=token, status=201)


@router.post("/{key_id}/revoke")
def revoke(request: Request, place: Here, db: Db, key_id: uuid.UUID) -> Response:
    keys.revoke(db, request, place, key_id)
    return go(request, f"{place.url}/keys", "revoked")


def _scopes(form: KeyForm) -> list[Scope]:
    try:
        return [Scope(each) for each in form.scopes]
    except ValueError:
        raise InvalidError("There is no such scope.", {"scopes": "Choose among these."}) from None


def _days(form: KeyForm) -> int | None:
    if form.expiry not in EXPIRY:
        raise InvalidError("Choose when the key expires.", {"expiry": "Choose one of these."})
    return EXPIRY[form.expiry]


def _page(
    request: Request,
    place: Place,
    db: Session,
    form: KeyForm,
    errors: dict[str, str] | None = None,
    status: int = 200,
    **more: Any,
) -> HTMLResponse:
    others = keys.listed(db, place, everybodys=True) if place.may_admin else []
    return render(
        request,
        "programs/keys.html",
        {
            "place": place,
            "own": keys.listed(db, place),
            "others": others,
            "form": form,
            "errors": errors or {},
            "meanings": {scope: MEANINGS[scope] for scope in keys.grantable(place)},
            "most": keys.MOST_KEYS,
            "made": None,
            "token": "",
            **more,
        },
        status,
    )
