"""Signing in by an OpenID Connect provider: there, back, and linking it to an account.

The way there begins by a link and never by a form's redirect, which the content-security policy does not let leave this
site. What must not be begun by another site, linking and confirming, begins by a form that answers with such a link.
"""

from __future__ import annotations

import uuid
from secrets import compare_digest
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field
from starlette.background import BackgroundTask

from lifelearn.workspace import throttle
from lifelearn.workspace.accounts import identities, mails, oidc, service
from lifelearn.workspace.accounts.fields import AccountForm, Password
from lifelearn.workspace.accounts.oidc import Claims, Flow, OidcRefusedError, provider_of
from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import NotFoundError, TooManyError
from lifelearn.workspace.pages import (
    IDLE_DAYS,
    Pages,
    SignedIn,
    Viewer,
    Visitor,
    address_of,
    go,
    own_path,
    pages_of,
    render,
    set_cookie,
)
from lifelearn.workspace.tables.accounts import Identity, SignIn, User
from lifelearn.workspace.throttle import Limit

router = APIRouter()

ONCE = Limit("oidc state", 1, 2 * oidc.FLOW_SECONDS)
Given = Annotated[str, Query(max_length=4096)]


@router.get("/sign-in/oidc")
def start(request: Request, visitor: Visitor, next: Annotated[str, Query(max_length=2000)] = "") -> Response:
    provider = provider_of(request)
    if visitor.user is not None:
        return go(request, own_path(next))
    flow = Flow.new("sign-in", own_path(next))
    response = RedirectResponse(provider.address(flow), 303)
    _keep(response, pages_of(request), flow)
    return response


@router.get(oidc.CALLBACK)
def callback(
    request: Request, visitor: Visitor, code: Given = "", state: Given = "", error: Given = "", iss: Given = ""
) -> Response:
    """Back from the provider. It changes things though it is a GET: the state in the cookie is what protects it."""
    provider = provider_of(request)
    pages = pages_of(request)
    flow = Flow.unseal(pages.keys, request.cookies.get(_cookie(pages), ""))
    if flow is None or not compare_digest(flow.state.encode(), state.encode()):
        raise OidcRefusedError("This sign-in was begun in another browser, or too long ago. Start it again.")
    with pages.database.write() as writing:
        service.OIDC_NETWORK.count(writing, throttle.network(address_of(request)))
        try:
            ONCE.count(writing, flow.state)
        except TooManyError:
            raise OidcRefusedError("This sign-in was used already. Start it again.") from None
    if error or not code:
        raise OidcRefusedError(f"{provider.name} did not sign you in. Start again, or sign in another way.")
    claims = provider.claims(flow, code, iss)
    response = _arrived(request, pages, visitor, flow, claims)
    response.delete_cookie(_cookie(pages), path="/", secure=pages.secure, httponly=True, samesite="lax")
    return response


def _arrived(request: Request, pages: Pages, visitor: Viewer, flow: Flow, claims: Claims) -> Response:
    if flow.aim == "sign-in":
        with pages.database.write() as writing:
            user = identities.user_of(writing, pages.settings, claims, flow.next)
            token, made = service.begin(writing, request, user, visitor.sign_in)
        where = with_next("/sign-in/code", flow.next) if made.waits_for_code else flow.next
        response = go(request, where)
        set_cookie(response, pages, token, days=None if made.waits_for_code else IDLE_DAYS)
        return response
    if visitor.user is None or visitor.sign_in is None or str(visitor.sign_in.id) != flow.sign_in:
        raise OidcRefusedError("You were signed out meanwhile. Sign in and start again.")
    user_id = visitor.user.id
    with pages.database.write() as writing:
        sign_in = writing.get(SignIn, visitor.sign_in.id)
        if sign_in is None:
            raise OidcRefusedError("You were signed out meanwhile. Sign in and start again.")
        if flow.aim == "link":
            identities.link(writing, user_id, claims)
            response = go(request, flow.next, "linked")
            response.background = BackgroundTask(
                mails.changed, pages, user_id, f"{pages.settings.oidc_name} can sign in to your account from now on."
            )
        else:
            if identities.owner_of(writing, claims) != user_id:
                raise OidcRefusedError("You signed in there as somebody else. Use the identity of this account.")
            response = go(request, flow.next, "confirmed")
            set_cookie(response, pages, service.renew(sign_in))
    return response


