"""Deliveries to real receivers, good and bad: signed, tried again, given up, never twice, never where they may not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select, update

from lifelearn.settings import Settings
from lifelearn.workspace import logs
from lifelearn.workspace.children import handed_over
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database, ago, ahead, now
from lifelearn.workspace.migrations import upgrade
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import AuditEvent, Membership, Organization, Role
from lifelearn.workspace.tables.webhooks import Delivery, Happening, Webhook
from lifelearn.workspace.webhooks import sending
from lifelearn.workspace.webhooks.addresses import Addresses, look_up
from lifelearn.workspace.webhooks.sending import Outcome, Sender
from lifelearn.workspace.webhooks.service import disable, tell
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH
from workspace.receiver import Handler, Receiver, deliveries_of, status, webhook_for

pytestmark = pytest.mark.check("processes")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_private_networks": "127.0.0.0/8"})


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    found = Database(settings.database_url)
    upgrade(found)
    yield found
    found.close()


@pytest.fixture
def organization_id(database: Database) -> uuid.UUID:
    return make_organization(database)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(sending, "RETRY_SECONDS", 6 * (0.01,))
    monkeypatch.setattr(sending, "GRACE_SECONDS", 0.2)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    root = logging.getLogger()
    for handler in [each for each in root.handlers if each.get_name() == logs.HANDLER]:
        root.removeHandler(handler)


def make_organization(database: Database, name: str = "Acme", admins: int = 1) -> uuid.UUID:
    with database.write() as db:
        made = Organization(name=name, base_model="bundled")
        users = [User(email=f"{uuid.uuid4()}@example.org", name="Anna") for _ in range(admins + 1)]
        db.add_all([made, *users])
        db.flush()
        roles = [Role.OWNER, *(admins - 1) * [Role.ADMIN], Role.MEMBER]
        for user, role in zip(users, roles, strict=True):
            db.add(Membership(organization_id=made.id, user_id=user.id, role=role))
        return made.id


def told(database: Database, organization_id: uuid.UUID, name: str = "version.activated", **details: Any) -> uuid.UUID:
    with database.write() as db:
        happening = tell(db, organization_id, name, "Version 3 answers now.", "/versions/3", **details)
        db.flush()
        return happening.id


def sends(sender: Sender, holds: Callable[[], object]) -> None:
    """Has the sender run until that holds."""

    async def run() -> None:
        await sender.start()
        try:
            await asyncio.to_thread(until, holds)
        finally:
            await sender.stop()

    asyncio.run(run())


def over(database: Database, webhook_id: uuid.UUID) -> Callable[[], bool]:
    return lambda: all(each.next_at is None for each in deliveries_of(database, webhook_id))


def verified(secret: str, came: Any) -> dict[str, Any]:
    """As a receiver does it, written from the specification and not from our code."""
    key = base64.b64decode(secret.split("_", 1)[1])
    signed = b".".join((came.headers["webhook-id"].encode(), came.headers["webhook-timestamp"].encode(), came.body))
    wanted = hmac.digest(key, signed, hashlib.sha256)
    given = [each.split(",", 1) for each in came.headers["webhook-signature"].split(" ")]
    assert any(name == "v1" and base64.b64decode(value) == wanted for name, value in given), "wrong signature"
    assert abs(int(came.headers["webhook-timestamp"]) - time.time()) < 60
    found: dict[str, Any] = json.loads(came.body)
    return found


# What is sent


@BOTH
def test_a_delivery(database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver) -> None:
    webhook_id, secret = webhook_for(database, settings, organization_id, receiver.url, "version.activated")
    happening_id = told(database, organization_id, number=3, answer="25 Tage für „Ältere“")
    told(database, organization_id, "job.failed")  # not wanted
    sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
    (came,) = receiver.came
    body = verified(secret, came)
    assert (came.method, came.path) == ("POST", "/hook")
    assert datetime.fromisoformat(body.pop("created_at")).tzinfo is not None
    assert body == {
        "id": str(happening_id),
        "event": "version.activated",
        "organization": {"id": str(organization_id), "name": "Acme"},
        "data": {"number": 3, "answer": "25 Tage für „Ältere“"},
        "title": "Version 3 answers now.",
        "url": f"http://testserver/o/{organization_id}/versions/3",
    }
    assert came.headers["webhook-id"] == str(happening_id)
    assert came.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert came.headers["user-agent"].startswith("Life-Learn/")
    assert came.headers["content-type"] == "application/json"
    assert not {"cookie", "authorization"} & set(came.headers)
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.attempts, delivery.status, delivery.problem) == (1, 204, "")
    assert delivery.delivered_at is not None


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The specification's own example."""
    from lifelearn.workspace.webhooks.signing import signature

    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    given = signature([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_who_wants_what(database: Database, settings: Settings, organization_id: uuid.UUID) -> None:
    elsewhere = make_organization(database, "Other")
    ids = {
        name: webhook_for(database, settings, where, "https://localhost/", *events, enabled=name != "disabled")[0]
        for name, where, events in (
            ("all", organization_id, ("*",)),
            ("one", organization_id, ("job.failed", "version.activated")),
            ("other", organization_id, ("job.failed",)),
            ("prefix", organization_id, ("version", "version.*")),
            ("disabled", organization_id, ("*",)),
            ("elsewhere", elsewhere, ("*",)),
        )
    }
    told(database, organization_id)
    counts = {name: len(deliveries_of(database, webhook_id)) for name, webhook_id in ids.items()}
    assert counts == {"all": 1, "one": 1, "other": 0, "prefix": 0, "disabled": 0, "elsewhere": 0}


def test_nothing_is_sent_of_what_is_not_kept(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    with contextlib.suppress(KeyError), database.write() as db:
        tell(db, organization_id, "job.failed", "A job failed.")
        raise KeyError
    assert deliveries_of(database, webhook_id) == []


def test_a_sender_is_woken(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sending, "POLL_SECONDS", 60.0)
    webhook_for(database, settings, organization_id, receiver.url)

    async def run() -> None:
        sender = Sender(database, settings, Keys.of(settings))
        await sender.start()
        await asyncio.sleep(0.3)  # it has looked, and sleeps
        await asyncio.to_thread(told, database, organization_id)
        await asyncio.to_thread(receiver.wait)
        await sender.stop()

    asyncio.run(run())


# Receivers that fail


@BOTH
def test_what_fails_is_tried_again(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    receiver.answers = [status(500), status(429), status(200)]
    webhook_id, secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
    assert len({came.headers["webhook-id"] for came in receiver.came}) == 1
    assert len([verified(secret, came) for came in receiver.came]) == 3
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.attempts, delivery.status, delivery.problem) == (3, 200, "")
    with database.read() as db:
        assert db.get_one(Webhook, webhook_id).failures == 0


def test_the_waits_grow_until_it_is_given_up(
    database: Database, settings: Settings, organization_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    webhook_id, _secret = webhook_for(database, settings, organization_id, "https://localhost/")
    told(database, organization_id)
    sender = Sender(database, settings, Keys.of(settings))
    waits: list[float] = []
    while orders := sender.claim():
        (order,) = orders
        sender.settle(order, Outcome(500, "The receiver answered 500."))
        (delivery,) = deliveries_of(database, webhook_id)
        if delivery.next_at is not None:
            waits.append((delivery.next_at - now()).total_seconds())
            with database.write() as db:
                db.execute(update(Delivery).values(next_at=now()))
    assert all(later > 2 * earlier for earlier, later in pairwise(waits))
    assert sum(waits) > 3600, "who is away for an hour misses nothing"
    assert (delivery.attempts, delivery.next_at, delivery.delivered_at) == (len(waits) + 1, None, None)


def test_an_outage_does_not_disable_it(database: Database, settings: Settings, organization_id: uuid.UUID) -> None:
    """However much is waiting: only deliveries that were given up count."""
    webhook_id, _secret = webhook_for(database, settings, organization_id, "https://localhost/")
    for _ in range(60):
        told(database, organization_id)
    sender = Sender(database, settings, Keys.of(settings))
    for _ in range(60):
        (order,) = sender.claim()
        sender.settle(order, Outcome(None, "No connection."))
        with database.write() as db:  # this one has its turn again last
            db.execute(update(Delivery).where(Delivery.id == order.delivery_id).values(next_at=ahead(seconds=3600)))
    assert {each.attempts for each in deliveries_of(database, webhook_id)} == {1}
    with database.read() as db:
        webhook = db.get_one(Webhook, webhook_id)
        assert (webhook.enabled, webhook.failures) == (True, 0)


def test_many_deliveries_given_up_in_a_row_disable_it(
    database: Database, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MOST_FAILURES", 2)
    monkeypatch.setattr(sending, "RETRY_SECONDS", (0.05,))
    organization_id = make_organization(database, admins=3)
    receiver.answers = [status(500)]
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    with Receiver() as other:
        other_id, _secret = webhook_for(database, settings, organization_id, other.url, "webhook.disabled")
        for _ in range(3):
            told(database, organization_id)
        sends(Sender(database, settings, Keys.of(settings)), lambda: other.came and over(database, other_id)())
        assert len(other.came) == 1, "once, and not for each admin"
        assert json.loads(other.came[0].body)["data"] == {"webhook_id": str(webhook_id)}
    assert len(receiver.came) in (4, 5)  # the third one's turn may have come between
    assert over(database, webhook_id)()
    with database.read() as db:
        webhook = db.get_one(Webhook, webhook_id)
        assert (webhook.enabled, webhook.failures) == (False, 2)
        notices = db.scalars(select(Happening).where(Happening.name == "webhook.disabled")).all()
        admins = select(Membership.user_id).where(Membership.role.in_([Role.ADMIN, Role.OWNER]))
        assert {each.user_id for each in notices} == set(db.scalars(admins))
        why = "2 deliveries in a row were given up, each after 2 attempts."
        assert {each.title for each in notices} == {f"A webhook was disabled. {why}"}
        assert {each.path for each in notices} == {f"/webhooks/{webhook_id}"}
        event = db.scalars(select(AuditEvent)).one()
        assert (event.action, event.target) == ("webhook.disabled", f"http://127.0.0.1:{receiver.port}")


def test_a_receiver_that_is_gone(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    receiver.answers = [status(410)]
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    for _ in range(3):
        told(database, organization_id)
    sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
    assert len(receiver.came) == 1
    problems = [each.problem for each in deliveries_of(database, webhook_id)]
    assert problems == ["The receiver answered 410.", "The webhook was disabled.", "The webhook was disabled."]
    with database.read() as db:
        assert not db.get_one(Webhook, webhook_id).enabled
    told(database, organization_id)
    assert len(deliveries_of(database, webhook_id)) == 3


def test_what_was_told_while_it_was_disabled_is_not_sent(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    with database.write() as db:
        db.get_one(Webhook, webhook_id).enabled = False
    assert Sender(database, settings, Keys.of(settings)).claim() == []
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.next_at, delivery.problem) == (None, "The webhook was disabled.")


def test_who_hangs_holds_up_nobody_else(
    database: Database,
    settings: Settings,
    organization_id: uuid.UUID,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does who has much to be sent."""
    monkeypatch.setattr(sending, "TIMEOUT_SECONDS", 3.0)
    monkeypatch.setattr(sending, "RETRY_SECONDS", (60,))
    receiver.answers = [lambda _handler: time.sleep(5)]
    hanging, _secret = webhook_for(database, settings, organization_id, receiver.url)
    for _ in range(50):
        told(database, organization_id)
    elsewhere = make_organization(database, "Other")
    with Receiver() as other:
        webhook_for(database, settings, elsewhere, other.url)
        told(database, elsewhere)
        sender = Sender(database, settings, Keys.of(settings))
        order: list[str] = []

        def both() -> bool:
            if other.came and "other" not in order:
                order.append("other")
            if any(each.problem for each in deliveries_of(database, hanging)) and "hanging" not in order:
                order.append("hanging")
            return len(order) == 2

        sends(sender, both)
        assert order == ["other", "hanging"]
    first = next(each for each in deliveries_of(database, hanging) if each.problem)
    assert (first.status, first.problem) == (None, "No answer within 3 seconds.")


def test_an_organisation_has_a_part_of_the_places(database: Database, settings: Settings) -> None:
    for name in ("Acme", "Other"):
        organization_id = make_organization(database, name)
        for _ in range(10):
            webhook_for(database, settings, organization_id, "https://localhost/")
        told(database, organization_id)
    sender = Sender(database, settings, Keys.of(settings))
    first = sender.claim()
    assert len(first) == 2 * sending.AT_ONCE_EACH
    assert len({each.webhook_id for each in first}) == len(first)
    assert sender.claim(first) == []
    assert len(sender.claim(first[:2])) == 2 * sending.AT_ONCE_EACH - 2


def test_a_body_without_end(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        while sent < 1 << 30:
            handler.wfile.write(b"x" * 65_536)
            sent += 65_536

    receiver.answers = [endless]
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
    assert deliveries_of(database, webhook_id)[0].status == 200
    assert sent < 32 << 20, "only what the buffers on the way hold"


def test_a_body_that_drips(
    database: Database,
    settings: Settings,
    organization_id: uuid.UUID,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "BODY_SECONDS", 0.3)

    def drips(handler: Handler) -> None:
        handler.send_response(201)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    receiver.answers = [drips]
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
    assert deliveries_of(database, webhook_id)[0].status == 201


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n\r\n"), "The connection broke"),
        (lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), "The connection broke"),
        (lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20)), "The connection broke"),
        (status(304), "Redirects are not followed"),
        (status(101), "The connection broke"),
    ],
)
def test_answers_that_are_none(
    database: Database,
    settings: Settings,
    organization_id: uuid.UUID,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[Handler], None],
    problem: str,
) -> None:
    monkeypatch.setattr(sending, "RETRY_SECONDS", ())
    receiver.answers = [answer]
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
    (delivery,) = deliveries_of(database, webhook_id)
    assert problem in delivery.problem
    assert delivery.delivered_at is None


def test_nobody_there(database: Database, settings: Settings, organization_id: uuid.UUID) -> None:
    with Receiver() as gone:
        url = gone.url
    webhook_id, _secret = webhook_for(database, settings, organization_id, url)
    told(database, organization_id)
    sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
    (delivery,) = deliveries_of(database, webhook_id)
    assert delivery.problem.startswith("No connection: ")


# Where it may not go


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


# Several processes, and processes that end


@BOTH
def test_two_senders_send_each_once(database: Database, settings: Settings, receiver: Receiver) -> None:
    webhooks = []
    for name in ("Acme", "Other", "Third"):
        organization_id = make_organization(database, name)
        webhooks += [webhook_for(database, settings, organization_id, receiver.url)[0] for _ in range(3)]
        for _ in range(8):
            told(database, organization_id)
    second = Database(settings.database_url)

    async def run() -> None:
        senders = [Sender(each, settings, Keys.of(settings)) for each in (database, second)]
        for sender in senders:
            await sender.start()
        await asyncio.to_thread(until, lambda: all(over(database, each)() for each in webhooks))
        for sender in senders:
            await sender.stop()

    try:
        asyncio.run(run())
    finally:
        second.close()
    assert len(receiver.came) == 72
    per_event = [came.headers["webhook-id"] for came in receiver.came]
    assert {per_event.count(each) for each in set(per_event)} == {3}, "once for each webhook"
    assert {each.attempts for webhook_id in webhooks for each in deliveries_of(database, webhook_id)} == {1}


@BOTH
def test_two_claims_at_once(
    database: Database, settings: Settings, organization_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that it is due before either takes it."""
    webhook_for(database, settings, organization_id, "https://localhost/")
    told(database, organization_id)
    first, second = (Sender(database, settings, Keys.of(settings)) for _ in range(2))
    due = first._due([])
    monkeypatch.setattr(second, "_due", lambda _busy: due)
    assert len(first.claim()) == 1
    assert second.claim() == []


@BOTH
def test_a_process_that_is_killed_while_it_sends(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    came = 0

    def first_hangs(handler: Handler) -> None:
        nonlocal came
        came += 1
        if came == 1:
            time.sleep(60)
        status(204)(handler)

    receiver.answers = [first_hangs]
    webhook_id, secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    process = subprocess.Popen([sys.executable, "-c", KILLED, json.dumps(handed_over(settings))])
    try:
        receiver.wait(1)
        sender = Sender(database, settings, Keys.of(settings))
        assert sender.claim() == [], "it is the other's"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.attempts, delivery.delivered_at) == (1, None)
    assert delivery.next_at is not None
    sends(sender, over(database, webhook_id))
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.attempts, delivery.status) == (2, 204)
    assert len({each.headers["webhook-id"] for each in receiver.came}) == 1
    verified(secret, receiver.came[-1])


KILLED = """
import asyncio, json, sys
from lifelearn.settings import Settings
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database
from lifelearn.workspace.webhooks import sending
sending.LEASE_SECONDS = 3.0
settings = Settings(**json.loads(sys.argv[1]))
async def run():
    await sending.Sender(Database(settings.database_url), settings, Keys.of(settings)).start()
    await asyncio.sleep(60)
asyncio.run(run())
"""


@BOTH
def test_who_lost_a_claim_does_not_count(database: Database, settings: Settings, organization_id: uuid.UUID) -> None:
    webhook_id, _secret = webhook_for(database, settings, organization_id, "https://localhost/")
    told(database, organization_id)
    sender = Sender(database, settings, Keys.of(settings))
    (first,) = sender.claim()
    assert sender.claim() == []
    with database.write() as db:  # as the clock does it
        db.execute(update(Delivery).values(next_at=ago(seconds=1)))
    (second,) = sender.claim()
    assert (first.attempt, second.attempt) == (1, 2)
    sender.settle(first, Outcome(500, "The receiver answered 500."))
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.status, delivery.problem) == (None, "")
    sender.settle(second, Outcome(204))
    sender.settle(second, Outcome(500, "again"))
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.status, delivery.problem, delivery.next_at) == (204, "", None)
    with database.read() as db:
        assert db.get_one(Webhook, webhook_id).failures == 0


def test_what_is_deleted_while_it_is_sent(database: Database, settings: Settings, organization_id: uuid.UUID) -> None:
    webhook_for(database, settings, organization_id, "https://localhost/")
    told(database, organization_id)
    sender = Sender(database, settings, Keys.of(settings))
    (order,) = sender.claim()
    with database.write() as db:
        db.delete(db.get_one(Organization, organization_id))
    sender.settle(order, Outcome(204))
    with database.read() as db:
        assert db.scalars(select(Delivery)).all() == []


def test_it_is_disabled_while_it_is_sent(database: Database, settings: Settings, organization_id: uuid.UUID) -> None:
    webhook_id, _secret = webhook_for(database, settings, organization_id, "https://localhost/")
    told(database, organization_id)
    sender = Sender(database, settings, Keys.of(settings))
    (order,) = sender.claim()
    with database.write() as db:
        disable(db, db.get_one(Webhook, webhook_id), "A test.")
    sender.settle(order, Outcome(500, "The receiver answered 500."))
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.next_at, delivery.problem) == (None, "The receiver answered 500.")


def test_the_database_is_gone_for_a_while(
    database: Database,
    settings: Settings,
    organization_id: uuid.UUID,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    sender = Sender(database, settings, Keys.of(settings))
    claims, claim = [], sender.claim

    def fails_at_first(*given: Any) -> Any:
        claims.append(given)
        if len(claims) < 4:
            raise OSError("gone")
        return claim(*given)

    monkeypatch.setattr(sender, "claim", fails_at_first)
    sends(sender, over(database, webhook_id))
    assert len(receiver.came) == 1


def test_the_end_waits_for_what_is_on_its_way(
    database: Database,
    settings: Settings,
    organization_id: uuid.UUID,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "GRACE_SECONDS", HANG_SECONDS)

    def slow(handler: Handler) -> None:
        time.sleep(0.5)
        status(204)(handler)

    receiver.answers = [slow]
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    sends(Sender(database, settings, Keys.of(settings)), lambda: receiver.came)
    (delivery,) = deliveries_of(database, webhook_id)
    assert (delivery.status, delivery.next_at) == (204, None)


# Secrets


def test_after_the_installations_key_was_changed(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    sends(Sender(database, settings, Keys("another " * 5)), over(database, webhook_id))
    assert receiver.came == []
    assert "LL_SECRET_KEY was changed" in deliveries_of(database, webhook_id)[0].problem


def test_no_secret_is_in_the_logs(
    database: Database,
    settings: Settings,
    organization_id: uuid.UUID,
    receiver: Receiver,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor the path of an address, which is one at many services."""
    logs.configure("json")
    receiver.answers = [status(500), status(204)]
    url = receiver.url + "/services/T0/B0/verysecret"
    webhook_id, secret = webhook_for(database, settings, organization_id, url)
    told(database, organization_id, answer="confidential")
    sends(Sender(database, settings, Keys.of(settings)), over(database, webhook_id))
    told(database, organization_id)
    bug = Sender(database, settings, Keys.of(settings), Addresses(None, look_up))
    monkeypatch.setattr(bug.addresses, "check", lambda _url: 1 / 0)
    sends(bug, lambda: any("ZeroDivisionError" in each.problem for each in deliveries_of(database, webhook_id)))
    out, err = capfd.readouterr()
    said = out + err
    assert "webhook not sent" in said
    for hidden in ("verysecret", secret, secret.removeprefix("whsec_"), "confidential"):
        assert hidden not in said
