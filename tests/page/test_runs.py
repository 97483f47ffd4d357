"""Stored runs: reloads, two tabs, a server killed during a run, and the table of runs."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from mnist_fc.runs.reader import read_run
from tests.support.browser import (
    Server,
    click,
    curve_length,
    expect_longer_curve,
    expect_status,
    open_tab,
    ready,
    running_server,
    slide,
    start_run,
    wait_until,
)
from tests.support.faults import expect_all_well, finished_runs, is_writing, training_processes
from tests.support.layout import IN_EVERY_LOOK, faint_texts

QUICK = "?preset=fast&num_validation=100&hidden_sizes=32&epochs=2&threads=1"
"""Takes a moment on the few images of `small_server`."""


@pytest.fixture
def open_small(small_server: Server, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages of `small_server`."""
    opened: list[Page] = []

    def open_one(query: str = QUICK, width: int = 1280, scheme: str = "light") -> Page:
        page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()  # type: ignore[arg-type]
        opened.append(page)
        page.goto(f"{small_server.url}/{query}")
        ready(page)
        return page

    yield open_one
    for page in opened:
        page.context.close()


def parse_value(page: Page, key: str) -> str | None:
    return page.locator(f".st-key-{key}").get_by_role("slider").get_attribute("aria-valuetext")


def rows(page: Page) -> Locator:
    return page.locator(".st-key-runs tbody tr")


def train_and_open_runs(page: Page) -> None:
    """Train on a page without a run. A short run may be done before it is seen running."""
    expect_status(page, "ready")
    click(page, "train")
    expect_status(page, "done")
    open_tab(page, "Runs")
    expect(rows(page).first).to_be_visible()


# Returning to a run


