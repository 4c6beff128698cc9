"""Deliveries to a real receiver: what is sent to whom, how it is signed, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from datetime import datetime
from typing import Any

import pytest

from lifelearn.settings import Settings
from lifelearn.workspace import logs
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database
from lifelearn.workspace.webhooks import sending
from lifelearn.workspace.webhooks.addresses import Addresses, look_up
from lifelearn.workspace.webhooks.sending import Sender
from lifelearn.workspace.webhooks.service import tell
from workspace.deliveries import make_organization, over, sends, told, verified
from workspace.fakes import BOTH
from workspace.receiver import Receiver, deliveries_of, status, webhook_for

pytestmark = [
    pytest.mark.check("processes"),
    pytest.mark.settings(webhook_private_networks="127.0.0.0/8"),
    pytest.mark.usefixtures("quick_sending"),
]


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


# Secrets


def test_after_the_installations_key_was_changed(
    database: Database, settings: Settings, organization_id: uuid.UUID, receiver: Receiver
) -> None:
    webhook_id, _secret = webhook_for(database, settings, organization_id, receiver.url)
    told(database, organization_id)
    sends(Sender(database, settings, Keys("another " * 5)), over(database, webhook_id))
    assert receiver.came == []
    assert "LL_SECRET_KEY was changed" in deliveries_of(database, webhook_id)[0].problem


@pytest.mark.usefixtures("logs_as_before")
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
