"""The workspace in a real browser: the whole walk of a team on both databases, and every page checked by axe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect
from sqlalchemy import select

from lifelearn.settings import Settings
from lifelearn.workspace.database import now
from lifelearn.workspace.tables.corrections import Correction
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.jobs import Job, Kind
from lifelearn.workspace.tables.jobs import State as JobState
from lifelearn.workspace.tables.webhooks import Delivery, Webhook
from lifelearn.workspace.webhooks.service import tell
from waiting import HANG_SECONDS, until
from workspace.fakes import BOTH, PASSWORD, ScriptedInference, Workspace
from workspace.live import Live, live
from workspace.versioned import corrected, made

pytestmark = pytest.mark.check("browser")

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
MARKDOWN = (
    "There are **25 days**.\n\n| who | days |\n|---|---|\n| all | 25 |\n\n```python\nprint(25)\n```\n\n$a^2 + b^2$"
)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}


@pytest.fixture
def inference() -> ScriptedInference:
    return ScriptedInference()


@pytest.fixture
def server(settings: Settings, inference: ScriptedInference) -> Iterator[Live]:
    with live(settings, inference) as found:
        yield found


def opened(chromium: Browser, server: Live, **more: Any) -> tuple[BrowserContext, Page]:
    """A browser of its own, whose pages may log no error."""
    context = chromium.new_context(base_url=server.url, **{"viewport": DESKTOP, **more})
    context.set_default_timeout(HANG_SECONDS * 1000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def said(message: ConsoleMessage) -> None:
        # what a page was still loading when it was left is no error
        if message.type == "error" and not message.text.startswith(("htmx:afterRequest", "htmx:sendAbort")):
            errors.append(message.text)

    page.on("console", said)
    page.errors = errors  # type: ignore[attr-defined]
    return context, page


def register(page: Page, name: str, organization: str = "") -> None:
    if organization:
        page.get_by_label("Your team or company").fill(organization)
    page.get_by_label("Your name").fill(name)
    if page.get_by_label("E-mail address").is_editable():
        page.get_by_label("E-mail address").fill(f"{name.lower()}@example.org")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("main button[type=submit]").click()


class Axe:
    """Has axe look at a page at both widths; what it found is told at the end, all at once."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._found: dict[str, list[str]] = {}

    def __call__(self, name: str) -> None:
        for size in (DESKTOP, PHONE):
            self._page.set_viewport_size(size)  # type: ignore[arg-type]
            if self._page.locator("[sse-connect]").count():  # such a page is never idle
                self._page.wait_for_timeout(300)
            else:
                self._page.wait_for_load_state("networkidle")
            self._page.evaluate(AXE.read_text("utf-8"))
            report = self._page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
            told = [f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in report["violations"]]
            self._found[f"{name} at {size['width']}"] = told
        self._page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]

    def nothing_found(self) -> None:
        wrong = {name: told for name, told in self._found.items() if told}
        assert not wrong, json.dumps(wrong, indent=1)


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")


