"""Mail by the configured server: one plain message to one address. Knows nothing of what it says.

A call for plain functions: it waits for the server, so the database must not be held meanwhile (database.commit).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid
from urllib.parse import unquote, urlsplit

import aiosmtplib
import idna
import structlog

from lifelearn.settings import Settings
from lifelearn.workspace.errors import UnavailableError

log = structlog.get_logger("lifelearn.mail")

SECONDS = 10  # for all of it
PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True)
class Server:
    """What LL_SMTP_URL says."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Server:
        """Raises ValueError, whose text holds nothing of the URL: there is a password in it."""
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
        except ValueError:
            scheme, host, port = "", None, None
        if scheme not in PORTS or not host:
            raise ValueError("LL_SMTP_URL is not of the form smtp://user:password@host:port or smtps://….")
        user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
        return cls(host, port or PORTS[scheme], scheme == "smtps", user or None, password)

    @property
    def is_local(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def send(settings: Settings, *, to: str, subject: str, text: str) -> None:
    """Sends a message. Raises UnavailableError where it cannot be; the reason is in its text and in the log."""
    try:
        if settings.smtp_url is None:
            raise ValueError("no mail server is set up (LL_SMTP_URL).")
        server = Server.of(settings.smtp_url.get_secret_value())
        message = composed(settings.mail_from, to, subject, text)
        asyncio.run(_deliver(server, message, urlsplit(settings.public_url).hostname or "localhost"))
    except (OSError, TimeoutError, ValueError, aiosmtplib.SMTPException) as error:
        why = _why(error)
        log.warning("mail not sent", error=type(error).__name__, why=why)
        raise UnavailableError(f"The mail could not be sent: {why}") from None


def composed(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    """The message. What others wrote cannot add a header or an address: Address and EmailMessage refuse to.

    Raises ValueError.
    """
    message = EmailMessage(policy=SMTP)
    try:
        local, domain = to.split("@")
        # By IDNA 2008, as addresses are kept: Python's own codec makes of "straße" somebody else's "strasse".
        message["To"] = Address(addr_spec=f"{local}@{idna.encode(domain, uts46=True).decode()}")
        message["From"] = sender
        (own,) = message["From"].addresses
        if not own.username or not own.domain:
            raise ValueError
    except (ValueError, MessageError, IndexError, AttributeError):
        raise ValueError("the address or the sender (LL_MAIL_FROM) is not a mail address.") from None
    message["Message-ID"] = make_msgid(domain=own.domain)
    message["Subject"] = " ".join(subject.split())
    message["Date"] = localtime()
    message["Auto-Submitted"] = "auto-generated"  # no holiday notes in answer
    message.set_content(text)
    return message


async def _deliver(server: Server, message: EmailMessage, name: str) -> None:
    """name: what this machine calls itself."""
    client = aiosmtplib.SMTP(
        hostname=server.host, port=server.port, use_tls=server.tls, local_hostname=name, timeout=SECONDS
    )
    async with asyncio.timeout(SECONDS):
        try:
            await client.connect()  # encrypts by STARTTLS where the server offers it
            if server.user is not None:
                if client.get_transport_info("sslcontext") is None and not server.is_local:
                    raise ValueError("the server offers no encryption, and the password is not sent without.")
                await client.login(server.user, server.password or "")
            await client.send_message(message)
            with contextlib.suppress(aiosmtplib.SMTPException):  # the message is taken, whatever follows
                await client.quit(timeout=1)
        finally:
            client.close()


def _why(error: Exception) -> str:
    """A reason for people: never the URL, never what the server said about a password."""
    if isinstance(error, TimeoutError):
        return f"the mail server did not answer within {SECONDS} seconds."
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "the mail server refused the user or the password of LL_SMTP_URL."
    if isinstance(error, (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPRecipientRefused)):
        return "the mail server does not take mail for that address."
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"the mail server refused it (code {error.code})."
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return "the mail server's certificate is not valid for its name."
    if isinstance(error, OSError):
        return "the mail server cannot be reached."
    if isinstance(error, aiosmtplib.SMTPException):
        return "the mail server does not speak as expected."
    return str(error)
