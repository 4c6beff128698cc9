"""A mail server of the tests' own: keeps what it is given. Speaks TLS from the start, by STARTTLS, or not."""

from __future__ import annotations

import asyncio
import base64
import email
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from types import TracebackType

from waiting import HANG_SECONDS


@dataclass
class Received:
    sender: str
    recipients: list[str] = field(default_factory=list)
    data: bytes = b""
    encrypted: bool = False
    user: str = ""
    password: str = ""

    @property
    def message(self) -> EmailMessage:
        message = email.message_from_bytes(self.data, policy=default)
        assert isinstance(message, EmailMessage)
        return message

    @property
    def text(self) -> str:
        return str(self.message.get_content())


class MailServer:
    """refuses: a command that is answered by 550; hangs: one that is not answered. meanwhile: before one is taken."""

    def __init__(self, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None) -> None:
        self.tls, self.starttls = tls, starttls
        self.refuses, self.hangs = b"-", b"-"
        self.meanwhile: Callable[[], object] = lambda: None
        self.received: list[Received] = []
        self.commands: list[str] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"smtp{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> MailServer:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls), self._loop
        )
        self._server = started.result(HANG_SECONDS)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(HANG_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(HANG_SECONDS)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        others = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mail, encrypted = Received(""), self.tls is not None
        user = password = ""

        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        await say("220 mail.example.org ready")
        while line := (await reader.readline()).strip():
            command = line[:4].upper()
            self.commands.append(command.decode())
            if command == self.hangs:
                await asyncio.sleep(3600)
            if command == self.refuses:
                await say("535 no" if command == b"AUTH" else "550 no")
            elif command == b"EHLO":
                offers = ["AUTH PLAIN"] + (["STARTTLS"] if self.starttls and not encrypted else [])
                await say("\r\n".join(["250-mail.example.org", *(f"250-{each}" for each in offers[:-1])]))
                await say(f"250 {offers[-1]}")
            elif command == b"STAR" and self.starttls:
                await say("220 go on")
                await writer.start_tls(self.starttls)
                encrypted = True
            elif command == b"AUTH":
                _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                await say("235 welcome")
            elif command == b"MAIL":
                address = line.split(b"<")[1].split(b">")[0].decode()
                mail = Received(address, encrypted=encrypted, user=user, password=password)
                await say("250 ok")
            elif command == b"RCPT":
                mail.recipients.append(line.split(b"<")[1].split(b">")[0].decode())
                await say("250 ok")
            elif command == b"DATA":
                await say("354 go on")
                mail.data = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
                await asyncio.to_thread(self.meanwhile)
                self.received.append(mail)
                await say("250 taken")
            elif command == b"QUIT":
                await say("221 bye")
                return
            else:
                await say("502 what?")
