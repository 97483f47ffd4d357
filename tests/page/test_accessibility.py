"""The page with keyboard, screen reader, forced colours and touch."""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import axe_playwright_python
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from mnist_fc.views.components.numbers import MINUS
from mnist_fc.views.tabs import GROUPS
from tests.page.test_layout import states
from tests.support.browser import (
    click,
    expect_status,
    open_tab,
    slide,
    start_run,
)
from tests.support.layout import ALL_FADED, IN_EVERY_LOOK, faint_texts

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
QUICK = "?preset=fast&hidden_sizes=32&epochs=1&threads=1"

VIOLATIONS = """
async () => {
  const values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
  const rules = Object.fromEntries(["heading-order", "empty-table-header", "scrollable-region-focusable"]
    .map(name => [name, { enabled: true }]));
  const { violations } = await axe.run(document, { runOnly: { type: "tag", values }, rules });
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
}
"""
"""Violations of WCAG A and AA, and of three of axe's best practices."""

CLIPPED_RINGS = """
async () => {
  const frame = () => new Promise(requestAnimationFrame), clipped = [];
  const isHidden = element => element && (element.getBoundingClientRect().width < 2 || isHidden(element.parentElement));
  const ringOf = ({ outlineStyle, outlineWidth, outlineOffset, boxShadow }) => Math.max(
    outlineStyle === "none" ? 0 : parseFloat(outlineWidth) + parseFloat(outlineOffset),
    /^none|inset/.test(boxShadow) ? 0 : parseFloat(boxShadow.match(/(-?[\\d.]+)px/g)[3]));
  for (const element of document.querySelectorAll("a[href], button:enabled, input:enabled, summary, [tabindex]")) {
    if (!element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true }) || isHidden(element)) continue;
    element.focus();
    await frame();  // what follows the focus by script
    await frame();
    if (document.activeElement !== element) continue;
    element.scrollIntoView({ block: "center" });
    const ring = ringOf(getComputedStyle(element)), box = element.getBoundingClientRect();
    for (let parent = element.parentElement; parent; parent = parent.parentElement) {
      const { overflowX, overflowY } = getComputedStyle(parent), edge = parent.getBoundingClientRect();
      const isIn = (overflowX === "visible" || (box.left - ring > edge.left - 1 && box.right + ring < edge.right + 1))
        && (overflowY === "visible" || (box.top - ring > edge.top - 1 && box.bottom + ring < edge.bottom + 1));
      if (!isIn) clipped.push(element.ariaLabel ?? element.innerText);
    }
  }
  return clipped;
}
"""
"""Elements whose focus ring is clipped by a box around them."""


@pytest.fixture
def trained(open_page: Callable[..., Page]) -> Page:
    page = open_page(query=QUICK)
    train(page)
    return page


def train(page: Page) -> None:
    click(page, "pin")
    expect(page.locator(".st-key-probes")).to_be_visible()
    start_run(page)
    expect_status(page, "done")


def tabs(page: Page) -> Iterator[str]:
    """Open each tab and yield its name when it is rendered."""
    for name in [tab for group in GROUPS.values() for tab in group]:
        open_tab(page, name)
        expect(page.get_by_role("tabpanel").last).not_to_have_text("")
        expect(page.locator(".stApp")).to_have_attribute("data-test-script-state", "notRunning")
        page.evaluate(ALL_FADED)
        yield name


def focused(page: Page, selector: str) -> bool:
    inside: bool = page.evaluate("selector => document.activeElement.closest(selector) !== null", selector)
    return inside


def num_stops(page: Page, selector: str, most: int) -> int:
    """Return how often Tab must be pressed until `selector` has the focus."""
    for number in range(1, most + 1):
        page.keyboard.press("Tab")
        if focused(page, selector):
            return number
    raise AssertionError(f"{selector} is not reached")


# Axe


def test_axe_finds_no_violation_when_the_page_opens(page: Page) -> None:
    page.evaluate(AXE)
    assert page.evaluate(VIOLATIONS) == []


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width", "is_trained"), [("light", 1280, False), ("dark", 390, True)])
def test_axe_finds_no_violation_in_any_tab(open_page: Callable[..., Page], scheme: str, width: int, is_trained: bool) -> None:
    page = open_page(width, 800, QUICK, color_scheme=scheme)
    if is_trained:
        train(page)
    page.evaluate(AXE)
    assert [(tab, found) for tab in tabs(page) if (found := page.evaluate(VIOLATIONS))] == []


@pytest.mark.slow
def test_axe_finds_no_violation_in_any_state(open_page: Callable[..., Page]) -> None:
    page = open_page(1280, 800, "?learning_rate=1&schedule=constant&epochs=60")
    page.evaluate(AXE)
    assert [(state, found) for state in states(page) if (found := page.evaluate(VIOLATIONS))] == []


# Keyboard


