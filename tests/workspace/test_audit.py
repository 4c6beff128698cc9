"""The audit log: filtered, paged, exported, and there after people are gone."""

from __future__ import annotations

import csv
import io
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select

from lifelearn.workspace.organizations import audit
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import AuditEvent
from workspace.fakes import BOTH, Browser, Workspace

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add_events(
    workspace: Workspace, organization: uuid.UUID, number: int, by: Browser, action: str = "key.made"
) -> None:
    """Three at each moment, so that a page may end between two of the same time."""
    with workspace.database.write() as db:
        for index in range(number):
            db.add(
                AuditEvent(
                    organization_id=organization,
                    actor_id=by.user_id,
                    actor=by.email,
                    action=action,
                    target=f"target {index}",
                    created_at=START + timedelta(minutes=index // 3),
                )
            )


def rows_of(answer: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))  # type: ignore[attr-defined]


def lines_of(answer: object) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.text.splitlines()]  # type: ignore[attr-defined]


@BOTH
def test_pages_hold_each_event_once_newest_first(workspace: Workspace) -> None:
    anna, eve = workspace.person("anna@example.org"), workspace.person("eve@example.org")
    here, other = workspace.organization(anna), workspace.organization(eve, "Other")
    add_events(workspace, here, 125, anna)
    add_events(workspace, other, 5, eve)
    seen: list[tuple[datetime, str]] = []
    before, pages = "", 0
    while True:
        with workspace.database.read() as db:
            events, before = audit.page(db, here, audit.Filter(), before)
        seen += [(each.created_at, each.target) for each in events]
        pages += 1
        if not before:
            break
    assert pages == 3
    assert len({target for _, target in seen}) == len(seen) == 125
    assert [moment for moment, _ in seen] == sorted((moment for moment, _ in seen), reverse=True)
    first = anna.get(f"/o/{here}/audit").text
    assert "target 124" in first
    assert "target 0<" not in first
    assert 'rel="next"' in first


@BOTH
def test_the_next_page_keeps_the_filter(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    add_events(workspace, here, 120, anna, "key.made")
    add_events(workspace, here, 20, anna, "key.revoked")
    path, targets = f"/o/{here}/audit?action=key.made&since=2026-03-01", set()
    for _ in range(5):
        page = anna.get(path).text
        assert "<td>key.revoked</td>" not in page
        targets |= {line for line in page.splitlines() if "<td>target " in line}
        if 'rel="next"' not in page:
            break
        path = page.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert len(targets) == 120


@BOTH
def test_filters(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna)
    with workspace.database.write() as db:
        for person, action, at in (
            (anna, "a.one", datetime(2026, 3, 1, 0, 0, tzinfo=UTC)),
            (anna, "a.one", datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)),
            (anna, "a.one", datetime(2026, 3, 2, 0, 0, tzinfo=UTC)),
            (bert, "a.two", datetime(2026, 3, 2, 12, 0, tzinfo=UTC)),
            (bert, "a.two", datetime(2026, 3, 3, 12, 0, tzinfo=UTC)),
        ):
            db.add(
                AuditEvent(
                    organization_id=here, actor_id=person.user_id, actor=person.email, action=action, created_at=at
                )
            )
    for query, found in (
        ("", 5),
        ("action=a.one", 3),
        ("action=a.none", 0),
        ("person=ANNA@example.org", 3),
        ("person=bert@example.org&action=a.two", 2),
        ("since=2026-03-02", 3),
        ("until=2026-03-01", 2),
        ("since=2026-03-01&until=2026-03-02", 4),
        ("since=&until=&person=&action=", 5),
        ("since=2999-12-31", 0),
        ("until=2999-12-31", 5),
    ):
        page = anna.get(f"/o/{here}/audit?{query}").text
        assert page.count('<td><time datetime="') == found, query
        assert len(rows_of(anna.get(f"/o/{here}/audit.csv?{query}"))) == found, query
        assert len(lines_of(anna.get(f"/o/{here}/audit.jsonl?{query}"))) == found, query


