"""A version's files to take away: its weights, its lesson, its report."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response

from lifelearn.learning.version import LESSON, MANIFEST
from lifelearn.workspace.database import Db, commit
from lifelearn.workspace.organizations.place import Here
from lifelearn.workspace.versions import downloads, service
from lifelearn.workspace.versions.views import Made, download, fetched, lesson_of, manifest_of

router = APIRouter(prefix="/o/{organization_id}")


@router.get("/versions/{number}/adapter.zip")
def adapter(request: Request, place: Here, db: Db, number: Made) -> Response:
    """The weights and how to load them."""
    found = service.version_of(db, place.organization.id, number)
    names = [name for name in sorted(found.files) if name not in (MANIFEST, LESSON)]
    commit(db)
    folder = fetched(request, found, names)
    return download(downloads.as_zip(folder, names, found.created_at), f"version-{number}.zip", "application/zip")


@router.get("/versions/{number}/lesson.jsonl")
def lesson_lines(request: Request, place: Here, db: Db, number: Made) -> Response:
    found = lesson_of(request, db, service.version_of(db, place.organization.id, number))
    return download(downloads.as_lines(found), f"version-{number}-lesson.jsonl", "application/jsonl")


@router.get("/versions/{number}/report.json")
def report_json(place: Here, db: Db, number: Made) -> Response:
    manifest = manifest_of(service.version_of(db, place.organization.id, number)).model_dump(mode="json")
    for correction in manifest["corrections"]:
        del correction["message"]  # it may be from a private chat
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    return download(iter([text]), f"version-{number}-report.json", "application/json")
