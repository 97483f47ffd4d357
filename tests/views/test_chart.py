"""Charts in a real browser: saved as files that need no page around them, and with many curves."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor
from playwright.sync_api import Locator, Page, expect

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from mnist_fc.views import charts
from mnist_fc.views.charts import SERIES_COLORS
from mnist_fc.views.components import chart, component
from mnist_fc.views.components.chart import COLORS, Axis, Series
from tests.support.browser import Server, click, expect_longer_curve, start_run
from tests.support.layout import faint_texts

SVG = "{http://www.w3.org/2000/svg}"

CURVES = "paths => paths.map(path => [path.getAttribute('stroke'), path.getAttribute('d')])"

RIGHT_ENDS = """texts => texts.map(text =>
  text.getBoundingClientRect().right - text.closest("svg").getBoundingClientRect().left)"""

DRAW = """async ([script, data, width]) => {
  const { default: show } = await import(`data:text/javascript,${encodeURIComponent(script)}`);
  const parentElement = document.createElement("div");
  parentElement.innerHTML = "<div class='line-chart'></div>";
  parentElement.id = "many";
  parentElement.style = `position: fixed; z-index: 99; top: 300px; left: 15px; width: ${width}px; background: var(--paper)`;
  document.querySelector(".stApp").append(parentElement);
  show({ data, parentElement });
}"""
"""A chart on the page, by the script that draws all of them and under the page's style sheet."""


TRAINED = TrainConfig(hidden_sizes=(16,), batch_size=50, num_epochs=1, num_validation=500, threads=1)
"""30 steps with the small data."""


@pytest.fixture(scope="module")
def server(small_server: Server) -> Server:
    return small_server


@pytest.fixture(scope="module")
def run_id(server: Server, small: Mnist) -> str:
    """Return the id of a stored run of one epoch."""
    folder = RunFolder(server.log.parent / "runs", TRAINED)
    for record in train(TRAINED, small):
        folder.write(record)
    return folder.path.name


@pytest.fixture
def open_trained(open_page: Callable[..., Page], run_id: str) -> Callable[..., Page]:
    """Open the page of the stored run and wait for its charts."""

    def open_one(*size: int, **options: Any) -> Page:
        page = open_page(*size, query=f"?run={run_id}", **options)
        expect_longer_curve(page, "accuracy_chart", 0)
        expect(page.locator(".st-key-accuracy_chart .curves circle")).to_have_count(2)
        return page

    return open_one


@pytest.fixture
def trained(open_trained: Callable[..., Page]) -> Page:
    return open_trained()


def button(page: Page, name: str, kind: str) -> Locator:
    return page.get_by_role("button", name=f"Download the {name} chart as {kind}", exact=True)


def saved(page: Page, name: str, kind: str, folder: Path) -> Path:
    """Return the file that a button downloads, under its proposed name."""
    with page.expect_download() as download:
        button(page, name, kind).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


def size(svg: ET.Element) -> tuple[int, int]:
    return int(svg.attrib["width"]), int(svg.attrib["height"])


def color(page: Page, selector: str, name: str) -> tuple[int, ...]:
    """Return a computed colour: red, green and blue from 0 to 255."""
    return ImageColor.getrgb(page.locator(selector).first.evaluate("(element, name) => getComputedStyle(element)[name]", name))


# Files


