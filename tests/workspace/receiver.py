"""A receiver of webhooks, as somebody runs one: a real server that remembers what came, and answers as it is told."""

from __future__ import annotations

import ssl
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import select

from lifelearn.settings import Settings
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database
from lifelearn.workspace.tables.webhooks import Delivery, Webhook
from lifelearn.workspace.webhooks import signing
from lifelearn.workspace.webhooks.service import tell
from waiting import until
from workspace.fakes import Workspace

Handler = BaseHTTPRequestHandler


@dataclass
class Came:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@dataclass
class Receiver:
    """Use it as a context. answers: one for each request, the last for all that follow."""

    answers: list[Callable[[Handler], None]] = field(default_factory=lambda: [status(204)])
    trust: ssl.SSLContext | None = None
    came: list[Came] = field(default_factory=list)

    def __enter__(self) -> Receiver:
        outer = self

        class Handles(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.came.append(Came(self.command, self.path, headers, body))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                answer(self)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        class Serves(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                pass  # the sender left

        self.server = Serves(("127.0.0.1", 0), Handles)
        if self.trust is not None:
            self.server.socket = self.trust.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self) -> int:
        return self.server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def wait(self, count: int = 1) -> list[Came]:
        until(lambda: len(self.came) >= count)
        return self.came


def webhook_for(
    database: Database, settings: Settings, organization_id: uuid.UUID, url: str, *events: str, **values: Any
) -> tuple[uuid.UUID, str]:
    """A webhook and its secret, without the form."""
    secret = signing.new_secret()
    with database.write() as db:
        webhook = Webhook(
            organization_id=organization_id,
            url=url,
            secret=signing.seal(Keys.of(settings), secret),
            events=list(events) or ["*"],
            **values,
        )
        db.add(webhook)
        db.flush()
        return webhook.id, secret


def deliveries_of(database: Database, webhook_id: uuid.UUID) -> list[Delivery]:
    """Oldest first."""
    with database.read() as db:
        query = select(Delivery).where(Delivery.webhook_id == webhook_id)
        return list(db.scalars(query.order_by(Delivery.created_at, Delivery.id)))


def told_webhook(workspace: Workspace, organization_id: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
    """A webhook to where nobody may go, and a delivery to it: nothing leaves this machine."""
    database, settings = workspace.database, workspace.pages.settings
    webhook_id, _secret = webhook_for(database, settings, organization_id, "https://localhost/hook")
    with database.write() as db:
        tell(db, organization_id, "job.failed", "A job failed.")
    return webhook_id, deliveries_of(database, webhook_id)[0].id
