"""Receivers that fail, hang and answer nonsense: deliveries are tried again, and given up in the end."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable
from itertools import pairwise

import pytest
from sqlalchemy import select, update

from lifelearn.settings import Settings
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database, ahead, now
from lifelearn.workspace.tables.organizations import AuditEvent, Membership, Role
from lifelearn.workspace.tables.webhooks import Delivery, Happening, Webhook
from lifelearn.workspace.webhooks import sending
from lifelearn.workspace.webhooks.sending import Outcome, Sender
from workspace.deliveries import make_organization, over, sends, told, verified
from workspace.fakes import BOTH
from workspace.receiver import Handler, Receiver, deliveries_of, status, webhook_for

pytestmark = [
    pytest.mark.check("processes"),
    pytest.mark.settings(webhook_private_networks="127.0.0.0/8"),
    pytest.mark.usefixtures("quick_sending"),
]


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
