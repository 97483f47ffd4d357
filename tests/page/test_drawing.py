"""Drawing on the canvas, and what the page reads."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import (
    LOWER,
    NUM_DARK,
    ONE,
    SCRIBBLE,
    SECONDS,
    SEVEN,
    choose,
    choose_preset,
    clear,
    click,
    draw,
    draw_271,
    expect_blank,
    expect_reading,
    slide,
)


def test_page_opens_with_a_digit_drawn_and_read(page: Page) -> None:
    expect_reading(page, "3")
    expect(page.locator(".st-key-status")).to_have_text("ready")
    expect(page.locator(".st-key-seen img.pixels")).to_be_visible()


def test_blank_canvas_is_not_read(page: Page) -> None:
    click(page, "clear")
    expect_reading(page, "")
    expect(page.locator(".under-digit")).to_contain_text("Draw a digit")


def test_each_stroke_is_read_and_undone(page: Page) -> None:
    clear(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    expect(page.locator(".bar.best")).to_have_attribute("title", re.compile("^7: "))
    expect(page.locator(".under-digit")).to_contain_text("then")
    click(page, "undo")
    expect_reading(page, "")
    expect_blank(page)
    draw(page, ONE)
    expect_reading(page, "1")


def test_stroke_from_the_upper_right_corner_is_drawn(page: Page) -> None:
    clear(page)
    draw(page, [(272, 8), (272, 120)])
    expect_reading(page, "1")


def test_small_digit_in_a_corner_is_read_beside_plain_resize(page: Page) -> None:
    clear(page)
    draw(page, [(15 + x / 4, 190 + y / 4) for x, y in SEVEN])
    expect_reading(page, "7")
    page.locator(".st-key-show_steps label").first.click()
    expect(page.locator(".steps figure")).to_have_count(5)
    expect(page.locator(".steps figcaption")).to_have_text(
        ["drawn", "cropped", "stroke as in MNIST", "scaled to 20 px", "centred by weight"]
    )
    expect(page.locator(".comparison figure")).to_have_count(2)
    pictures = page.locator(".comparison img").evaluate_all("images => images.map(image => image.src)")
    seen = page.locator(".st-key-seen img").get_attribute("src")
    assert pictures[0] == seen == page.locator(".steps img").last.get_attribute("src")
    assert pictures[0] != pictures[1]
    expect(page.locator(".comparison figcaption").first).to_contain_text("Normalised: read as 7")


def test_scribble_reads_as_a_question_mark(page: Page) -> None:
    clear(page)
    draw(page, SCRIBBLE)
    expect_reading(page, "?")
    expect(page.locator(".under-digit")).to_contain_text("Not a digit")
    expect(page.locator(".bar.best")).to_have_count(0)
    click(page, "undo")
    expect_reading(page, "")


def test_dot_is_not_a_digit(page: Page) -> None:
    clear(page)
    draw(page, [(140, 140), (141, 140)])
    expect_reading(page, "?")


def test_several_digits_are_read_as_a_number(page: Page) -> None:
    clear(page)
    draw_271(page)
    expect(page.locator(".st-key-seen img")).to_have_count(3)
    expect(page.locator(".comparison.number figure")).to_have_count(3)
    expect(page.locator(".comparison.number figcaption b").nth(1)).to_have_text("7")
    click(page, "undo")
    expect_reading(page, "27")


def test_test_digit_shows_its_label_and_undo_restores_drawing(page: Page) -> None:
    click(page, "test_digit_button")
    expect(page.locator(".under-digit")).to_contain_text(re.compile(r"Test digit [\d,]+,\s*labelled \d [✓✗]"))
    expect(page.locator(".st-key-canvas")).to_have_css("opacity", "0.25")
    click(page, "undo")
    expect(page.locator(".under-digit")).not_to_contain_text("Test digit")
    expect(page.locator(".st-key-canvas")).to_have_css("opacity", "1")
    expect_reading(page, "3")


def test_drawing_replaces_a_test_digit(page: Page) -> None:
    clear(page)
    click(page, "test_digit_button")
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    draw(page, SEVEN)
    expect_reading(page, "7")
    expect(page.locator(".under-digit")).not_to_contain_text("Test digit")
    expect(page.locator(".st-key-canvas")).to_have_css("opacity", "1")


@pytest.mark.slow
def test_reading_grows_certain_as_the_network_learns(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?preset=best&schedule=constant&learning_rate=0.00001&optimizer=sgd")
    click(page, "train")
    expect(page.locator(".under-digit")).to_contain_text(re.compile(r"^1\d\.\d% sure.*this run, step", re.DOTALL))
    rate = page.locator(".st-key-learning_rate").get_by_role("slider")
    for _ in range(10):  # from here on it learns
        rate.press("ArrowRight")
    expect(rate).to_have_attribute("aria-valuetext", "0.1")
    sure = re.compile(r"^(over 99\.9|9\d\.\d)% sure.*this run", re.DOTALL)
    expect(page.locator(".under-digit")).to_contain_text(sure, timeout=300 * SECONDS)  # the run has to progress


def test_touch_drawing_on_a_phone_is_read(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 844, has_touch=True, is_mobile=True)
    clear(page)
    box = page.locator("canvas.upper-canvas").bounding_box()
    assert box
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": box["x"] + x, "y": box["y"] + y} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    send("touchStart", (270, 10))
    for i in range(1, 21):
        send("touchMove", (270 - 5 * i, 10 + 11 * i))
    send("touchEnd")
    expect_reading(page, "1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_drawing_during_training_uses_the_newest_weights(page: Page) -> None:
    choose_preset(page, "best")
    click(page, "train")
    by = page.locator(".under-digit .by")
    expect(by).to_contain_text("this run, step")
    clear(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    first = by.inner_text()
    expect(by).not_to_have_text(first)
    expect_reading(page, "7")
    page.locator(".st-key-network").get_by_text("Built-in network").click()
    expect(by).to_have_text("the built-in network")
    expect_reading(page, "7")


@pytest.mark.slow
def test_drawing_stays_while_a_run_starts_diverges_and_closes(page: Page) -> None:
    slide(page, "epochs", "End")
    slide(page, "learning_rate", "End")
    expect(page.locator(".st-key-learning_rate").get_by_role("slider")).to_have_attribute("aria-valuetext", "1")
    choose(page, "schedule", "constant")
    clear(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    canvas = page.locator(f".st-key-canvas {LOWER}")
    num_dark = canvas.evaluate(NUM_DARK)
    assert num_dark > 1000
    click(page, "train")
    expect(page.locator(".st-key-timeline")).to_be_visible()
    assert canvas.evaluate(NUM_DARK) == num_dark
    expect(page.locator(".st-key-diagnosis")).to_contain_text("Training diverged")
    assert canvas.evaluate(NUM_DARK) == num_dark
    click(page, "reset")
    expect(page.locator(".st-key-status")).to_have_text("ready")
    assert canvas.evaluate(NUM_DARK) == num_dark