@BOTH
def test_questions_that_cannot_be_answered(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    for query in (
        "since=yesterday",
        "since=0001-01-01",
        "until=9999-12-31",
        "action=" + "x" * 300,
        "person=%00",
        "before=nonsense",
        "before=2026-03-01T00:00:00_00000000-0000-0000-0000-000000000000",
        "before=0001-01-01T00:00:00%2B23:00_00000000-0000-0000-0000-000000000000",
        "before=2026-03-01T00:00:00%2B00:00_x",
    ):
        assert anna.get(f"/o/{here}/audit?{query}").status_code == 422, query
        if not query.startswith("before"):
            assert anna.get(f"/o/{here}/audit.csv?{query}").status_code == 422, query


def test_what_is_asked_for_is_shown_harmlessly(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna, "<script>alert(1)</script>")
    with workspace.database.write() as db:
        person = db.get(User, anna.user_id)
        assert person is not None
        target = '"><script>alert(2)</script>'
        db.add(
            AuditEvent(
                organization_id=here, actor_id=None, actor=target, action=target, target=target, details={"a": target}
            )
        )
    page = anna.get(f"/o/{here}/audit?person=%22><script>alert(3)</script>&action=%22><script>").text
    page += anna.get(f"/o/{here}/audit").text
    assert "<script>alert" not in page


@BOTH
def test_exports_hold_everything(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BATCH", 50)
    anna = workspace.person()
    here = workspace.organization(anna)
    add_events(workspace, here, 120, anna)
    table, lines = anna.get(f"/o/{here}/audit.csv"), anna.get(f"/o/{here}/audit.jsonl")
    assert table.headers["content-type"].startswith("text/csv")
    assert table.headers["content-disposition"].startswith('attachment; filename="audit-log-')
    assert lines.headers["content-type"].startswith("application/jsonl")
    assert [row["id"] for row in rows_of(table)] == [line["id"] for line in lines_of(lines)]
    assert len({row["id"] for row in rows_of(table)}) == 120


def test_a_table_program_computes_nothing(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "＠x"):
        with workspace.database.write() as db:
            db.add(AuditEvent(organization_id=here, actor_id=None, actor=text, action=text, target=text, address=text))
        row = next(csv.DictReader(io.StringIO(anna.get(f"/o/{here}/audit.csv").text, newline="")))
        for column in ("actor", "action", "target", "address"):
            assert row[column] == f"'{text}"
        assert lines_of(anna.get(f"/o/{here}/audit.jsonl"))[0]["actor"] == text


def test_quotes_and_line_ends_stay_in_their_cell(workspace: Workspace) -> None:
    anna = workspace.person()
    here = workspace.organization(anna)
    with workspace.database.write() as db:
        db.add(
            AuditEvent(
                organization_id=here,
                actor_id=None,
                actor='a"b',
                action="x.y",
                target='one\n"two",three;=4',
                details={"k": "v"},
            )
        )
    row = next(csv.DictReader(io.StringIO(anna.get(f"/o/{here}/audit.csv").text, newline="")))
    assert (row["actor"], row["target"], row["details"]) == ('a"b', 'one\n"two",three;=4', '{"k": "v"}')


@BOTH
def test_who_did_it_is_known_after_the_account_is_gone(workspace: Workspace) -> None:
    anna, bert = workspace.person("anna@example.org"), workspace.person("bert@example.org")
    here = workspace.organization(anna, admin=[bert])
    bert.post(f"/o/{here}/invites", {"email": "x@y.org", "role": "member"})
    bert.post(f"/o/{here}/leave")
    with workspace.database.write() as db:
        db.execute(delete(User).where(User.id == bert.user_id))
    with workspace.database.read() as db:
        assert set(db.scalars(select(AuditEvent.actor_id))) == {None}
    page = anna.get(f"/o/{here}/audit?person=bert@example.org").text
    assert "invite.created" in page
    assert "member.left" in page
    assert {row["actor"] for row in rows_of(anna.get(f"/o/{here}/audit.csv"))} == {"bert@example.org"}
