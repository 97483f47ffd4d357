"""Browsers that vanish during a stroke or a run and return, and one person with two tabs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mnist_fc.runs.reader import StoredRun
from tests.support.browser import (
    ONE,
    SECONDS,
    SEVEN,
    Server,
    click,
    curve_length,
    draw,
    expect_reading,
    expect_status,
    ready,
    start_run,
)
from tests.support.faults import (
    LONG,
    QUICK,
    begin_stroke,
    end_stroke,
    expect_all_well,
    finished_runs,
    opened,
    run_of,
    served,
    train_one,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("presence")


@pytest.fixture(scope="module")
def server(folder: Path, small_npz: Path) -> Iterator[Server]:
    with served(folder, small_npz) as own:
        yield own


@pytest.fixture
def before(browser: Browser, server: Server, folder: Path) -> dict[str, StoredRun]:
    """Return the runs that ended before the test, at least one."""
    if not (ended := finished_runs(folder / "runs") if (folder / "runs").exists() else {}):
        page = opened(browser, server, QUICK)
        train_one(page)
        page.context.close()
        ended = finished_runs(folder / "runs")
    return ended


# One tab


@pytest.mark.slow
def test_browser_closed_mid_stroke_affects_nobody_else(
    browser: Browser, server: Server, folder: Path, before: dict[str, StoredRun]
) -> None:
    gone, page = (opened(browser, server, QUICK) for _ in range(2))
    for each in (gone, page):
        click(each, "clear")
        expect_reading(each, "")
    begin_stroke(gone)
    begin_stroke(page)
    gone.context.close()
    end_stroke(page)
    expect_reading(page, "7")
    expect_all_well(page, server, folder, before)
    page.context.close()


@pytest.mark.slow
def test_run_of_closed_browser_keeps_its_whole_curve(
    browser: Browser, server: Server, folder: Path, before: dict[str, StoredRun]
) -> None:
    gone = opened(browser, server, LONG)
    start_run(gone)
    expect_status(gone, "running")
    address = gone.url
    gone.wait_for_function("() => document.querySelector('.st-key-loss_chart .curves path')")
    length = curve_length(gone, "loss_chart")
    gone.context.close()
    page = opened(browser, server, address.removeprefix(f"{server.url}/"))
    expect_status(page, re.compile("epoch"))
    assert curve_length(page, "loss_chart") >= 0.5 * length > 0
    click(page, "stop")
    expect_status(page, "stopped")
    expect_all_well(page, server, folder, before)
    page.context.close()


@pytest.mark.slow
def test_stalled_network_loses_neither_stroke_nor_run(
    browser: Browser, server: Server, folder: Path, before: dict[str, StoredRun]
) -> None:
    page = opened(browser, server, LONG)
    start_run(page)
    expect_status(page, "running")
    click(page, "clear")
    expect_reading(page, "")
    begin_stroke(page)
    page.context.set_offline(True)
    assert page.evaluate("fetch('/_stcore/health').then(() => 'answered', () => 'cut off')") == "cut off"
    end_stroke(page)
    page.context.set_offline(False)
    expect_reading(page, "7")
    expect_status(page, "running")
    click(page, "stop")
    expect_status(page, "stopped")
    expect_all_well(page, server, folder, before)
    page.context.close()


# Two tabs


def at_once(*pages: Page, key: str) -> None:
    """Press the same button on all pages without waiting in between."""
    for page in pages:
        page.locator(f".st-key-{key} button").evaluate("button => { setTimeout(() => button.click()) }")


@pytest.mark.slow
def test_every_button_works_in_two_tabs_of_one_person(
    browser: Browser, server: Server, folder: Path, before: dict[str, StoredRun]
) -> None:
    first = opened(browser, server, LONG)
    start_run(first)
    second = first.context.new_page()
    second.goto(first.url)
    ready(second)
    tabs = (first, second)

    for tab, points, digit in ((first, SEVEN, "7"), (second, ONE, "1")):
        tab.bring_to_front()
        tab.locator(".st-key-network").get_by_text("Built-in network").click()
        click(tab, "clear")
        expect_reading(tab, "")
        draw(tab, points)
        expect_reading(tab, digit)
    expect_reading(first, "7")
    click(first, "pause")
    for tab in tabs:
        expect_status(tab, "paused")
    click(second, "pause")
    for tab in tabs:
        expect_status(tab, re.compile("^running, epoch"))

    at_once(*tabs, key="pause")
    for tab in tabs:
        expect_status(tab, re.compile("^(running|paused)"))
    at_once(*tabs, key="stop")
    for tab in tabs:
        expect_status(tab, "stopped")
    assert run_of(first, folder) == run_of(second, folder)

    at_once(*tabs, key="train")
    for tab in tabs:
        status = tab.locator(".st-key-status, .stAlert").filter(has_text=re.compile("epoch|starting|waiting"))
        expect(status.first).to_be_visible(timeout=60 * SECONDS)
    for tab in tabs:
        click(tab, "reset")  # ends an own run or leaves the queue
    for tab in tabs:
        expect_status(tab, "ready")
    expect_reading(first, "7")
    expect_reading(second, "1")
    for tab in tabs:
        expect_all_well(tab, server, folder, before)
    first.context.close()
