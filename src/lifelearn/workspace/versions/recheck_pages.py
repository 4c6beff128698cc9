"""Asking a version again, from its page, and how far that is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Db
from lifelearn.workspace.organizations.place import Here, HereAsAdmin, Place
from lifelearn.workspace.pages import Sent, by_htmx, go, render
from lifelearn.workspace.versions import rechecks, service
from lifelearn.workspace.versions.views import Number

router = APIRouter(prefix="/o/{organization_id}")


class RecheckForm(Sent):
    resume: bool = False


@router.post("/versions/{number}/recheck")
def recheck(
    request: Request, place: HereAsAdmin, db: Db, number: Number, form: Annotated[RecheckForm, Form()]
) -> Response:
    rechecks.ask_again(db, request, place, number, form.resume)
    if by_htmx(request):
        return _progress(request, place, db, number)
    return go(request, f"{place.url}/versions/{number}#recheck")


@router.get("/versions/{number}/recheck")
def recheck_progress(request: Request, place: Here, db: Db, number: Number) -> Response:
    """A part of the version's page, which asks for it while there is progress."""
    if number:
        service.version_of(db, place.organization.id, number)
    return _progress(request, place, db, number)


def _progress(request: Request, place: Place, db: Session, number: int) -> HTMLResponse:
    progress = rechecks.progress(db, request, place.organization.id, number)
    return render(request, "versions/recheck.html", place=place, number=number, progress=progress)
