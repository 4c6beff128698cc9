"""The pages of versions."""

from __future__ import annotations

from fastapi import APIRouter

from lifelearn.workspace.versions import activation, compare_pages, files, overview, recheck_pages, retention

router = APIRouter()
for pages in (overview, files, activation, recheck_pages, compare_pages, retention):
    router.include_router(pages.router)
