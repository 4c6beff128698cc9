"""Members and their roles: who may what, who leaves and is removed, and what goes with them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select

from lifelearn.workspace.errors import ConflictError
from lifelearn.workspace.organizations import inviting
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.organizations import AuditEvent, Organization, Role
from lifelearn.workspace.tables.programs import ApiKey
from workspace.fakes import BOTH, Browser, Workspace
from workspace.organizations import (
    ABSENT,
    add_key,
    add_thread,
    at_once,
    counts,
    folder_of,
    leave_all,
    members_of,
    role_of,
    settings_form,
)

# Who may come in


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


@BOTH
@pytest.mark.parametrize(("verb", "second"), [("role", 403), ("remove", 404), ("leave", 409)])
def test_two_owners_at_once_leave_one(workspace: Workspace, verb: str, second: int) -> None:
    for attempt in range(4):
        anna, bert = (workspace.person(f"{name}{attempt}@example.org") for name in ("anna", "bert"))
        here = workspace.organization(anna)
        workspace.join(here, bert, Role.OWNER)
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
        workspace.join(here, bert, Role.OWNER)

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


@BOTH
def test_an_account_goes_from_all_its_organisations(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    alone = workspace.organization(anna, "Alone")
    shared = workspace.organization(anna, "Together")
    workspace.join(shared, bert, Role.OWNER)
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
