"""A page that stays open in the browser while its server is killed and started again on the same port."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import (
    SEVEN,
    Server,
    click,
    draw,
    expect_reading,
    expect_status,
    free_port,
    open_tab,
    ready,
    running_server,
    slide,
    slider,
    start_run,
    wait_until,
)
from tests.support.faults import training_processes

SETTINGS = "?preset=fast&num_validation=100&hidden_sizes=256&batch_size=8&epochs=60&threads=1"
"""Settings of a run that lasts longer than the test."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    yield page
    page.context.close()


idle_page = page
"""Another page, with storage of its own."""


def shown_run(page: Page) -> str:
    """Return the id of the run that the address bar names."""
    (run_id,) = parse_qs(urlsplit(page.url).query)["run"]
    return run_id


def stopped_run(page: Page, server: Server) -> str:
    """Open the page, start a run, stop it, and return its id."""
    page.goto(f"{server.url}/{SETTINGS}")
    ready(page)
    start_run(page)
    click(page, "stop")
    expect_status(page, "stopped")
    return shown_run(page)


def value(page: Page, key: str) -> str | None:
    return page.locator(f".st-key-{key}").get_by_role("slider").get_attribute("aria-valuetext")


@pytest.mark.slow
def test_open_page_returns_to_its_newest_run_after_restart(page: Page, browser: Browser, tmp_path: Path, small_npz: Path) -> None:
    environment = {"STREAMLIT_SERVER_PORT": str(free_port()), "MNIST_FC_DATA": str(small_npz)}
    with running_server(tmp_path, **environment) as server:
        first = stopped_run(page, server)
        page.goto(
            f"{server.url}/?run={first}&embed_options=light_theme"
        )  # an address that names a run, and Streamlit's own option
        ready(page)
        slide(page, "learning_rate", "Home")
        expect(page).to_have_url(re.compile("learning_rate="))
        start_run(page)
        expect(page).not_to_have_url(re.compile(first))
        second = shown_run(page)
        expect_status(page, "running")
        address, learning_rate = page.url, value(page, "learning_rate")
        server.process.kill()
        server.process.wait(30)
    wait_until(lambda: training_processes(tmp_path) == [])
    expect(page.locator(".timeline")).to_have_attribute("inert", "")
    with running_server(tmp_path, **environment):
        expect(page.locator(".timeline[inert]")).to_have_count(0)
        expect(page.locator(".stApp")).to_have_attribute("data-test-connection-state", "CONNECTED")
        slider(page, "batch_size").press("End")  # the page looks ready, but the server is still starting
        status = page.locator(".st-key-status [role=status]")
        expect(status).to_have_attribute("data-state", "interrupted")
        expect(status).to_have_attribute("data-run", second)
        expect(page).to_have_url(address.replace("batch_size=8&", "batch_size=4096&"))
        assert value(page, "learning_rate") == learning_rate
        assert value(page, "batch_size") == "4096"
        click(page, "pause")
        expect_status(page, "running")
        assert shown_run(page) == second
        slide(page, "learning_rate", "End")
        expect(page).to_have_url(re.compile(r"learning_rate=1(&|$)"))
        click(page, "stop")
        expect_status(page, "stopped")


@pytest.mark.slow
def test_page_shows_the_run_in_its_address_after_every_restart(
    page: Page, idle_page: Page, tmp_path: Path, small_npz: Path
) -> None:
    environment = {"STREAMLIT_SERVER_PORT": str(free_port()), "MNIST_FC_DATA": str(small_npz)}
    with running_server(tmp_path, **environment) as server:
        idle_page.goto(f"{server.url}/?learning_rate=0.1")
        ready(idle_page)  # and nothing is pressed: Streamlit sends no message by itself when the connection returns
        idle_address = idle_page.url
        first = stopped_run(page, server)
        page.reload()  # Streamlit remembers this address, which names the first run
        ready(page)
        start_run(page)
        expect(page).not_to_have_url(re.compile(first))
        expect_status(page, "running")
        second, address = shown_run(page), page.url
        click(page, "clear")
        expect_reading(page, "")
        draw(page, SEVEN)
        expect_reading(page, "7")
        server.process.kill()
        server.process.wait(30)
    for tab, text in (("Gradients", "gradient"), ("Runs", "run")):
        wait_until(lambda: training_processes(tmp_path) == [])
        with running_server(tmp_path, **environment) as server:
            status = page.locator(".st-key-status [role=status]")
            expect(page.locator(".stApp")).to_have_attribute("data-test-connection-state", "CONNECTED")
            open_tab(idle_page, tab)
            expect(idle_page.get_by_role("tabpanel").last).to_contain_text(text)
            expect(idle_page).to_have_url(idle_address)
            assert value(idle_page, "learning_rate") == "0.1"
            expect(status).to_have_attribute("data-state", "interrupted")
            open_tab(page, tab)
            expect(page.get_by_role("tabpanel").last).to_contain_text(text)
            expect(status).to_have_attribute("data-run", second)
            expect(page).to_have_url(address)
            expect_reading(page, "7")
            server.process.kill()
            server.process.wait(30)
