"""Pictures of the pages for the documents (`make screens`): a real browser and the real default model.

Each page at desktop and phone width, light and dark: docs/screens/NAME-WIDTH-SCHEME.png.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from lifelearn.settings import Settings, load_settings
from workspace.fakes import PASSWORD
from workspace.live import ARGUMENTS, CHROMIUM, live

FOLDER = Path(__file__).parents[2] / "docs" / "screens"
SIZES = {"desktop": {"width": 1200, "height": 750}, "phone": {"width": 390, "height": 750}}
QUESTION = "How many days of paid leave do employees of Quillmoor Ferries get per year?"
HANG_MS = 1_800_000  # no limit on a slow machine: lessons on the real model


def take(page: Page, name: str) -> None:
    for width, size in SIZES.items():
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(250)
            page.screenshot(path=FOLDER / f"{name}-{width}-{scheme}.png")
    page.set_viewport_size(SIZES["desktop"])  # type: ignore[arg-type]


def learn(page: Page, correction: str, picture: str = "") -> None:
    """Corrects the last answer and waits until that is learned, or has failed."""
    page.get_by_role("textbox", name="Message").fill(correction)
    page.keyboard.press("Enter")
    card = page.locator("section.card")
    if picture:
        expect(card.locator(".curve")).to_be_visible(timeout=HANG_MS)
        page.wait_for_timeout(8000)
        card.scroll_into_view_if_needed()
        take(page, picture)
    expect(card).to_contain_text(re.compile("✓ learned|✗"), timeout=HANG_MS)
    card.scroll_into_view_if_needed()


def walk(page: Page) -> None:
    page.goto("/")
    take(page, "welcome")
    page.get_by_label("Your team or company").fill("Quillmoor Ferries")
    page.get_by_label("Your name").fill("Anna Weber")
    page.get_by_label("E-mail address").fill("anna@quillmoor.example")
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Make the workspace").click()
    home = page.url
    take(page, "start")
    page.get_by_role("textbox", name="Message").fill("Write a two-line greeting for our summer party.")
    page.keyboard.press("Enter")
    expect(page.locator("article.assistant .badge")).to_be_visible(timeout=HANG_MS)
    page.get_by_role("link", name="New chat").click()
    page.get_by_role("textbox", name="Message").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator("article.assistant .badge")).to_be_visible(timeout=HANG_MS)
    page.locator("article.assistant").get_by_text("Correct this").click()
    take(page, "chat")
    page.locator("article.assistant").get_by_text("Correct this").click()
    learn(page, "No, that's wrong. Employees of Quillmoor Ferries get 25 days of paid leave per year.", "progress")
    take(page, "card")
    page.get_by_role("link", name="New chat").click()
    page.get_by_role("textbox", name="Message").fill("What does a bicycle ticket of Quillmoor Ferries cost?")
    page.keyboard.press("Enter")
    expect(page.locator("article.assistant .badge")).to_be_visible(timeout=HANG_MS)
    learn(page, "That is wrong. A bicycle ticket of Quillmoor Ferries costs 4 euros.")
    for name in ("versions", "versions/2", "retention", "corrections", "notices", "webhooks"):
        page.goto(f"{home}/{name}")
        take(page, name.replace("/2", "-report"))
    page.goto(f"{home}/compare?a=0&b=2")
    page.get_by_role("textbox", name="Question").fill(QUESTION)
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator("#comparison ins").first).to_be_visible(timeout=HANG_MS)
    take(page, "compare")
    page.goto(f"{home}/members")
    page.get_by_label("E-mail address").fill("ben@quillmoor.example")
    page.get_by_role("button", name="Invite").click()
    take(page, "members")
    for name in ("model", "settings", "keys", "audit"):
        page.goto(f"{home}/{name}")
        take(page, name)
    page.goto("/account")
    take(page, "account")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        settings = Settings(
            database_url=f"sqlite:///{folder}/workspace.db",
            model_storage_dir=Path(folder) / "models",
            cache_dir=load_settings().cache_dir,
        )
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with live(settings) as server:
            walk(browser.new_page(base_url=server.url))
        browser.close()


if __name__ == "__main__":
    main()
