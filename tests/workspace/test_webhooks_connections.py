"""What a delivery connects to: where it may not go, whatever names, proxies and certificates say."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lifelearn.settings import Settings
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database
from lifelearn.workspace.webhooks import sending
from lifelearn.workspace.webhooks.addresses import Addresses
from lifelearn.workspace.webhooks.sending import Sender
from workspace.deliveries import over, sends, told, verified
from workspace.receiver import Receiver, deliveries_of, status, webhook_for

pytestmark = [
    pytest.mark.check("processes"),
    pytest.mark.settings(webhook_private_networks="127.0.0.0/8"),
    pytest.mark.usefixtures("quick_sending"),
]


def test_redirects_are_not_followed(
    database: Database,
    settings: Settings,
    organization_id: uuid.UUID,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "RETRY_SECONDS", ())
    with Receiver() as inside:
        receiver.answers = [status(code, Location=inside.url) for code in (301, 302, 303, 307, 308)]
        webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
        for _ in range(5):
            told(database, organization_id)
        sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
        assert inside.came == []
    assert len(receiver.came) == 5
    assert all("Redirects are not followed" in each.problem for each in deliveries_of(database, webhook_id))


def test_a_name_that_leads_elsewhere_by_now(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    """What was public when it was saved is looked at again each time."""
    found = [["1.1.1.1"], ["127.0.0.1"], ["169.254.169.254"]]
    public = settings.model_copy(update={"webhook_private_networks": None})
    addresses = Addresses(None, lambda _host, _port: found.pop(0) if len(found) > 1 else found[0])
    url = f"https://hooks.example:{receiver.port}/hook"
    assert str(addresses.check(url)[0]) == url
    webhook_id, _secret = webhook_for(database, public, organization_id, url)
    told(database, organization_id)
    sends(Sender(database, public, Keys.of(settings), addresses), over(database, webhook_id))
    (delivery,) = deliveries_of(database, webhook_id)
    assert "not public" in delivery.problem
    assert "127.0.0.1" not in delivery.problem
    assert delivery.attempts == 7
    assert receiver.came == []


def test_what_was_checked_is_what_is_connected_to(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    """A name server that says something else to each who asks is asked once."""
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    webhook_id, _secret = webhook_for(
        database, settings, organization_id, f"http://hooks.example:{receiver.port}/hook?a=b"
    )
    told(database, organization_id)
    addresses = Addresses("127.0.0.1/32", rebinding)
    sends(Sender(database, settings, Keys.of(settings), addresses), over(database, webhook_id))
    assert asked == ["hooks.example"]
    (came,) = receiver.came
    assert (came.path, came.headers["host"]) == ("/hook?a=b", f"hooks.example:{receiver.port}")


def test_another_address_of_the_name_where_one_does_not_answer(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    webhook_id, _secret = webhook_for(database, settings, organization_id, f"http://hooks.example:{receiver.port}/")
    told(database, organization_id)
    addresses = Addresses("127.0.0.0/8", lambda _host, _port: ["127.0.0.2", "127.0.0.1"])
    sends(Sender(database, settings, Keys.of(settings), addresses), over(database, webhook_id))
    assert deliveries_of(database, webhook_id)[0].attempts == 1
    assert len(receiver.came) == 1


def test_surroundings_change_nothing(
    database: Database,
    settings: Settings,
    organization_id: uuid.UUID,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a proxy that the environment names, which would resolve the name anew, nor cookies that were set."""
    with Receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        receiver.answers = [status(200, **{"Set-Cookie": "session=1; Path=/"})]
        webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
        for _ in range(2):
            told(database, organization_id)
        sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
        assert proxy.came == []
    assert len(receiver.came) == 2
    assert not any("cookie" in came.headers for came in receiver.came)


@pytest.mark.parametrize("name", ["hooks.example", "other.example"])
def test_the_certificate_is_the_names(
    database: Database, settings: Settings, organization_id: uuid.UUID, tmp_path: Path, name: str
) -> None:
    """Though the connection is made to an address."""
    import ssl

    certificate, key = certificate_for(name, tmp_path)
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(certificate, key)
    named: list[str | None] = []
    serves.sni_callback = lambda _socket, given, _context: named.append(given)
    with Receiver(trust=serves) as receiver:
        webhook_id, secret = webhook_for(
            database, settings, organization_id, f"https://hooks.example:{receiver.port}/hook"
        )
        told(database, organization_id)
        addresses = Addresses("127.0.0.0/8", lambda _host, _port: ["127.0.0.1"])
        trust = ssl.create_default_context(cafile=certificate)
        sends(Sender(database, settings, Keys.of(settings), addresses, trust), over(database, webhook_id))
        (delivery,) = deliveries_of(database, webhook_id)
        assert set(named) == {"hooks.example"}
        if name == "hooks.example":
            assert delivery.status == 204
            verified(secret, receiver.came[0])
        else:
            assert receiver.came == []
            assert "certificate" in delivery.problem


def certificate_for(name: str, folder: Path) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private
