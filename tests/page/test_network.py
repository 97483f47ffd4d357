"""The live network: it follows the drawing and the training, and leads to the tabs that explain it."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.support.browser import (
    ONE,
    SEVEN,
    clear,
    click,
    draw,
    draw_271,
    expect_reading,
    expect_status,
    set_number,
    start_run,
)

PAINTED = """async view => {
  // What is drawn, once it has come to rest: the canvas is not painted any more.
  const canvas = view.querySelector("canvas"), read = () => canvas.toDataURL();
  for (let last = ""; last !== read(); await new Promise(done => setTimeout(done, 400))) last = read();
  return read();
}"""

COUNT_PAINTS = """view => {
  const clearRect = CanvasRenderingContext2D.prototype.clearRect;
  window.paints = 0;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    window.paints += this.canvas.parentElement === view;
    return clearRect.apply(this, box);
  };
}"""
PAINTS_A_SECOND_LATER = "() => new Promise(done => setTimeout(() => done(window.paints), 1000))"


def view(page: Page) -> Locator:
    return page.locator(".live-network")


def painted(page: Page) -> str:
    """Return the picture that the network has come to rest with."""
    picture: str = view(page).evaluate(PAINTED)
    return picture


def test_network_follows_the_drawing(page: Page) -> None:
    first = painted(page)
    expect(view(page)).to_have_attribute("aria-label", "The built-in network at work: 3")
    clear(page)
    draw(page, SEVEN)
    expect(view(page)).to_have_attribute("aria-label", "The built-in network at work: 7")
    expect(view(page).locator(".output.best b")).to_have_text("7")
    assert painted(page) != first


def test_stroke_runs_through_the_network_unless_motion_is_reduced(open_page: Callable[..., Page]) -> None:
    paints = {}
    for motion in ("no-preference", "reduce"):
        page = open_page(reduced_motion=motion)
        painted(page)
        view(page).evaluate(COUNT_PAINTS)
        draw(page, SEVEN)
        expect(view(page)).to_have_attribute("aria-label", "The built-in network at work: 7")
        painted(page)
        paints[motion] = page.evaluate("paints")
        assert page.evaluate(PAINTS_A_SECOND_LATER) == paints[motion], "nothing happens"
    assert paints["no-preference"] > paints["reduce"] > 0


def test_network_without_a_drawing_is_dark(page: Page) -> None:
    clear(page)
    expect(view(page)).to_have_attribute("aria-label", "The built-in network at work: nothing is drawn")
    expect(view(page).locator(".output:disabled")).to_have_count(10)
    blank = painted(page)
    draw(page, ONE)
    expect_reading(page, "1")
    assert painted(page) != blank


def test_network_of_a_number_is_at_its_first_digit(page: Page) -> None:
    clear(page)
    draw_271(page)
    expect(view(page).locator(".output.best b")).to_have_text("2")
    expect(view(page).locator(".label").first).to_have_text("the first digit")
    click(page, "clear")
    expect(view(page).locator(".label").first).to_have_text("what the network sees")


def test_network_in_training_has_its_own_layers_and_newest_weights(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?preset=fast&epochs=100")
    set_number(page, "num_layers", 3)
    set_number(page, "size_2", 40)
    start_run(page)
    expect_status(page, "running")
    expect(view(page).locator(".label").last).to_have_text("40 neurons")
    expect(view(page).locator(".label")).to_have_count(4)
    label = re.compile(r"^This run, step [\d,]+ at work: ")
    expect(view(page)).to_have_attribute("aria-label", label)
    now = view(page).get_attribute("aria-label") or ""
    expect(view(page)).not_to_have_attribute("aria-label", now)


def test_network_is_replaced_under_the_pointer(page: Page) -> None:
    view(page).locator(".stop").nth(1).hover()
    expect(view(page).locator(".tip")).to_be_visible()
    page.keyboard.press("t")
    expect_status(page, "done")
    expect(view(page)).to_have_attribute("aria-label", "This run, step 1,290 at work: 3")
    expect(view(page).locator(".stop")).to_have_count(1)


def test_click_on_a_neuron_opens_its_arithmetic_in_view(page: Page) -> None:
    stop = view(page).locator(".stop").nth(1)
    stop.hover(position={"x": 20, "y": 30})
    neuron = re.match(r"neuron (\d+): ", view(page).locator(".tip").inner_text())
    assert neuron
    stop.click(position={"x": 20, "y": 30})
    expect(page.get_by_role("tab", name="Inside")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".st-key-unit")).to_contain_text(f"Neuron {neuron[1]} of 128 in hidden layer 2")
    expect(page.get_by_role("tab", name="Inside")).to_be_in_viewport()


def test_click_on_an_answer_asks_why(page: Page) -> None:
    view(page).get_by_role("button", name=re.compile("^3: ")).click()
    expect(page.get_by_role("tab", name="Why this digit?")).to_be_in_viewport()
    expect(page.locator(".st-key-story li").nth(2)).to_have_class("done")


def test_network_is_reached_and_left_by_keyboard(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 844, reduced_motion="reduce")
    layer = view(page).get_by_role("slider", name="Hidden layer 1")
    layer.focus()
    layer.press("Home")
    expect(layer).to_have_attribute("aria-valuetext", re.compile("^neuron 1: "))
    layer.press("ArrowRight")
    expect(layer).to_have_attribute("aria-valuenow", "2")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(view(page).locator(".output").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(view(page).locator(".output").nth(1)).to_be_focused()
    layer.focus()
    layer.press("Home")
    layer.press("Enter")
    expect(page.locator(".st-key-unit")).to_contain_text("Neuron 1 of 1,024 in hidden layer 1")
