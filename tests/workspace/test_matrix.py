"""Who may what: every route × every kind of visitor. A route that who_may.py does not name fails the tests.

Pages: signed out, a sign-in that was ended, somebody of another organisation, a removed member, member, admin, owner.
Programs: no key, a cookie instead, keys of each scope, revoked, expired, of another organisation, of a removed member.
Foreign objects are not found; they are never "forbidden", which would say that they exist.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import delete, update

from lifelearn.settings import Settings
from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import ago, ahead, now
from lifelearn.workspace.tables.accounts import Identity, SignIn
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import Job, Kind
from lifelearn.workspace.tables.organizations import Invite, Membership, Role
from lifelearn.workspace.tables.programs import ApiKey, Scope
from lifelearn.workspace.tables.throttles import Throttle
from lifelearn.workspace.tables.webhooks import Delivery
from workspace.fakes import Browser, Workspace, started
from workspace.receiver import told_webhook
from workspace.versioned import corrected, made
from workspace.who_may import (
    AC,
    ADMIN,
    ANYONE,
    MEMBER,
    MISSES,
    OF,
    OPEN,
    OWNER,
    PAGES,
    PROGRAMS,
    SIGNED_IN,
    STATES,
    C,
    M,
    T,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("matrix")
    settings = Settings(
        database_url=f"sqlite:///{folder}/workspace.db",
        model_storage_dir=folder / "models",
        inference_backend="mock",
        public_url="http://testserver",
        worker="elsewhere",
    )
    with started(settings) as found:
        yield found


@pytest.fixture(scope="module")
def untouched(shared: Workspace) -> Scene:
    """For whoever is refused or only reads: they change nothing for the next."""
    return Scene(shared)


@dataclass
class Scene:
    """An organisation with all that routes name, its people, and people from elsewhere."""

    workspace: Workspace
    owner: Browser = field(init=False)

    def __post_init__(self) -> None:
        def person(name: str) -> Browser:
            return self.workspace.person(f"{name}-{uuid.uuid4().hex[:8]}@example.org")

        self.owner, self.admin, self.member, self.victim = map(person, ("owner", "admin", "member", "victim"))
        self.stranger, self.removed, self.ended = map(person, ("stranger", "removed", "ended"))
        self.organization_id = self.workspace.organization(
            self.owner, admin=[self.admin], member=[self.member, self.victim, self.ended]
        )
        self.elsewhere = self.workspace.organization(self.stranger, "Other")
        self.token = new_token()
        with self.workspace.database.write() as db:
            db.execute(delete(Throttle))  # many scenes a minute, from one address
            db.execute(delete(SignIn).where(SignIn.user_id == self.ended.user_id))
            self.thread = Thread(
                organization_id=self.organization_id, owner_id=self.member.user_id, title="Leave", shared=True
            )
            db.add(self.thread)
            db.flush()
            of = {"organization_id": self.organization_id, "thread_id": self.thread.id}
            self.question = Message(**of, role="user", content="How many days?", author_id=self.member.user_id)
            db.add(self.question)
            db.flush()
            self.answer = Message(**of, role="assistant", content="20 days.", parent_id=self.question.id, version=0)
            self.invite = Invite(
                organization_id=self.organization_id,
                email=f"guest-{uuid.uuid4().hex[:8]}@example.org",
                role=Role.MEMBER,
                token_hash=hash_token(self.token),
                expires_at=ahead(days=1),
            )
            identity = Identity(user_id=self.stranger.user_id, issuer="https://id.example", subject=uuid.uuid4().hex)
            db.add_all([self.answer, self.invite, identity])
            db.flush()
            self.thread.leaf_id = self.answer.id
            sign_in = db.query(SignIn).filter_by(user_id=self.victim.user_id).one()
            self.ids = {
                "organization_id": self.organization_id,
                "thread_id": self.thread.id,
                "message_id": self.answer.id,
                "user_id": self.victim.user_id,
                "invite_id": self.invite.id,
                "sign_in_id": sign_in.id,  # somebody else's, for all who ask
                "identity_id": identity.id,
                "token": self.token,
                "model": "life-learn",
            }
        self.ids["key_id"] = self.key(self.member, [Scope.CHAT])[1]
        learned = corrected(self.workspace, self.organization_id)
        self.ids["number"] = made(self.workspace, self.organization_id, learned, active=False).number
        self.ids.setdefault("correction_id", learned.id)
        self.corrections = {
            state: corrected(
                self.workspace, self.organization_id, f"{state}?", state=state, author_id=self.member.user_id
            ).id
            for state in (CorrectionState.FAILED, CorrectionState.REVIEW, CorrectionState.QUEUED)
        }
        with self.workspace.database.write() as db:
            job = Job(organization_id=self.organization_id, kind=Kind.LEARN)
            db.add(job)
            db.flush()
            db.get_one(Correction, self.corrections[CorrectionState.QUEUED]).job_id = job.id
        self.ids["webhook_id"], self.ids["delivery_id"] = told_webhook(self.workspace, self.organization_id)
        with self.workspace.database.write() as db:  # or its sender tries all scenes' again and again beside the tests
            db.execute(update(Delivery).values(next_at=None))

    def key(
        self, browser: Browser, scopes: list[Scope], organization_id: uuid.UUID | None = None, **more: Any
    ) -> tuple[str, uuid.UUID]:
        token = new_token("ll_")
        with self.workspace.database.write() as db:
            key = ApiKey(
                organization_id=organization_id or self.organization_id,
                user_id=browser.user_id,
                name="key",
                start=token[:8],
                token_hash=hash_token(token),
                scopes=[scope.value for scope in scopes],
                **more,
            )
            db.add(key)
            db.flush()
            return token, key.id

    def path(self, path: str) -> str:
        if path == f"{M}/edit":
            return path.format(**{**self.ids, "message_id": self.question.id})
        state = STATES.get(path.rpartition("/")[2]) if path.startswith((f"{C}/", f"{AC}/")) else None
        if state is not None:
            return path.format(**{**self.ids, "correction_id": self.corrections[state]})
        return path.format(**self.ids)


def routes(app: FastAPI) -> set[tuple[str, str]]:
    """All routes of the application, without what frameworks add."""
    found = {
        (method, str(route.path).replace(":path}", "}"))
        for route in iter_route_contexts(app.routes)
        for method in getattr(route, "methods", None) or ()
    }
    return {(method, path) for method, path in found if method != "HEAD"}


def test_every_route_is_in_the_matrix(shared: Workspace) -> None:
    known, found = {*PAGES, *PROGRAMS, *OPEN}, routes(shared.app)
    assert found - known == set(), "say here who may use these routes"
    assert known - found == set(), "these routes are gone"


@pytest.mark.check("pages")
@pytest.mark.parametrize(("method", "path"), PAGES, ids=str)
def test_pages(shared: Workspace, untouched: Scene, method: str, path: str) -> None:
    level, form = PAGES[method, path]
    below = path.startswith(OF)
    foreign = path in ("/account/sign-ins/{sign_in_id}/end", "/account/identities/{identity_id}/remove")

    def status(actor: str) -> tuple[int, str]:
        scene = Scene(shared) if actor in allowed and method != "GET" else untouched
        browser: Browser = shared.visitor() if actor == "signed out" else getattr(scene, actor)
        answer = browser.get(scene.path(path)) if method == "GET" else browser.post(scene.path(path), form)
        assert answer.status_code < 500, f"{actor}: {answer.text[:300]}"
        return answer.status_code, answer.headers.get("location", "")

    allowed = {
        ANYONE: {"signed out", "ended", "stranger", "removed", "member", "admin", "owner"},
        SIGNED_IN: {"stranger", "removed", "member", "admin", "owner"},
        MEMBER: {"member", "admin", "owner"},
        ADMIN: {"admin", "owner"},
        OWNER: {"owner"},
        "its owner": {"member"},
        "its owner or an admin": {"member", "admin", "owner"},
    }[level]
    for actor in ("signed out", "ended"):
        code, where = status(actor)
        if actor in allowed:
            assert code not in (401, 403), actor
        else:
            assert code == 401 or (code == 303 and where.startswith("/sign-in")), f"{actor}: {code} {where}"
    for actor in ("stranger", "removed"):
        code, _ = status(actor)
        if below or (foreign and actor == "removed"):
            assert code == 404, f"{actor}: {code}"
    if level.startswith("its owner"):
        assert status("victim")[0] in (403, 404), "another member"
    for actor in ("member", "admin", "owner"):
        code, where = status(actor)
        if foreign:
            assert code == 404, f"{actor}: {code}"
        elif actor not in allowed:
            assert code == 403, f"{actor}: {code}"
        elif below:
            assert code not in MISSES, f"{actor}: {code}"
            assert not where.startswith("/sign-in"), actor


@pytest.mark.check("pages")
@pytest.mark.parametrize(("method", "path"), [each for each in PAGES if each[0] == "POST"], ids=str)
def test_pages_change_nothing_without_their_token(untouched: Scene, method: str, path: str) -> None:
    scene = untouched
    for given in ("", "0" * 64, scene.stranger.csrf):
        answer = scene.member.client.post(scene.path(path), data={**PAGES[method, path][1], "csrf": given})
        assert answer.status_code in (403, 404), f"{given!r}: {answer.status_code}"
    assert scene.member.client.post(scene.path(path)).status_code in (403, 404)


@pytest.mark.parametrize(("method", "path"), PROGRAMS, ids=str)
def test_programs(shared: Workspace, untouched: Scene, method: str, path: str) -> None:
    scope, role, body = PROGRAMS[method, path]
    every = list(Scope)

    def status(scene: Scene, headers: dict[str, str], browser: Browser | None = None) -> int:
        client = (browser or shared.visitor()).client
        answer = client.request(method, scene.path(path), json=body if method != "GET" else None, headers=headers)
        assert answer.status_code < 500, answer.text[:300]
        return int(answer.status_code)

    def with_key(*arguments: Any, scene: Scene | None = None, **more: Any) -> int:
        scene = scene or untouched
        browser = getattr(scene, arguments[0])
        return status(scene, {"Authorization": f"Bearer {scene.key(browser, *arguments[1:], **more)[0]}"})

    assert status(untouched, {}) == 401, "no key"
    assert status(untouched, {}, untouched.owner) == 401, "a cookie is no key"
    assert status(untouched, {"Authorization": "Bearer ll_wrong"}) == 401, "no such key"
    assert status(untouched, {"Authorization": "Basic YTpi"}) == 401, "another scheme"
    assert with_key("owner", every, revoked_at=now()) == 401, "revoked"
    assert with_key("owner", every, expires_at=ago(minutes=1)) == 401, "expired"
    assert with_key("removed", every) == 401, "its user was removed"
    scene = untouched if method == "GET" else Scene(shared)
    elsewhere = with_key("stranger", every, scene.elsewhere, scene=scene)
    if "{" in path and not path.startswith("/v1/"):
        assert elsewhere == 404, "an object of another organisation"
    for other in every:
        if other is not scope:
            assert with_key("owner", [other]) == 403, f"scope {other}"
    if role is Role.ADMIN:
        assert with_key("member", every) == 403, "a member, whatever the key's scopes"
    actor = "member" if role is Role.MEMBER else "admin"
    assert with_key(actor, [scope], scene=untouched if method == "GET" else Scene(shared)) not in MISSES


def test_a_removed_member_loses_what_was_open(shared: Workspace) -> None:
    scene = Scene(shared)
    assert scene.victim.get(scene.path(T)).status_code == 200
    assert scene.owner.post(scene.path(f"{OF}/members/{{user_id}}/remove")).status_code in (200, 303)
    assert scene.victim.get(scene.path(T)).status_code == 404
    assert scene.victim.get(scene.path(f"{M}/events")).status_code == 404
    with shared.database.read() as db:
        assert db.get(Membership, (scene.organization_id, scene.victim.user_id)) is None
