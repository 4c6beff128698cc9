"""Mail, against a real server: encrypted where it can be, without a way to add headers, with errors for people."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from structlog.testing import capture_logs

from lifelearn.settings import Settings
from lifelearn.workspace import mail
from lifelearn.workspace.errors import UnavailableError
from workspace.smtp import MailServer

PASSWORD = "p@ss/w:rd"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as found:
        yield found


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server for 127.0.0.1 needs; its certificate is trusted in this test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    moment = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment - datetime.timedelta(days=1))
        .not_valid_after(moment + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


def send(url: str, to: str = "bert@example.org", subject: str = "Hello", text: str = "A link.\n", **more: str) -> None:
    settings = Settings(smtp_url=SecretStr(url), public_url="https://chat.example.org", **more)  # type: ignore[arg-type]
    mail.send(settings, to=to, subject=subject, text=text)


def with_user(url: str) -> str:
    return url.replace("://", "://anna%40example.org:p%40ss%2Fw%3Ard@")


def test_a_message_arrives(server: MailServer) -> None:
    send(server.url, subject="Grüße ✓", text="Schöne Grüße.\n.\nEnde\n", mail_from="Life-Learn <chat@example.org>")
    received = server.received[0]
    assert (received.sender, received.recipients) == ("chat@example.org", ["bert@example.org"])
    message = received.message
    assert message["Subject"] == "Grüße ✓"
    assert message["To"] == "bert@example.org"
    assert message["From"] == "Life-Learn <chat@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.org>")
    assert abs((datetime.datetime.now(datetime.UTC) - message["Date"].datetime).total_seconds()) < 60
    assert "Schöne Grüße." in received.text
    assert not received.encrypted


def test_a_domain_in_other_letters(server: MailServer) -> None:
    send(server.url, to="bert@bücher.example")
    send(server.url, to="bert@straße.example")  # which is not "strasse.example"
    assert [each.recipients for each in server.received] == [
        ["bert@xn--bcher-kva.example"],
        ["bert@xn--strae-oqa.example"],
    ]


@pytest.mark.parametrize("kind", ["tls", "starttls"])
def test_encrypted_where_the_server_can(tls: ssl.SSLContext, kind: str) -> None:
    with MailServer(**{kind: tls}) as server:
        send(with_user(server.url))
    received = server.received[0]
    assert received.encrypted
    assert (received.user, received.password) == ("anna@example.org", PASSWORD)


@pytest.mark.parametrize("kind", ["tls", "starttls"])
def test_a_certificate_that_is_not_trusted(tls: ssl.SSLContext, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with MailServer(**{kind: tls}) as server:
        with pytest.raises(UnavailableError, match="certificate is not valid"):
            send(with_user(server.url))
        assert server.received == []
        assert "AUTH" not in server.commands


def test_a_password_is_not_sent_in_the_clear_over_a_network(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(with_user(server.url))  # to this machine it may
    assert server.received[0].password == PASSWORD
    monkeypatch.setattr(mail.Server, "is_local", False)
    with pytest.raises(UnavailableError, match="offers no encryption"):
        send(with_user(server.url))
    assert server.commands.count("AUTH") == 1


@pytest.mark.parametrize(
    "to",
    [
        "",
        "a@",
        "@example.org",
        "a@b@example.org",
        "a b@example.org",
        "a@example.org, eve@example.org",
        "a@example.org\r\nBcc: eve@example.org",
        "a@example.org\nBcc: eve@example.org",
        "a@example.org>\r\nRCPT TO:<eve@example.org",
        '"a\r\nBcc: eve@example.org"@example.org',
        "a@example\u2028.org",
        "a@" + "x" * 300 + ".org",
    ],
)
def test_an_address_cannot_bring_more_addresses(server: MailServer, to: str) -> None:
    with pytest.raises(UnavailableError, match="not a mail address"):
        send(server.url, to=to)
    assert server.received == []


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\x0b", "\x85"])
def test_a_subject_cannot_bring_headers(server: MailServer, end: str) -> None:
    send(
        server.url, subject=f"Hello{end}Bcc: eve@example.org{end}{end}Body", text=f"x{end}.{end}MAIL FROM:<eve@x.org>\n"
    )
    assert len(server.received) == 1
    message = server.received[0].message
    assert message["Bcc"] is None
    assert message["Subject"] == "Hello Bcc: eve@example.org Body"
    assert server.received[0].recipients == ["bert@example.org"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (b"MAIL", "refused it \\(code 550\\)"),
        (b"RCPT", "does not take mail for that address"),
        (b"DATA", "refused it \\(code 550\\)"),
        (b"AUTH", "refused the user or the password"),
    ],
)
def test_what_a_server_refuses(server: MailServer, command: bytes, said: str) -> None:
    server.refuses = command
    with capture_logs() as logs, pytest.raises(UnavailableError, match=said) as caught:
        send(with_user(server.url))
    for text in (str(caught.value), str(logs)):
        assert PASSWORD not in text
        assert "p%40ss" not in text
    assert logs[0]["event"] == "mail not sent"


def test_a_server_that_does_not_answer(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "SECONDS", 0.5)
    for command in (b"EHLO", b"DATA"):
        server.hangs = command
        with pytest.raises(UnavailableError, match="did not answer within"):
            send(server.url)


def test_no_server() -> None:
    with MailServer() as server:
        pass
    with pytest.raises(UnavailableError, match="cannot be reached"):
        send(server.url)
    with pytest.raises(UnavailableError, match="LL_SMTP_URL"):
        mail.send(Settings(), to="a@example.org", subject="x", text="x")


@pytest.mark.parametrize("url", ["http://h", "smtp://", "smtp://u:secret@h:99999", "smtp://[::1", "secret", ""])
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(UnavailableError, match="LL_SMTP_URL is not of the form") as caught:
        send(url)
    assert "secret" not in str(caught.value)


def test_the_parts_of_a_url() -> None:
    assert mail.Server.of("smtp://host") == mail.Server("host", 587, False)
    assert mail.Server.of("smtps://u@host") == mail.Server("host", 465, True, "u")
    assert mail.Server.of("SMTP://u:a%2Fb@[::1]:25") == mail.Server("::1", 25, False, "u", "a/b")
    assert "a/b" not in repr(mail.Server.of("smtp://u:a%2Fb@host"))


def test_who_sends_must_be_an_address(server: MailServer) -> None:
    with pytest.raises(UnavailableError, match="LL_MAIL_FROM"):
        send(server.url, mail_from="Life-Learn")
