"""The page on which a version is made the active one, or rolled back to, with what that changes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import InvalidError
from lifelearn.workspace.organizations.place import HereAsAdmin, Place
from lifelearn.workspace.pages import Sent, go, render
from lifelearn.workspace.tables.versions import Version
from lifelearn.workspace.versions import service
from lifelearn.workspace.versions.service import MOST_NUMBER
from lifelearn.workspace.versions.views import Number, words

router = APIRouter(prefix="/o/{organization_id}")

CHANGES_SHOWN = 20  # corrections that an activation gains or loses


class ActivateForm(Sent):
    """seen: which version was active when it was decided."""

    confirm_failed: bool = False
    seen: int | None = Field(None, ge=0, le=MOST_NUMBER)


@router.get("/versions/{number}/activate")
def ask_to_activate(request: Request, place: HereAsAdmin, db: Db, number: Number) -> Response:
    return _activation(request, place, db, number)


@router.post("/versions/{number}/activate")
def activate(
    request: Request, place: HereAsAdmin, db: Db, number: Number, form: Annotated[ActivateForm, Form()]
) -> Response:
    try:
        service.choose(db, request, place, number, form.confirm_failed, form.seen)
    except InvalidError as error:
        return _activation(request, place, db, number, error)
    return go(request, f"{place.url}/versions", "saved")


def _activation(
    request: Request, place: Place, db: Session, number: int, error: InvalidError | None = None
) -> HTMLResponse:
    """The page that asks whether a version is to answer from now on, with what that changes."""
    organization = place.organization
    chosen = service.summary_of(db, organization, number) if number else None
    family = service.family_of(db, organization.id)
    before, after = set(family.line(organization.active_version)), set(family.line(number))
    context = {
        "number": number,
        "chosen": chosen,
        "active": organization.active_version,
        "is_rollback": number < organization.active_version,
        "loses": _learned_in(db, place, before - after),
        "gains": _learned_in(db, place, after - before),
        "most": CHANGES_SHOWN,
        "errors": error.fields if error is not None else {},
        **words(),
    }
    return render(request, "versions/activate.html", context, error.status if error is not None else 200)


def _learned_in(db: Session, place: Place, numbers: set[int]) -> list[service.Learned]:
    latest = sorted(numbers, reverse=True)[:CHANGES_SHOWN]
    found = service.summaries(db, place.organization, Version.number.in_(latest), limit=CHANGES_SHOWN)
    return [learned for summary in found for learned in summary.corrections][:CHANGES_SHOWN]
