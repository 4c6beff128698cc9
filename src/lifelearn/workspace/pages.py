"""Pages: templates, who is looking, and the token that a form carries against cross-site requests.

Routes render through `render`, learn who is looking through `Visitor` or `SignedIn`, and answer a form by `go`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.settings import Settings
from lifelearn.workspace.crypto import Keys, hash_token
from lifelearn.workspace.database import Database, Db, ago, ahead, now
from lifelearn.workspace.errors import ForbiddenError, SignedOutError
from lifelearn.workspace.tables.accounts import SignIn, User

HERE = Path(__file__).parent
IDLE_DAYS = 14  # a sign-in that is not used ends
MOST_DAYS = 90  # and any other
PLACE_DAYS = 365
SEEN_MINUTES = 5  # how exactly `last_seen_at` is kept
VISITOR_BYTES = 24
_NEXT = re.compile(r"/(?![/\\])[^\s\\]*")


@dataclass
class Viewer:
    """Who is looking: the cookie's token, and the sign-in that it stands for, if any."""

    token: str
    sign_in: SignIn | None = None
    new: bool = False  # the token was made for this answer
    renewed: bool = False  # the sign-in lasts longer from now on, and so shall the cookie

    @property
    def user(self) -> User | None:
        return None if self.sign_in is None or self.sign_in.waits_for_code else self.sign_in.user


@dataclass(frozen=True)
class Pages:
    """What pages are made with; one for the application."""

    settings: Settings
    keys: Keys
    database: Database

    @property
    def secure(self) -> bool:
        return self.settings.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        return "__Host-lifelearn" if self.secure else "lifelearn"

    @property
    def place_cookie(self) -> str:
        """Holds the id of the organisation seen last, where the start page leads."""
        return f"{self.cookie}-place"

    def csrf(self, token: str) -> str:
        return self.keys.sign("csrf", token)


