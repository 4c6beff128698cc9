"""Webhooks: made by a form and by the JSON API, and with what addresses."""

from __future__ import annotations

import html
import re
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete, text, update

from lifelearn.workspace.database import ago, now
from lifelearn.workspace.tables.organizations import Membership, Organization
from lifelearn.workspace.tables.webhooks import Delivery, Happening
from lifelearn.workspace.throttle import Limit
from lifelearn.workspace.webhooks import administration, sending, service
from lifelearn.workspace.webhooks.addresses import Addresses
from waiting import HANG_SECONDS, until
from workspace.deliveries import verified
from workspace.fakes import BOTH, Workspace
from workspace.hooks import SECRET, Hooks
from workspace.receiver import Receiver, deliveries_of
from workspace.xss import problems_in

pytestmark = pytest.mark.settings(webhook_private_networks="127.0.0.0/8")

# Making one


@BOTH
def test_from_the_form_to_the_receiver(workspace: Workspace, hooks: Hooks, receiver: Receiver) -> None:
    form = hooks.anna.get(f"{hooks.url}/new").text
    assert problems_in(form) == []
    assert all(name in form for name in service.EVENTS)
    page = hooks.anna.post(hooks.url, {"url": receiver.url, "events": ["version.activated", "job.failed"]})
    assert page.status_code == 201
    (secret,) = SECRET.findall(page.text)
    (webhook,) = hooks.webhooks()
    assert (webhook.url, webhook.events, webhook.enabled) == (receiver.url, ["version.activated", "job.failed"], True)
    hooks.tell(number=3)
    (came,) = receiver.wait()
    assert verified(secret, came)["data"] == {"number": 3}
    until(lambda: deliveries_of(workspace.database, webhook.id)[0].delivered_at)
    shown = hooks.anna.get(f"{hooks.url}/{webhook.id}/deliveries").text
    assert "delivered" in shown
    assert html.escape('"number": 3', quote=True) in shown.replace("&#34;", "&quot;")


@BOTH
def test_the_secret_is_shown_once(workspace: Workspace, hooks: Hooks, capfd: pytest.CaptureFixture[str]) -> None:
    hooks.made("https://localhost/")
    form = {"url": "https://localhost:8443/hook", "events": "*"}
    secrets = SECRET.findall(hooks.anna.post(hooks.url, form).text)
    made = hooks.ask("POST", body={"url": "https://localhost:8443/hook", "events": ["*"]})
    assert made.status_code == 201
    secrets.append(made.json()["secret"])
    (first, second, third) = hooks.webhooks()
    secrets += SECRET.findall(hooks.anna.post(f"{hooks.url}/{second.id}/secret").text)
    secrets.append(hooks.ask("POST", f"/{third.id}/secret").json()["secret"])
    assert len(set(secrets)) == 4
    hooks.tell()
    seen = [hooks.anna.get(f"/o/{hooks.id}/{path}").text for path in ("webhooks", "audit", "audit.jsonl", "notices")]
    for webhook in hooks.webhooks():
        seen += [hooks.anna.get(f"{hooks.url}/{webhook.id}{more}").text for more in ("", "/deliveries")]
        seen += [hooks.ask("GET", f"/{webhook.id}{more}").text for more in ("", "/deliveries")]
        seen.append(hooks.ask("PATCH", f"/{webhook.id}", {"enabled": False}).text)
    seen.append(hooks.ask("GET").text)
    with workspace.database.read() as db:
        seen += [str(each) for each in db.execute(text("SELECT * FROM webhooks")).all()]
    seen += list(capfd.readouterr())
    for secret in secrets:
        key = secret.removeprefix("whsec_")
        assert not any(key in each for each in seen)
    assert not any("whsec_" in each for each in seen)
    assert hooks.anna.get(f"{hooks.url}/{first.id}").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not a web address"),
        ("ftp://hooks.example/", "not a web address"),
        ("javascript:alert(1)", "not a web address"),
        ("https://anna:secret@hooks.example/", "Leave out the user name"),
        ("https://hooks.example:22/", "Use port"),
        ("https://10.0.0.1/", "not public"),
        ("https://169.254.169.254/latest/meta-data/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:169.254.169.254]/", "not public"),
        ("http://1.1.1.1/", "Use https"),
        ("https://hooks.invalid/", "cannot be found"),
        ("https://h/" + "x" * 2000, "at most 2000"),
    ],
)
def test_addresses_that_are_refused(workspace: Workspace, hooks: Hooks, url: str, said: str) -> None:
    """By the form, with what was entered, and by the API: when one is made and when it is changed."""
    there, _secret = hooks.made("https://localhost/")
    for path in (hooks.url, f"{hooks.url}/{there}"):
        page = hooks.anna.post(path, {"url": url, "events": "job.failed"})
        assert page.status_code == 422
        assert said in page.text
        assert 'aria-invalid="true"' in page.text
        assert f'value="{html.escape(url)}"' in page.text
        assert re.search(r'value="job\.failed" checked', page.text)
    if url:
        for answer in (
            hooks.ask("POST", body={"url": url, "events": ["job.failed"]}),
            hooks.ask("PATCH", f"/{there}", {"url": url}),
        ):
            assert answer.status_code == 422
            assert len(url) > 2000 or said in answer.json()["fields"]["url"]
    assert [each.url for each in hooks.webhooks()] == ["https://localhost/"]


