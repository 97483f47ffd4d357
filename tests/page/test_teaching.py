"""A person corrects a reading, teaches the network, sees what that gained and cost, and takes it back."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from mnist_fc.views.tabs import TEACH
from tests.support.browser import SECONDS, SEVEN, TWO, click, draw, expect_reading, expect_status, open_tab, ready, start_run

LESSON_SECONDS = 120.0


def label_button(page: Page, label: int | str) -> Locator:
    return page.locator(".correction").get_by_role(
        "button", name=re.compile(f"It is an? {label}") if label != "none" else "It is not a digit"
    )


def expect_lesson(page: Page) -> Locator:
    """Return the table of the lesson once it has been measured."""
    table = page.locator(".st-key-lesson table")
    expect(table).to_be_visible(timeout=LESSON_SECONDS * SECONDS)
    return table


def train_fast(page: Page) -> None:
    start_run(page)
    expect_status(page, "done")


def test_person_corrects_teaches_and_undoes(page: Page) -> None:
    train_fast(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    label_button(page, 1).click()  # this hand's 1 looks like that
    expect(label_button(page, 1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".correction")).to_contain_text("Added to My digits: 1.")
    click(page, "teach_here")
    expect(page.get_by_role("tab", name=TEACH)).to_have_attribute("aria-selected", "true")
    table = expect_lesson(page)
    expect_reading(page, "1")
    expect(table.locator("tr", has_text="This drawing").locator("td b")).to_have_text(["7", "1"])
    expect(table.locator("tr", has_text="MNIST").locator("td").first).to_have_text(re.compile(r"9\d\.\d\d%"))
    expect(page.locator(".st-key-my_digits")).to_contain_text("1 ✓")
    click(page, "lesson_undo")
    expect_reading(page, "7")
    expect(page.locator(".st-key-my_digits")).to_contain_text("1, read 7")


def test_keys_say_what_was_drawn_and_my_digits_outlast_a_reload(page: Page) -> None:
    draw(page, SEVEN)
    expect_reading(page, "7")
    page.keyboard.press("7")
    expect(label_button(page, 7)).to_have_attribute("aria-pressed", "true")
    page.reload()
    ready(page)
    expect(label_button(page, 7)).to_have_attribute("aria-pressed", "true")
    open_tab(page, TEACH)
    expect(page.get_by_role("heading", name="My digits: 1")).to_be_visible()
    click(page, "tray_undo")
    expect(label_button(page, 7)).to_have_attribute("aria-pressed", "false")


def test_keys_type_digits_elsewhere(page: Page) -> None:
    draw(page, SEVEN)
    expect_reading(page, "7")
    field = page.locator(".st-key-size_0 input")
    field.fill("12")
    field.press("8")
    expect(field).to_have_value("128")
    expect(label_button(page, 8)).to_have_attribute("aria-pressed", "false")


@pytest.mark.slow
def test_network_forgets_without_rehearsal(page: Page) -> None:
    train_fast(page)
    for stroke, label in ((SEVEN, 7), (TWO, 2)):
        click(page, "clear")
        draw(page, stroke)
        expect_reading(page, str(label))
        label_button(page, label).click()
        expect(label_button(page, label)).to_have_attribute("aria-pressed", "true")
    open_tab(page, TEACH)
    click(page, "teach_without_rehearsal")
    table = expect_lesson(page)
    before, after = (
        float(text.rstrip("%")) for text in table.locator("tr", has_text="MNIST").locator("td").all_text_contents()[:2]
    )
    assert after < before - 10
    expect(page.locator(".st-key-accuracy_chart").locator("xpath=ancestor::*[contains(@class, 'st-key-stage')]")).to_contain_text(
        "your digits"
    )


@pytest.mark.slow
def test_lesson_waits_while_a_run_trains(page: Page) -> None:
    page.goto(page.url.split("?")[0] + "?preset=fast&epochs=100")
    ready(page)
    start_run(page)
    expect_status(page, "epoch")
    draw(page, SEVEN)
    label_button(page, 7).click()
    click(page, "teach_here")
    expect_status(page, re.compile("waiting|running"))
    expect(page.locator(".timeline .run b")).to_contain_text("taught")


@pytest.mark.slow
def test_phone_can_correct_and_teach(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 844, has_touch=True)
    draw(page, SEVEN)
    expect_reading(page, "7")
    for label in (*range(10), "none"):
        box = label_button(page, label).bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 24
    label_button(page, 7).tap()
    expect(label_button(page, 7)).to_have_attribute("aria-pressed", "true")
    page.locator(".st-key-teach_here button").tap()
    expect_lesson(page)