def pages_of(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages


def sign_in_of(request: Request, db: Session) -> SignIn | None:
    """The sign-in that a request's cookie stands for, while it lasts; it may wait for its code."""
    token = request.cookies.get(pages_of(request).cookie)
    if not token:
        return None
    return db.scalar(select(SignIn).where(SignIn.token_hash == hash_token(token), SignIn.expires_at > now()))


def _viewer(request: Request, db: Db) -> Viewer:
    """Who is looking. Somebody without a cookie gets a token for the forms of this visit."""
    pages = pages_of(request)
    token = request.cookies.get(pages.cookie, "")
    viewer = Viewer(token or secrets.token_urlsafe(VISITOR_BYTES), new=not token)
    request.state.viewer = viewer
    viewer.sign_in = sign_in = sign_in_of(request, db)
    if sign_in is None or sign_in.waits_for_code or request.method != "GET":
        return viewer
    if sign_in.last_seen_at < ago(minutes=SEEN_MINUTES):
        with pages.database.write() as writing:
            seen = writing.get(SignIn, sign_in.id)
            if seen is not None:
                latest = seen.created_at + timedelta(days=MOST_DAYS)
                seen.last_seen_at, seen.expires_at = now(), min(ahead(days=IDLE_DAYS), latest)
                viewer.renewed = True
    return viewer


Visitor = Annotated[Viewer, Depends(_viewer)]


async def _signed_in(visitor: Visitor) -> SignIn:  # async: needs no thread
    if visitor.sign_in is None or visitor.user is None:
        raise SignedOutError
    return visitor.sign_in


SignedIn = Annotated[SignIn, Depends(_signed_in)]


async def check_csrf(request: Request, visitor: Visitor) -> None:
    """Refuses a change without the visitor's token, in the form's field `csrf` or in the header `X-CSRF-Token`."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    given = request.headers.get("x-csrf-token")
    if given is None and request.headers.get("content-type", "").startswith(("multipart/", "application/x-www-form")):
        value = (await request.form()).get("csrf")
        given = value if isinstance(value, str) else None
    pages = pages_of(request)
    if visitor.new or not given or not secrets.compare_digest(pages.csrf(visitor.token).encode(), given.encode()):
        raise ForbiddenError("This page was open for too long, or its form was not ours. Load it again and try again.")


def render(
    request: Request, template: str, context: Mapping[str, Any] | None = None, status: int = 200, **more: Any
) -> HTMLResponse:
    """A page. Every template has `request`, `viewer`, `user`, `csrf`, `settings`, `path` and `notice`."""
    pages = pages_of(request)
    viewer: Viewer | None = getattr(request.state, "viewer", None)
    if viewer is None:  # an error before anybody asked who it is
        token = request.cookies.get(pages.cookie, "")
        viewer = Viewer(token or secrets.token_urlsafe(VISITOR_BYTES), new=not token)
    values = {
        "request": request,
        "viewer": viewer,
        "user": viewer.user,
        "csrf": pages.csrf(viewer.token),
        "settings": pages.settings,
        "path": request.url.path,
        "place": getattr(request.state, "place", None),
        "notice": NOTICES.get(request.query_params.get("notice", ""), ""),
        **(context or {}),
        **more,
    }
    response = HTMLResponse(_TEMPLATES.get_template(template).render(values), status)
    if viewer.new:
        set_cookie(response, pages, viewer.token, days=None)
    elif viewer.renewed:
        set_cookie(response, pages, viewer.token)
    place = getattr(request.state, "place", None)
    if place is not None and request.cookies.get(pages.place_cookie) != str(place.organization.id):
        set_cookie(response, pages, str(place.organization.id), days=PLACE_DAYS, name=pages.place_cookie)
    return response


# A notice in an address is one of these: nobody can put words into a page by a link.
NOTICES = {
    "saved": "Saved.",
    "removed": "Removed.",
    "deleted": "Deleted.",
    "revoked": "Revoked.",
    "password": "Your password is changed, and you are signed out everywhere else.",
    "password-reset": "Your password is changed, and you are signed out everywhere. Sign in with it.",
    "registered": "If that address was free, its account is made: sign in with it. If not, use the password it has.",
    "confirm-sent": "A mail is on its way to that address. Its link completes the registration.",
    "signed-out-there": "That browser is signed out.",
    "linked": "Linked. You can sign in with it from now on.",
    "unlinked": "The link is removed.",
    "confirmed": "Confirmed. Go on within ten minutes.",
    "signed-out": "You are signed out.",
    "signed-out-elsewhere": "You are signed out everywhere else.",
    "account-deleted": "Your account is deleted.",
    "invited": "The invite is on its way by mail.",
    "left": "You left the organisation.",
    "reset-sent": "If that address has an account, a link is on its way to it.",
    "imported": "The conversations are imported.",
    "totp-on": "The second factor is on.",
    "totp-off": "The second factor is off.",
}


def by_htmx(request: Request) -> bool:
    """Whether a part of a page asks, and not a browser for a page."""
    return request.headers.get("hx-request") == "true"


class Sent(BaseModel):
    """What a form may hold: the token, checked above, and what it adds; anything else is refused."""

    model_config = ConfigDict(extra="forbid")

    csrf: str = Field("", max_length=200)


Bounded = Annotated[str, Field(max_length=200_000)]  # what is shorter may still be refused, with the form


class CsrfForm(Sent):
    """A form of a chat or a correction: its texts are without white space around them."""

    model_config = ConfigDict(str_strip_whitespace=True)


def go(request: Request, where: str, notice: str = "") -> Response:
    """On to another page after a form; htmx is told in its own way, so that the address changes too."""
    assert not notice or notice in NOTICES
    if notice:
        where += f"{'&' if '?' in where else '?'}notice={notice}"
    if by_htmx(request):
        return Response(status_code=204, headers={"HX-Redirect": where})
    return RedirectResponse(where, 303)


def own_path(where: str | None, otherwise: str = "/") -> str:
    """`where` if it is a path of this site; an address elsewhere is not followed."""
    return where if where and _NEXT.fullmatch(where) else otherwise


def sign_in_path(request: Request) -> str:
    """The page to sign in on, which leads back here."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/sign-in" if here == "/" or request.method != "GET" else f"/sign-in?next={quote(here, safe='/')}"


def set_cookie(
    response: Response, pages: Pages, value: str, days: float | None = IDLE_DAYS, name: str | None = None
) -> None:
    """days: None lasts as long as the browser is open. name: another cookie than that of the sign-in."""
    response.set_cookie(
        name or pages.cookie,
        value,
        max_age=None if days is None else int(days * 86_400),
        path="/",
        secure=pages.secure,
        httponly=True,
        samesite="lax",
    )


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def _when(moment: datetime | None) -> str:
    """A point in time for people; the page's script shows it in the reader's own time zone."""
    return "never" if moment is None else f"{moment:%d %b %Y, %H:%M} UTC"


_TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"when": _when, "iso": datetime.isoformat}
