"""The table of runs under the pointer, in a real browser: nothing moves, and a double click does what one click does."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from mnist_fc.config import TrainConfig
from mnist_fc.records import EndRecord, StepRecord
from mnist_fc.runs.writer import RunFolder
from tests.support.browser import Server, open_tab, running_server

NUM_RUNS = 5
CONFIG = TrainConfig(hidden_sizes=(8,), batch_size=8, num_epochs=100, num_validation=100, threads=1)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("small")
    for number in range(NUM_RUNS):
        run = RunFolder(folder / "runs", CONFIG.replace(seed=number), f"2026-11-27-10000{number}-custom-run", number=number + 1)
        run.write(StepRecord(5, 1, 40, 0.5, 2.3, 0.1, 0.001, (1.0, 1.0)))
        run.write(EndRecord(5, 1, "stopped", "", 0.5, 2.3, 0.1))
    with running_server(folder, MNIST_FC_DATA=str(small_npz)) as own:
        yield own
        assert "Traceback" not in own.log.read_text()


def rows(page: Page) -> Locator:
    return page.locator(".st-key-runs tbody tr")


def top(row: Locator) -> float:
    box = row.bounding_box()
    assert box
    return box["y"]


def open_runs(open_page: Open, query: str, width: int = 1280) -> Page:
    page = open_page(width, 1400, query=query)  # the rows are in view at the page's very end
    open_tab(page, "Runs")
    expect(rows(page)).not_to_have_count(0)
    page.locator(".stMain").evaluate("main => main.scrollTo(0, main.scrollHeight)")
    return page


@pytest.mark.slow
@pytest.mark.parametrize(("number", "width"), [(2, 1280), (3, 390)])
def test_deleting_moves_no_row_and_undo_brings_back_each(open_page: Open, number: int, width: int) -> None:
    page = open_runs(open_page, f"?run=2026-11-27-10000{number}-custom-run", width)
    deleted = [page.locator(f"tr[data-run='2026-11-27-10000{each}-custom-run']") for each in (number, number - 1)]
    count = rows(page).count()
    for row in deleted:
        button = row.get_by_role("button", name="Delete")
        button.scroll_into_view_if_needed()
        before = [top(each) for each in rows(page).all()]
        button.dblclick()
        expect(row).to_have_class("deleted")
        expect(page.locator(".st-key-status")).to_have_text("ready")
        assert [top(each) for each in rows(page).all()] == pytest.approx(before, abs=1)
    expect(page.locator(".st-key-runs tr.deleted")).to_have_count(2)
    expect(rows(page)).to_have_count(count)
    for row in deleted:
        row.get_by_role("button", name="Undo").click()
        expect(row).not_to_have_class("deleted")
    expect(page.locator(".st-key-runs tr.watched")).to_have_attribute("data-run", f"2026-11-27-10000{number}-custom-run")


@pytest.mark.slow
def test_double_click_on_rerun_trains_once_and_keeps_its_row(open_page: Open) -> None:
    page = open_runs(open_page, "")
    count, row = rows(page).count(), rows(page).nth(1)
    button = page.locator(f"tr[data-run='{row.get_attribute('data-run')}']").get_by_role("button", name="Train again")
    button.scroll_into_view_if_needed()
    before = top(button)
    button.dblclick()
    expect(page.locator(".st-key-status [role=status]")).to_have_attribute("data-state", "running")
    expect(rows(page)).to_have_count(count + 1)
    assert abs(top(button) - before) < 2
    expect(page.locator(".st-key-runs tr:is([data-state=running], [data-state=waiting])")).to_have_count(1)
    pin = rows(page).nth(3).get_by_role("button", name="Pin")
    pin.dblclick()
    expect(pin).to_have_attribute("aria-pressed", "true")
