"""Sweeps in the browser: the live table, the plots, the form across tabs, and the layout; views/test_sweep.py tests the rest."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import SWEEPS_VARIABLE, Interval, Space, SweepConfig, Values, best_trial
from mnist_fc.sweep.storage import default_storage
from mnist_fc.sweep.study import MIN_DONE, trials
from tests.support.browser import Server, choose, click, expect_status, open_tab, running_server
from tests.support.layout import IN_EVERY_LOOK, faint_texts

SHORT = "?preset=fast&epochs=1&num_validation=500&hidden_sizes=32"
LONG = "?preset=fast&epochs=100&num_validation=500&batch_size=8&hidden_sizes=1024,1024"
OTHERS = "<b>another's</b> *study* & more"
BASE = TrainConfig(hidden_sizes=(16,), num_epochs=1, num_validation=500, threads=1)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the storage that this server shares with another process."""
    return default_storage(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def server(storage: str, small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with few data, on which a trial takes a moment."""
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, MNIST_FC_DATA=str(small_npz), **{SWEEPS_VARIABLE: storage}) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def others(storage: str, small: Mnist) -> str:
    """Return the name of another process's study with enough trials for both plots."""
    space: Space = {
        "hidden_sizes": Values(((16,), (32, 16), (64, 32, 16))),
        "activation": Values(("relu", "leaky_relu")),
        "learning_rate": Interval(1e-4, 3e-2),
        "batch_size": Interval(32, 256),
    }
    for _ in sweep(SweepConfig(BASE, space, OTHERS, storage, num_runs=MIN_DONE + 2), small):
        pass
    assert sum(trial.state == "done" for trial in trials(storage, OTHERS)) >= MIN_DONE
    return OTHERS


def open_sweep(open_page: Callable[..., Page], query: str, width: int = 1280, **options: str) -> Page:
    page = open_page(width, 800, query, **options)
    open_tab(page, "Sweep")
    expect(page.locator(".st-key-start_sweep button")).to_be_visible()
    return page


def enter(page: Page, key: str, text: str) -> None:
    """Fill a field and leave it."""
    field = page.locator(f".st-key-{key} input").first
    field.fill(text)
    field.press("Tab")


@pytest.mark.slow
def test_sweep_fills_its_table_live_and_stops_immediately(open_page: Callable[..., Page]) -> None:
    page = open_sweep(open_page, LONG)
    enter(page, "sweep_hidden_sizes", "48, 64-32")
    enter(page, "sweep_name", "to be stopped")
    click(page, "start_sweep")
    running = page.locator(".sweep-table tr.running")
    expect(running).to_contain_text(re.compile(r"\d / 100.*running"))
    expect(page.locator(".st-key-start_sweep")).to_have_count(0)
    expect(page.locator(".st-key-sweep_study input")).to_have_value("to be stopped")
    expect(page.locator(".st-key-progress")).to_contain_text("Your sweep is running")
    expect(running).to_contain_text(re.compile(r"48|64-32"))
    before = running.text_content() or ""
    expect(running).not_to_have_text(before)
    click(page, "stop_sweep")
    expect(page.locator(".st-key-start_sweep button")).to_be_visible()
    expect(page.locator(".sweep-table tbody tr").last).to_contain_text("stopped")
    expect(page.locator(".st-key-sweep_trials")).to_contain_text("epochs 100")


@pytest.mark.slow
def test_plots_appear_live_and_best_settings_move_the_sliders(open_page: Callable[..., Page], storage: str) -> None:
    page = open_sweep(open_page, SHORT)
    enter(page, "sweep_hidden_sizes", "48, 64-32")
    enter(page, "sweep_runs", str(MIN_DONE))
    enter(page, "sweep_name", "short")
    click(page, "start_sweep")
    for key in ("sweep_lines", "sweep_shares"):
        expect(page.locator(f".st-key-{key} .main-svg").first).to_be_visible()
    expect(page.locator(".st-key-start_sweep button")).to_be_visible()
    expect(page.locator(".sweep-table tr.done")).to_have_count(MIN_DONE)
    expect(page.locator(".st-key-sweep_lines .scatterlayer path.js-line")).to_have_count(MIN_DONE)
    expect(page.locator(".st-key-sweep_shares")).to_contain_text("learning rate")
    first = best_trial(trials(storage, "short"))
    assert first
    expect(page.locator(".sweep-table tr.best")).to_contain_text(f"{first.number} ★")
    click(page, "use_trial")
    expect(page.get_by_text("Copied to the side panel")).to_be_visible()
    layers = "-".join(map(str, (784, *first.settings["hidden_sizes"], 10)))
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text(layers)
    slider = page.locator(".st-key-learning_rate").get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuetext", f"{first.settings['learning_rate']:.4g}")
    expect(page.locator(".st-key-preset input")).to_have_value("custom")


@pytest.mark.slow
def test_queued_sweep_keeps_choices_across_tabs(open_page: Callable[..., Page]) -> None:
    page = open_sweep(open_page, LONG)
    enter(page, "sweep_hidden_sizes", "40, 24")
    click(page, "train")
    expect_status(page, re.compile(r"epoch ([2-9]|\d\d)"))  # everything that a run adds to the page has appeared
    click(page, "start_sweep")
    expect(page.get_by_text("next unless others join")).to_be_visible()
    click(page, "stop_sweep")
    expect(page.locator(".st-key-start_sweep")).to_be_visible()
    click(page, "stop")
    expect_status(page, "stopped")
    open_tab(page, "Inside")
    expect(page.get_by_role("tabpanel", name="Inside").locator("h4").first).to_be_visible()
    open_tab(page, "Sweep")
    expect(page.locator(".st-key-sweep_hidden_sizes input")).to_have_value("40, 24")


@pytest.mark.slow
@IN_EVERY_LOOK
def test_sweep_tab_is_legible_and_fits_the_screen(open_page: Callable[..., Page], others: str, scheme: str, width: int) -> None:
    page = open_sweep(open_page, SHORT, width, color_scheme=scheme)
    choose(page, "sweep_study", others)
    for key in ("sweep_lines", "sweep_shares"):
        expect(page.locator(f".st-key-{key} .main-svg").first).to_be_visible()
    labels = page.locator(".st-key-sweep_lines .annotation-text")
    for label in ("leaky", "64-32-16"):
        expect(labels.filter(has_text=label)).to_be_visible()
    boxes = [box for label in labels.all() if (box := label.bounding_box())]
    assert len(boxes) > 10
    overlapping = [
        (a, b)
        for i, a in enumerate(boxes)
        for b in boxes[:i]
        if a["x"] < b["x"] + b["width"] > a["x"] and b["x"] < a["x"] + a["width"] and abs(a["y"] - b["y"]) < 6
    ]
    assert overlapping == []
    assert faint_texts(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in (".sweep-table", ".st-key-sweep_lines", ".st-key-sweep_shares"):
        box = page.locator(name).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