def test_skip_link_leads_to_train_within_five_keys(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stMain")).to_be_focused()
    assert num_stops(page, ".st-key-train", most=3)


def test_page_reached_by_the_skip_link_has_no_ring(page: Page) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stMain")).to_be_focused()
    drawn = page.evaluate("""() => {
      const { content, boxShadow } = getComputedStyle(document.activeElement, "::before");
      return content === "none" ? "none" : boxShadow;
    }""")
    assert drawn == "none"


def test_side_panel_is_collapsed_with_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    num_stops(page, "[data-testid=stSidebarCollapseButton]", most=2)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stSidebar")).to_have_attribute("data-collapsed", "true")


@pytest.mark.slow
@pytest.mark.parametrize(("tab", "gallery", "most"), [("Misread digits", "misread", 3), ("Inside", "gallery", 10)])
def test_gallery_is_few_stops_from_its_tab(trained: Page, tab: str, gallery: str, most: int) -> None:
    open_tab(trained, tab)
    expect(trained.locator(f".st-key-{gallery} canvas").first).to_be_visible()
    trained.get_by_role("tab", name=tab).focus()
    assert num_stops(trained, f".st-key-{gallery}", most)
    trained.keyboard.press("Tab")
    assert not focused(trained, f".st-key-{gallery}")


@pytest.mark.slow
def test_arrow_keys_walk_through_matrix_and_gallery(trained: Page) -> None:
    open_tab(trained, "Misread digits")
    cells = trained.locator(".confusion button")
    expect(cells).to_have_count(100)
    trained.get_by_role("tab", name="Misread digits").focus()
    assert num_stops(trained, ".confusion button", most=2)
    trained.keyboard.press("ArrowDown")
    focus = trained.locator(":focus")
    below = next(row for row in range(1, 10) if cells.nth(10 * row).is_enabled())
    expect(focus).to_have_attribute("data-place", f"{below}-0")
    row = trained.locator(".confusion tbody tr").nth(below).locator("button:enabled")
    trained.keyboard.press("End")
    expect(row.last).to_be_focused()
    trained.keyboard.press("Home")
    expect(row.first).to_be_focused()
    trained.keyboard.press("Control+End")
    expect(cells.last).to_be_focused()
    trained.keyboard.press("Control+Home")
    expect(cells.first).to_be_focused()
    cells.nth(10 * below).focus()
    trained.keyboard.press("Enter")
    expect(focus).to_have_attribute("aria-pressed", "true")
    trained.keyboard.press("Enter")
    expect(focus).to_have_attribute("aria-pressed", "false")
    expect(trained.get_by_role("heading", name="All mistakes")).to_be_visible()
    assert num_stops(trained, ".st-key-misread", most=1)
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        trained.keyboard.press(key)
    expect(focus).to_have_attribute("aria-label", str(trained.locator(".st-key-misread figcaption").nth(1).text_content()))
    for key, figure in (("End", "last"), ("Home", "first")):
        trained.keyboard.press(key)
        expect(getattr(trained.locator(".st-key-misread canvas"), figure)).to_be_focused()


@pytest.mark.slow
def test_layer_picture_says_which_neuron_the_keyboard_is_on(trained: Page) -> None:
    open_tab(trained, "Inside")
    outputs = trained.locator(".st-key-activations").get_by_role("slider", name="outputs: ten logits")
    outputs.focus()
    for key, neuron in (("Home", 0), ("ArrowRight", 1), ("ArrowDown", 6), ("End", 9), ("ArrowRight", 9)):
        trained.keyboard.press(key)
        expect(outputs).to_have_attribute("aria-valuetext", re.compile(rf"^{neuron}: {MINUS}?\d+(\.\d+)?$"))
        expect(outputs).to_have_attribute("aria-valuenow", str(neuron + 1))
    trained.keyboard.press("Enter")
    expect(trained.locator(".st-key-unit")).to_contain_text("9")


@pytest.mark.slow
def test_open_tab_keeps_the_focus_while_it_is_disabled_for_a_moment(trained: Page) -> None:
    tab = trained.get_by_role("tab", selected=True).last
    tab.focus()
    tab.evaluate(
        """tab => {
          tab.removeAttribute("tabindex");
          tab.blur();
          requestAnimationFrame(() => requestAnimationFrame(() => (tab.tabIndex = 0)));
        }"""
    )
    expect(tab).to_be_focused()
    trained.keyboard.press("ArrowRight")
    expect(trained.get_by_role("tab", selected=True).last).to_be_focused()


def test_press_elsewhere_takes_the_focus_from_the_open_tab(trained: Page) -> None:
    tab = trained.get_by_role("tab", selected=True).last
    tab.focus()
    trained.locator(".stMain h1, .stMain h4, .chart-heading").first.click()
    trained.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(tab).not_to_be_focused()


def test_slider_before_training_looks_back_at_the_built_in_network(page: Page) -> None:
    slider = page.get_by_label("Look back at an earlier step of the network")
    expect(slider).to_have_attribute("aria-valuetext", "step 18,540, final")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "step 0")
    expect(page.locator(".under-digit")).to_contain_text("the built-in network, step 0")


