"""The way in and out: the start page, signing in, the second factor, signing out.

Signing in takes as long and says the same for an address without an account.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import Field

from lifelearn.workspace.accounts import account, service, totp
from lifelearn.workspace.accounts.fields import AccountForm, Password, Text
from lifelearn.workspace.accounts.single_sign_on import with_next
from lifelearn.workspace.crypto import password_is
from lifelearn.workspace.database import Db, commit
from lifelearn.workspace.organizations.place import memberships_of
from lifelearn.workspace.pages import (
    IDLE_DAYS,
    NOTICES,
    Pages,
    Visitor,
    address_of,
    go,
    own_path,
    pages_of,
    render,
    set_cookie,
)
from lifelearn.workspace.tables.accounts import User

router = APIRouter()

WRONG = "The address or the password is wrong."
Next = Annotated[str, Query(max_length=2000)]
NextField = Annotated[str, Field(max_length=2000)]


@router.get("/")
def home(request: Request, visitor: Visitor, db: Db) -> Response:
    """Where somebody goes who only knows the address of the workspace."""
    user, given = visitor.user, request.query_params.get("notice", "")
    notice = given if given in NOTICES else ""
    if user is None:
        if visitor.sign_in is not None:
            return go(request, "/sign-in/code")
        return go(request, "/sign-in" if service.has_users(db) else "/register", notice)
    ids = [str(membership.organization_id) for membership in memberships_of(db, user.id)]
    last = request.cookies.get(pages_of(request).place_cookie)
    if not ids:
        return go(request, "/organizations/new", notice)
    return go(request, f"/o/{last if last in ids else ids[0]}", notice)


class SignInForm(AccountForm):
    email: Text = ""
    password: Password = ""
    next: NextField = ""


@router.get("/sign-in")
def sign_in_page(request: Request, visitor: Visitor, next: Next = "") -> Response:
    if visitor.user is not None:
        return go(request, own_path(next))
    return _sign_in_page(request, SignInForm(next=next))


@router.post("/sign-in")
def sign_in(request: Request, visitor: Visitor, db: Db, form: Annotated[SignInForm, Form()]) -> Response:
    limits = service.sign_in_limits(request, form.email)
    for limit, who in limits:
        limit.count(db, who)
    found = service.find(db, form.email)
    commit(db)
    pages = pages_of(request)
    if not password_is(form.password, found.password_hash if found else None) or found is None:
        service.log.info("sign-in failed", user=str(found.id) if found else "unknown", address=address_of(request))
        return _sign_in_page(request, form, WRONG)
    with pages.database.write() as writing:
        user = writing.get(User, found.id)
        if user is None or user.password_hash != found.password_hash:  # changed in this very moment
            return _sign_in_page(request, form, WRONG)
        for limit, who in limits:
            limit.forgive(writing, who)
        token, made = service.begin(writing, request, user, visitor.sign_in)
    if made.waits_for_code:
        return signed_in(request, pages, with_next("/sign-in/code", form.next), token, days=None)
    return signed_in(request, pages, own_path(form.next), token)


class CodeForm(AccountForm):
    code: Text = ""
    next: NextField = ""


@router.get("/sign-in/code")
def code_page(request: Request, visitor: Visitor, next: Next = "") -> Response:
    if visitor.user is not None:
        return go(request, own_path(next))
    if visitor.sign_in is None:
        return go(request, sign_in_path(next))
    return render(request, "accounts/code.html", {"next": next, "errors": {}})


@router.post("/sign-in/code")
def enter_code(request: Request, visitor: Visitor, db: Db, form: Annotated[CodeForm, Form()]) -> Response:
    """The second factor. All in one transaction: a code is used up by the sign-in that it opens, or by nothing."""
    waiting = visitor.sign_in
    if waiting is None or not waiting.waits_for_code:
        return go(request, sign_in_path(form.next))
    for limit in (service.CODE_USER, service.CODE_USER_DAY):
        limit.count(db, str(waiting.user_id))
    pages = pages_of(request)
    if not totp.use(db, pages.keys, waiting.user, form.code):
        service.log.info("second factor failed", user=str(waiting.user_id), address=address_of(request))
        errors = {"code": "This code is wrong, or it was used already. Wait for the next one."}
        return render(request, "accounts/code.html", {"next": form.next, "errors": errors}, 422)
    for limit in (service.CODE_USER, service.CODE_USER_DAY):
        limit.forgive(db, str(waiting.user_id))
    token = service.renew(waiting)
    return signed_in(request, pages, own_path(form.next), token)


@router.post("/sign-out")
def sign_out(request: Request, visitor: Visitor, db: Db) -> Response:
    if visitor.sign_in is not None:
        service.end(db, visitor.sign_in.id)
    return account.signed_out(request, "signed-out")


def _sign_in_page(request: Request, form: SignInForm, problem: str = "") -> Response:
    settings = pages_of(request).settings
    invited = own_path(form.next).startswith("/invites/")
    context = {
        "form": form,
        "problem": problem,
        "oidc_path": with_next("/sign-in/oidc", form.next),
        "register_path": with_next("/register", form.next) if settings.registration == "open" or invited else "",
    }
    return render(request, "accounts/sign_in.html", context, 422 if problem else 200)


def signed_in(request: Request, pages: Pages, where: str, token: str, days: int | None = IDLE_DAYS) -> Response:
    response = go(request, where)
    set_cookie(response, pages, token, days=days)
    return response


def sign_in_path(where: str) -> str:
    return with_next("/sign-in", where)
