"""Webhooks as admins and their programs handle them: made, changed, tried, looked at; what nobody gets to see."""

from __future__ import annotations

import html
import json
import re
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from lifelearn.settings import Settings
from lifelearn.workspace import operation
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import ago, now
from lifelearn.workspace.tables.organizations import AuditEvent, Membership, Organization
from lifelearn.workspace.tables.throttles import Throttle
from lifelearn.workspace.tables.webhooks import Delivery, Happening, Webhook
from lifelearn.workspace.webhooks import administration, sending, service, signing
from lifelearn.workspace.webhooks.addresses import Addresses
from lifelearn.workspace.webhooks.service import tell
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH, Workspace
from workspace.receiver import Receiver, deliveries_of, status, webhook_for
from workspace.test_keys import bearer, key_of
from workspace.test_webhooks_sending import verified
from workspace.xss import VECTORS, problems_in

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_private_networks": "127.0.0.0/8"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


class Team:
    """An organisation with an admin who does things, and a program of hers."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.anna, self.bert = workspace.person(), workspace.person("bert@example.org")
        self.id = workspace.organization(self.anna, member=[self.bert])
        self.url = f"/o/{self.id}/webhooks"
        self.token = key_of(workspace, self.anna, self.id)[1]
        self.client = workspace.visitor().client

    def made(self, url: str, *events: str, **values: Any) -> tuple[uuid.UUID, str]:
        return webhook_for(self.workspace.database, self.workspace.pages.settings, self.id, url, *events, **values)

    def tell(self, name: str = "version.activated", title: str = "Version 3 answers now.", **more: Any) -> None:
        with self.workspace.database.write() as db:
            tell(db, self.id, name, title, **more)

    def webhooks(self) -> Sequence[Webhook]:
        with self.workspace.database.read() as db:
            return administration.listed(db, self.id)

    def audited(self) -> list[AuditEvent]:
        with self.workspace.database.read() as db:
            return list(db.scalars(select(AuditEvent).order_by(AuditEvent.created_at)))

    def ask(self, method: str, path: str = "", body: Any = None, token: str = "", **query: Any) -> Any:
        headers = bearer(token or self.token)
        address = f"/api/v1/webhooks{path}"
        return self.client.request(method, address, json=body, params=query or None, headers=headers)


@pytest.fixture
def team(workspace: Workspace) -> Team:
    return Team(workspace)


# Making one


@BOTH
def test_from_the_form_to_the_receiver(workspace: Workspace, team: Team, receiver: Receiver) -> None:
    form = team.anna.get(f"{team.url}/new").text
    assert problems_in(form) == []
    assert all(name in form for name in service.EVENTS)
    page = team.anna.post(team.url, {"url": receiver.url, "events": ["version.activated", "job.failed"]})
    assert page.status_code == 201
    (secret,) = SECRET.findall(page.text)
    (webhook,) = team.webhooks()
    assert (webhook.url, webhook.events, webhook.enabled) == (receiver.url, ["version.activated", "job.failed"], True)
    team.tell(number=3)
    (came,) = receiver.wait()
    assert verified(secret, came)["data"] == {"number": 3}
    until(lambda: deliveries_of(workspace.database, webhook.id)[0].delivered_at)
    shown = team.anna.get(f"{team.url}/{webhook.id}/deliveries").text
    assert "delivered" in shown
    assert html.escape('"number": 3', quote=True) in shown.replace("&#34;", "&quot;")


@BOTH
def test_the_secret_is_shown_once(workspace: Workspace, team: Team, capfd: pytest.CaptureFixture[str]) -> None:
    team.made("https://localhost/")
    form = {"url": "https://localhost:8443/hook", "events": "*"}
    secrets = SECRET.findall(team.anna.post(team.url, form).text)
    made = team.ask("POST", body={"url": "https://localhost:8443/hook", "events": ["*"]})
    assert made.status_code == 201
    secrets.append(made.json()["secret"])
    (first, second, third) = team.webhooks()
    secrets += SECRET.findall(team.anna.post(f"{team.url}/{second.id}/secret").text)
    secrets.append(team.ask("POST", f"/{third.id}/secret").json()["secret"])
    assert len(set(secrets)) == 4
    team.tell()
    seen = [team.anna.get(f"/o/{team.id}/{path}").text for path in ("webhooks", "audit", "audit.jsonl", "notices")]
    for webhook in team.webhooks():
        seen += [team.anna.get(f"{team.url}/{webhook.id}{more}").text for more in ("", "/deliveries")]
        seen += [team.ask("GET", f"/{webhook.id}{more}").text for more in ("", "/deliveries")]
        seen.append(team.ask("PATCH", f"/{webhook.id}", {"enabled": False}).text)
    seen.append(team.ask("GET").text)
    with workspace.database.read() as db:
        seen += [str(each) for each in db.execute(text("SELECT * FROM webhooks")).all()]
    seen += list(capfd.readouterr())
    for secret in secrets:
        key = secret.removeprefix("whsec_")
        assert not any(key in each for each in seen)
    assert not any("whsec_" in each for each in seen)
    assert team.anna.get(f"{team.url}/{first.id}").headers["cache-control"] == "no-store"


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
def test_addresses_that_are_refused(workspace: Workspace, team: Team, url: str, said: str) -> None:
    """By the form, with what was entered, and by the API: when one is made and when it is changed."""
    there, _secret = team.made("https://localhost/")
    for path in (team.url, f"{team.url}/{there}"):
        page = team.anna.post(path, {"url": url, "events": "job.failed"})
        assert page.status_code == 422
        assert said in page.text
        assert 'aria-invalid="true"' in page.text
        assert f'value="{html.escape(url)}"' in page.text
        assert re.search(r'value="job\.failed" checked', page.text)
    if url:
        for answer in (
            team.ask("POST", body={"url": url, "events": ["job.failed"]}),
            team.ask("PATCH", f"/{there}", {"url": url}),
        ):
            assert answer.status_code == 422
            assert len(url) > 2000 or said in answer.json()["fields"]["url"]
    assert [each.url for each in team.webhooks()] == ["https://localhost/"]


@pytest.mark.parametrize("networks", [None, "10.0.0.0/8"])
def test_nothing_private_without_the_setting(workspace: Workspace, team: Team, networks: str | None) -> None:
    workspace.app.state.sender.addresses = Addresses(networks)
    for url in ("http://127.0.0.1:8080/", "https://127.0.0.1:8080/", "https://localhost/"):
        assert team.anna.post(team.url, {"url": url, "events": "*"}).status_code == 422
    assert team.webhooks() == []


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
def test_forms_that_are_refused(team: Team, form: dict[str, Any]) -> None:
    there, _secret = team.made("https://localhost/", "job.failed")
    url = "http://127.0.0.1:9999/"
    for path in (team.url, f"{team.url}/{there}"):
        assert team.anna.post(path, {"url": url, **form}).status_code == 422
    assert team.ask("POST", body={"url": url, **form}).status_code == 422
    if form["events"]:  # no events is what changes none
        assert team.ask("PATCH", f"/{there}", {"enabled": True, **form}).status_code == 422
    (webhook,) = team.webhooks()
    assert (webhook.url, webhook.events) == ("https://localhost/", ["job.failed"])


def test_everything_is_one_event(team: Team) -> None:
    team.anna.post(team.url, {"url": "http://127.0.0.1:9999/", "events": ["job.failed", "*"]})
    assert team.webhooks()[0].events == ["*"]
    page = team.anna.get(f"{team.url}/{team.webhooks()[0].id}").text
    assert re.search(r'value="\*" checked', page)
    assert not re.search(r'value="job\.failed" checked', page)


def test_there_is_a_most(team: Team) -> None:
    for _ in range(administration.MOST_WEBHOOKS):
        team.made("https://localhost/")
    page = team.anna.post(team.url, {"url": "http://127.0.0.1:9999/", "events": "*"})
    assert page.status_code == 409
    assert "can have 10 webhooks" in page.text
    assert team.ask("POST", body={"url": "http://127.0.0.1:9999/", "events": ["*"]}).status_code == 409
    assert len(team.webhooks()) == 10


@BOTH
def test_a_slow_name_server_holds_up_nobody(workspace: Workspace, team: Team) -> None:
    """While a name is resolved, others write."""
    there, _secret = team.made("https://localhost/")
    wrote: list[str] = []

    def resolve(host: str, _port: int) -> Sequence[str]:
        with workspace.database.write() as db:
            db.execute(update(Organization).values(instructions=host))
        wrote.append(host)
        return ["127.0.0.1"]

    workspace.app.state.sender.addresses.resolve = resolve
    form = {"url": "https://one.example/", "events": ["job.failed"]}
    assert team.anna.post(team.url, form).status_code == 201
    assert team.anna.post(f"{team.url}/{there}", {**form, "url": "https://two.example/"}).status_code == 303
    assert team.ask("POST", body={**form, "url": "https://three.example/"}).status_code == 201
    assert team.ask("PATCH", f"/{there}", {"url": "https://four.example/"}).status_code == 200
    assert wrote == ["one.example", "two.example", "three.example", "four.example"]


def test_a_name_server_that_does_not_answer(workspace: Workspace, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "CHECK_SECONDS", 0.2)
    asked_no_more = threading.Event()
    workspace.app.state.sender.addresses.resolve = lambda _host, _port: asked_no_more.wait(HANG_SECONDS)
    page = team.anna.post(team.url, {"url": "https://slow.example/", "events": "*"})
    asked_no_more.set()
    assert page.status_code == 422
    assert "The name server does not answer." in page.text


def test_addresses_are_checked_so_often(team: Team) -> None:
    """Nobody has this machine ask for names without end."""
    body = {"url": "https://127.0.0.1/", "events": ["x"]}
    assert team.ask("POST", body=body).status_code == 422
    body = {"url": "ftp://127.0.0.1/", "events": ["*"]}
    assert [team.ask("POST", body=body).status_code for _ in range(61)] == 60 * [422] + [429]
    assert team.anna.post(team.url, {"url": "https://127.0.0.1/", "events": "*"}).status_code == 429


@pytest.mark.parametrize("role", ["member", None])
def test_who_is_no_admin_any_more_when_the_name_is_resolved(workspace: Workspace, team: Team, role: str | None) -> None:
    there, _secret = team.made("https://localhost/")
    mine = (Membership.organization_id == team.id, Membership.user_id == team.anna.user_id)

    def resolve(_host: str, _port: int) -> Sequence[str]:
        with workspace.database.write() as db:
            db.execute(update(Membership).where(*mine).values(role=role) if role else delete(Membership).where(*mine))
        return ["127.0.0.1"]

    def again() -> None:
        with workspace.database.write() as db:
            db.execute(delete(Membership).where(*mine))
            db.add(Membership(organization_id=team.id, user_id=team.anna.user_id, role="owner", created_at=ago(days=1)))

    workspace.app.state.sender.addresses.resolve = resolve
    form = {"url": "https://one.example/", "events": ["job.failed"]}
    wanted = (403,) if role else (401, 404)
    assert team.anna.post(team.url, form).status_code in wanted
    again()
    assert team.anna.post(f"{team.url}/{there}", form).status_code in wanted
    again()
    assert team.ask("POST", body=form).status_code in wanted
    again()
    assert team.ask("PATCH", f"/{there}", {"url": form["url"]}).status_code in wanted
    assert [each.url for each in team.webhooks()] == ["https://localhost/"]


# Changing one


def test_change_and_disable_and_enable(workspace: Workspace, team: Team) -> None:
    webhook_id, _secret = team.made("https://localhost/a", "job.failed", failures=7)
    path = f"{team.url}/{webhook_id}"
    team.tell("job.failed")
    waiting = deliveries_of(workspace.database, webhook_id)
    assert len(waiting) == 1
    form = {"url": "https://localhost/a", "events": ["job.failed", "version.activated"]}
    assert team.anna.post(path, form).headers["location"] == f"{path}?notice=saved"
    (webhook,) = team.webhooks()
    assert (webhook.enabled, webhook.events) == (False, ["version.activated", "job.failed"])
    (delivery,) = deliveries_of(workspace.database, webhook_id)
    assert delivery.next_at is None
    assert "nothing is sent to it" in team.anna.get(path).text
    for answer in (team.anna.post(f"{path}/test"), team.anna.post(f"{path}/deliveries/{delivery.id}/replay")):
        assert answer.status_code == 409
    team.anna.post(path, {**form, "enabled": "true"})
    (webhook,) = team.webhooks()
    assert (webhook.enabled, webhook.failures) == (True, 0)
    with workspace.database.write() as db:  # the same URL is not resolved again: to disable needs no name server
        db.execute(update(Webhook).values(url="https://gone.invalid/"))
    assert team.anna.post(path, {**form, "url": "https://gone.invalid/"}).status_code == 303


def test_a_new_secret_and_the_one_before(workspace: Workspace, team: Team, receiver: Receiver) -> None:
    webhook_id, first = team.made(receiver.url)
    page = team.anna.post(f"{team.url}/{webhook_id}/secret")
    assert page.status_code == 201
    (second,) = SECRET.findall(page.text)
    team.tell()
    came = receiver.wait()[0]
    assert verified(first, came) == verified(second, came)
    (third,) = SECRET.findall(team.anna.post(f"{team.url}/{webhook_id}/secret").text)
    team.tell()
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


def test_all_of_it_is_in_the_audit_log(workspace: Workspace, team: Team) -> None:
    url = "http://127.0.0.1:9999/services/verysecret"
    team.anna.post(team.url, {"url": url, "events": "*"})
    (webhook,) = team.webhooks()
    path = f"{team.url}/{webhook.id}"
    team.anna.post(f"{path}/test")
    (delivery,) = deliveries_of(workspace.database, webhook.id)
    team.anna.post(f"{path}/deliveries/{delivery.id}/replay")
    team.anna.post(f"{path}/secret")
    team.anna.post(path, {"url": url.replace("9999", "9998"), "events": "job.failed", "enabled": "true"})
    team.anna.post(path, {"url": url.replace("9999", "9998"), "events": "job.failed", "enabled": "true"})
    team.anna.post(f"{path}/delete")
    events = team.audited()
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
    assert team.webhooks() == []
    with workspace.database.read() as db:
        assert db.scalars(select(Delivery)).all() == []


# Deliveries


@BOTH
def test_test_and_send_again(workspace: Workspace, team: Team, receiver: Receiver) -> None:
    receiver.answers = [status(404), status(204)]
    webhook_id, secret = team.made(receiver.url, "job.failed")
    path = f"{team.url}/{webhook_id}"
    assert team.anna.post(f"{path}/test").headers["location"] == f"{path}/deliveries"
    came = receiver.wait()[0]
    assert verified(secret, came)["event"] == "webhook.test"
    until(lambda: deliveries_of(workspace.database, webhook_id)[0].problem)
    (first,) = deliveries_of(workspace.database, webhook_id)
    assert "The receiver answered 404." in team.anna.get(f"{path}/deliveries").text
    team.anna.post(f"{path}/deliveries/{first.id}/replay")
    receiver.wait(2)
    until(lambda: deliveries_of(workspace.database, webhook_id)[1].delivered_at)
    first, second = deliveries_of(workspace.database, webhook_id)
    assert first.happening_id == second.happening_id
    assert (first.status, second.status) == (404, 204)
    assert receiver.came[0].headers["webhook-id"] == receiver.came[1].headers["webhook-id"]
    assert receiver.came[0].body == receiver.came[1].body
    assert "test" not in team.anna.get(f"/o/{team.id}/notices").text.replace("testserver", "")


def test_sending_by_hand_is_limited(workspace: Workspace, team: Team) -> None:
    workspace.portal.call(workspace.app.state.sender.stop)  # which would fail often enough to disable it
    webhook_id, _secret = team.made("https://localhost/")
    answers = [team.ask("POST", f"/{webhook_id}/test").status_code for _ in range(62)]
    assert answers == 60 * [201] + 2 * [429]
    assert len(deliveries_of(workspace.database, webhook_id)) == 60
    with workspace.database.write() as db:
        db.execute(delete(Throttle))
    assert team.ask("POST", f"/{webhook_id}/test").status_code == 201


@BOTH
def test_many_deliveries_in_pages(workspace: Workspace, team: Team) -> None:
    webhook_id, _secret = team.made("https://localhost/")
    for index in range(administration.PAGE + 5):
        team.tell("job.failed", f"Job {index} failed.")
    path = f"{team.url}/{webhook_id}/deliveries"
    page = team.anna.get(path).text
    assert page.count("<details>") == administration.PAGE
    assert "Job 54 failed." in page
    assert "Job 4 failed." not in page
    (older,) = re.findall(r'href="([^"]+)" rel="next"', page)
    page = team.anna.get(html.unescape(older)).text
    assert page.count("<details>") == 5
    assert "Job 4 failed." in page
    for cursor in ("x", "2026-01-01T00:00:00_x", "x" * 201, f"2026-01-01T00:00:00_{uuid.uuid4()}"):
        assert team.anna.get(path, params={"before": cursor}).status_code == 422
    found, before = [], ""
    while before is not None:
        told = team.ask("GET", f"/{webhook_id}/deliveries", before=before, limit=20).json()
        found += [each["payload"]["title"] for each in told["items"]]
        before = told["next"]
    assert found == [f"Job {index} failed." for index in range(administration.PAGE + 4, -1, -1)]


@BOTH
def test_what_is_old_is_removed(workspace: Workspace, team: Team) -> None:
    webhook_id, _secret = team.made("https://localhost/")
    for _ in range(2):
        team.tell()
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


# The JSON API


@BOTH
def test_the_api_from_beginning_to_end(workspace: Workspace, team: Team, receiver: Receiver) -> None:
    made = team.ask("POST", body={"url": receiver.url, "events": ["job.failed"]})
    assert made.status_code == 201
    told = made.json()
    secret, path = told.pop("secret"), f"/{told['id']}"
    assert SECRET.fullmatch(secret)
    assert (told["url"], told["events"], told["enabled"], told["failures"]) == (receiver.url, ["job.failed"], True, 0)
    assert team.ask("GET").json() == {"items": [told]}
    assert team.ask("GET", path).json() == told
    changed = team.ask("PATCH", path, {"events": ["*"], "enabled": False}).json()
    assert changed == {**told, "events": ["*"], "enabled": False}
    assert team.ask("POST", f"{path}/test").status_code == 409
    team.ask("PATCH", path, {"enabled": True})
    rotated = team.ask("POST", f"{path}/secret").json()["secret"]
    assert rotated != secret
    sent = team.ask("POST", f"{path}/test").json()
    assert (sent["event"], sent["state"], sent["attempts"]) == ("webhook.test", "waiting", 0)
    came = receiver.wait()[0]
    assert verified(rotated, came) == sent["payload"]
    until(lambda: team.ask("GET", f"{path}/deliveries/{sent['id']}").json()["state"] == "delivered")
    again = team.ask("POST", f"{path}/deliveries/{sent['id']}/replay")
    assert again.status_code == 201
    assert again.json()["id"] != sent["id"]
    assert again.json()["payload"] == sent["payload"]
    receiver.wait(2)
    listed = team.ask("GET", f"{path}/deliveries").json()
    assert [each["id"] for each in listed["items"]] == [again.json()["id"], sent["id"]]
    assert team.ask("DELETE", path).status_code == 204
    assert team.ask("GET", path).status_code == 404
    assert team.ask("GET").json() == {"items": []}


# Others


@BOTH
def test_others_find_nothing(workspace: Workspace, team: Team) -> None:
    webhook_id, _secret = team.made("https://localhost/")
    team.tell()
    (delivery,) = deliveries_of(workspace.database, webhook_id)
    before = [(each.url, each.secret, each.enabled) for each in team.webhooks()]
    eve = workspace.person("eve@example.org")
    elsewhere = workspace.organization(eve, "Other")
    token = key_of(workspace, eve, elsewhere)[1]
    own, _secret = webhook_for(workspace.database, workspace.pages.settings, elsewhere, "https://localhost/")
    form = {"url": "http://127.0.0.1:9999/", "events": "*"}
    for there in (f"/o/{team.id}/webhooks", f"/o/{elsewhere}/webhooks"):
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
        assert team.ask(method, path, body, token=token).status_code == 404, path
    assert [(each.url, each.secret, each.enabled) for each in team.webhooks()] == before
    assert [each["id"] for each in team.ask("GET", token=token).json()["items"]] == [str(own)]
    listed = eve.get(f"/o/{elsewhere}/webhooks").text
    assert str(own) in listed
    assert str(webhook_id) not in listed
    assert len(deliveries_of(workspace.database, webhook_id)) == 1


def test_members_see_none_of_it(team: Team) -> None:
    webhook_id, _secret = team.made("https://localhost/")
    for path in ("", "/new", f"/{webhook_id}", f"/{webhook_id}/deliveries"):
        assert team.bert.get(team.url + path).status_code == 403
    assert "/webhooks" not in team.bert.get(f"/o/{team.id}/members").text
    assert f'href="{team.url}"' in team.anna.get(f"/o/{team.id}/members").text


@pytest.mark.check("pages")
def test_texts_are_texts(workspace: Workspace, team: Team) -> None:
    workspace.portal.call(workspace.app.state.sender.stop)
    webhook_id, _secret = team.made("https://localhost/")
    for vector in VECTORS:
        with workspace.database.write() as db:
            db.execute(update(Organization).where(Organization.id == team.id).values(name=vector))
            db.execute(update(Webhook).values(events=["*", vector]))
            db.execute(delete(Delivery))
        team.tell(vector, vector, path=vector, answer=vector)
        with workspace.database.write() as db:
            db.execute(update(Delivery).values(problem=vector, next_at=None))
        for path in ("", f"/{webhook_id}", f"/{webhook_id}/deliveries"):
            page = team.anna.get(team.url + path)
            assert page.status_code == 200
            assert problems_in(page.text) == [], vector
        answer = team.anna.post(team.url, {"url": vector, "events": "job.failed"})
        assert answer.status_code == 422
        assert problems_in(answer.text) == [], vector


def test_a_page_follows_what_was_just_sent(workspace: Workspace, team: Team) -> None:
    workspace.portal.call(workspace.app.state.sender.stop)
    webhook_id, _secret = team.made("https://localhost/")
    path = f"{team.url}/{webhook_id}/deliveries"
    team.tell()
    assert 'hx-trigger="every 2s"' in team.anna.get(path).text
    with workspace.database.write() as db:
        db.execute(update(Delivery).values(attempts=1))
    assert 'hx-trigger="every 2s"' not in team.anna.get(path).text


def test_no_csrf_no_change(team: Team) -> None:
    webhook_id, _secret = team.made("https://localhost/")
    for path in (team.url, f"{team.url}/{webhook_id}/delete", f"{team.url}/{webhook_id}/secret"):
        assert team.anna.client.post(path, data={"url": "http://127.0.0.1:9999/", "events": "*"}).status_code == 403
    assert len(team.webhooks()) == 1


def test_the_workspace_has_one_sender(workspace: Workspace, team: Team, receiver: Receiver) -> None:
    """And it sends what another process tells of: it looks by itself."""
    webhook_id, _secret = team.made(receiver.url)
    with workspace.database.write() as db:
        happening = Happening(organization_id=team.id, name="job.failed", title="A job failed.")
        db.add(happening)
        db.flush()
        db.add(Delivery(organization_id=team.id, webhook_id=webhook_id, happening_id=happening.id, next_at=now()))
    receiver.wait()
