"""The tab "Test your handwriting": ten digits of one's own, and their score."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import (
    LOWER,
    NUM_DARK,
    ONE,
    UPPER,
    choose_preset,
    click,
    draw,
    expect_blank,
    expect_status,
    open_tab,
    set_number,
    slide,
    start_run,
    wait_until,
)

HAND = ".st-key-hand_canvas"


def draw_next(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw the requested digit and continue with the next."""
    boxes = page.locator(".box img").count()
    expect(page.locator(".st-key-hand_next button")).to_be_disabled()
    expect_blank(page, HAND)
    draw(page, points, HAND)
    expect(page.locator(".st-key-hand_next button")).to_be_enabled()
    click(page, "hand_next")
    expect(page.locator(".box img")).to_have_count(boxes + 1)


def test_requested_digits_are_drawn_and_read(page: Page) -> None:
    open_tab(page, "Test your handwriting")
    for digit in range(2):
        expect(page.locator(".st-key-hand_asked")).to_have_text(f"Draw a {digit}")
        draw_next(page, ONE)
    expect(page.locator(".box.right .asked")).to_have_text("1")
    click(page, "hand_back")
    expect(page.locator(".st-key-hand_asked")).to_have_text("Draw a 1")


@pytest.mark.slow
def test_hand_test_scores_ten_digits_with_each_new_network(page: Page) -> None:
    open_tab(page, "Test your handwriting")
    for digit in range(10):
        expect(page.locator(".st-key-hand_asked")).to_have_text(f"Draw a {digit}")
        # Draws a 1 each time, never twice alike; only the requested 1 is right.
        draw_next(page, [(x + digit, y) for x, y in ONE])
    expect(page.locator(".box.right")).to_have_count(1)
    expect(page.locator(".box.right .asked")).to_have_text("1")
    expect(page.locator(".box.wrong").first).to_contain_text("read as 1")
    expect(page.locator(f"{HAND} {UPPER}")).to_have_count(0)
    expect(page.locator(".st-key-hand_score")).to_have_count(1)  # the score of nine digits is shown elsewhere
    expect(page.locator(".st-key-hand_score")).to_have_text(re.compile(r"^You 1 of 10, MNIST 99\.\d\d%$"))

    open_tab(page, "Gradients")
    choose_preset(page, "fast")
    slide(page, "epochs", "Home")
    set_number(page, "size_0", 8)
    for _ in range(2):
        start_run(page)
        expect_status(page, "done")
        open_tab(page, "Runs")
        expect(page.locator("tr.watched")).to_contain_text(re.compile(r"\d of 10"))
        open_tab(page, "Gradients")
        click(page, "reset")
        expect_status(page, "ready")
    open_tab(page, "Test your handwriting")
    expect(page.get_by_text("The same ten digits before:")).to_be_visible()
    scores = page.get_by_text(re.compile(r"^You \d+ of 10, MNIST \d\d\.\d\d%: 784-\d+-10"))
    expect(scores).to_have_count(2)
    click(page, "hand_again")
    expect(page.locator(".st-key-hand_asked")).to_have_text("Draw a 0")
    expect(page.locator(".box img")).to_have_count(0)


@pytest.mark.slow
def test_hand_test_uses_chosen_network_and_brush(page: Page) -> None:
    slide(page, "epochs", "Home")
    click(page, "train")
    expect_status(page, "done")
    open_tab(page, "Test your handwriting")
    draw_next(page, ONE)
    read_by = page.locator("[data-testid=stCaptionContainer]", has_text="Read by")
    expect(read_by).to_contain_text("Read by this run")
    page.locator(".st-key-network").get_by_text("Built-in network").click()
    expect(read_by).to_contain_text("Read by the built-in network")
    expect(page.locator(".st-key-hand_score")).to_contain_text("MNIST 99.")
    slide(page, "brush", "Home")
    expect(page.locator(".st-key-brush").get_by_role("slider")).to_have_attribute("aria-valuetext", re.compile("6"))
    draw(page, ONE, HAND)
    expect(page.locator(".st-key-hand_next button")).to_be_enabled()
    canvas = page.locator(f"{HAND} {LOWER}")
    wait_until(lambda: 180 * 4 < canvas.evaluate(NUM_DARK) < 180 * 8, seconds=20)  # 180 by 6 pixels, whose edges may be faint
    assert page.locator(f"{HAND} {UPPER}").get_attribute("aria-label"), (
        "the component's toolbar is hidden where its canvas has a name"
    )
    click(page, "reset")
    expect(read_by).to_contain_text("Read by the built-in network")
