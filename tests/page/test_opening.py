"""How the page opens: complete, without anything that moves, from files in memory."""

import http.client
import re
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from mnist_fc.views.front_end_files import FOLDER, HEADERS
from tests.support.browser import Server, ready
from tests.support.page_speed import SHIFTS

NO_SHIFT = 0.01
"""A tenth of what counts as good (web.dev, Cumulative Layout Shift)."""


NO_PATIENCE = """(original => {
  window.setTimeout = (act, milliseconds, ...more) => (milliseconds === 5000 ? 0 : original(act, milliseconds, ...more));
})(setTimeout)"""
"""Keeps the page from appearing before it is complete, however long that takes."""

ENDLESS_SKELETON = """document.addEventListener("DOMContentLoaded", () => {
  document.body.appendChild(document.createElement("i")).dataset.testid = "stSkeleton";
});"""


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Page]:
    """A page whose browser has no files in its cache, and counts layout shifts."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(f"({SHIFTS})()")
    yield page
    page.context.close()


def test_nothing_moves_while_the_page_opens(new_page: Page, server: Server) -> None:
    new_page.add_init_script(NO_PATIENCE)
    new_page.goto(server.url)
    ready(new_page)
    expect(new_page.locator("html")).to_have_class("is-drawn")
    assert sum(value for _, value in new_page.evaluate("window.shifts")) < NO_SHIFT


def test_choice_made_before_the_page_is_complete_counts(new_page: Page, server: Server) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    new_page.route(re.compile(r"/TextInput\."), hold)  # the script of the fields that say what the browser shows
    new_page.goto(server.url)
    rate = new_page.locator(".st-key-learning_rate").get_by_role("slider")
    expect(rate).to_be_visible()
    rate.press("End")
    expect(rate).to_have_attribute("aria-valuetext", "1")
    assert held
    for route in held:
        route.continue_()
    expect(new_page).to_have_url(re.compile("learning_rate=1"))
    expect(rate).to_have_attribute("aria-valuetext", "1")


def test_page_appears_even_if_it_is_never_complete(new_page: Page, server: Server) -> None:
    new_page.add_init_script(ENDLESS_SKELETON)
    new_page.goto(server.url)
    expect(new_page.locator("html")).to_have_class("is-drawn")
    expect(new_page.locator(".st-key-train")).to_be_visible()


def test_front_end_is_served_from_memory_like_from_disk(server: Server) -> None:
    for name in ("js", "css", "media"):
        file = next((FOLDER / name).iterdir())
        with urllib.request.urlopen(f"{server.url}/static/{name}/{file.name}") as response:
            assert response.read() == file.read_bytes()
            assert response.headers["Cache-Control"] == HEADERS["Cache-Control"]
            assert "ETag" not in response.headers, "Streamlit has read it from disk"


def test_document_names_the_scripts_that_the_page_opens_with(new_page: Page, server: Server) -> None:
    new_page.goto(server.url)
    ready(new_page)
    loaded = new_page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    scripts = [name.removeprefix(f"{server.url}/") for name in loaded if name.endswith(".js") and "/static/js/" in name]
    assert len(scripts) > 50
    with urllib.request.urlopen(server.url) as response:
        document = response.read().decode()
    assert {script: document.count(f'"./{script}"') for script in scripts} == dict.fromkeys(scripts, 1)


@pytest.mark.parametrize("path", ["js/no-such-file.js", "../manifest.json", "..%2f..%2f__init__.py", "js/%00"])
def test_nothing_else_is_served(server: Server, path: str) -> None:
    with closing(http.client.HTTPConnection(server.url.removeprefix("http://"))) as connection:
        connection.request("GET", f"/static/{path}")
        response = connection.getresponse()
        is_document = b"<title>Streamlit</title>" in response.read()  # Streamlit's answer to an unknown address
    assert is_document or response.status in (400, 404)
