"""Components: the messages they handle, the numbers they format, and what they show of broken networks."""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import MLP
from mnist_fc.records import EndRecord, StateRecord, StepRecord, WeightsRecord
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from mnist_fc.views.charts import SERIES_COLORS
from mnist_fc.views.components import component
from mnist_fc.views.components.chart import Axis, Series
from mnist_fc.views.components.numbers import MINUS, TIMES
from mnist_fc.views.components.pixels import Tile, as_data
from tests.support.browser import (
    ONE,
    SEVEN,
    TWO,
    Server,
    clear,
    click,
    draw,
    expect_reading,
    open_tab,
    running_server,
    slide,
)

EXPLAINING = ["Why this digit?", "Inside", "Gradients", "Misread digits", "Look-alikes", "Test your handwriting"]

NO_NUMBER = re.compile(r"\b(nan|inf|infinity|undefined|null)\b|[-\N{MINUS SIGN}]0(?![.\d])", re.IGNORECASE)
"""Matches texts of non-finite numbers and minus zero."""

TEXTS = """() => Array.from(document.querySelectorAll("[role=tabpanel], .st-key-result, .st-key-probes, [aria-label]"))
  .filter(element => element.checkVisibility())
  .flatMap(element => [element.innerText ?? "", element.getAttribute("aria-label") ?? ""])"""

SHOW = """async ([script, data, root, width]) => {
  const { default: show } = await import(`data:text/javascript,${encodeURIComponent(script)}`);
  document.querySelector("#shown")?.remove();
  const parentElement = document.createElement("div");
  parentElement.innerHTML = `<div class='${root}'></div>`;
  parentElement.id = "shown";
  parentElement.style = `position: fixed; z-index: 999999; top: 200px; left: 20px; width: ${width}px; background: var(--paper)`;
  document.querySelector(".stApp").append(parentElement);
  show({ data, parentElement, setTriggerValue: () => {} });
}"""
"""Mounts a component on the page with its own script, under the page's style sheet."""

LABELS_OUTSIDE = """chart => {
  const box = chart.querySelector(":scope > svg").getBoundingClientRect();
  const outside = (inner) => inner.left < box.left || inner.right > box.right || inner.top < box.top || inner.bottom > box.bottom;
  return Array.from(chart.querySelectorAll(":scope > svg text"))
    .filter((text) => text.textContent && outside(text.getBoundingClientRect()))
    .map((text) => text.textContent);
}"""

CURVES_OUTSIDE = """chart => {
  const plot = chart.querySelector(".curves"), place = chart.getBoundingClientRect();
  const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => Number(plot.getAttribute(name)));
  const box = { left: place.left + x, right: place.left + x + width, top: place.top + y, bottom: place.top + y + height };
  return Array.from(chart.querySelectorAll(".curves path")).filter((path) => {
    const inner = path.getBoundingClientRect();
    return inner.left < box.left || inner.right > box.right || inner.top < box.top || inner.bottom > box.bottom;
  }).map((path) => path.dataset.series);
}"""

BRIGHTNESS = """([canvas, pixel]) => {
  const paper = getComputedStyle(document.querySelector(".stApp")).backgroundColor.match(/[\\d.]+/g).map(Number);
  const { data } = canvas.getContext("2d").getImageData(pixel, 0, 1, 1);
  const over = [0, 1, 2].map((i) => data[i] * data[3] / 255 + paper[i] * (1 - data[3] / 255));
  const luminance = (color) => color.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const [high, low] = [luminance(over), luminance(paper)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}"""
"""The contrast between one pixel of a picture and the page."""

SMALL = TrainConfig(hidden_sizes=(16,), num_epochs=2, num_validation=500, threads=1)
DEEP = TrainConfig(hidden_sizes=(16, 16, 16, 16), activation="sigmoid", num_epochs=1, num_validation=0, threads=1)
DEAD = TrainConfig(hidden_sizes=(16, 12), num_epochs=1, num_validation=0, threads=1)
NORMS = (3e-16, 0.0, 4e-12, 6e-7, 0.2)
"""Gradient norms of the deep network's layers, from the first to the output."""


