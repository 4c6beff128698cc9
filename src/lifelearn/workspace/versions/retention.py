"""The pages of retention: the matrix, and one correction in all versions."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Request, Response

from lifelearn.workspace.database import Db
from lifelearn.workspace.organizations.place import Here
from lifelearn.workspace.pages import render
from lifelearn.workspace.versions import matrix
from lifelearn.workspace.versions.service import called
from lifelearn.workspace.versions.views import Page, Until

router = APIRouter(prefix="/o/{organization_id}")


@router.get("/retention")
def retention(request: Request, place: Here, db: Db, page: Page = 1, until: Until = None) -> Response:
    found = matrix.matrix(db, place.organization, page, until)
    return render(request, "versions/retention.html", matrix=found, until=until, **_legend())


@router.get("/retention/{correction_id}")
def retained(request: Request, place: Here, db: Db, correction_id: uuid.UUID, until: Until = None) -> Response:
    line, earlier, later = matrix.line_of(db, place.organization, correction_id, until)
    parts = {"line": line, "correction": line.correction, "earlier": earlier, "later": later}
    return render(request, "versions/retained.html", parts, **_legend())


def _legend() -> dict[str, Any]:
    return {"kinds": matrix.Kind, "symbols": matrix.SYMBOLS, "called": called}