@pytest.mark.parametrize("name", ["loss", "accuracy"])
def test_svg_looks_like_the_page_without_its_style_sheet(trained: Page, tmp_path: Path, name: str) -> None:
    path = saved(trained, name, "SVG", tmp_path)
    on_page = trained.locator(f".st-key-{name}_chart")
    svg = ET.parse(path).getroot()
    assert path.name == f"{name}.svg"
    assert svg.tag == f"{SVG}svg"
    assert svg.attrib["viewBox"] == "0 0 {} {}".format(*size(svg))
    drawn = [[curve.attrib["stroke"], curve.attrib["d"]] for curve in svg.iter(f"{SVG}path")]
    assert drawn == on_page.locator(".curves path").evaluate_all(CURVES)
    assert [stroke for stroke, _ in drawn] == list(SERIES_COLORS.values())
    assert drawn[0][1].count("L") > 20, "the training curve is a curve"
    assert texts(svg) == [
        f"{name.capitalize()} over training steps",
        *("train", "validation", "test"),
        *on_page.locator(".axes text").all_text_contents(),
    ]
    assert "step" in texts(svg)
    assert [dot.attrib["fill"] for dot in svg.iter(f"{SVG}circle")][:3] == list(SERIES_COLORS.values()), "the legend's dots"
    assert {(curve.attrib["fill"], curve.attrib["stroke-width"]) for curve in svg.iter(f"{SVG}path")} == {("none", "2px")}
    letters = {(ImageColor.getrgb(text.attrib["fill"]), text.attrib["font-size"]) for text in svg.iter(f"{SVG}text")}
    ink, soft = color(trained, ".stApp", "color"), color(trained, ".line-chart .axes text", "fill")
    assert letters == {(ink, "16"), (ink, "12"), (soft, "12px")}
    lines = {ImageColor.getrgb(line.attrib["stroke"]) for line in svg.iter(f"{SVG}line")}
    assert lines == {color(trained, ".line-chart .axes line", "stroke")}
    assert "sans-serif" in svg.attrib["font-family"]
    assert not re.search("NaN|undefined|var\\(|light-dark", path.read_text("utf-8"))


def test_svg_marks_the_chosen_moment(trained: Page, tmp_path: Path) -> None:
    trained.locator(".timeline input").press("Home")
    expect(trained.locator(".line-chart line.mark")).to_have_count(2)
    svg = ET.parse(saved(trained, "loss", "SVG", tmp_path)).getroot()
    (mark,) = (line for line in svg.iter(f"{SVG}line") if "stroke-dasharray" in line.attrib)
    assert ImageColor.getrgb(mark.attrib["stroke"]) == color(trained, ".line-chart line.mark", "stroke")


