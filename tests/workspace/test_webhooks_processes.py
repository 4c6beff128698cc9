"""Deliveries by several processes and by processes that end: never twice, and none lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
from sqlalchemy import select, update

from lifelearn.settings import Settings
from lifelearn.workspace.children import handed_over
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database, ago
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.webhooks import Delivery, Webhook
from lifelearn.workspace.webhooks import sending
from lifelearn.workspace.webhooks.sending import Outcome, Sender
from lifelearn.workspace.webhooks.service import disable
from waiting import HANG_SECONDS, until
from workspace.deliveries import make_organization, over, sends, told, verified
from workspace.fakes import BOTH
from workspace.receiver import Handler, Receiver, deliveries_of, status, webhook_for

pytestmark = [
    pytest.mark.check("processes"),
    pytest.mark.settings(webhook_private_networks="127.0.0.0/8"),
    pytest.mark.usefixtures("quick_sending"),
]


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
