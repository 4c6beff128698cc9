"""The pages of corrections, and the stream of one on its way."""

from __future__ import annotations

from fastapi import APIRouter

from lifelearn.workspace.corrections import following, pages

router = APIRouter()
for each in (pages, following):
    router.include_router(each.router)