@pytest.mark.parametrize("theme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_png_is_the_svg_at_twice_the_size(open_trained: Callable[..., Page], tmp_path: Path, theme: str) -> None:
    page = open_trained(color_scheme=theme)
    background = color(page, ".stApp", "backgroundColor")
    assert (sum(background) > 600) == (theme == "light")
    for name in ("loss", "accuracy"):
        path = saved(page, name, "PNG", tmp_path)
        assert path.name == f"{name}.png"
        width, height = size(ET.parse(saved(page, name, "SVG", tmp_path)).getroot())
        with Image.open(path) as opened:
            assert opened.format == "PNG"
            picture = opened.convert("RGBA")
        assert picture.size == (2 * width, 2 * height)
        assert all(picture.getpixel(corner) == (*background, 255) for corner in ((0, 0), (2 * width - 1, 2 * height - 1)))
        pixels = {pixel: count for count, pixel in picture.getcolors(picture.width * picture.height) or []}
        assert pixels[(*background, 255)] > 0.7 * picture.width * picture.height
        train_color, _, test_color = ((*ImageColor.getrgb(color), 255) for color in SERIES_COLORS.values())
        assert pixels[train_color] > 1000
        assert pixels[test_color] > 100
        ink = color(page, ".stApp", "color")
        assert pixels[(*ink, 255)] > 200, "the title"


# Buttons


def test_save_buttons_appear_on_hover_and_focus(trained: Page, tmp_path: Path) -> None:
    page = trained
    box = page.locator(".st-key-accuracy_chart .line-chart")
    files, height = box.locator(".files"), box.bounding_box()["height"]  # type: ignore[index]
    assert height == charts.HEIGHT
    expect(files).to_have_css("opacity", "0")
    box.hover(position={"x": 200, "y": 100})
    expect(files).to_have_css("opacity", "1")
    assert faint_texts(page) == []
    low, plot = files.bounding_box(), box.locator(".curves").bounding_box()
    assert low
    assert plot
    assert low["y"] + low["height"] <= plot["y"], "no curve lies under them"
    page.mouse.move(low["x"] + 20, low["y"] + 5)
    expect(files).to_have_css("opacity", "1")
    page.mouse.move(5, 5)
    expect(files).to_have_css("opacity", "0")

    page.locator(".st-key-log_scale input").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="The loss chart as a table")).to_be_focused()
    page.keyboard.press("Tab")
    expect(button(page, "loss", "SVG")).to_be_focused()
    expect(page.locator(".st-key-loss_chart .files")).to_have_css("opacity", "1")
    expect(files).to_have_css("opacity", "0")
    page.keyboard.press("Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "loss.png"


def test_chart_without_curves_has_no_buttons(open_page: Callable[..., Page]) -> None:
    start_run(open_page(query="?epochs=100"))
    page = open_page()
    click(page, "train")
    expect(page.locator(".st-key-status [role=status]")).to_have_attribute("data-state", "waiting")
    expect(page.locator(".st-key-loss_chart .curves path")).to_have_count(0)
    page.locator(".st-key-loss_chart .line-chart").hover()
    expect(page.locator(".line-chart .files")).to_have_count(2)
    expect(page.get_by_role("button", name=re.compile("^Download"))).to_have_count(0)


def test_chart_can_be_saved_by_touch(open_trained: Callable[..., Page], tmp_path: Path) -> None:
    page = open_trained(390, 844, has_touch=True, is_mobile=True)
    expect(page.locator(".st-key-loss_chart .curves path")).to_have_count(3)
    files = page.locator(".st-key-loss_chart .files")
    expect(files).to_have_css("opacity", "1")
    files.evaluate("element => element.scrollIntoView({ block: 'center' })")  # not under the bar
    box = button(page, "loss", "SVG").bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 24, "WCAG 2.2, target size"
    with page.expect_download() as download:
        button(page, "loss", "SVG").tap(position={"x": 3, "y": 3})  # once it keeps its place
    path = tmp_path / "loss.svg"
    download.value.save_as(path)
    assert size(ET.parse(path).getroot())[0] < 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# Many curves


def comparison() -> dict[str, Any]:
    """Return the data of a chart with twelve runs over seconds."""
    runs = [
        Series(f"784-{100 + 100 * i}-10, <adam> & 0.00{i}", COLORS[i], [float(x) for x in range(31)], [2.3 - i / 6] * 31)
        for i in range(11)
    ]
    long = "784-2000-2000-2000-10, Adam at 0.001, dropout 0.5, label smoothing 0.1, every way to augment"
    runs.append(Series(long, COLORS[11], [float(x) for x in range(31)], [0.3] * 31))
    return {
        "name": "comparison_loss",
        "label": "validation loss of each run over seconds of training: the lowest is 0.3",
        "x": asdict(Axis((0, 31), title="seconds")),
        "y": asdict(Axis((0, 2.5))),
        "series": [asdict(run) for run in runs],
        "height": chart.HEIGHT,
        "mark": None,
    }


@pytest.mark.parametrize("width", [360, 700])
def test_twelve_runs_are_distinguishable_on_page_and_in_file(open_page: Callable[..., Page], tmp_path: Path, width: int) -> None:
    page = open_page(width + 30)
    data = comparison()
    assert len({run["color"] for run in data["series"]}) == 12
    page.evaluate(DRAW, [component.script("chart"), data, width])
    drawn, tip = page.locator("#many .curves path"), page.locator("#many .tip")
    expect(drawn).to_have_count(12)
    for run, curve in zip(data["series"], drawn.all(), strict=True):
        # Not bounding_box: a level curve has no height, and no box for Playwright.
        box = curve.evaluate("path => path.getBoundingClientRect().toJSON()")
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 1)
        expect(tip).to_have_text(re.compile(rf"^{re.escape(run['name'])} · seconds 1[456] · "))
        inside = tip.bounding_box()
        assert inside
        assert inside["x"] >= 0
        assert inside["x"] + inside["width"] <= width + 30, "the whole name can be read"
    path = saved(page, "comparison loss", "SVG", tmp_path)
    svg = ET.parse(path).getroot()
    assert path.name == "comparison_loss.svg"
    assert [curve.attrib["stroke"] for curve in svg.iter(f"{SVG}path")] == list(COLORS)
    assert [run["name"] for run in data["series"]] == [text for text in texts(svg) if text.startswith("784-")]
    title = " ".join(text.text or "" for text in svg.iter(f"{SVG}text") if text.get("font-weight") == "600")
    assert title == "Validation loss of each run over seconds of training"
    page.set_content(path.read_text("utf-8"))
    ends = page.locator("svg text").evaluate_all(RIGHT_ENDS)
    assert len(ends) == len(texts(svg))
    assert max(ends) < size(svg)[0], "all of it lies in the picture"
