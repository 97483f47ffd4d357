"""Servers with closed pages, and killed."""

import os
import re
import select
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import (
    choose_preset,
    click,
    expect_status,
    ready,
    running_server,
    wait_until,
)


@pytest.mark.slow
def test_run_of_closed_page_stops_unless_detached(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as own:
        pages = [browser.new_context(viewport={"width": 1280, "height": 800}).new_page() for _ in range(2)]
        for page, epochs in zip(pages, (60, 61), strict=True):
            page.goto(f"{own.url}/?preset=best&epochs={epochs}&threads=1")
            ready(page)
        pages[0].locator(".st-key-more_settings summary").click()
        pages[0].locator(".st-key-detached label").click()
        for page in pages:
            click(page, "train")
        expect_status(pages[1], "waiting")
        for page in pages:
            expect(page).to_have_url(re.compile("[?&]run="))
        addresses = [page.url for page in pages]
        for page in pages:
            page.context.close()
        wait_until(lambda: "is stopped: no session views it any more" in own.log.read_text())
        back = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        back.goto(addresses[0])
        ready(back)
        expect_status(back, "running")
        back.goto(addresses[1])
        ready(back)
        expect_status(back, "stopped")
        expect(back.get_by_text("its page had been closed for 60 s")).to_be_visible()
        back.context.close()


@pytest.mark.slow
def test_killed_server_leaves_no_process_behind(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as own:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(own.url)
        ready(page)
        choose_preset(page, "best")
        click(page, "train")
        expect_status(page, "running")
        worker = os.pidfd_open(own.worker())
        own.process.kill()
        gone, _, _ = select.select([worker], [], [], 30)  # not our child: its descriptor becomes readable at its exit
        os.close(worker)
        assert gone
        page.close()
