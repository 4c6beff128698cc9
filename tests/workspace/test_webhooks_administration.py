"""Webhooks as admins handle them: changed, tried, looked at; what nobody else gets to see."""

from __future__ import annotations

import html
import json
import re
import uuid

import pytest
from sqlalchemy import delete, select, update

from lifelearn.workspace import operation
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import ago
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.throttles import Throttle
from lifelearn.workspace.tables.webhooks import Delivery, Happening, Webhook
from lifelearn.workspace.throttle import Limit
from lifelearn.workspace.webhooks import administration, signing
from waiting import until
from workspace.deliveries import verified
from workspace.fakes import BOTH, Workspace
from workspace.hooks import SECRET, Hooks
from workspace.programs import key_of
from workspace.receiver import Receiver, deliveries_of, status, webhook_for
from workspace.xss import VECTORS, problems_in

pytestmark = pytest.mark.settings(webhook_private_networks="127.0.0.0/8")

# Changing one


def test_change_and_disable_and_enable(workspace: Workspace, hooks: Hooks) -> None:
    webhook_id, _secret = hooks.made("https://localhost/a", "job.failed", failures=7)
    path = f"{hooks.url}/{webhook_id}"
    hooks.tell("job.failed")
    waiting = deliveries_of(workspace.database, webhook_id)
    assert len(waiting) == 1
    form = {"url": "https://localhost/a", "events": ["job.failed", "version.activated"]}
    assert hooks.anna.post(path, form).headers["location"] == f"{path}?notice=saved"
    (webhook,) = hooks.webhooks()
    assert (webhook.enabled, webhook.events) == (False, ["version.activated", "job.failed"])
    (delivery,) = deliveries_of(workspace.database, webhook_id)
    assert delivery.next_at is None
    assert "nothing is sent to it" in hooks.anna.get(path).text
    for answer in (hooks.anna.post(f"{path}/test"), hooks.anna.post(f"{path}/deliveries/{delivery.id}/replay")):
        assert answer.status_code == 409
    hooks.anna.post(path, {**form, "enabled": "true"})
    (webhook,) = hooks.webhooks()
    assert (webhook.enabled, webhook.failures) == (True, 0)
    with workspace.database.write() as db:  # the same URL is not resolved again: to disable needs no name server
        db.execute(update(Webhook).values(url="https://gone.invalid/"))
    assert hooks.anna.post(path, {**form, "url": "https://gone.invalid/"}).status_code == 303


def test_a_new_secret_and_the_one_before(workspace: Workspace, hooks: Hooks, receiver: Receiver) -> None:
    webhook_id, first = hooks.made(receiver.url)
    page = hooks.anna.post(f"{hooks.url}/{webhook_id}/secret")
    assert page.status_code == 201
    (second,) = SECRET.findall(page.text)
    hooks.tell()
    came = receiver.wait()[0]
    assert verified(first, came) == verified(second, came)
    (third,) = SECRET.findall(hooks.anna.post(f"{hooks.url}/{webhook_id}/secret").text)
    hooks.tell()
    came = receiver.wait(2)[1]
    assert verified(second, came) == verified(third, came)
    with pytest.raises(AssertionError, match="wrong signature"):
        verified(first, came)