# On the account page


@router.get("/account/identities")
def show(request: Request, sign_in: SignedIn, db: Db) -> Response:
    provider_of(request)
    return _page(request, sign_in, list(service.identities_of(db, sign_in.user_id)))


class ConfirmedForm(AccountForm):
    password: Password = ""


@router.post("/account/identities")
def link(request: Request, sign_in: SignedIn, db: Db, form: Annotated[ConfirmedForm, Form()]) -> Response:
    """The way to link: not for somebody who found the browser open, for it lets them in for good."""
    provider_of(request)
    linked = list(service.identities_of(db, sign_in.user_id))
    if problem := service.confirm(request, db, sign_in, form.password):
        return _page(request, sign_in, linked, problem)
    return _onward(request, Flow.new("link", "/account/identities", str(sign_in.id)))


@router.post("/account/identities/{identity_id}/remove")
def unlink(
    request: Request, sign_in: SignedIn, db: Db, identity_id: uuid.UUID, form: Annotated[ConfirmedForm, Form()]
) -> Response:
    linked = list(service.identities_of(db, sign_in.user_id))
    if identity_id not in [each.id for each in linked]:
        raise NotFoundError
    if sign_in.user.password_hash is None and len(linked) == 1:
        return _page(request, sign_in, linked, "This is the only way into your account. Set a password first.")
    if problem := service.confirm(request, db, sign_in, form.password):
        return _page(request, sign_in, linked, problem)
    pages = pages_of(request)
    with pages.database.write() as writing:
        user = writing.get(User, sign_in.user_id, with_for_update=True)  # two at once would leave none
        left = service.identities_of(writing, sign_in.user_id)
        for identity in left:
            if identity.id == identity_id and user is not None and (user.password_hash or len(left) > 1):
                writing.delete(identity)
    response = go(request, "/account/identities", "unlinked")
    response.background = BackgroundTask(
        mails.changed, pages, sign_in.user_id, "A link to single sign-on was removed from your account."
    )
    return response


@router.get("/account/confirm")
def confirm_page(request: Request, sign_in: SignedIn, next: Annotated[str, Query(max_length=2000)] = "") -> Response:
    """For those without a password: signing in again shows that it is them."""
    provider_of(request)
    return render(request, "accounts/again.html", {"next": own_path(next, "/account")})


class NextForm(AccountForm):
    next: Annotated[str, Field(max_length=2000)] = ""


@router.post("/account/confirm")
def confirm(request: Request, sign_in: SignedIn, form: Annotated[NextForm, Form()]) -> Response:
    provider_of(request)
    return _onward(request, Flow.new("confirm", own_path(form.next, "/account"), str(sign_in.id)))


def _onward(request: Request, flow: Flow) -> Response:
    """A page that leads to the provider by itself."""
    response = render(request, "accounts/onward.html", {"address": provider_of(request).address(flow)})
    _keep(response, pages_of(request), flow)
    return response


def _page(request: Request, sign_in: SignIn, linked: list[Identity], problem: str = "") -> Response:
    context = {
        "linked": linked,
        "issuer": pages_of(request).settings.oidc_issuer,
        "confirmed": service.recently_confirmed(sign_in),
        "errors": {"password": problem} if problem else {},
    }
    return render(request, "accounts/identities.html", context, 422 if problem else 200)


def with_next(path: str, where: str) -> str:
    """`path`, which goes on to `where` afterwards if that is on this site."""
    return path if own_path(where) == "/" else f"{path}?next={quote(where, safe='/')}"


def _cookie(pages: Pages) -> str:
    return f"{pages.cookie}-oidc"


def _keep(response: Response, pages: Pages, flow: Flow) -> None:
    set_cookie(response, pages, flow.seal(pages.keys), days=oidc.FLOW_SECONDS / 86_400, name=_cookie(pages))
