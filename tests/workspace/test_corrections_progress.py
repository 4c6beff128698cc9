"""Corrections on their way: progress, those who follow it, and cancelling."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, select, update

from lifelearn.workspace.corrections import progress
from lifelearn.workspace.tables.corrections import Correction, State
from lifelearn.workspace.tables.jobs import Job
from lifelearn.workspace.tables.jobs import State as JobState
from lifelearn.workspace.tables.organizations import Membership, Organization
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH, POSTGRESQL, Browser, waits_for_a_lock
from workspace.team import Team, answer_of
from workspace.versioned import made
from workspace.xss import problems_in


@BOTH
def test_progress_and_its_place_in_the_queue(team: Team) -> None:
    first, second = (team.make(team.carl, State.QUEUED, question=f"Who is number {each}?") for each in (1, 2))
    learning = team.make(team.carl, State.LEARNING, question="Who is number 0?")
    done = {"step": 12, "steps": 40, "loss": 0.25, "losses": [2.0, 1.0, 0.25], "message": "4 of 6 probes hold"}
    team.job(learning, JobState.RUNNING, stage="train", progress=done)
    team.job(first, JobState.QUEUED)
    team.job(second, JobState.QUEUED)
    with team.workspace.database.read() as db:
        seen = progress.look(db, [learning.id, first.id, second.id, uuid.uuid4()])
    assert [seen[each.id].before for each in (learning, first, second)] == [0, 1, 2]
    assert len(seen) == 3
    page = team.dora.get(team.of(learning)).text
    for told in ("Step 12 of 40", "loss 0.250", "4 of 6 probes hold", 'aria-current="step"', "<polyline points="):
        assert told in page
    assert "one job comes first" in team.dora.get(team.of(first)).text
    assert "2 jobs come first" in team.dora.get(team.of(second)).text
    assert problems_in(page) == []
    learned = team.make(team.carl, State.LEARNED, question="Who is number 3?")
    made(team.workspace, team.id, learned)
    team.ben.post(f"{team.of(learned)}/forget")
    assert "It is going to be forgotten: 3 jobs come first" in team.dora.get(team.of(learned)).text


def follow(browser: Browser, path: str) -> list[tuple[str, str]]:
    """The events of a stream that ends, as (name, data)."""
    text = browser.get(path).text
    found = []
    for block in re.split(r"\n\n", text.replace("\r\n", "\n")):
        name = re.search(r"^event: (.+)$", block, re.MULTILINE)
        if name:
            found.append((name[1], "\n".join(re.findall(r"^data: ?(.*)$", block, re.MULTILINE))))
    return found


def meanwhile(team: Team, do: Callable[[Any], None], readers: int = 1, seconds: float = 0.4) -> None:
    """Does it once so many readers follow, each of whom has been shown something `seconds` ago."""
    watch = team.workspace.app.state.watch
    until(lambda: sum(watch._readers.values()) >= readers and watch._readers.keys() <= watch._seen.keys())
    time.sleep(seconds)
    with team.workspace.database.write() as db:
        do(db)


@BOTH
def test_a_reader_follows_it_to_its_end(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    one = team.make(team.carl, State.LEARNING)
    job_id = team.job(one, JobState.RUNNING, stage="augment")

    def trains(db: Any) -> None:
        job = db.get_one(Job, job_id)
        job.stage, job.progress = "train", {"step": 1, "steps": 9, "loss": 1.5}

    def ends(db: Any) -> None:
        db.get_one(Job, job_id).state = JobState.DONE
        row = db.get_one(Correction, one.id)
        row.state, row.version = State.LEARNED, 1

    with ThreadPoolExecutor(3) as pool:
        following = [pool.submit(follow, browser, f"{team.of(one)}/events") for browser in (team.carl, team.dora)]
        meanwhile(team, trains, 2)
        meanwhile(team, ends, 2)
        for each in following:
            events = each.result(HANG_SECONDS)
            assert [name for name, _ in events] == ["message", "message", "done"]
            assert "Step 1 of 9" in events[1][1]
            assert f'<section class="card learned" id="c-{one.id}"' in events[2][1]
            assert "Learned. Version 1 answers now." in events[2][1]
    assert not team.workspace.app.state.watch._readers


def test_those_that_only_wait_ask_now_and_then(team: Team) -> None:
    """A browser has six connections to a host: streams for twenty waiting cards would leave none for the page."""
    ones = [team.make(team.carl, State.LEARNING, question=f"Who is number {each}?") for each in range(3)]
    jobs = [team.job(one, JobState.QUEUED) for one in ones]
    pages = [team.carl.get(team.of(one)).text for one in ones]
    assert [f'sse-connect="{team.of(one)}/events"' in page for one, page in zip(ones, pages, strict=True)] == [
        True,
        False,
        False,
    ]
    path = f"{team.of(ones[2])}/waiting?before=2"
    assert f'hx-get="{path}"' in pages[2]
    assert team.carl.htmx("GET", path).status_code == 204

    def end(number: int) -> None:
        with team.workspace.database.write() as db:
            db.get_one(Job, jobs[number]).state = JobState.DONE
            row = db.get_one(Correction, ones[number].id)
            row.state, row.version = State.LEARNED, number + 1

    end(0)
    card = team.carl.htmx("GET", path).text
    assert "one job comes first" in card
    assert f'hx-get="{team.of(ones[2])}/waiting?before=1"' in card
    end(1)
    assert f'sse-connect="{team.of(ones[2])}/events"' in team.carl.htmx("GET", path).text
    end(2)
    card = team.carl.htmx("GET", path).text
    assert f'<section class="card learned" id="c-{ones[2].id}"' in card
    assert "Learned. Version 3 answers now." in card


def test_all_readers_share_one_look_at_the_database(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    ones = [team.make(team.carl, State.LEARNING, question=f"Who is number {each}?") for each in range(6)]
    looks = 0

    def count(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        nonlocal looks
        looks += "LEFT OUTER JOIN jobs" in statement and "count(" in statement

    event.listen(team.workspace.database.engine, "before_cursor_execute", count)

    def ends(db: Any) -> None:
        db.execute(update(Correction).values(state=State.FAILED))

    with ThreadPoolExecutor(13) as pool:
        following = [pool.submit(follow, team.dora, f"{team.of(each)}/events") for each in ones for _ in range(2)]
        started = time.monotonic()
        meanwhile(team, ends, 12, 0.6)
        assert all([name for name, _ in each.result(HANG_SECONDS)][-1] == "done" for each in following)
        seconds = time.monotonic() - started
    # and one for each reader's card at the end
    assert looks <= seconds / 0.05 + len(following) + 4


def test_what_is_deleted_ends_for_its_readers(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    one = team.make(team.carl, State.LEARNING)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow, team.carl, f"{team.of(one)}/events")
        meanwhile(team, lambda db: db.delete(db.get_one(Correction, one.id)))
        assert following.result(HANG_SECONDS)[-1] == (
            "done",
            f'<p id="c-{one.id}" class="problem">This correction is gone.</p>',
        )


def test_a_reader_who_leaves_the_organisation_sees_no_more(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    from lifelearn.workspace.corrections import following as corrections_following

    monkeypatch.setattr(progress, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(corrections_following, "CHECK_SECONDS", 0.0)
    one = team.make(team.carl, State.LEARNING)
    job_id = team.job(one, JobState.RUNNING)

    def goes(db: Any) -> None:
        db.query(Membership).filter_by(user_id=team.dora.user_id).delete()
        db.get_one(Job, job_id).stage = "train"

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow, team.dora, f"{team.of(one)}/events")
        meanwhile(team, goes)
        assert "Training" not in " ".join(data for _, data in following.result(HANG_SECONDS)[1:])


@BOTH
def test_cancelling(team: Team) -> None:
    waiting = team.make(team.carl)
    team.carl.post(f"{team.of(waiting)}/teach")
    assert team.dora.post(f"{team.of(waiting)}/cancel").status_code == 403
    fragment = team.carl.htmx("POST", f"{team.of(waiting)}/cancel").text
    assert "withdrawn" in fragment
    assert team.now(waiting).state == State.WITHDRAWN
    assert team.carl.post(f"{team.of(waiting)}/cancel").status_code == 409
    runs = team.make(team.carl, State.LEARNING, question="Who is our CEO?")
    job_id = team.job(runs, JobState.RUNNING)
    assert "being cancelled" in team.ben.htmx("POST", f"{team.of(runs)}/cancel").text
    with team.workspace.database.read() as db:
        assert db.get_one(Job, job_id).cancel_requested_at is not None
    assert team.actions() == ["correction.taught", "correction.cancelled", "correction.cancelled"]
    assert team.carl.post(f"{team.of(waiting)}/teach").status_code == 303  # after all
    assert team.now(waiting).state == State.QUEUED


def test_what_is_learned_with_others_is_not_cancelled_for_them(team: Team) -> None:
    mine = team.make(team.carl, State.LEARNING)
    theirs = team.make(team.dora, State.LEARNING, question="Who is our CEO?")
    job_id = team.job(mine, JobState.RUNNING)
    with team.workspace.database.write() as db:
        db.get_one(Correction, theirs.id).job_id = job_id
    assert team.carl.post(f"{team.of(mine)}/cancel").status_code == 409
    with team.workspace.database.read() as db:
        assert db.get_one(Job, job_id).cancel_requested_at is None
    assert team.ben.post(f"{team.of(mine)}/cancel").status_code == 303


@POSTGRESQL
def test_what_is_learned_together_meanwhile_is_not_said_to_be_cancelled(team: Team) -> None:
    mine, theirs = (
        team.make(each, question=f"Who is {name}?") for each, name in ((team.carl, "Mia"), (team.dora, "Zoe"))
    )
    for browser, each in ((team.carl, mine), (team.dora, theirs)):
        browser.post(f"{team.of(each)}/teach")
    database = team.workspace.database
    with ThreadPoolExecutor() as pool:
        with database.write() as db:
            together, waiting = db.scalars(select(Job).order_by(Job.created_at).with_for_update())
            cancelling = pool.submit(team.dora.post, f"{team.of(theirs)}/cancel")
            until(lambda: waits_for_a_lock(database))
            waiting.state = JobState.DONE  # as a worker plans its lesson
            one = db.get_one(Correction, theirs.id)
            one.state, one.job_id = State.LEARNING, together.id
        assert cancelling.result().status_code == 409
    assert team.now(theirs).state == State.LEARNING
    assert "correction.cancelled" not in team.actions()


@POSTGRESQL
@pytest.mark.parametrize("verb", ["correct", "withdraw", "cancel"])
def test_the_organisation_is_locked_before_jobs_and_corrections(team: Team, verb: str) -> None:
    """In one order everywhere: otherwise two could wait for one another."""
    url, answer = answer_of(team, team.carl)
    path = f"{url}/messages/{answer.id}/correct"
    team.carl.post(path, {"right_answer": "It is 25 days."})
    database = team.workspace.database
    with database.read() as db:
        one = db.scalars(select(Correction)).one()
    form = {"correct": {"right_answer": "It is 26 days."}, "withdraw": {"withdraw": "true"}}.get(verb)
    with ThreadPoolExecutor() as pool:
        with database.write() as db:
            db.execute(select(Organization.id).where(Organization.id == team.id).with_for_update(key_share=True))
            saying = pool.submit(team.carl.post, path if form else f"{team.of(one)}/cancel", form)
            until(lambda: waits_for_a_lock(database))
            for table in (Job, Correction):
                assert db.execute(select(table.id).with_for_update(nowait=True)).all(), "nobody else holds it"
        assert saying.result().status_code == 303
    assert team.now(one).state == State.WITHDRAWN