@pytest.mark.parametrize("networks", [None, "10.0.0.0/8"])
def test_nothing_private_without_the_setting(workspace: Workspace, hooks: Hooks, networks: str | None) -> None:
    workspace.app.state.sender.addresses = Addresses(networks)
    for url in ("http://127.0.0.1:8080/", "https://127.0.0.1:8080/", "https://localhost/"):
        assert hooks.anna.post(hooks.url, {"url": url, "events": "*"}).status_code == 422
    assert hooks.webhooks() == []


@pytest.mark.parametrize(
    "form",
    [
        {"events": []},
        {"events": ["correction.invented"]},
        {"events": ["job.failed", "x" * 101]},
        {"events": 60 * ["job.failed"]},
        {"events": ["job.failed"], "secret": "whsec_x"},
        {"events": ["job.failed"], "organization_id": str(uuid.uuid4())},
        {"events": ["job.failed"], "author_id": str(uuid.uuid4())},
        {"events": ["job.failed"], "failures": "0"},
        {"events": ["job.failed"], "url": 5000 * "x"},
    ],
)
def test_forms_that_are_refused(hooks: Hooks, form: dict[str, Any]) -> None:
    there, _secret = hooks.made("https://localhost/", "job.failed")
    url = "http://127.0.0.1:9999/"
    for path in (hooks.url, f"{hooks.url}/{there}"):
        assert hooks.anna.post(path, {"url": url, **form}).status_code == 422
    assert hooks.ask("POST", body={"url": url, **form}).status_code == 422
    if form["events"]:  # no events is what changes none
        assert hooks.ask("PATCH", f"/{there}", {"enabled": True, **form}).status_code == 422
    (webhook,) = hooks.webhooks()
    assert (webhook.url, webhook.events) == ("https://localhost/", ["job.failed"])


def test_everything_is_one_event(hooks: Hooks) -> None:
    hooks.anna.post(hooks.url, {"url": "http://127.0.0.1:9999/", "events": ["job.failed", "*"]})
    assert hooks.webhooks()[0].events == ["*"]
    page = hooks.anna.get(f"{hooks.url}/{hooks.webhooks()[0].id}").text
    assert re.search(r'value="\*" checked', page)
    assert not re.search(r'value="job\.failed" checked', page)


def test_there_is_a_most(hooks: Hooks) -> None:
    for _ in range(administration.MOST_WEBHOOKS):
        hooks.made("https://localhost/")
    page = hooks.anna.post(hooks.url, {"url": "http://127.0.0.1:9999/", "events": "*"})
    assert page.status_code == 409
    assert "can have 10 webhooks" in page.text
    assert hooks.ask("POST", body={"url": "http://127.0.0.1:9999/", "events": ["*"]}).status_code == 409
    assert len(hooks.webhooks()) == 10


@BOTH
def test_a_slow_name_server_holds_up_nobody(workspace: Workspace, hooks: Hooks) -> None:
    """While a name is resolved, others write."""
    there, _secret = hooks.made("https://localhost/")
    wrote: list[str] = []

    def resolve(host: str, _port: int) -> Sequence[str]:
        with workspace.database.write() as db:
            db.execute(update(Organization).values(instructions=host))
        wrote.append(host)
        return ["127.0.0.1"]

    workspace.app.state.sender.addresses.resolve = resolve
    form = {"url": "https://one.example/", "events": ["job.failed"]}
    assert hooks.anna.post(hooks.url, form).status_code == 201
    assert hooks.anna.post(f"{hooks.url}/{there}", {**form, "url": "https://two.example/"}).status_code == 303
    assert hooks.ask("POST", body={**form, "url": "https://three.example/"}).status_code == 201
    assert hooks.ask("PATCH", f"/{there}", {"url": "https://four.example/"}).status_code == 200
    assert wrote == ["one.example", "two.example", "three.example", "four.example"]


def test_a_name_server_that_does_not_answer(
    workspace: Workspace, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "CHECK_SECONDS", 0.2)
    asked_no_more = threading.Event()
    workspace.app.state.sender.addresses.resolve = lambda _host, _port: asked_no_more.wait(HANG_SECONDS)
    page = hooks.anna.post(hooks.url, {"url": "https://slow.example/", "events": "*"})
    asked_no_more.set()
    assert page.status_code == 422
    assert "The name server does not answer." in page.text