@BOTH
def test_a_team_walks_through_it(chromium: Browser, server: Live, inference: ScriptedInference, tmp_path: Path) -> None:
    inference.reply = lambda conversation: f"Answer to: {conversation[-1].content}"
    anna_context, anna = opened(chromium, server, accept_downloads=True)
    anna.goto("/")
    register(anna, "Anna", "Acme")
    expect(anna.get_by_role("heading", name="New chat")).to_be_visible()

    anna.get_by_role("link", name="Members").click()
    anna.get_by_label("E-mail address").fill("ben@example.org")
    anna.get_by_role("button", name="Invite").click()
    link = anna.locator("#invite-link").inner_text()

    ben_context, ben = opened(chromium, server, viewport=PHONE)
    ben.goto(link)
    ben.locator('a[href^="/register"]').click()
    register(ben, "Ben")
    ben.get_by_role("button", name="Accept").or_(ben.get_by_role("button", name="Join")).first.click()
    expect(ben.get_by_role("heading", name="New chat")).to_be_visible()

    # a chat, streamed: the first word is there while the others are still to come
    with anna.expect_navigation():
        anna.get_by_role("link", name="New chat").click()
    inference.gate = asyncio.Event()
    ask(anna, "How many days of leave do we have?")
    answer = anna.locator("article.assistant .content")
    expect(answer).to_contain_text("Answer")
    expect(answer).not_to_contain_text("leave")
    anna.wait_for_url("**/threads/*")
    anna.reload()  # a lost connection loses nothing
    expect(anna.locator("article.assistant .content")).to_contain_text("Answer")
    server.call(inference.gate.set)
    expect(anna.locator("article.assistant .content")).to_have_text("Answer to: How many days of leave do we have?")
    expect(anna.locator("article.assistant .badge")).to_have_text("base model")
    expect(anna.locator("#threads")).to_contain_text("How many days of leave")

    # stop
    inference.gate = asyncio.Event()
    ask(anna, "And of sick leave? Tell me all about it.")
    expect(anna.locator("article.assistant").nth(1).locator(".content")).to_contain_text("Answer")
    anna.get_by_role("button", name="Stop").click()
    expect(anna.locator("article.assistant").nth(1)).to_contain_text("Stopped before its end.")
    inference.gate = None

    # branch
    second = anna.locator("article.user").nth(1)
    second.get_by_text("Edit", exact=True).click()
    second.get_by_role("textbox").fill("And of parental leave?")
    second.get_by_role("button", name="Ask").click()
    expect(anna.locator("article.assistant").nth(1)).to_contain_text("Answer to: And of parental leave?")
    expect(anna.locator("article.user").nth(1)).to_contain_text("2 / 2")
    anna.locator("article.user").nth(1).get_by_role("button", name="Previous").click()
    expect(anna.locator("article.user").nth(1)).to_contain_text("sick leave")

    # what is wrong is marked in place
    first = anna.locator("article.assistant").nth(0)
    first.get_by_text("Correct this").click()
    first.get_by_role("textbox").fill("25 days")
    first.get_by_role("button", name="Correct it").click()
    card = anna.locator("section.card").first
    expect(card).to_contain_text("25 days")
    expect(card).to_contain_text("waits")

    # private until it is shared
    thread = anna.url
    assert ben.goto(thread).status == 404  # type: ignore[union-attr]
    anna.locator("details.chat-menu summary").click()
    anna.get_by_role("button", name="Share it with everybody").click()
    ben.goto(thread)
    expect(ben.locator("article.assistant").first).to_contain_text("Answer to: How many days")

    # search, export, sign out
    anna.get_by_role("searchbox").fill("parental")
    anna.get_by_role("searchbox").press("Enter")
    expect(anna.locator("main")).to_contain_text("parental")
    anna.goto(thread)
    anna.locator("details.chat-menu summary").click()
    with anna.expect_download() as download:
        anna.get_by_role("link", name="Export as JSON").click()
    exported = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert "How many days of leave do we have?" in json.dumps(exported)
    anna.get_by_role("button", name="Sign out").click()
    expect(anna.get_by_role("heading", name="Sign in")).to_be_visible()
    anna.goto(thread)
    expect(anna.get_by_role("heading", name="Sign in")).to_be_visible()
    assert anna.errors == []  # type: ignore[attr-defined]
    assert [error for error in ben.errors if "404" not in error] == []  # type: ignore[attr-defined]
    anna_context.close()
    ben_context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_violates_a_rule_of_axe(
    chromium: Browser, server: Live, inference: ScriptedInference, scheme: str
) -> None:
    inference.reply = lambda conversation: MARKDOWN
    context, page = opened(chromium, server, color_scheme=scheme)
    check = Axe(page)

    page.goto("/")
    check("first registration")
    register(page, "Anna", "Acme")
    expect(page.get_by_role("heading", name="New chat")).to_be_visible()
    home = page.url
    check("new chat")
    ask(page, "How many days?")
    expect(page.locator("article.assistant .badge")).to_have_text("base model")
    page.locator("article.assistant").get_by_text("Correct this").click()
    check("thread")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.locator(".open-sidebar").click()
    check("thread with menu")
    for path in (
        "members",
        "settings",
        "model",
        "audit",
        "keys",
        "import",
        "search?q=days",
        "delete",
        "leave",
        "threads",
    ):
        page.goto(f"{home}/{path}")
        check(path)
    for path in ("", "/password", "/second-factor", "/delete"):
        page.goto(f"/account{path}")
        check(f"account{path}")
    page.goto("/organizations/new")
    check("new organisation")
    page.goto(f"{home}/nowhere")
    check("error")
    context.clear_cookies()
    for path in ("sign-in", "register"):
        page.goto(f"/{path}")
        check(path)
    check.nothing_found()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_learning_violates_a_rule_of_axe(
    chromium: Browser, settings: Settings, inference: ScriptedInference, scheme: str
) -> None:
    with live(settings.model_copy(update={"webhook_private_networks": "127.0.0.0/8"}), inference) as server:
        walk_through_learning(chromium, server, inference, scheme)


