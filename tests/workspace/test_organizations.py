"""Organisations: made, renamed, left and deleted with all that they own; members and their roles; who may what."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.requests import Request

from lifelearn.workspace.database import Base
from lifelearn.workspace.errors import ConflictError
from lifelearn.workspace.organizations import ending, founding, inviting, membership
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.organizations import AuditEvent, Membership, Organization, Role
from lifelearn.workspace.tables.programs import ApiKey
from workspace.fakes import BOTH, Browser, Workspace

ABSENT = "00000000-0000-4000-8000-000000000000"


def request_to(workspace: Workspace) -> Request:
    """For functions that are called by routes of other parts."""
    return Request({"type": "http", "app": workspace.app, "client": ("192.0.2.1", 1), "headers": []})


def role_of(workspace: Workspace, organization: uuid.UUID, person: Browser) -> str | None:
    with workspace.database.read() as db:
        member = db.get(Membership, (organization, person.user_id))
        return None if member is None else member.role


def members_of(workspace: Workspace, organization: uuid.UUID) -> dict[uuid.UUID, str]:
    with workspace.database.read() as db:
        found = db.scalars(select(Membership).where(Membership.organization_id == organization))
        return {each.user_id: each.role for each in found}


def add_thread(workspace: Workspace, organization: uuid.UUID, owner: Browser, shared: bool = False) -> uuid.UUID:
    with workspace.database.write() as db:
        thread = Thread(organization_id=organization, owner_id=owner.user_id, title="A chat", shared=shared)
        db.add(thread)
        db.flush()
        parent = None
        for _ in range(3):
            message = Message(
                organization_id=organization, thread_id=thread.id, parent_id=parent, role="user", content="Hello"
            )
            db.add(message)
            db.flush()
            parent = message.id
        return thread.id


def add_key(workspace: Workspace, organization: uuid.UUID, owner: Browser) -> uuid.UUID:
    with workspace.database.write() as db:
        key = ApiKey(
            organization_id=organization,
            user_id=owner.user_id,
            name="k",
            start="ll_",
            token_hash=uuid.uuid4().hex,
            scopes=["chat"],
        )
        db.add(key)
        db.flush()
        return key.id


def settings_form(**changed: Any) -> dict[str, Any]:
    return {"revision": 1, "name": "Acme", "instructions": "", "temperature": "0.5", "max_tokens": "100", **changed}


def counts(workspace: Workspace) -> dict[str, int]:
    """How many rows each table holds."""
    with workspace.database.read() as db:
        return {
            table.name: db.scalar(select(func.count()).select_from(table)) or 0 for table in Base.metadata.sorted_tables
        }


# Made


@BOTH
def test_whoever_makes_an_organisation_owns_it(workspace: Workspace) -> None:
    anna = workspace.person()
    assert "New organisation" in anna.get("/organizations/new").text
    answer = anna.post("/organizations/new", {"name": "  Acme   <b>Ltd</b> "})
    assert answer.status_code == 303
    organization = uuid.UUID(answer.headers["location"].removeprefix("/o/"))
    assert role_of(workspace, organization, anna) == "owner"
    page = anna.get(f"/o/{organization}/settings").text
    assert "Acme &lt;b&gt;Ltd&lt;/b&gt;" in page
    assert "<b>Ltd" not in page


def test_a_name_that_cannot_be_used_is_shown_again(workspace: Workspace) -> None:
    anna = workspace.person()
    for name in ("", "   ", "x" * 81, "\u202e\u200b"):
        answer = anna.post("/organizations/new", {"name": name})
        assert answer.status_code == 422
        assert 'aria-invalid="true"' in answer.text
    assert counts(workspace)["organizations"] == 0


@BOTH
def test_no_control_characters_in_names(workspace: Workspace) -> None:
    anna = workspace.person()
    where = anna.post("/organizations/new", {"name": "A\x00c\u202eme\r\nBcc: x"}).headers["location"]
    with workspace.database.read() as db:
        organization = db.get(Organization, uuid.UUID(where.removeprefix("/o/")))
        assert organization is not None
        assert organization.name == "A c me Bcc: x"


def test_forms_that_are_much_too_long_are_refused(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    for path, form in (
        ("/organizations/new", {"name": "x" * 1001}),
        (f"/o/{here}/settings", settings_form(instructions="x" * 100_001)),
        (f"/o/{here}/invites", {"email": "x" * 1001, "role": "member"}),
        (f"/o/{here}/delete", {"name": "x" * 1001}),
    ):
        answer = anna.post(path, form)
        assert answer.status_code == 422
        assert "x" * 1000 not in answer.text
    before = counts(workspace)
    assert (
        anna.client.post(
            "/organizations/new",
            content=b"name=%ff%00",
            headers={"X-CSRF-Token": anna.csrf, "Content-Type": "application/x-www-form-urlencoded"},
        ).status_code
        == 303
    )
    assert counts(workspace)["organizations"] == before["organizations"] + 1


def test_nobody_owns_more_organisations_than_allowed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(founding, "MOST_OWNED", 1)
    anna = workspace.person()
    assert anna.post("/organizations/new", {"name": "One"}).status_code == 303
    assert anna.post("/organizations/new", {"name": "Two"}).status_code == 403


# Who may come in


PAGES = ["members", "leave", "settings", "model"]
PAGES_OF_ADMINS = ["audit", "audit.csv", "audit.jsonl"]
PAGES_OF_OWNERS = ["delete"]


def test_pages_by_role(workspace: Workspace) -> None:
    anna, bert, carl, eve = (workspace.person(f"{name}@example.org") for name in ("anna", "bert", "carl", "eve"))
    here = workspace.organization(anna, admin=[bert], member=[carl])
    workspace.organization(eve, "Other")
    remove = f"members/{carl.user_id}/remove"
    for pages, allowed in (
        (PAGES, [anna, bert, carl]),
        ([*PAGES_OF_ADMINS, remove], [anna, bert]),
        (PAGES_OF_OWNERS, [anna]),
    ):
        for page in pages:
            for person in (anna, bert, carl):
                status = person.get(f"/o/{here}/{page}").status_code
                assert status == (200 if person in allowed and (page != remove or person is not carl) else 403), page
            assert eve.get(f"/o/{here}/{page}").status_code == 404, page
            assert workspace.visitor().get(f"/o/{here}/{page}").status_code == 303, page


def test_changes_by_role(workspace: Workspace) -> None:
    """Each changing route: signed out, another organisation, too low a role, without the token, with a field more."""
    anna, bert, carl, eve = (workspace.person(f"{name}@example.org") for name in ("anna", "bert", "carl", "eve"))
    here = workspace.organization(anna, admin=[bert], member=[carl])
    workspace.organization(eve, "Other")
    anna.post(f"/o/{here}/invites", {"email": "zoe@example.org", "role": "owner"})
    with workspace.database.read() as db:
        invite = inviting.open_invites(db, here)[0].id
    before = counts(workspace)
    routes: list[tuple[str, dict[str, Any], list[Browser]]] = [
        (f"members/{anna.user_id}/role", {"role": "member"}, [bert, carl]),
        (f"members/{bert.user_id}/remove", {}, [bert, carl]),
        (f"members/{anna.user_id}/remove", {}, [anna, bert, carl]),
        ("invites", {"email": "x@example.org", "role": "member"}, [carl]),
        ("invites", {"email": "x@example.org", "role": "owner"}, [bert, carl]),
        (f"invites/{invite}/resend", {}, [bert, carl]),
        (f"invites/{invite}/revoke", {}, [bert, carl]),
        ("settings", settings_form(), [carl]),
        ("delete", {"name": "Acme"}, [bert, carl]),
        ("leave", {}, []),
    ]
    for route, form, refused in routes:
        path = f"/o/{here}/{route}"
        for person in refused:
            assert person.post(path, form).status_code == 403, (route, person.email)
        assert eve.post(path, form).status_code == 404, route
        assert workspace.visitor().post(path, form).status_code == 401, route
        assert anna.post(path, {**form, "csrf": "wrong"}).status_code == 403, route
        assert anna.client.post(path, data=form).status_code == 403, route
        for more in ({"organization_id": ABSENT}, {"user_id": ABSENT}, {"active_version": 7}, {"is_owner": "true"}):
            assert anna.post(path, {**form, **more}).status_code == 422, (route, more)
    assert counts(workspace) == before
    assert members_of(workspace, here) == {anna.user_id: "owner", bert.user_id: "admin", carl.user_id: "member"}


def test_objects_of_another_organisation_are_not_found(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here, other = workspace.organization(anna), workspace.organization(bert, "Other")
    bert.post(f"/o/{other}/invites", {"email": "x@example.org", "role": "member"})
    with workspace.database.read() as db:
        invite = inviting.open_invites(db, other)[0].id
    for user in (bert.user_id, ABSENT):
        assert anna.get(f"/o/{here}/members/{user}/remove").status_code == 404
        assert anna.post(f"/o/{here}/members/{user}/remove").status_code == 404
        assert anna.post(f"/o/{here}/members/{user}/role", {"role": "member"}).status_code == 404
    for some in (invite, ABSENT, "not-an-id"):
        for verb in ("resend", "revoke"):
            assert anna.post(f"/o/{here}/invites/{some}/{verb}").status_code == 404
    assert role_of(workspace, other, bert) == "owner"


# Members


@BOTH
def test_an_owner_changes_roles(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna, member=[bert])
    assert anna.post(f"/o/{here}/members/{bert.user_id}/role", {"role": "owner"}).status_code == 303
    assert role_of(workspace, here, bert) == "owner"
    assert bert.post(f"/o/{here}/members/{anna.user_id}/role", {"role": "member"}).status_code == 303
    assert role_of(workspace, here, anna) == "member"
    for role in ("", "king", "OWNER", "admin "):
        answer = bert.post(f"/o/{here}/members/{anna.user_id}/role", {"role": role})
        assert answer.status_code == (303 if role.strip() == "admin" else 422)


@BOTH
def test_the_last_owner_stays(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna, admin=[bert])
    answer = anna.post(f"/o/{here}/members/{anna.user_id}/role", {"role": "admin"})
    assert answer.status_code == 409
    assert "Make somebody else an owner first" in answer.text
    assert "Make somebody else an owner first" in anna.get(f"/o/{here}/leave").text
    assert anna.post(f"/o/{here}/leave").status_code == 409
    assert role_of(workspace, here, anna) == "owner"
    assert bert.post(f"/o/{here}/leave").status_code == 303
    assert "Delete the organisation" in anna.get(f"/o/{here}/leave").text
    assert anna.post(f"/o/{here}/leave").status_code == 409


@BOTH
@pytest.mark.parametrize("by", ["removal", "leaving"])
def test_what_goes_with_a_member(workspace: Workspace, by: str) -> None:
    """Private chats go, shared ones stay, keys and invites end; what the member has elsewhere is not touched."""
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here, elsewhere = workspace.organization(anna, admin=[bert]), workspace.organization(bert, "Elsewhere")
    private, shared, of_anna = (
        add_thread(workspace, here, bert),
        add_thread(workspace, here, bert, shared=True),
        add_thread(workspace, here, anna),
    )
    private_elsewhere = add_thread(workspace, elsewhere, bert)
    key, key_elsewhere = add_key(workspace, here, bert), add_key(workspace, elsewhere, bert)
    bert.post(f"/o/{here}/invites", {"email": "x@example.org", "role": "admin"})
    assert bert.get(f"/o/{here}/members").status_code == 200
    if by == "removal":
        anna.post(f"/o/{here}/members/{bert.user_id}/role", {"role": "member"})
        said = anna.get(f"/o/{here}/members/{bert.user_id}/remove").text
        assert anna.post(f"/o/{here}/members/{bert.user_id}/remove").status_code == 303
    else:
        said = bert.get(f"/o/{here}/leave").text
        assert bert.post(f"/o/{here}/leave").status_code == 303
    assert "private chats here are deleted" in said
    assert bert.get(f"/o/{here}/members").status_code == 404
    assert bert.get(f"/o/{elsewhere}/members").status_code == 200
    with workspace.database.read() as db:
        left = {each.id: each.owner_id for each in db.scalars(select(Thread))}
        assert left == {shared: anna.user_id, of_anna: anna.user_id, private_elsewhere: bert.user_id}
        assert db.scalar(select(func.count()).where(Message.thread_id == private)) == 0
        dead = {each.id for each in db.scalars(select(ApiKey).where(ApiKey.revoked_at.is_not(None)))}
        assert dead == {key}
        assert key_elsewhere not in dead
        assert inviting.open_invites(db, here) == []
        actions = list(db.scalars(select(AuditEvent.action).where(AuditEvent.organization_id == here)))
        assert ("member.removed" if by == "removal" else "member.left") in actions


def test_admins_remove_members_only(workspace: Workspace) -> None:
    anna, bert, carl, dora = (workspace.person(f"{name}@example.org") for name in ("anna", "bert", "carl", "dora"))
    here = workspace.organization(anna, admin=[bert, carl], member=[dora])
    page = bert.get(f"/o/{here}/members").text
    assert f"/members/{dora.user_id}/remove" in page
    assert f"/members/{carl.user_id}/remove" not in page
    assert bert.get(f"/o/{here}/members/{carl.user_id}/remove").status_code == 403
    assert bert.post(f"/o/{here}/members/{carl.user_id}/remove").status_code == 403
    assert bert.post(f"/o/{here}/members/{dora.user_id}/remove").status_code == 303
    assert anna.post(f"/o/{here}/members/{carl.user_id}/remove").status_code == 303
    assert set(members_of(workspace, here)) == {anna.user_id, bert.user_id}


def at_once(*does: Callable[[], Any]) -> list[Any]:
    """The results of what is done at the same moment."""
    barrier, results = threading.Barrier(len(does)), [None] * len(does)

    def run(index: int, do: Callable[[], Any]) -> None:
        barrier.wait()
        results[index] = do()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(does)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def add_owner(workspace: Workspace, organization: uuid.UUID, person: Browser) -> None:
    with workspace.database.write() as db:
        db.merge(Membership(organization_id=organization, user_id=person.user_id, role=Role.OWNER))


@BOTH
@pytest.mark.parametrize(("verb", "second"), [("role", 403), ("remove", 404), ("leave", 409)])
def test_two_owners_at_once_leave_one(workspace: Workspace, verb: str, second: int) -> None:
    for attempt in range(4):
        anna, bert = (workspace.person(f"{name}{attempt}@example.org") for name in ("anna", "bert"))
        here = workspace.organization(anna)
        add_owner(workspace, here, bert)
        form = {"role": "member"} if verb == "role" else {}
        results = at_once(
            *(
                partial(by.post, f"/o/{here}/leave" if verb == "leave" else f"/o/{here}/members/{whom}/{verb}", form)
                for by, whom in ((anna, bert.user_id), (bert, anna.user_id))
            )
        )
        assert sorted(each.status_code for each in results) == [303, second]
        assert list(members_of(workspace, here).values()).count("owner") == 1


@BOTH
def test_an_owner_who_deletes_the_account_while_the_other_leaves(workspace: Workspace) -> None:
    for attempt in range(4):
        anna, bert, carl = (workspace.person(f"{name}{attempt}@example.org") for name in ("anna", "bert", "carl"))
        here = workspace.organization(anna, member=[carl])
        add_owner(workspace, here, bert)

        def delete_account(person: Browser = anna) -> bool:
            try:
                leave_all(workspace, person)
            except ConflictError:
                return False
            return True

        deleted, left = at_once(delete_account, partial(bert.post, f"/o/{here}/leave"))
        assert deleted != (left.status_code == 303)
        assert list(members_of(workspace, here).values()).count("owner") == 1


# Before an account is deleted


def leave_all(workspace: Workspace, person: Browser) -> None:
    with workspace.database.write() as db:
        user = db.get(User, person.user_id)
        assert user is not None
        membership.leave_all(db, request_to(workspace), user)
        db.delete(user)


@BOTH
def test_an_account_goes_from_all_its_organisations(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    alone = workspace.organization(anna, "Alone")
    shared = workspace.organization(anna, "Together")
    add_owner(workspace, shared, bert)
    guest = workspace.organization(bert, "Guest", member=[anna])
    for organization in (alone, shared, guest):
        add_thread(workspace, organization, anna, shared=True)
    folder = folder_of(workspace, alone)
    leave_all(workspace, anna)
    assert not folder.exists()
    with workspace.database.read() as db:
        assert db.get(Organization, alone) is None
        assert set(db.scalars(select(Thread.owner_id))) == {bert.user_id}
        actors = db.execute(select(AuditEvent.actor, AuditEvent.actor_id, AuditEvent.action)).all()
        assert [tuple(each) for each in actors] == [("anna@example.org", None, "member.left")] * 2
    assert members_of(workspace, shared) == members_of(workspace, guest) == {bert.user_id: "owner"}
    assert "anna@example.org" in bert.get(f"/o/{shared}/audit").text


@BOTH
def test_an_account_that_others_need_stays(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    workspace.organization(anna, "Alone")
    for name in ("Blue", "Apple"):
        workspace.organization(anna, name, admin=[bert])
    before = counts(workspace)
    with pytest.raises(ConflictError, match="Apple and Blue"):
        leave_all(workspace, anna)
    assert counts(workspace) == before


# Settings


@BOTH
def test_settings_are_changed(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna, admin=[bert])
    form = settings_form(name="New", instructions="Be brief.\r\nBe kind.", temperature="0.7", max_tokens="512")
    assert bert.post(f"/o/{here}/settings", form).status_code == 303
    with workspace.database.read() as db:
        now = db.get(Organization, here)
        assert now is not None
        assert (now.name, now.instructions, now.temperature, now.max_tokens, now.revision) == (
            "New",
            "Be brief.\nBe kind.",
            0.7,
            512,
            2,
        )
        event = db.scalars(select(AuditEvent).where(AuditEvent.action == "settings.changed")).one()
        assert event.details["max_tokens"] == [256, 512]
        assert "Be brief" not in str(event.details)
    assert "Be brief." in anna.get(f"/o/{here}/model").text


@BOTH
def test_settings_that_cannot_be_used_are_shown_again(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    for field, value in (
        ("name", ""),
        ("name", "x" * 81),
        ("instructions", "x" * 4001),
        ("instructions", "a\x00b"),
        ("temperature", "warm"),
        ("temperature", "nan"),
        ("temperature", "-1"),
        ("temperature", "2.1"),
        ("temperature", ""),
        ("max_tokens", "0"),
        ("max_tokens", "4097"),
        ("max_tokens", "1.5"),
        ("max_tokens", "9" * 999),
    ):
        answer = anna.post(f"/o/{here}/settings", settings_form(**{"name": "New", field: value}))
        assert answer.status_code == 422, (field, value)
        assert answer.text.count('aria-invalid="true"') == 1, (field, value)
    with workspace.database.read() as db:
        assert db.scalars(select(Organization.name)).one() == "Acme"


@BOTH
def test_settings_changed_meanwhile_are_not_undone_unseen(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna, admin=[bert])
    assert anna.post(f"/o/{here}/settings", settings_form(name="Anna's")).status_code == 303
    answer = bert.post(f"/o/{here}/settings", settings_form(name="Bert's"))
    assert answer.status_code == 409
    assert 'value="Bert&#39;s"' in answer.text
    assert "Anna&#39;s" in answer.text
    assert 'name="revision" value="2"' in answer.text
    assert bert.post(f"/o/{here}/settings", settings_form(name="Bert's", revision=2)).status_code == 303
    results = at_once(
        *(
            partial(person.post, f"/o/{here}/settings", settings_form(name=person.email, revision=3))
            for person in (anna, bert)
        )
    )
    assert sorted(each.status_code for each in results) == [303, 409]


def test_members_read_the_settings(workspace: Workspace) -> None:
    anna, carl = workspace.person("anna@example.org"), workspace.person("carl@example.org")
    here = workspace.organization(anna, member=[carl])
    assert "<fieldset disabled>" in carl.get(f"/o/{here}/settings").text
    assert "<fieldset disabled>" not in anna.get(f"/o/{here}/settings").text
    assert f"/o/{here}/delete" not in carl.get(f"/o/{here}/settings").text


def test_the_model_page_says_how_the_model_is(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    page = anna.get(f"/o/{here}/model").text
    assert "0, the base model" in page
    assert "scripted answers" in page
    assert "http://testserver/v1" in page
    assert 'hx-trigger="load delay:2s"' not in page
    workspace.inference.state = "loading"
    assert 'hx-trigger="load delay:2s"' in anna.get(f"/o/{here}/model").text
    workspace.inference.doing = "Fetching it …"
    assert "Fetching it … Chats can be read meanwhile" in anna.get(f"/o/{here}/model").text
    workspace.inference.state, workspace.inference.problem = "failed", "No such <model>."
    assert "No such &lt;model&gt;." in anna.get(f"/o/{here}/model").text
    with workspace.database.write() as db:
        organization = db.get(Organization, here)
        assert organization is not None
        organization.active_version = 7
    assert f"/o/{here}/versions/7" in anna.get(f"/o/{here}/model").text


# Deleted


def folder_of(workspace: Workspace, organization: uuid.UUID | str) -> Path:
    folder: Path = workspace.pages.settings.folder / "organizations" / str(organization)
    (folder / "versions").mkdir(parents=True)
    (folder / "versions" / "weights").write_text("weights")
    return folder


@BOTH
def test_an_organisation_is_deleted_with_all_that_it_owns(workspace: Workspace) -> None:
    anna, bert, carl = (workspace.person(f"{name}@example.org") for name in ("anna", "bert", "carl"))
    other = workspace.organization(carl, "Other", member=[anna])
    add_thread(workspace, other, anna)
    kept_folder, kept = folder_of(workspace, other), counts(workspace)
    here = workspace.organization(anna, "Acme Ltd")
    add_owner(workspace, here, bert)
    folder = folder_of(workspace, here)
    for person in (anna, bert):
        add_thread(workspace, here, person, shared=True)
        add_key(workspace, here, person)
    anna.post(f"/o/{here}/invites", {"email": "x@example.org", "role": "member"})
    wrong = anna.post(f"/o/{here}/delete", {"name": "Acme"})
    assert wrong.status_code == 422
    assert folder.exists()
    assert anna.post(f"/o/{here}/delete", {"name": "Acme Ltd"}).status_code == 303
    assert counts(workspace) == kept
    assert not folder.exists()
    assert kept_folder.exists()
    assert anna.get(f"/o/{here}/members").status_code == 404


def test_files_stay_where_the_deletion_is_not_kept(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    folder = folder_of(workspace, here)

    def fails() -> None:
        with workspace.database.write() as db:
            organization = db.get(Organization, here)
            assert organization is not None
            ending.delete_organization(db, workspace.pages.settings, organization)
            db.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert folder.exists()
    assert role_of(workspace, here, anna) == "owner"


@BOTH
def test_a_long_chat_can_be_deleted(workspace: Workspace) -> None:
    """A message hangs on the one before it; SQLite would give up at a thousand that go one by one."""
    anna = workspace.person()
    here = workspace.organization(anna)
    thread = add_thread(workspace, here, anna)
    with workspace.database.write() as db:
        parent = db.scalars(select(Message.id)).first()
        rows = []
        for _ in range(1500):
            common = {"organization_id": here, "thread_id": thread, "role": "user"}
            rows.append(Message(id=uuid.uuid4(), parent_id=parent, **common))
            parent = rows[-1].id
        db.add_all(rows)
    assert anna.post(f"/o/{here}/delete", {"name": "Acme"}).status_code == 303
    assert counts(workspace)["messages"] == 0


def test_folders_that_were_left_over_are_swept(workspace: Workspace, tmp_path: Path) -> None:
    """The process may end between the deletion and the removal of its files."""
    settings = workspace.pages.settings
    assert ending.sweep_folders(workspace.database, settings) == 0
    anna = workspace.person()
    here = folder_of(workspace, workspace.organization(anna))
    gone, not_ours = folder_of(workspace, uuid.uuid4()), folder_of(workspace, "notes")
    linked = tmp_path / "elsewhere"
    linked.mkdir()
    (gone.parent / str(uuid.uuid4())).symlink_to(linked)
    ending.sweep_folders(workspace.database, settings)
    assert not gone.exists()
    assert here.exists()
    assert not_ours.exists()
    assert linked.exists()
