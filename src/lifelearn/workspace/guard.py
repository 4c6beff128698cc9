"""What every request passes through before a route sees it: host, origin, the whole body; and every answer's headers.

A body is read here, within a size and a time, before anything else is done for its request: no route holds a session
of the database, a lock or a turn while it waits for a visitor. Plain ASGI, so that streams pass unbuffered. Tokens
against cross-site requests are checked in pages.py, which knows the session.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import SpooledTemporaryFile
from urllib.parse import urlsplit

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lifelearn.workspace.errors import SignedOutError, TooLargeError, TooManyError, WorkspaceError

log = structlog.get_logger("lifelearn.request")
Body = SpooledTemporaryFile[bytes]

BODY_BYTES = 1 << 20
IMPORT_BYTES = 64 << 20
IMPORTS = re.compile(r"/o/[^/]+/import$")
UPLOADS, UPLOADS_OF_ONE = 8, 2  # large bodies at a time, until their requests are done: each is a file of this machine
BODY_SECONDS = 30.0  # in which a whole body must have come
BYTES_A_SECOND = 128 << 10  # at least, of one that is larger than BODY_BYTES
IN_MEMORY = 64 << 10  # of a body; what is more goes to a file
PART_BYTES = 64 << 10  # of a body, as the application gets it
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PROGRAMS = ("/api/", "/v1/")  # no cookies there, so nothing to forge

PROBES = frozenset({"/healthz", "/readyz"})  # asked by address, and without secrets

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
    """hosts: names by which this server may be called; "*" is any. secure: served over https.

    on_request: told method, route, status and seconds of each request. check_uploader: gives whose a large
    body is, or raises WorkspaceError for who is nobody from whom one is taken; called in a thread, before it is read.
    on_refused, on_bug: what is answered where a body is not taken, and where the application fails. closing: when it is
    set, event streams end. The application may set `ended`, of a request's state, for a visitor who may not read any
    more: to what is being written for them they have left.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Sequence[str],
        secure: bool,
        on_request: Callable[[str, str, int, float], None],
        check_uploader: Callable[[Request], uuid.UUID],
        on_refused: Callable[[Request, Exception], Awaitable[Response]],
        on_bug: Callable[[Request, Exception], Awaitable[Response]],
        closing: asyncio.Event,
    ) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        self.secure = secure
        self.on_request = on_request
        self.check_uploader, self.on_refused = check_uploader, on_refused
        self.on_bug = on_bug
        self.closing = closing
        self._uploads: Counter[uuid.UUID] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        cut = asyncio.Event()
        scope.setdefault("state", {}).update(request_id=request_id, ended=cut)
        started = time.perf_counter()
        status, began, ended, streams = 500, False, False, False

        async def guarded_send(message: Message) -> None:
            nonlocal status, began, ended, streams
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start":
                status, began = message["status"], True
                answer = MutableHeaders(scope=message)
                streams = answer.get("content-type", "").startswith("text/event-stream")
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
                answer["X-Request-ID"] = request_id
                if not scope["path"].startswith("/static/"):
                    answer.setdefault("Cache-Control", "no-store")
                if self.secure:
                    answer.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
            await send(message)

        async def leaving() -> Message:
            """Waits for the visitor to leave. Who follows events has left once the server is closing."""
            message = asyncio.ensure_future(receive())
            ends = [asyncio.ensure_future(event.wait()) for event in (self.closing, cut)]
            try:
                await asyncio.wait((message, *ends), return_when=asyncio.FIRST_COMPLETED)
                gone = cut.is_set() or (streams and not message.done())
                return {"type": "http.disconnect"} if gone else await message
            finally:
                for each in (message, *ends):
                    each.cancel()

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            refused = self.refused(scope, headers)
            app = PlainTextResponse(*refused) if refused else self.app
            try:
                with SpooledTemporaryFile(IN_MEMORY) as body, ExitStack() as held:
                    if not refused:
                        try:
                            if not await self._read(scope, headers, receive, body, held):
                                status = 499  # as nginx has it: the visitor left
                                return None
                        except WorkspaceError as error:
                            app = await self.on_refused(Request(scope), error)
                    await app(scope, _again(body, leaving), guarded_send)
                if cut.is_set() and not began:
                    told = SignedOutError("You may not read here any more: ask an admin of the organisation.")
                    response = await self.on_refused(Request(scope), told)
                    await response(scope, receive, guarded_send)
                elif streams and not ended and (cut.is_set() or self.closing.is_set()):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            except Exception as error:
                response = await self.on_bug(Request(scope), error)
                if began:  # the server cuts it off
                    raise
                await response(scope, receive, guarded_send)
            finally:
                route = (
                    getattr(scope.get("route"), "path", None) or "-"
                )  # a path may hold a token, its pattern does not
                seconds = time.perf_counter() - started
                self.on_request(scope["method"], route, status, seconds)
                log.info("request", method=scope["method"], route=route, status=status, ms=round(1000 * seconds, 1))
        return None

    async def _read(self, scope: Scope, headers: Headers, receive: Receive, body: Body, held: ExitStack) -> bool:
        """Takes a request's whole body; whether it came. Raises WorkspaceError for one that is not taken.

        held: gets what is to be given back when the request is done.
        """
        in_parts = "transfer-encoding" in headers
        length = IMPORT_BYTES if in_parts else int(headers.get("content-length") or 0)  # parts come first, RFC 9112
        if not length:
            return True
        most, seconds = BODY_BYTES, BODY_SECONDS
        if IMPORTS.search(scope["path"]) and length > most:
            held.enter_context(self._uploading(await run_in_threadpool(self.check_uploader, Request(scope))))
            most, seconds = IMPORT_BYTES, BODY_SECONDS + length / BYTES_A_SECOND
        if length > most and not in_parts:
            raise TooLargeError("That is too large.")
        seen = 0
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return False
                    part = message.get("body", b"")
                    seen += len(part)
                    if seen > most:
                        raise TooLargeError("That is too large.")
                    body.write(part)
                    if not message.get("more_body", False):
                        body.seek(0)
                        return True
        except TimeoutError:
            raise SlowBodyError("The request took too long to arrive.") from None

    @contextmanager
    def _uploading(self, who: uuid.UUID) -> Iterator[None]:
        """While somebody's large body is here. Raises TooManyError."""
        if self._uploads[who] >= UPLOADS_OF_ONE or self._uploads.total() >= UPLOADS:
            raise TooManyError("Other files are being uploaded. Try again in a minute.", 60)
        self._uploads[who] += 1
        try:
            yield
        finally:
            self._uploads[who] -= 1
            self._uploads += Counter()  # without those that have none

    def refused(self, scope: Scope, headers: Headers) -> tuple[str, int] | None:
        """Why a request goes no further: a text and a status."""
        host = headers.get("host", "").lower()
        named = scope["path"] in PROBES or "*" in self.hosts or re.sub(r":\d+$", "", host) in self.hosts
        if not named:
            return (
                "This server does not answer to that name. LL_PUBLIC_URL and LL_ALLOWED_HOSTS say to which it does.",
                400,
            )
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


def _again(body: Body, leaving: Receive) -> Receive:
    """Gives a body that was read in parts; `leaving` follows it."""
    done = False

    async def receive() -> Message:
        nonlocal done
        if done:
            return await leaving()
        part = body.read(PART_BYTES)
        done = len(part) < PART_BYTES
        return {"type": "http.request", "body": part, "more_body": not done}

    return receive