@pytest.mark.slow
def test_settings_of_a_link_and_changes_survive_a_reload(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?preset=blog-keras&learning_rate=0.01&epochs=3")
    panel = page.locator("[data-testid=stSidebar]")
    assert (parse_value(page, "learning_rate"), parse_value(page, "epochs")) == ("0.01", "3")
    slide(page, "epochs", "Home")
    expect(page).to_have_url(re.compile(r"[?&]epochs=1(&|$)"))
    page.reload()
    ready(page)
    assert (parse_value(page, "learning_rate"), parse_value(page, "epochs")) == ("0.01", "1")
    expect(panel).to_contain_text("784-500-500-10: 648,010 parameters")


@pytest.mark.slow
def test_another_tab_follows_the_run_with_its_whole_curve(open_small: Callable[..., Page]) -> None:
    first = open_small("?preset=fast&num_validation=100&hidden_sizes=256&batch_size=8&epochs=99")
    start_run(first)
    expect_status(first, re.compile(r"epoch ([2-9]|\d\d) of"))
    second = open_small(first.evaluate("location.search"))
    expect_status(second, "running")
    expect_longer_curve(second, "loss_chart", curve_length(first, "loss_chart") // 2)
    assert parse_value(second, "epochs") == "99"
    click(second, "stop")
    expect_status(first, "stopped")


@pytest.mark.slow
def test_run_of_a_server_killed_while_it_saves_resumes(browser: Browser, tmp_path: Path, small_npz: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    # Much longer than the second after which a state is kept, so that a fast machine does not finish first.
    query = "?preset=fast&num_validation=100&hidden_sizes=256&batch_size=8&epochs=30&threads=1"
    with running_server(tmp_path, MNIST_FC_DATA=str(small_npz)) as server:
        page.goto(f"{server.url}/{query}")
        ready(page)
        start_run(page)
        expect_status(page, "running")
        (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
        wait_until((folder / "state.ckpt").exists)  # the state to resume from
        wait_until(lambda: (folder / "metrics.csv").stat().st_size > 10_000)  # more than fifty steps
        wait_until(lambda: is_writing(folder))
        server.process.kill()
        server.process.wait(30)
    wait_until(lambda: training_processes(tmp_path) == [])
    assert finished_runs(tmp_path / "runs") == {}  # this also checks that every file can be read
    before = read_run(folder)
    assert before.end is None
    assert len(before.steps) > 50
    with running_server(tmp_path, MNIST_FC_DATA=str(small_npz)) as server:
        page.goto(f"{server.url}/?run={folder.name}")
        ready(page)
        expect_status(page, "interrupted in epoch")
        assert curve_length(page, "loss_chart") > 50
        assert parse_value(page, "batch_size") == "8"
        expect(page.locator(".st-key-pause")).to_contain_text("Resume")
        click(page, "pause")
        expect_status(page, "running")
        expect_status(page, re.compile("^done$"))
        expect(page.locator(".st-key-pause button")).to_be_disabled()
        expect_all_well(page, server, tmp_path, finished_runs(tmp_path / "runs"))
        page.close()
    after = read_run(folder)
    assert after.end
    assert after.end.outcome == "done"
    assert [step.train_loss for step in after.steps[: len(before.steps)]] == pytest.approx(
        [step.train_loss for step in before.steps], rel=1e-5
    )
    assert [epoch.epoch for epoch in after.epochs] == list(range(1, 31))


# Comparing runs


def cell(page: Page, row: Locator, heading: str) -> Locator:
    """Return a row's cell below a heading. Which other columns there are depends on all runs of the server."""
    headings = page.locator(".st-key-runs thead").locator("th, td")
    expect(headings.filter(has_text=heading)).to_have_count(1)
    return row.locator("th, td").nth(headings.all_inner_texts().index(heading))


@pytest.mark.slow
def test_two_runs_are_compared_in_table_and_chart(open_small: Callable[..., Page], small_server: Server) -> None:
    train_and_open_runs(open_small(QUICK + "&learning_rate=0.03"))
    page = open_small(QUICK + "&learning_rate=0.001")
    train_and_open_runs(page)
    first, second = rows(page).nth(0), rows(page).nth(1)
    expect(first).to_contain_text(re.compile(r"done\s*\d+\.\d\d%\s*\d+\.\d\d%\s*\d+\.\d s\s*[\d,]+\s*custom"))
    for row, rate in ((first, "0.001"), (second, "0.03")):
        expect(cell(page, row, "learning rate")).to_have_text(rate)
    for earlier in rows(page).locator("input[type=checkbox]").all()[2:]:  # runs of the tests before
        earlier.uncheck()
    curves = page.locator(".st-key-compare_chart .curves path")
    expect(curves).to_have_count(2)
    for option in ("accuracy", "test", "seconds"):
        page.locator(".st-key-compare").get_by_text(option, exact=True).click()
    expect(page.locator(".st-key-compare_chart svg[role=img]")).to_have_attribute(
        "aria-label", "test accuracy over seconds of 2 runs"
    )
    expect(page.locator(".st-key-compare_chart .curves circle")).to_have_count(2)
    second.locator("input[type=checkbox]").click()
    expect(curves).to_have_count(1)
    # The same seed: both started from the same weights.
    names = [row.get_attribute("data-run") for row in (first, second)]
    store = small_server.log.parent / "runs"
    assert len({(store / str(name) / "step-000000.ckpt").read_bytes() for name in names}) == 1
    assert len({(store / str(name) / "model.ckpt").read_bytes() for name in names}) == 2


def expect_names_to_begin_with_visible_words(row: Locator) -> None:
    """People who speak to their computer say what they see on a button."""
    names = row.get_by_role("button").evaluate_all("all => all.map(e => [e.getAttribute('aria-label'), e.innerText])")
    assert names
    assert [name for name, words in names if not name.startswith(words)] == []


@pytest.mark.slow
def test_run_can_be_renamed_pinned_deleted_and_restored(open_small: Callable[..., Page]) -> None:
    page = open_small()
    train_and_open_runs(page)
    run_id = str(rows(page).first.get_attribute("data-run"))
    row = page.locator(f"tr[data-run='{run_id}']")
    name = row.locator("input[type=text]")
    name.press_sequentially("x" * 70)
    assert len(name.input_value()) == 60
    assert name.evaluate("field => field.validationMessage") == "A name has at most 60 characters."
    evil = "<img src=x onerror=alert(1)> **bold**"
    name.fill(evil)
    assert name.evaluate("field => field.validationMessage") == ""
    name.press("Enter")
    legend = page.locator(".st-key-compare_heading, .chart-heading").filter(has_text=evil)
    expect(legend).to_have_count(1)
    assert page.locator("img[src=x]").count() == 0
    row.get_by_role("button", name="Pin").click()
    expect(row.get_by_role("button", name="Pin")).to_have_attribute("aria-pressed", "true")
    page.reload()
    ready(page)
    open_tab(page, "Runs")
    expect(name).to_have_value(evil)
    expect(row.get_by_role("button", name="Pin")).to_have_attribute("aria-pressed", "true")
    expect_names_to_begin_with_visible_words(row)
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_class("deleted")
    expect_names_to_begin_with_visible_words(row)
    expect(name).to_have_value(evil)
    expect_status(page, "ready")
    row.get_by_role("button", name="Undo").click()
    expect(row).to_have_class("watched")
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect_status(page, "done")
    click(page, "reset")
    row.get_by_role("button", name="Open").click()
    expect_status(page, "done")


@pytest.mark.slow
def test_run_is_trained_again_with_its_settings(open_small: Callable[..., Page]) -> None:
    first = open_small(QUICK + "&dropout=0.4&seed=7")
    train_and_open_runs(first)
    run_id = str(rows(first).first.get_attribute("data-run"))
    page = open_small("?preset=best")
    open_tab(page, "Runs")
    expect(rows(page).first).to_be_visible()
    before = rows(page).count()
    page.locator(f"tr[data-run='{run_id}']").get_by_role("button", name="Train again").click()
    expect(rows(page)).to_have_count(before + 1)
    expect(page).to_have_url(re.compile(r"(?=.*dropout=0\.4)(?=.*seed=7)(?=.*hidden_sizes=32)"))
    expect_status(page, "done")
    accuracies = re.findall(r"\d+\.\d\d%", page.locator(f"tr[data-run='{run_id}']").inner_text())
    assert len(accuracies) == 2
    expect(rows(page).nth(0)).to_contain_text(re.compile(r"\s*".join(accuracies)))


@pytest.mark.slow
@IN_EVERY_LOOK
def test_runs_table_is_legible_and_fits_the_screen(open_small: Callable[..., Page], scheme: str, width: int) -> None:
    page = open_small(QUICK, width, scheme)
    train_and_open_runs(page)
    expect(page.locator(".st-key-compare_chart .curves path").first).to_be_visible()
    assert faint_texts(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