def walk_through_learning(chromium: Browser, server: Live, inference: ScriptedInference, scheme: str) -> None:
    workspace = Workspace(server.app, inference)
    anna, carl = workspace.person(), workspace.person("carl@example.org")
    acme = workspace.organization(anna, member=[carl])
    home = f"{server.url}/o/{acme}"
    context, page = opened(chromium, server, color_scheme=scheme)
    token = anna.client.cookies[workspace.pages.cookie]
    context.add_cookies([{"name": workspace.pages.cookie, "value": token, "url": server.url}])
    check = Axe(page)

    def visit(path: str, *shown: str) -> None:
        """Checks a page, on which these things are to be seen."""
        answer = page.goto(f"{home}/{path}")
        assert answer is not None
        assert answer.status == 200, path
        for each in shown:
            expect(page.locator(each).first).to_be_visible()
        check(path.replace(str(acme), "…"))

    for path in ("corrections", "review", "versions", "versions/0", "retention", "compare", "notices", "webhooks"):
        visit(path)  # with nothing in it

    one, two, bad = (corrected(workspace, acme, f"How many {name}?", f"{name} 25") for name in ("days", "hours", "men"))
    made(workspace, acme, one)
    made(workspace, acme, two, kept=[one])
    made(workspace, acme, bad, passed=False, kept=[one], lost=[two])
    states = {
        state: corrected(workspace, acme, f"What is {state}?", "12", state, author_id=anna.user_id, reason="No.")
        for state in CorrectionState
        if state not in (CorrectionState.LEARNED, CorrectionState.FAILED)
    }
    flagged = corrected(
        workspace,
        acme,
        one.question,
        "mail anna@example.org, the password is hunter2-Zq81",
        CorrectionState.REVIEW,
        author_id=carl.user_id,
        conflicts_with=one.id,
    )
    with workspace.database.write() as db:
        job = Job(
            organization_id=acme,
            kind=Kind.LEARN,
            state=JobState.RUNNING,
            stage="train",
            progress={"step": 3, "steps": 8, "loss": 0.7, "losses": [2.0, 1.1, 0.7], "message": ""},
            started_at=now(),
        )
        db.add(job)
        db.flush()
        db.get_one(Correction, states[CorrectionState.LEARNING].id).job_id = job.id
        tell(db, acme, "version.activated", "Anna rolled back to version 1.", "/versions/1")

    visit("corrections", "table.corrections")
    visit("corrections?state=failed&q=men", "table.corrections")
    visit("review", "section.card.review .caution")
    for correction in (*states.values(), one, bad, flagged):
        visit(f"corrections/{correction.id}", "section.card")
    visit(f"corrections/{states[CorrectionState.LEARNING].id}", ".curve")
    visit(f"corrections/{one.id}/forget", "main form")
    visit("versions", "ol.timeline")
    for path in ("1", "3", "2/lesson", "1/activate", "3/activate", "0/activate"):
        visit(f"versions/{path}", "main")
    visit("retention", "main svg, main table")
    visit(f"retention/{one.id}", "main table, main li")
    visit("compare?a=1&b=2&question=How+many+days%3F")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator("#comparison")).to_contain_text("You said")
    check("compared")
    visit("notices", ".badge.good")
    visit("webhooks/new", "fieldset")
    page.get_by_label("Everything").check()
    for port, shown in ((9, "Use port 80"), (urlsplit(server.url).port, "whsec_")):
        page.get_by_label("Address").fill(f"http://127.0.0.1:{port}/hook")
        page.get_by_role("button", name="Make the webhook").click()
        expect(page.locator("main")).to_contain_text(shown)
        check(f"webhook: {shown}")
    visit("webhooks", "main table, main li")
    with workspace.database.write() as db:
        webhook = db.scalars(select(Webhook)).one()
        happening = tell(db, acme, "version.activated", "Version 2 answers now.", "/versions/2")
        db.flush()
        happened = {"organization_id": acme, "webhook_id": webhook.id, "happening_id": happening.id}
        db.add(Delivery(**happened, attempts=1, delivered_at=now(), status=204))
        db.add(Delivery(**happened, attempts=10, status=500, problem="It answered with 500."))
    visit(f"webhooks/{webhook.id}", "fieldset")
    visit(f"webhooks/{webhook.id}/deliveries", "main details, main table")
    check.nothing_found()
    assert [each for each in page.errors if "422" not in each] == []  # type: ignore[attr-defined]
    context.close()


def test_it_works_by_keyboard(chromium: Browser, server: Live) -> None:
    context, page = opened(chromium, server)
    page.goto("/")
    register(page, "Anna", "Acme")
    expect(page.get_by_role("heading", name="New chat")).to_be_visible()
    box = page.get_by_role("textbox", name="Message")
    box.fill("one")
    box.press("Shift+Enter")
    box.type("two")
    assert box.input_value() == "one\ntwo"
    box.press("Enter")
    expect(page.locator("article.assistant .badge")).to_have_text("base model")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")
    page.locator("h1").click()
    page.keyboard.press("/")
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    page.keyboard.press("Control+Shift+O")
    expect(page.get_by_role("heading", name="New chat")).to_be_visible()
    assert page.errors == []  # type: ignore[attr-defined]
    context.close()


def test_it_works_without_javascript(chromium: Browser, server: Live) -> None:
    context, page = opened(chromium, server, java_script_enabled=False)
    page.goto("/")
    register(page, "Anna", "Acme")
    page.get_by_role("textbox", name="Message").fill("Hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("article.assistant")).to_be_visible()
    until(lambda: page.reload() and "You said: Hello" in page.locator("article.assistant").inner_text())
    context.close()
