"""One truth per run in mid-run and on two pages, in a real browser: pauses, and a run resumed elsewhere."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Server, click, expect_status, running_server, start_run

LONG = "?preset=blog-keras&batch_size=8&epochs=100&threads=1"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("small"), MNIST_FC_DATA=str(small_npz)) as own:
        yield own
        assert "Traceback" not in own.log.read_text()


@pytest.mark.slow
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


@pytest.mark.slow
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
