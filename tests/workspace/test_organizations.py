"""Organisations: made, named, and deleted with all that they own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from sqlalchemy import select

from lifelearn.workspace.organizations import ending, founding
from lifelearn.workspace.tables.chats import Message
from lifelearn.workspace.tables.organizations import Organization, Role
from workspace.fakes import BOTH, Workspace
from workspace.organizations import add_key, add_thread, counts, folder_of, role_of, settings_form

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


# Deleted


@BOTH
def test_an_organisation_is_deleted_with_all_that_it_owns(workspace: Workspace) -> None:
    anna, bert, carl = (workspace.person(f"{name}@example.org") for name in ("anna", "bert", "carl"))
    other = workspace.organization(carl, "Other", member=[anna])
    add_thread(workspace, other, anna)
    kept_folder, kept = folder_of(workspace, other), counts(workspace)
    here = workspace.organization(anna, "Acme Ltd")
    workspace.join(here, bert, Role.OWNER)
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
