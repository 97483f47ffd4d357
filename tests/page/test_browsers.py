"""The page in browsers that translate, that are old, that print, and that lose their connection."""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import (
    SEVEN,
    Server,
    click,
    draw,
    expect_reading,
    expect_status,
    open_tab,
    ready,
    running_server,
    start_run,
)
from tests.support.faults import LONG
from tests.support.slow_network import SlowNetwork

QUICK = "?preset=fast&num_validation=100&hidden_sizes=32&epochs=2&threads=1"


@pytest.fixture(scope="module")
def server(small_server: Server) -> Server:
    return small_server


# Translation

TRANSLATE = """
() => {
  const isOpen = ({ data, parentElement }) => data.trim() && !parentElement.closest("font, script, style, textarea")
    && !parentElement.closest("[translate], .notranslate")?.matches("[translate=no], .notranslate");
  window.translated = 0;
  const translate = () => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (walker.nextNode()) if (isOpen(walker.currentNode)) found.push(walker.currentNode);
    for (const text of found) {
      const outer = document.createElement("font"), inner = outer.appendChild(document.createElement("font"));
      inner.textContent = text.data;
      text.replaceWith(outer);
    }
    window.translated += found.length;
  };
  translate();
  new MutationObserver(translate).observe(document.body, { childList: true, subtree: true, characterData: true });
}
"""
"""Translates like a browser: replaces every text node, also new ones, by <font> elements."""


@pytest.mark.slow
def test_translated_page_keeps_updating_while_it_trains(open_page: Callable[..., Page]) -> None:
    page = open_page(query=LONG)
    page.evaluate(TRANSLATE)
    progress = page.locator(".st-key-progress")
    for _ in range(2):  # React fails to find replaced text nodes that come and go
        start_run(page)
        expect(progress).to_contain_text("images/s")
        click(page, "stop")
        expect_status(page, "stopped")
        expect(progress).to_contain_text("Test accuracy")
    click(page, "clear")
    expect_reading(page, "")
    draw(page, SEVEN)
    for tab in ("Inside", "Misread digits", "Runs"):
        open_tab(page, tab)
        expect(page.get_by_role("tabpanel").last).not_to_have_text("")
    expect(page.get_by_text("NotFoundError")).to_have_count(0)


