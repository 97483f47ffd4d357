"""One truth per run on two pages and in mid-run, in a real browser: changed settings, pauses, and a run resumed elsewhere."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Server, click, expect_status, open_tab, running_server, start_run

LONG = "?preset=blog-keras&batch_size=8&epochs=100&threads=1"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("small"), MNIST_FC_DATA=str(small_npz)) as own:
        yield own
        assert "Traceback" not in own.log.read_text()


def test_changed_learning_rate_is_named_alike_by_header_and_table(open_page: Open) -> None:
    page = open_page(query=LONG)
    start_run(page)
    expect_status(page, "running")
    page.locator(".st-key-learning_rate").get_by_role("slider").press("ArrowRight")
    header, use = page.locator(".timeline .run"), page.locator(".timeline .use")
    words = "custom, learning rate 0.001 → 0.002"
    expect(header).to_contain_text(words)
    click(page, "stop")
    expect_status(page, "stopped")
    open_tab(page, "Runs")
    row = page.locator(".st-key-runs tr.watched")
    expect(row).to_contain_text(words)
    name = row.locator("input[type=text]")
    name.fill("my net")
    name.press("Enter")
    expect(header).to_have_text(re.compile(f"^my net · .*, {words}$"))
    expect(use).to_be_hidden()
    page.locator(".st-key-learning_rate").get_by_role("slider").press("End")
    rate = page.locator(".st-key-learning_rate").get_by_role("slider")
    for press in (use.click, row.get_by_role("button", name="Copy the settings").click):
        expect(use).to_be_visible()
        press()
        expect(use).to_be_hidden()
        expect(rate).to_have_attribute("aria-valuetext", "0.002")
        rate.press("End")


def test_paused_run_shows_its_last_step_everywhere(open_page: Open) -> None:
    page = open_page(query=LONG)
    start_run(page)
    expect_status(page, "running")
    click(page, "pause")
    expect_status(page, "paused")
    progress = page.locator(".st-key-progress")
    expect(progress).to_contain_text("Step")
    step = re.findall(r"Step ([\d,]+) of", progress.inner_text())[0]
    expect(page.locator(".timeline output")).to_have_text(f"step {step}, latest")
    expect(page.locator(".under-digit .by")).to_have_text(f"this run, step {step}")


def test_page_at_rest_notices_that_its_run_was_resumed_elsewhere(open_page: Open) -> None:
    first = open_page(query=LONG)
    start_run(first)
    expect_status(first, "running")
    click(first, "stop")
    expect_status(first, "stopped")
    second = open_page(query=first.evaluate("location.search"))
    expect_status(second, "stopped")
    click(first, "pause")
    expect_status(first, "running")
    expect_status(second, "running")
    expect(second.locator(".st-key-pause")).to_contain_text("Pause")
    expect(second.locator(".st-key-train button")).to_be_disabled()
