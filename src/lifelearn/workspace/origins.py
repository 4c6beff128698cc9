"""Pages of other sites that may use the addresses for programs from a browser (CORS), and no other address.

Around the guard, so that what it refuses can be read there too. A browser asks before it sends a request (a preflight),
without a key; that is answered here, before anything is looked up. No cookie is let through: a page of another site may
do what its key may. The guard's `Cross-Origin-Resource-Policy` stays, since browsers apply it only to what a page
takes in without asking so. Starlette's middleware, plain ASGI: streams pass unbuffered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lifelearn.workspace.guard import PROGRAMS

log = structlog.get_logger("lifelearn.request")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ALLOWED = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "OpenAI-Beta",
    "OpenAI-Organization",
    "OpenAI-Project",
    "User-Agent",
    "X-Request-ID",
)
EXPOSED = ("Retry-After", "WWW-Authenticate", "X-Request-ID")
CLIENTS = re.compile(r"x-stainless-[a-z0-9-]{1,60}")  # what OpenAI's clients tell of themselves, more with each release
ASKED = "Access-Control-Request-Headers"


class OtherOrigins(CORSMiddleware):
    """origins: as browsers write them; "*" is any."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=ALLOWED,
            allow_private_network=True,  # a page from outside that uses a workspace within one's own network
            expose_headers=EXPOSED,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PROGRAMS):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        asked = [each.strip().lower() for each in request_headers.get(ASKED, "").split(",")]
        clients = [each for each in asked if CLIENTS.fullmatch(each)]
        headers = MutableHeaders(request_headers)
        del headers[ASKED]
        if others := [each for each in asked if each and each not in clients]:
            headers[ASKED] = ", ".join(others)
        response = super().preflight_response(headers)
        if clients:
            response.headers["Access-Control-Allow-Headers"] += f", {', '.join(clients)}"
        if response.status_code != 200:
            log.info("another origin refused", origin=headers["origin"][:200], why=bytes(response.body).decode())
        return response
