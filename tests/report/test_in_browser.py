"""The pages in a real browser: no error, no overflow on a phone, accessible, and fast with 500 users."""

import os
import shutil
import time

import pytest
from report.example_report import write_example_report

from mmsra_pipeline.report.pages import PAGES
from mmsra_pipeline.storage.artifacts import Artifacts

BROWSER = os.environ.get("MMSRA_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
SERIOUS = {"serious", "critical"}
MOST_BYTES = 5_000_000
MOST_SECONDS = 2.0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no browser: set MMSRA_BROWSER to a Chromium"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    write_example_report(root / "pages", Artifacts(root / "artifacts"), users=500)
    return root / "pages"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="the extra docs is not installed")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def opened(browser, folder):
    """Open a page at a width and in a colour scheme; whatever the console says fails the test at its end."""
    said: list[str] = []
    pages = []

    def one(name, width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}") or dialog.dismiss())
        page.goto((folder / f"{name}.html").as_uri())
        pages.append(page)
        return page

    yield one
    for page in pages:
        page.close()
    assert said == []


@pytest.mark.parametrize(
    ("name", "scheme"), [*((name, "light") for name in PAGES), ("slices", "dark"), ("cases", "dark")]
)
def test_a_page_fits_a_phone_and_has_no_serious_fault(opened, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra docs is not installed")
    page = opened(name, 390, scheme)
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert page.evaluate("[...document.images].every(one => !one.complete || one.naturalWidth > 0)")
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]  # it would fetch the style
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS]
    assert serious == []


def test_500_users_open_in_two_seconds_and_no_file_is_large(opened, folder):
    opened("index")  # the browser itself has started
    start = time.monotonic()
    page = opened("cases")
    page.get_by_text("500 of 500 users").wait_for()
    assert time.monotonic() - start < MOST_SECONDS
    assert max(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < MOST_BYTES


def test_a_user_is_found_by_number_and_by_keyboard_alone(opened):
    page = opened("cases")
    label = page.locator("#pick option:checked").inner_text().split(" (")[0]
    page.get_by_label("Find a user").focus()
    page.keyboard.type("17")
    page.get_by_role("heading", name="User 17: history").wait_for()
    assert page.locator("#count").inner_text() == "1 of 500 users"
    page.get_by_label("Find a user").fill("")
    page.keyboard.press("Tab")  # to the list
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # to "Next"
    page.keyboard.press("Enter")
    assert not page.get_by_role("heading", name=f"{label}: history", exact=True).is_visible()
    page.get_by_label("Find a user").fill("nobody has this")
    page.get_by_text("Nobody fits.").wait_for()


def test_a_link_with_a_number_opens_that_user(browser, folder):
    page = browser.new_page()
    page.goto((folder / "cases.html").as_uri() + "#23")
    page.get_by_role("heading", name="User 23: history").wait_for()
    page.close()
