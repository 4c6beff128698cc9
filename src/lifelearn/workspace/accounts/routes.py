"""The pages of accounts: in, out, registering, a forgotten password, one's own account, single sign-on."""

from __future__ import annotations

from fastapi import APIRouter

from lifelearn.workspace.accounts import account, forgotten, registering, signing_in, single_sign_on

router = APIRouter()
for pages in (signing_in, registering, forgotten, account, single_sign_on):
    router.include_router(pages.router)
