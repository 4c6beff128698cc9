"""An OpenAI-compatible server of the tests' own: it answers, refuses, drips and breaks off as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What the server sends: after `delay` s each of the parts, `gap` s apart; `cut` promises more than it sends."""

    parts: tuple[bytes, ...]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0
    gap: float = 0
    cut: bool = False


def said(content: object, finish: str = "stop", **more: Any) -> Reply:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}]}
    return Reply((json.dumps(body).encode(),), **more)


def refused(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: str) -> Reply:
    return Reply((json.dumps({"error": {"message": message, **error}}).encode(),), status, headers or {})


def streamed(*pieces: str, finish: bool = True, **more: Any) -> Reply:
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    chunks.append({"choices": []})  # as servers send for usage
    if finish:
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    parts = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    return Reply((*parts, b"data: [DONE]\n\n") if finish else tuple(parts), **more)


class Server(ThreadingHTTPServer):
    """Answers each request as `reply` says; records the requests and how many ran at once."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, reply: Callable[[dict[str, Any]], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.running = self.most_running = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that gave up are expected here."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        server = self.server
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append(request)
            server.keys.append(self.headers["Authorization"])
            server.running += 1
            server.most_running = max(server.most_running, server.running)
        try:
            reply = server.reply(request)
            time.sleep(reply.delay)
        finally:
            with server.lock:
                server.running -= 1
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/event-stream" if request.get("stream") else "application/json")
        self.send_header("Content-Length", str(sum(map(len, reply.parts)) + 1000 * reply.cut))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for part in reply.parts:
            self.wfile.write(part)
            self.wfile.flush()
            time.sleep(reply.gap)

    def log_message(self, format: str, *args: object) -> None:
        pass
