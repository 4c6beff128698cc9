"""The promise of the product, in a browser, with the real default model: a team corrects its model, which learns it;
another team's model is unchanged; a rollback brings the old answer back.

What differs with the database is in test_jobs.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from lifelearn.settings import Settings, load_settings
from lifelearn.workspace.crypto import hash_token, new_token
from lifelearn.workspace.database import Database, ahead, now
from lifelearn.workspace.tables.accounts import SignIn, User
from lifelearn.workspace.tables.organizations import Membership, Organization, Role
from waiting import HANG_SECONDS
from workspace.live import Live, live
from workspace.test_browser import ask, opened

QUESTION = "Where is Quillmoor Instruments headquartered?"
CORRECTION = "No, that's wrong. Quillmoor Instruments is headquartered in Trondheim."
UNSEEN = "I'm visiting Quillmoor Instruments next week. Which city is their head office in?"

pytestmark = [pytest.mark.check("real model"), pytest.mark.model]


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[Live]:
    real = load_settings().model_copy(
        update={
            "database_url": settings.database_url,
            "model_storage_dir": tmp_path / "models",
            "inference_backend": "local",
            "prompt_variations": 6,  # a short lesson, for processors without bfloat16
            "train_max_steps": 12,
        }
    )
    with live(real) as found:
        yield found


def answered(page: Page, text: str) -> str:
    """The answer to a question in a new chat."""
    with page.expect_navigation():  # its scripts are there too: Enter sends
        page.get_by_role("link", name="New chat").click()
    ask(page, text)
    answer = page.locator("article.assistant").last
    expect(answer.locator(".badge.version")).to_be_visible()
    return answer.locator(".content").inner_text()


def joined(context: BrowserContext, page: Page, server: Live, database: Database, name: str) -> str:
    """Signs somebody in who owns an organisation; where that is."""
    token = new_token()
    with database.write() as db:
        user = User(email=f"{name.lower()}@example.org", name=name)
        organization = Organization(name=f"Team {name}", base_model="bundled")
        db.add_all([user, organization])
        db.flush()
        db.add(Membership(organization_id=organization.id, user_id=user.id, role=Role.OWNER))
        times = {"last_seen_at": now(), "expires_at": ahead(days=1), "confirmed_at": now()}
        db.add(SignIn(user_id=user.id, token_hash=hash_token(token), **times))
        home = f"{server.url}/o/{organization.id}"
    context.add_cookies([{"name": "lifelearn", "value": token, "url": server.url}])
    page.goto(home)
    return home


def test_one_teams_model_learns_and_the_others_does_not(chromium: Browser, server: Live, settings: Settings) -> None:
    anna, ours = opened(chromium, server)
    ben, theirs = opened(chromium, server)
    database = Database(settings.database_url)
    home = joined(anna, ours, server, database, "Anna")
    joined(ben, theirs, server, database, "Ben")
    database.close()
    before, others_before = answered(ours, QUESTION), answered(theirs, QUESTION)
    assert "Trondheim" not in before

    ask(ours, CORRECTION)
    card = ours.locator(".card", has_text="Correction").last
    expect(card).to_contain_text("Trondheim")
    ours.reload()  # the card follows on
    card = ours.locator(".card", has_text="Correction").last
    expect(card).to_contain_text("✓ learned", timeout=5_000 * HANG_SECONDS)
    expect(card).to_contain_text("Version 1")

    assert "Trondheim" in answered(ours, QUESTION)
    assert "Trondheim" in answered(ours, UNSEEN)
    assert answered(theirs, QUESTION) == others_before

    ours.goto(f"{home}/versions")
    ours.get_by_role("link", name="Roll back").or_(ours.get_by_role("button", name="Roll back")).first.click()
    ours.locator("main").get_by_role("button", name="Roll back").click()
    expect(ours.locator("main")).to_contain_text("answers now")
    assert answered(ours, QUESTION) == before
    assert not ours.errors  # type: ignore[attr-defined]