def write_steps(folder: RunFolder, norms: tuple[float, ...], loss: float = 2.3) -> None:
    for step in range(1, 21):
        folder.write(StepRecord(step, 1, 100 * step, step / 100, loss, 0.1, 0.001, norms))


def write_end(folder: RunFolder, weights: dict[str, np.ndarray], outcome: str = "done") -> None:
    folder.write(WeightsRecord(20, 1, weights, is_kept=True))
    folder.write(EndRecord(20, 1, outcome, "", 1.0, None, None))  # type: ignore[arg-type]


def weights_of(config: TrainConfig) -> dict[str, np.ndarray]:
    """Return random weights in the size of an initial network."""
    chance = np.random.default_rng(1)
    shapes = {name: tensor.shape for name, tensor in MLP(config.hidden_sizes, config.activation).state_dict().items()}
    return {name: chance.normal(0, shape[-1] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def write_runs(store: Path, data: Mnist) -> None:
    """Write runs that learned, and with tiny gradients, dead units, huge values and overflowed values."""
    learned = RunFolder(store, SMALL, "learned")
    for record in train(SMALL, data):
        if not isinstance(record, StateRecord):
            learned.write(record)

    deep = RunFolder(store, DEEP, "deep")
    write_steps(deep, NORMS)
    write_end(deep, weights_of(DEEP))

    weights = weights_of(DEAD)
    huge = RunFolder(store, DEAD, "huge")
    write_steps(huge, (1e30, 1e30, 1e30), 1e30)
    write_end(huge, {name: array * np.float32(1e11) for name, array in weights.items()}, "failed")

    overflowing = RunFolder(store, DEAD, "overflowing")
    write_steps(overflowing, (float("nan"),) * 3, float("nan"))
    write_end(overflowing, {name: np.full_like(array, 3e38) for name, array in weights.items()}, "failed")

    dead = RunFolder(store, DEAD, "dead")
    write_steps(dead, (0.0, 0.0, 1e-3))
    weights["fc1.bias"][4:] = weights["fc2.bias"][:] = -1e4
    write_end(dead, weights)


@pytest.fixture(scope="module")
def server(small: Mnist, small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    write_runs(folder / "runs", small)
    with running_server(folder, MNIST_FC_DATA=str(small_npz)) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


def show_chart(page: Page, series: list[Series], x: Axis, y: Axis, width: int = 500) -> None:
    data = {
        "name": "loss",
        "label": "loss",
        "x": asdict(x),
        "y": asdict(y),
        "series": [asdict(one) for one in series],
        "height": 215,
        "mark": None,
    }
    page.evaluate(SHOW, [component.script("chart"), data, "line-chart", width])


# What components are sent


@pytest.mark.slow
def test_pressed_misread_digit_is_read_and_framed(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?run=learned")
    open_tab(page, "Misread digits")
    digits = page.locator(".st-key-misread figure")
    for place in (0, 3):
        digits.nth(place).locator("canvas").click()
        expect(page.locator(".under-digit")).to_contain_text("Test digit")
        expect(digits.nth(place)).to_have_class(re.compile("chosen"))
        expect(page.locator(".st-key-misread .chosen")).to_have_count(1)
    assert "BidiComponent" not in page.locator("body").inner_text()


# Widgets


@pytest.mark.parametrize(
    ("tab", "key"),
    [
        ("Why this digit?", "why_place"),
        pytest.param("Inside", "inside_place", marks=pytest.mark.slow),
        pytest.param("Look-alikes", "alike_place", marks=pytest.mark.slow),
    ],
)
def test_each_of_equal_digits_can_be_picked(page: Page, tab: str, key: str) -> None:
    clear(page)
    slide(page, "brush", "Home")
    for i, shape in enumerate((SEVEN, ONE, SEVEN, ONE)):
        draw(page, [(x / 4.4 + 5 + 68 * i, y / 3 + 90) for x, y in shape])
        expect_reading(page, "7171"[: i + 1])
    open_tab(page, tab)
    picker = page.locator(f".st-key-{key} button")
    expect(picker).to_have_text(["first 7", "first 1", "second 7", "second 1"])
    for place in (2, 0, 1, 3):
        picker.nth(place).click()
        expect(page.locator(f".st-key-{key} button[aria-checked=true], .st-key-{key} button[kind*=Active]")).to_have_text(
            ["first 7", "first 1", "second 7", "second 1"][place]
        )
    if tab == "Look-alikes":
        expect(page.locator(".st-key-nearest figcaption")).to_have_count(24)


# Numbers and axes


@pytest.mark.parametrize("width", [280, pytest.param(500, marks=pytest.mark.slow)])
def test_labels_of_extreme_axes_lie_inside_the_chart(page: Page, width: int) -> None:
    for low, high, log in (
        *((0.0, 10.0**power, False) for power in range(-12, 39, 3)),
        *((-(10.0**power), 10.0**power, False) for power in (-8, 0, 5, 12)),
        *((10.0**-power, 1.0, True) for power in (1, 8, 15, 45, 300)),
        *((1.0, 10.0**power, True) for power in (1, 8, 38, 300)),
    ):
        curve = Series("train", "#4f7df0", [0.0, high], [low, high])
        show_chart(page, [curve], Axis((0, high), title="step"), Axis((low, high), log=log), width)
        chart = page.locator("#shown .line-chart")
        labels = chart.locator(".axes text").all_text_contents()
        assert len(labels) > 2
        assert chart.evaluate(LABELS_OUTSIDE) == [], (low, high)
        assert max(map(len, labels)) <= 9, labels
        assert not any(map(NO_NUMBER.search, labels)), labels


@pytest.mark.slow
def test_gradient_chart_holds_every_curve_of_a_deep_net(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?run=deep")
    open_tab(page, "Gradients")
    chart = page.locator(".st-key-gradient_chart .line-chart")
    expect(chart.locator(".curves path")).to_have_count(5)
    assert chart.evaluate(CURVES_OUTSIDE) == []
    assert chart.evaluate(LABELS_OUTSIDE) == []
    levels = chart.locator(".curves path").evaluate_all(
        "paths => paths.map(path => Math.round(path.getBoundingClientRect().top))"
    )
    assert sorted(levels, reverse=True) == [levels[1], levels[0], levels[2], levels[3], levels[4]], "the smaller the lower"
    panel = page.get_by_role("tabpanel").last.inner_text()
    assert not re.search(r"\d{7}|\d,\d{3},\d{3}", panel), panel


def test_non_finite_gradients_are_reported_in_words(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?run=overflowing")
    open_tab(page, "Gradients")
    panel = page.get_by_role("tabpanel").last
    expect(panel).to_contain_text("not a finite number")
    expect(panel.locator(".line-chart")).to_have_count(0)


def test_accuracy_axis_starts_at_zero_until_zoomed(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?run=learned")
    chart = page.locator(".st-key-accuracy_chart .line-chart")
    expect(chart.locator(".curves path")).to_have_count(3)
    expect(chart.locator(".axes text").first).to_have_text("0%")
    page.locator(".st-key-accuracy_zoom label").first.click()
    expect(chart.locator(".axes text").first).to_have_text("90%")
    expect(page.locator(".st-key-loss_chart .axes text").first).to_have_text("0")


def test_pixel_values_have_four_digits_and_no_minus_zero(page: Page) -> None:
    values = [-0.0, 0.0, 0.00657786590158, -0.00657786590158, 1.5e-9, -123456.7, 3e38]
    written = ["0", "0", "0.006578", "-0.006578", "1.5 x 10⁻⁹", "-123,500", "3 x 10³⁸"]
    tile = Tile(np.array([values], np.float32), "numbers")
    page.evaluate(SHOW, [component.script("pixels"), as_data([tile], "numbers", 400, None), "pixel-pictures", 500])
    canvas = page.locator("#shown canvas")
    box = canvas.bounding_box()
    assert box
    for column, text in enumerate(written, start=1):
        page.mouse.move(box["x"] + (column - 0.5) * box["width"] / len(values), box["y"] + 10)
        expect(page.locator("#shown .tip")).to_have_text(
            f"row 1, column {column}: {text.replace('-', MINUS).replace('x', TIMES)}"
        )


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_strong_pixels_stand_out_from_the_page(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    values = [1.0, 0.5, 0.1, 0.0, -0.1, -0.5, -1.0]
    tile = Tile(np.array([values], np.float32), "strengths")
    page.evaluate(SHOW, [component.script("pixels"), as_data([tile], "strengths", 400, None), "pixel-pictures", 500])
    canvas = page.locator("#shown canvas").element_handle()
    contrasts = [page.evaluate(BRIGHTNESS, [canvas, pixel]) for pixel in range(len(values))]
    assert contrasts[3] == pytest.approx(1)
    assert contrasts[:4] == sorted(contrasts[:4], reverse=True)
    assert contrasts[3:] == sorted(contrasts[3:])
    assert min(contrasts[0], contrasts[-1]) >= 3
    assert min(contrasts[1], contrasts[-2]) >= (3 if scheme == "dark" else 1.7)


# Pinned drawings


@pytest.mark.slow
def test_five_pins_have_distinct_colours_and_keep_accuracy_visible(open_page: Callable[..., Page]) -> None:
    page = open_page(1280, 800, query="?run=learned")
    slanted = [(x + (y - 140) / 2, y) for x, y in ONE]
    for count, shape in enumerate((None, SEVEN, ONE, TWO, slanted), start=1):  # the same drawing is pinned once
        if shape:
            clear(page)
            draw(page, shape)
        click(page, "pin")
        expect(page.locator(".st-key-probes .probes > div")).to_have_count(count)
    pins = page.locator(".st-key-probe_chart .curves path")
    expect(pins).to_have_count(5)
    colours = pins.evaluate_all("paths => paths.map(path => path.getAttribute('stroke'))")
    assert len({*colours, *SERIES_COLORS.values()}) == 8
    expect(page.locator(".st-key-probes .probes > div").first).to_have_text(
        re.compile(r"3.*%.*(correct since step|steadily since step|not yet correct)", re.DOTALL)
    )
    chart = page.locator(".st-key-accuracy_chart .line-chart").bounding_box()
    assert chart
    assert chart["y"] + chart["height"] <= 800


# Broken networks


@pytest.mark.slow
def test_dead_units_are_named_in_place_of_empty_pictures(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?run=dead")
    open_tab(page, "Inside")
    captions = page.locator(".st-key-activations figcaption")
    expect(captions.nth(1)).to_have_text(re.compile(r"hidden layer 1: \d above zero, 12 dead"))
    expect(captions.nth(2)).to_have_text("hidden layer 2: 0 above zero, 12 dead")
    grid = page.locator(".st-key-activations canvas").nth(2)
    grid.click()
    unit = page.locator(".st-key-unit")
    expect(unit).to_contain_text(re.compile(r"Neuron \d+ of 12 in hidden layer 2"))
    expect(unit).to_contain_text("This neuron is dead")
    expect(unit.locator("figure")).to_have_count(0)
    assert page.locator(".st-key-gallery figure").count() <= 4, "no picture of a dead unit"
    open_tab(page, "Gradients")
    expect(page.locator(".st-key-dead_units")).to_contain_text("12 of 16 in layer 1, 12 of 12 in layer 2")


@pytest.mark.slow
def test_overflowed_network_is_named_in_every_tab(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?run=overflowing")
    expect(page.locator(".by")).to_have_text("this run, step 20")
    expect(page.locator(".st-key-pin button")).to_be_disabled()
    for tab in EXPLAINING:
        open_tab(page, tab)
        panel = page.get_by_role("tabpanel").last
        if tab not in ("Gradients", "Test your handwriting"):
            expect(panel).to_contain_text("overflowed")
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        texts: list[str] = page.evaluate(TEXTS)
        assert [found for text in texts if (found := NO_NUMBER.search(text))] == [], tab


@pytest.mark.slow
def test_huge_values_are_written_in_few_digits(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?run=huge")
    expect(page.locator(".under-digit")).to_contain_text("this run, step 20")
    for tab in EXPLAINING:
        open_tab(page, tab)
        expect(page.get_by_role("tabpanel").last).not_to_be_empty()
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        texts: list[str] = page.evaluate(TEXTS)
        assert [found for text in texts if (found := NO_NUMBER.search(text) or re.search(r"[\d,]{12}", text))] == [], tab
