"""An organisation's settings, and its model's page."""

from __future__ import annotations

from functools import partial

from sqlalchemy import select

from lifelearn.workspace.tables.organizations import AuditEvent, Organization
from workspace.fakes import BOTH, Workspace
from workspace.organizations import at_once, settings_form


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
