"""What every request passes through before a route sees it: host, size, speed, origin; and the headers of every answer.

Plain ASGI, so that streams pass unbuffered. Tokens against cross-site requests are checked in pages.py, which
knows the session.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lifelearn.workspace.errors import TooLargeError, WorkspaceError

log = structlog.get_logger("lifelearn.request")

BODY_BYTES = 1 << 20
IMPORT_BYTES = 64 << 20
IMPORTS = re.compile(r"/o/[^/]+/import$")
BODY_SECONDS = 30.0  # between two parts of a body
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PROGRAMS = ("/api/", "/v1/")  # no cookies there, so nothing to forge

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class SlowBodyError(WorkspaceError):
    status = 408
    title = "Too slow"


class Guard:
    """hosts: names by which this server may be called; "*" is any. secure: served over https."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str], secure: bool) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        self.secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 500

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
                answer["X-Request-ID"] = request_id
                if not scope["path"].startswith("/static/"):
                    answer.setdefault("Cache-Control", "no-store")
                if self.secure:
                    answer.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            refused = self.refused(scope, headers)
            app = PlainTextResponse(*refused) if refused else self.app
            try:
                await app(scope, _limited(scope, headers, receive), guarded_send)
            finally:
                route = scope.get("route")
                log.info(
                    "request",
                    method=scope["method"],
                    route=getattr(route, "path", None) or "-",  # a path may hold a token, its pattern does not
                    status=status,
                    ms=round(1000 * (time.perf_counter() - started), 1),
                )
        return None

    def refused(self, scope: Scope, headers: Headers) -> tuple[str, int] | None:
        """Why a request goes no further: a text and a status."""
        host = headers.get("host", "").lower()
        if "*" not in self.hosts and re.sub(r":\d+$", "", host) not in self.hosts:
            return (
                "This server does not answer to that name. LL_PUBLIC_URL and LL_ALLOWED_HOSTS say to which it does.",
                400,
            )
        if int(headers.get("content-length") or 0) > _most(scope):
            return "That is too large.", 413
        if scope["method"] in UNSAFE and not scope["path"].startswith(PROGRAMS) and _foreign(headers, host):
            return "This request came from another site and was refused.", 403
        return None


def _foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that another site made the request. Programs say nothing, and have no cookies."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != host


def _most(scope: Scope) -> int:
    return IMPORT_BYTES if IMPORTS.search(scope["path"]) else BODY_BYTES


def _limited(scope: Scope, headers: Headers, receive: Receive) -> Receive:
    """`receive`, which ends when the body is larger than allowed or comes too slowly."""
    most, seen, done = _most(scope), 0, False

    async def limited() -> Message:
        nonlocal seen, done
        if done:  # from here on it only waits for the visitor to leave
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), BODY_SECONDS)
        except TimeoutError:
            raise SlowBodyError("The request took too long to arrive.") from None
        seen += len(message.get("body", b""))
        done = message["type"] != "http.request" or not message.get("more_body", False)
        if seen > most:
            raise TooLargeError("That is too large.")
        return message

    return limited