@pytest.mark.slow
def test_focus_ring_is_nowhere_clipped(trained: Page) -> None:
    trained.add_style_tag(content="* { transition: none !important }")
    for tab in tabs(trained):
        if tab in ("Misread digits", "Runs", "Sweep"):  # these have controls of every kind
            trained.keyboard.press("Tab")
            assert trained.evaluate(CLIPPED_RINGS) == [], tab


# Forced colours


def contrast(part: Locator) -> float:
    """Return the highest contrast between two colours in and closely around a part of the page."""
    part.scroll_into_view_if_needed()
    box = part.bounding_box()
    assert box
    clip = {"x": box["x"] - 3, "y": box["y"] - 3, "width": box["width"] + 6, "height": box["height"] + 6}
    picture = Image.open(io.BytesIO(part.page.screenshot(clip=clip)))  # type: ignore[arg-type]
    share = np.asarray(picture.convert("RGB"), np.float64) / 255
    linear = np.where(share <= 0.03928, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return float((luminance.max() + 0.05) / (luminance.min() + 0.05))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_visible_in_forced_colors(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(1280, 1400, QUICK, color_scheme=scheme, forced_colors="active")
    train(page)
    open_tab(page, "Misread digits")
    switch = page.locator(".st-key-log_scale label > div").first
    parts = {
        "progress": page.get_by_test_id("stProgressBarTrack"),
        "slider": page.locator(".st-key-epochs [data-orientation] > div").first,
        "look back": page.locator(".timeline input"),
        "switch": switch,
        "bar of the digit read": page.locator(".bar.best i"),
        "dot of a legend": page.locator(".series i").first,
        "dot of a pinned drawing": page.locator(".st-key-probes i"),
        "curve": page.locator(".st-key-loss_chart .curves path").first,
        "numbers of an axis": page.locator(".st-key-loss_chart .axes text").first,
        "label of Train": page.locator(".st-key-train button p"),
        "misread digit": page.locator(".st-key-misread canvas").first,
        "what the network sees": page.locator(".st-key-seen img"),
    }
    assert {name: ratio for name, part in parts.items() if (ratio := contrast(part)) < 3} == {}
    chosen, other = (
        page.get_by_role("tab", name=name).evaluate("tab => getComputedStyle(tab).borderBottom")
        for name in ("Misread digits", "Look-alikes")
    )
    assert chosen != other
    off = switch.screenshot()
    page.locator(".st-key-log_scale label").click()
    expect(page.locator(".st-key-log_scale input")).to_be_checked()
    assert switch.screenshot() != off


# Touch


@pytest.mark.slow
def test_tapped_pixel_and_curve_keep_their_numbers(open_page: Callable[..., Page]) -> None:
    page = open_page(query=QUICK, has_touch=True)
    train(page)
    page.locator(".st-key-why_pictures canvas").first.tap()
    expect(page.locator(".st-key-why_pictures .tip")).to_be_visible()
    page.locator(".st-key-accuracy_chart .curves circle").last.tap()
    expect(page.locator(".st-key-accuracy_chart .tip")).to_be_visible()


@pytest.mark.parametrize("has_touch", [True, False])
def test_help_of_a_switch_opens_without_switching(open_page: Callable[..., Page], has_touch: bool) -> None:
    page = open_page(has_touch=has_touch)
    icon = page.get_by_role("button", name="Help for How the drawing is prepared")
    if has_touch:
        icon.tap()
    else:
        icon.click()
    expect(page.get_by_role("tooltip")).to_be_visible()
    expect(page.get_by_role("switch", name="How the drawing is prepared")).not_to_be_checked()


@pytest.mark.slow
def test_no_text_is_available_to_the_mouse_alone(trained: Page) -> None:
    for tab in tabs(trained):
        text = trained.locator(".stMain").inner_text()
        assert re.findall(r"(?:[Pp]oint at|[Cc]lick)(?!\w| or tap).{,30}", text) == [], tab


@IN_EVERY_LOOK
def test_text_has_enough_contrast(open_page: Callable[..., Page], scheme: str, width: int) -> None:
    page = open_page(width, 800, color_scheme=scheme)
    assert faint_texts(page) == []


def test_train_is_reached_and_pressed_with_the_keyboard(page: Page) -> None:
    slide(page, "epochs", "Home")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("430 steps an epoch, 430 in all")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.st-key-train') !== null"):
            break
    page.keyboard.press("Enter")
    expect_status(page, "done")


def test_every_control_has_a_name(page: Page) -> None:
    page.locator(".st-key-more_settings summary").click()
    snapshot = page.locator("body").aria_snapshot()
    assert (
        re.findall(r"- (?:button|slider|switch|checkbox|combobox|spinbutton|textbox)(?: \[[^\]]*\])*:?$", snapshot, re.MULTILINE)
        == []
    )