@pytest.mark.slow
def test_static_text_is_translated(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.locator(".st-key-help button").click()
    expect(page.locator(".st-key-help_text li").first).to_be_visible()
    page.evaluate(TRANSLATE)
    expect(page.locator(".st-key-help_text li font").first).to_be_visible()
    expect(page.locator(".st-key-learning_rate label font").first).to_be_visible()


# Old browsers

WITHOUT_LIGHT_DARK = """
() => {
  for (const sheet of document.querySelectorAll("style")) {
    if (sheet.textContent.includes("light-dark(")) sheet.textContent = sheet.textContent.replaceAll("light-dark(", "unknown(");
  }
}
"""
"""Changes our style sheet to what a browser without light-dark() makes of it."""

INVISIBLE = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = color => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return a && 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const page = luminance(getComputedStyle(document.querySelector(".stApp")).backgroundColor);
  const parts = {
    ".bar.best i": "backgroundColor", ".bar div": "borderBottomColor", ".axes line": "stroke", ".axes text": "fill",
    ".by": "color", "[data-testid=stCaptionContainer] p": "color", ".st-key-why_sums th": "color",
    ".pixel-pictures .legend": "color",
  };
  return Object.entries(parts).filter(([selector, property]) => {
    const color = getComputedStyle(document.querySelector(selector))[property];
    return color === "none" || /^rgba.* 0\\)$/.test(color) || Math.abs(luminance(color) - page) < 25;
  }).map(([selector]) => selector);
}
"""
"""Elements whose colour is missing or nearly that of the page."""


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_bars_axes_and_text_are_visible_without_light_dark(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    expect(page.locator(".st-key-why_sums")).to_be_visible()
    page.evaluate(WITHOUT_LIGHT_DARK)
    assert page.evaluate(INVISIBLE) == []


# Paper

CUT_OFF = """
() => {
  const cut = [];
  for (const element of document.querySelectorAll(".stMain, .stMain *")) {
    const { overflowX, overflowY, position, display } = getComputedStyle(element);
    if (display === "none" || !element.checkVisibility() || element.closest("svg, .stMarkdownEllipsis")) continue;
    const isTooHigh = overflowY !== "visible" && element.scrollHeight > element.clientHeight + 1 && element.clientHeight > 1;
    const isTooWide = overflowX !== "visible" && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1;
    if (isTooHigh || isTooWide || position === "sticky") cut.push(element.className);
  }
  return cut;
}
"""
"""Elements that clip their content or cover other content."""


@pytest.mark.slow
def test_printed_page_is_whole_on_several_sheets(open_page: Callable[..., Page]) -> None:
    page = open_page(query=QUICK, color_scheme="dark")
    start_run(page)
    expect_status(page, "done")
    open_tab(page, "Misread digits")
    expect(page.locator(".st-key-misread canvas").first).to_be_visible()
    page.set_viewport_size({"width": 700, "height": 990})  # about one sheet of paper
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator("[data-testid=stSidebar]")).to_be_hidden()
    last = page.locator(".st-key-misread figure").last.bounding_box()
    assert last
    assert last["y"] + last["height"] <= page.evaluate("document.documentElement.scrollHeight")
    color = page.locator(".st-key-progress p").evaluate("text => getComputedStyle(text).color")
    assert color == "rgb(0, 0, 0)"
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) >= 3


OVERLAPS = """selectors => {
  const boxes = selectors.map(each => [each, document.querySelector(each).getBoundingClientRect()]);
  return boxes.flatMap(([a, one], i) => boxes.slice(i + 1)
    .filter(([, other]) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom)
    .map(([b]) => `${a} and ${b}`));
}"""


def test_printed_training_bar_and_timeline_do_not_overlap(open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(page.locator(".timeline input")).to_be_visible()
    page.emulate_media(media="print")
    parts = [f".st-key-{key} button" for key in ("train", "pause", "stop", "reset")]
    parts += [".stProgress", ".timeline .run", ".timeline .play", ".timeline input", ".st-key-canvas"]
    for width in (1280, 690):  # not yet laid out again, and an A4 sheet
        page.set_viewport_size({"width": width, "height": 990})
        # A part may be drawn anew once the window has changed.
        page.wait_for_function("parts => parts.every(part => document.querySelector(part))", arg=parts)
        assert page.evaluate(OVERLAPS, parts) == []
        share = page.evaluate("""() => document.querySelector(".timeline input").offsetWidth
          / document.querySelector(".timeline").offsetWidth""")
        assert share > 0.9
    page.emulate_media(media="screen")


# The connection


BANNER, HEALTH = "#no-connection", "**/_stcore/health"


def no_connection(page: Page, words: str) -> Locator:
    return page.get_by_role("alert").filter(has_text=words)


def test_missing_websocket_is_reported_within_five_seconds(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    is_refused = True
    page.route_web_socket(
        re.compile("_stcore/stream"), lambda socket: socket.close() if is_refused else socket.connect_to_server()
    )
    page.clock.install()
    page.goto(server.url)
    expect(page.locator(".stApp")).to_be_attached()
    banner = no_connection(page, "The page cannot connect to its server")
    expect(banner).to_be_hidden()
    page.clock.run_for("00:05")
    expect(banner).to_be_visible()
    is_refused = False
    page.reload()
    ready(page)
    page.clock.run_for("00:05")
    expect(banner).to_be_hidden()
    page.close()


@pytest.fixture
def network(server: Server) -> Iterator[SlowNetwork]:
    with SlowNetwork(urlsplit(server.url).port or 0).running() as running:
        yield running


@pytest.fixture
def distant_page(browser: Browser, network: SlowNetwork) -> Iterator[Page]:
    """Open the page through `network`, with a clock of its own, and wait until the server has said that it is there."""
    page = browser.new_page()
    page.clock.install()
    page.goto(network.url)
    ready(page)
    with page.expect_response(HEALTH):
        page.clock.run_for("00:03")
    expect(page.locator(BANNER)).to_be_hidden()
    yield page
    network.release()
    page.close()


def test_silent_connection_is_reported_within_five_seconds(distant_page: Page, network: SlowNetwork) -> None:
    network.hold()
    distant_page.clock.run_for("00:05")
    expect(no_connection(distant_page, "The connection to the server is lost")).to_be_visible()
    expect(distant_page.locator(".stApp")).to_have_attribute("data-test-connection-state", "CONNECTED")
    network.release()
    expect(distant_page.locator(BANNER)).to_be_hidden()


@pytest.mark.slow
def test_server_busy_for_two_seconds_is_not_reported_as_lost(distant_page: Page, network: SlowNetwork) -> None:
    network.hold()
    with distant_page.expect_request(HEALTH):
        distant_page.clock.run_for("00:02")
    expect(distant_page.locator(BANNER)).to_be_hidden()
    with distant_page.expect_response(HEALTH):
        network.release()
    expect(distant_page.locator(BANNER)).to_be_hidden()


OBSERVE_DIALOGS = """() => {
  window.dialogs = 0;
  new MutationObserver(() => window.dialogs += document.querySelectorAll("[data-testid=stDialog]").length)
    .observe(document.body, { childList: true });
}"""


@pytest.mark.slow
def test_page_can_be_read_behind_the_banner(browser: Browser, server: Server) -> None:
    with SlowNetwork(urlsplit(server.url).port or 0).running() as network:
        page = browser.new_page()
        page.goto(network.url)
        ready(page)
        page.evaluate(OBSERVE_DIALOGS)
    page.wait_for_function("window.dialogs > 0")  # Streamlit's own, about a lost connection
    expect(page.get_by_test_id("stDialog")).to_have_count(0)
    expect(page.locator("#root[inert]")).to_have_count(0)
    expect(no_connection(page, "The connection to the server is lost")).to_be_visible()
    page.close()


@pytest.mark.slow
def test_lost_connection_is_reported_within_five_seconds(browser: Browser, small_npz: Path, tmp_path: Path) -> None:
    with running_server(tmp_path, MNIST_FC_DATA=str(small_npz)) as own:
        page = browser.new_page()
        page.clock.install()
        page.goto(own.url)
        expect(page.locator(".stApp")).to_have_attribute("data-test-connection-state", "CONNECTED")
        page.clock.run_for("00:05")  # the first page still imports PyTorch
        expect(page.locator(BANNER)).to_be_hidden()
        ready(page)
        banner = no_connection(page, "The connection to the server is lost")
        page.context.set_offline(True)
        page.clock.run_for("00:05")
        expect(banner).to_be_visible()
        page.context.set_offline(False)
        page.clock.run_for("00:05")
        expect(banner).to_be_hidden()
        own.process.send_signal(signal.SIGKILL)
        expect(page.locator(".stApp")).not_to_have_attribute("data-test-connection-state", "CONNECTED")
        page.clock.run_for("00:05")
        expect(banner).to_be_visible()
        page.close()
