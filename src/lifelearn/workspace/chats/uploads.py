"""The page of imports: a file from elsewhere is sent in, and the answer reports what came of it."""

from __future__ import annotations

import threading
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import HTMLResponse
from pydantic import ConfigDict
from sqlalchemy.orm import Session

from lifelearn.workspace.chats import chatgpt, imports
from lifelearn.workspace.chats.views import list_changed
from lifelearn.workspace.database import Db, commit, database_of
from lifelearn.workspace.errors import TooManyError, WorkspaceError
from lifelearn.workspace.organizations import audit
from lifelearn.workspace.organizations.place import Here, Place
from lifelearn.workspace.pages import CsrfForm, render
from lifelearn.workspace.quotas import quotas_of
from lifelearn.workspace.throttle import Limit

router = APIRouter(prefix="/o/{organization_id}")

IMPORTS = Limit("import", most=20, seconds=3600)
_IMPORTING = threading.BoundedSemaphore(2)  # at a time, in one process: each takes a thread and much of its time


class ImportForm(CsrfForm):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    file: UploadFile


@router.get("/import")
def import_page(request: Request, place: Here) -> HTMLResponse:
    return render(request, "chats/import.html", {"place": place, "imported": None, "problem": ""})


@router.post("/import")
def import_file(request: Request, place: Here, db: Db, form: Annotated[ImportForm, Form()]) -> HTMLResponse:
    """Answers with the report. Sending the same file again brings nothing twice."""
    if not _IMPORTING.acquire(blocking=False):
        raise TooManyError("Other imports are being read. Try again in a minute.", 60)
    try:
        return _imported(request, place, db, form)
    finally:
        _IMPORTING.release()


def _imported(request: Request, place: Place, db: Session, form: ImportForm) -> HTMLResponse:
    IMPORTS.count(db, str(place.user.id))
    quotas_of(request).count_import(db, place.organization.id, form.file.size or 0)
    commit(db)  # reading the file takes its time: nobody else waits for it
    database, imported, problem = database_of(request), imports.Imported(), None
    try:
        found = chatgpt.read(form.file.file, imported.skipped)
        imports.keep(database, place, found, imported, quotas_of(request))
    except WorkspaceError as error:
        problem = error
    if imported.threads:
        with database.write() as writing:
            about: dict[str, Any] = {"chats": imported.threads, "messages": imported.messages}
            audit.record(writing, request, place.organization.id, place.user, "chats.imported", **about)
    status = problem.status if problem is not None else 200
    told = {"imported": imported, "problem": problem.message if problem is not None else ""}
    return list_changed(render(request, "chats/import.html", {"place": place, **told}, status))