def test_addresses_are_checked_so_often(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has this machine ask for names without end."""
    monkeypatch.setattr(administration, "CHECKED", Limit("webhook-checked", 3, 3600))
    body = {"url": "https://127.0.0.1/", "events": ["x"]}
    assert hooks.ask("POST", body=body).status_code == 422
    body = {"url": "ftp://127.0.0.1/", "events": ["*"]}
    assert [hooks.ask("POST", body=body).status_code for _ in range(4)] == 3 * [422] + [429]
    assert hooks.anna.post(hooks.url, {"url": "https://127.0.0.1/", "events": "*"}).status_code == 429


@pytest.mark.parametrize("role", ["member", None])
def test_who_is_no_admin_any_more_when_the_name_is_resolved(
    workspace: Workspace, hooks: Hooks, role: str | None
) -> None:
    there, _secret = hooks.made("https://localhost/")
    mine = (Membership.organization_id == hooks.id, Membership.user_id == hooks.anna.user_id)

    def resolve(_host: str, _port: int) -> Sequence[str]:
        with workspace.database.write() as db:
            db.execute(update(Membership).where(*mine).values(role=role) if role else delete(Membership).where(*mine))
        return ["127.0.0.1"]

    def again() -> None:
        with workspace.database.write() as db:
            db.execute(delete(Membership).where(*mine))
            db.add(
                Membership(organization_id=hooks.id, user_id=hooks.anna.user_id, role="owner", created_at=ago(days=1))
            )

    workspace.app.state.sender.addresses.resolve = resolve
    form = {"url": "https://one.example/", "events": ["job.failed"]}
    wanted = (403,) if role else (401, 404)
    assert hooks.anna.post(hooks.url, form).status_code in wanted
    again()
    assert hooks.anna.post(f"{hooks.url}/{there}", form).status_code in wanted
    again()
    assert hooks.ask("POST", body=form).status_code in wanted
    again()
    assert hooks.ask("PATCH", f"/{there}", {"url": form["url"]}).status_code in wanted
    assert [each.url for each in hooks.webhooks()] == ["https://localhost/"]


# The JSON API


@BOTH
def test_the_api_from_beginning_to_end(workspace: Workspace, hooks: Hooks, receiver: Receiver) -> None:
    made = hooks.ask("POST", body={"url": receiver.url, "events": ["job.failed"]})
    assert made.status_code == 201
    told = made.json()
    secret, path = told.pop("secret"), f"/{told['id']}"
    assert SECRET.fullmatch(secret)
    assert (told["url"], told["events"], told["enabled"], told["failures"]) == (receiver.url, ["job.failed"], True, 0)
    assert hooks.ask("GET").json() == {"items": [told]}
    assert hooks.ask("GET", path).json() == told
    changed = hooks.ask("PATCH", path, {"events": ["*"], "enabled": False}).json()
    assert changed == {**told, "events": ["*"], "enabled": False}
    assert hooks.ask("POST", f"{path}/test").status_code == 409
    hooks.ask("PATCH", path, {"enabled": True})
    rotated = hooks.ask("POST", f"{path}/secret").json()["secret"]
    assert rotated != secret
    sent = hooks.ask("POST", f"{path}/test").json()
    assert (sent["event"], sent["state"], sent["attempts"]) == ("webhook.test", "waiting", 0)
    came = receiver.wait()[0]
    assert verified(rotated, came) == sent["payload"]
    until(lambda: hooks.ask("GET", f"{path}/deliveries/{sent['id']}").json()["state"] == "delivered")
    again = hooks.ask("POST", f"{path}/deliveries/{sent['id']}/replay")
    assert again.status_code == 201
    assert again.json()["id"] != sent["id"]
    assert again.json()["payload"] == sent["payload"]
    receiver.wait(2)
    listed = hooks.ask("GET", f"{path}/deliveries").json()
    assert [each["id"] for each in listed["items"]] == [again.json()["id"], sent["id"]]
    assert hooks.ask("DELETE", path).status_code == 204
    assert hooks.ask("GET", path).status_code == 404
    assert hooks.ask("GET").json() == {"items": []}


# Its sender


@pytest.mark.usefixtures("quick_sending")
def test_the_workspace_has_one_sender(workspace: Workspace, hooks: Hooks, receiver: Receiver) -> None:
    """And it sends what another process tells of: it looks by itself."""
    webhook_id, _secret = hooks.made(receiver.url)
    with workspace.database.write() as db:
        happening = Happening(organization_id=hooks.id, name="job.failed", title="A job failed.")
        db.add(happening)
        db.flush()
        db.add(Delivery(organization_id=hooks.id, webhook_id=webhook_id, happening_id=happening.id, next_at=now()))
    receiver.wait()
