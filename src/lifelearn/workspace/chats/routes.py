"""The pages of chats."""

from __future__ import annotations

from fastapi import APIRouter

from lifelearn.workspace.chats import asking, changing, following, reading, uploads

router = APIRouter()
for pages in (reading, asking, following, changing, uploads):
    router.include_router(pages.router)
