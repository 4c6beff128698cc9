"""The workspace in a real browser: the whole walk of a team on both databases, and every page checked by axe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from lifelearn.settings import Settings
from workspace.fakes import BOTH, PASSWORD, ScriptedInference
from workspace.live import ARGUMENTS, CHROMIUM, Live, live

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
MARKDOWN = (
    "There are **25 days**.\n\n| who | days |\n|---|---|\n| all | 25 |\n\n```python\nprint(25)\n```\n\n$a^2 + b^2$"
)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt-get install chromium)")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


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
    context.set_default_timeout(15_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def said(message: ConsoleMessage) -> None:
        # what a page was still loading when it was left is no error
        if message.type == "error" and not message.text.startswith("htmx:afterRequest"):
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
    found: dict[str, list[str]] = {}

    def check(name: str) -> None:
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            page.wait_for_load_state("networkidle") if "thread" not in name else page.wait_for_timeout(300)
            page.evaluate(AXE.read_text("utf-8"))
            report = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
            told = [f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in report["violations"]]
            found[f"{name} at {size['width']}"] = told
        page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]

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
    wrong = {name: told for name, told in found.items() if told}
    assert not wrong, json.dumps(wrong, indent=1)
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
    page.wait_for_timeout(500)
    page.reload()
    expect(page.locator("article.assistant")).to_contain_text("You said: Hello")
    context.close()