def test_the_former_secret_ends(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys.of(workspace.pages.settings)
    kept = signing.seal(keys, "whsec_bmV3", former=signing.seal(keys, "whsec_b2xk"))
    assert signing.unseal(keys, kept) == ["whsec_bmV3", "whsec_b2xk"]
    assert "whsec" not in kept
    monkeypatch.setattr(signing, "OVERLAP_HOURS", 0)
    kept = signing.seal(keys, "whsec_bmV3", former=signing.seal(keys, "whsec_b2xk"))
    assert signing.unseal(keys, kept) == ["whsec_bmV3"]


def test_all_of_it_is_in_the_audit_log(workspace: Workspace, hooks: Hooks) -> None:
    url = "http://127.0.0.1:9999/services/verysecret"
    hooks.anna.post(hooks.url, {"url": url, "events": "*"})
    (webhook,) = hooks.webhooks()
    path = f"{hooks.url}/{webhook.id}"
    hooks.anna.post(f"{path}/test")
    (delivery,) = deliveries_of(workspace.database, webhook.id)
    hooks.anna.post(f"{path}/deliveries/{delivery.id}/replay")
    hooks.anna.post(f"{path}/secret")
    hooks.anna.post(path, {"url": url.replace("9999", "9998"), "events": "job.failed", "enabled": "true"})
    hooks.anna.post(path, {"url": url.replace("9999", "9998"), "events": "job.failed", "enabled": "true"})
    hooks.anna.post(f"{path}/delete")
    events = hooks.audited()
    assert [each.action for each in events] == [
        "webhook.created",
        "webhook.tested",
        "webhook.replayed",
        "webhook.secret_rotated",
        "webhook.changed",
        "webhook.deleted",
    ]
    assert {each.actor for each in events} == {"anna@example.org"}
    assert events[0].target == "http://127.0.0.1:9999"
    assert events[4].details == {
        "id": str(webhook.id),
        "url": ["http://127.0.0.1:9999", "http://127.0.0.1:9998"],
        "events": ["job.failed"],
    }
    assert "verysecret" not in json.dumps([[each.target, each.details] for each in events])
    assert hooks.webhooks() == []
    with workspace.database.read() as db:
        assert db.scalars(select(Delivery)).all() == []


# Deliveries


@BOTH
def test_test_and_send_again(workspace: Workspace, hooks: Hooks, receiver: Receiver) -> None:
    receiver.answers = [status(404), status(204)]
    webhook_id, secret = hooks.made(receiver.url, "job.failed")
    path = f"{hooks.url}/{webhook_id}"
    assert hooks.anna.post(f"{path}/test").headers["location"] == f"{path}/deliveries"
    came = receiver.wait()[0]
    assert verified(secret, came)["event"] == "webhook.test"
    until(lambda: deliveries_of(workspace.database, webhook_id)[0].problem)
    (first,) = deliveries_of(workspace.database, webhook_id)
    assert "The receiver answered 404." in hooks.anna.get(f"{path}/deliveries").text
    hooks.anna.post(f"{path}/deliveries/{first.id}/replay")
    receiver.wait(2)
    until(lambda: deliveries_of(workspace.database, webhook_id)[1].delivered_at)
    first, second = deliveries_of(workspace.database, webhook_id)
    assert first.happening_id == second.happening_id
    assert (first.status, second.status) == (404, 204)
    assert receiver.came[0].headers["webhook-id"] == receiver.came[1].headers["webhook-id"]
    assert receiver.came[0].body == receiver.came[1].body
    assert "test" not in hooks.anna.get(f"/o/{hooks.id}/notices").text.replace("testserver", "")


def test_sending_by_hand_is_limited(workspace: Workspace, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "SENT", Limit("webhook-sent", 3, 3600))
    webhook_id, _secret = hooks.made("https://localhost/")
    answers = [hooks.ask("POST", f"/{webhook_id}/test").status_code for _ in range(5)]
    assert answers == 3 * [201] + 2 * [429]
    assert len(deliveries_of(workspace.database, webhook_id)) == 3
    with workspace.database.write() as db:
        db.execute(delete(Throttle))
    assert hooks.ask("POST", f"/{webhook_id}/test").status_code == 201


@BOTH
def test_many_deliveries_in_pages(workspace: Workspace, hooks: Hooks) -> None:
    webhook_id, _secret = hooks.made("https://localhost/")
    for index in range(administration.PAGE + 5):
        hooks.tell("job.failed", f"Job {index} failed.")
    path = f"{hooks.url}/{webhook_id}/deliveries"
    page = hooks.anna.get(path).text
    assert page.count("<details>") == administration.PAGE
    assert "Job 54 failed." in page
    assert "Job 4 failed." not in page
    (older,) = re.findall(r'href="([^"]+)" rel="next"', page)
    page = hooks.anna.get(html.unescape(older)).text
    assert page.count("<details>") == 5
    assert "Job 4 failed." in page
    for cursor in ("x", "2026-01-01T00:00:00_x", "x" * 201, f"2026-01-01T00:00:00_{uuid.uuid4()}"):
        assert hooks.anna.get(path, params={"before": cursor}).status_code == 422
    found, before = [], ""
    while before is not None:
        told = hooks.ask("GET", f"/{webhook_id}/deliveries", before=before, limit=20).json()
        found += [each["payload"]["title"] for each in told["items"]]
        before = told["next"]
    assert found == [f"Job {index} failed." for index in range(administration.PAGE + 4, -1, -1)]


@BOTH
def test_what_is_old_is_removed(workspace: Workspace, hooks: Hooks) -> None:
    webhook_id, _secret = hooks.made("https://localhost/")
    for _ in range(2):
        hooks.tell()
    old = deliveries_of(workspace.database, webhook_id)[0]
    with workspace.database.write() as db:
        db.execute(update(Delivery).where(Delivery.id == old.id).values(created_at=ago(days=91)))
        db.execute(update(Happening).where(Happening.id == old.happening_id).values(created_at=ago(days=91)))
    operation.sweep(workspace.database, workspace.pages.settings)
    with workspace.database.read() as db:
        assert len(db.scalars(select(Delivery)).all()) == 1
        assert len(db.scalars(select(Happening)).all()) == 1
    operation.sweep(workspace.database, workspace.pages.settings)
    assert len(deliveries_of(workspace.database, webhook_id)) == 1


# Others


@BOTH
def test_others_find_nothing(workspace: Workspace, hooks: Hooks) -> None:
    webhook_id, _secret = hooks.made("https://localhost/")
    hooks.tell()
    (delivery,) = deliveries_of(workspace.database, webhook_id)
    before = [(each.url, each.secret, each.enabled) for each in hooks.webhooks()]
    eve = workspace.person("eve@example.org")
    elsewhere = workspace.organization(eve, "Other")
    token = key_of(workspace, eve, elsewhere)[1]
    own, _secret = webhook_for(workspace.database, workspace.pages.settings, elsewhere, "https://localhost/")
    form = {"url": "http://127.0.0.1:9999/", "events": "*"}
    for there in (f"/o/{hooks.id}/webhooks", f"/o/{elsewhere}/webhooks"):
        for method, path, data in (
            ("GET", f"{there}/{webhook_id}", {}),
            ("POST", f"{there}/{webhook_id}", form),
            ("POST", f"{there}/{webhook_id}/secret", {}),
            ("POST", f"{there}/{webhook_id}/test", {}),
            ("POST", f"{there}/{webhook_id}/delete", {}),
            ("GET", f"{there}/{webhook_id}/deliveries", {}),
            ("POST", f"{there}/{webhook_id}/deliveries/{delivery.id}/replay", {}),
            ("POST", f"{there}/{own}/deliveries/{delivery.id}/replay", {}),
        ):
            answer = eve.get(path) if method == "GET" else eve.post(path, data)
            assert answer.status_code == 404, path
    for method, path in (
        ("GET", f"/{webhook_id}"),
        ("PATCH", f"/{webhook_id}"),
        ("DELETE", f"/{webhook_id}"),
        ("POST", f"/{webhook_id}/secret"),
        ("POST", f"/{webhook_id}/test"),
        ("GET", f"/{webhook_id}/deliveries"),
        ("GET", f"/{webhook_id}/deliveries/{delivery.id}"),
        ("GET", f"/{own}/deliveries/{delivery.id}"),
        ("POST", f"/{own}/deliveries/{delivery.id}/replay"),
    ):
        body = {"enabled": False} if method == "PATCH" else None
        assert hooks.ask(method, path, body, token=token).status_code == 404, path
    assert [(each.url, each.secret, each.enabled) for each in hooks.webhooks()] == before
    assert [each["id"] for each in hooks.ask("GET", token=token).json()["items"]] == [str(own)]
    listed = eve.get(f"/o/{elsewhere}/webhooks").text
    assert str(own) in listed
    assert str(webhook_id) not in listed
    assert len(deliveries_of(workspace.database, webhook_id)) == 1


def test_members_see_none_of_it(hooks: Hooks) -> None:
    webhook_id, _secret = hooks.made("https://localhost/")
    for path in ("", "/new", f"/{webhook_id}", f"/{webhook_id}/deliveries"):
        assert hooks.bert.get(hooks.url + path).status_code == 403
    assert "/webhooks" not in hooks.bert.get(f"/o/{hooks.id}/members").text
    assert f'href="{hooks.url}"' in hooks.anna.get(f"/o/{hooks.id}/members").text


@pytest.mark.check("pages")
def test_texts_are_texts(workspace: Workspace, hooks: Hooks) -> None:
    workspace.portal.call(workspace.app.state.sender.stop)
    webhook_id, _secret = hooks.made("https://localhost/")
    for vector in VECTORS:
        with workspace.database.write() as db:
            db.execute(update(Organization).where(Organization.id == hooks.id).values(name=vector))
            db.execute(update(Webhook).values(events=["*", vector]))
            db.execute(delete(Delivery))
        hooks.tell(vector, vector, path=vector, answer=vector)
        with workspace.database.write() as db:
            db.execute(update(Delivery).values(problem=vector, next_at=None))
        for path in ("", f"/{webhook_id}", f"/{webhook_id}/deliveries"):
            page = hooks.anna.get(hooks.url + path)
            assert page.status_code == 200
            assert problems_in(page.text) == [], vector
        answer = hooks.anna.post(hooks.url, {"url": vector, "events": "job.failed"})
        assert answer.status_code == 422
        assert problems_in(answer.text) == [], vector


def test_a_page_follows_what_was_just_sent(workspace: Workspace, hooks: Hooks) -> None:
    workspace.portal.call(workspace.app.state.sender.stop)
    webhook_id, _secret = hooks.made("https://localhost/")
    path = f"{hooks.url}/{webhook_id}/deliveries"
    hooks.tell()
    assert 'hx-trigger="every 2s"' in hooks.anna.get(path).text
    with workspace.database.write() as db:
        db.execute(update(Delivery).values(attempts=1))
    assert 'hx-trigger="every 2s"' not in hooks.anna.get(path).text
