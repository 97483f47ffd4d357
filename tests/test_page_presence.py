"""Browsers that vanish in mid-stroke and in mid-run and come back, and one person with two tabs."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import (
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
from faults import DONE, LONG, QUICK, expect_all_well, opened, run_of, served, train_one, whole_runs
from playwright.sync_api import Browser, Page, expect

from mnist_fc.runs import StoredRun


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("presence")


@pytest.fixture(scope="module")
def server(folder: Path, small_npz: Path) -> Iterator[Server]:
    with served(folder, small_npz) as own:
        yield own


@pytest.fixture
def before(browser: Browser, server: Server, folder: Path) -> dict[str, StoredRun]:
    """The runs that have ended when the test begins, at least one."""
    if not (ended := whole_runs(folder / "runs") if (folder / "runs").exists() else {}):
        page = opened(browser, server, QUICK)
        train_one(page)
        page.context.close()
        ended = whole_runs(folder / "runs")
    return ended


def begin_stroke(page: Page) -> None:
    """The first half of a 7, the button held down."""
    canvas = page.locator(".st-key-canvas canvas.upper-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + SEVEN[0][0], box["y"] + SEVEN[0][1])
    page.mouse.down()
    page.mouse.move(box["x"] + SEVEN[1][0], box["y"] + SEVEN[1][1], steps=8)


def end_stroke(page: Page) -> None:
    box = page.locator(".st-key-canvas canvas.upper-canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + SEVEN[2][0], box["y"] + SEVEN[2][1], steps=8)
    page.mouse.up()


# Gone


def test_browser_that_is_closed_in_mid_stroke_costs_nobody_else_anything(
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


def test_run_of_a_browser_that_is_closed_is_there_with_its_whole_curve_for_who_comes_back(
    browser: Browser, server: Server, folder: Path, before: dict[str, StoredRun]
) -> None:
    gone = opened(browser, server, LONG)
    start_run(gone)
    expect_status(gone, "epoch")
    address = gone.url
    gone.wait_for_function("() => document.querySelector('.st-key-loss_chart .curves path')")
    length = curve_length(gone, "loss_chart")
    gone.context.close()
    page = opened(browser, server, address.removeprefix(f"{server.url}/"))
    expect_status(page, re.compile("epoch"))
    assert curve_length(page, "loss_chart") >= 0.5 * length > 0
    click(page, "stop")
    expect_status(page, "done, stopped")
    expect_all_well(page, server, folder, before)
    page.context.close()


def test_network_that_is_cut_in_mid_stroke_and_comes_back(
    browser: Browser, server: Server, folder: Path, before: dict[str, StoredRun]
) -> None:
    page = opened(browser, server, LONG)
    start_run(page)
    expect_status(page, "epoch")
    click(page, "clear")
    expect_reading(page, "")
    begin_stroke(page)
    page.context.set_offline(True)
    page.wait_for_timeout(5000); page.screenshot(path="/tmp/wc_off0.png"); print(page.get_by_test_id("stHeader").inner_html())
    end_stroke(page)
    page.wait_for_timeout(20000)
    page.screenshot(path="/tmp/wc_off.png")
    page.context.set_offline(False)
    page.wait_for_timeout(20000)
    page.screenshot(path="/tmp/wc_on.png")
    expect_reading(page, "7")
    expect_status(page, "epoch")
    click(page, "stop")
    expect_status(page, "done, stopped")
    expect_all_well(page, server, folder, before)
    page.context.close()
