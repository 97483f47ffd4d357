"""The head of the page: three steps that tick off, the built-in network's training to look back at, help and shortcuts."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import (
    LOWER,
    NUM_DARK,
    ONE,
    SEVEN,
    click,
    draw,
    draw_271,
    expect_reading,
    expect_status,
    open_tab,
    ready,
)

INVITATION = ".st-key-canvas .invitation"


def done_steps(page: Page) -> list[str]:
    return [text.removesuffix(", done") for text in page.locator(".st-key-story li.done").all_text_contents()]


def step_places(page: Page) -> list[float]:
    """Return where each step begins and ends, in pixels."""
    places: list[float] = page.locator(".st-key-story li").evaluate_all(
        "steps => steps.flatMap((step) => [step.getBoundingClientRect().left, step.getBoundingClientRect().right])"
    )
    return places


def test_steps_tick_off_as_they_are_done_and_stay_in_place(page: Page) -> None:
    expect(page).to_have_title("Teach a network to read your handwriting")
    assert done_steps(page) == []
    places = step_places(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    assert done_steps(page) == ["Draw a digit"]
    assert step_places(page) == pytest.approx(places, abs=0.5)
    click(page, "train")
    expect_status(page, "done")
    assert done_steps(page) == ["Draw a digit", "Train your own network"]
    click(page, "ask_why")
    expect(page.locator(".st-key-story li.done")).to_have_count(3)
    assert step_places(page) == pytest.approx(places, abs=0.5)
    expect(page.locator(".st-key-why_pictures")).to_be_in_viewport()


def test_first_stroke_replaces_the_sample_and_its_invitation(page: Page) -> None:
    expect(page.locator(INVITATION)).to_have_text("Draw your own digit here")
    dark = page.locator(f".st-key-canvas {LOWER}").evaluate(NUM_DARK)
    draw(page, ONE)
    expect_reading(page, "1")
    expect(page.locator(INVITATION)).to_be_hidden()
    click(page, "undo")
    expect_reading(page, "3")
    assert page.locator(f".st-key-canvas {LOWER}").evaluate(NUM_DARK) == dark
    draw(page, ONE)
    expect_reading(page, "1")


def test_sample_is_still_one_after_a_reload(page: Page) -> None:
    click(page, "test_digit_button")
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    page.reload()
    ready(page)
    expect_reading(page, "3")
    assert done_steps(page) == []
    draw(page, ONE)
    expect_reading(page, "1")
    page.reload()
    ready(page)
    expect_reading(page, "1")
    assert done_steps(page) == ["Draw a digit"]


def test_built_in_training_can_be_looked_back_at_before_any_run(page: Page) -> None:
    slider = page.get_by_label("Look back at an earlier step of the network")
    click(page, "pin")
    expect(page.locator(".st-key-probes")).to_contain_text("correct since step")
    slider.press("Home")
    expect(page.locator(".by")).to_have_text("the built-in network, step 0")
    expect(page.locator(".st-key-progress")).to_contain_text("Step 0 of 18,540")
    open_tab(page, "Gradients")
    expect(page.locator(".st-key-gradient_chart path[data-series]")).to_have_count(3)
    slider.press("End")
    expect(page.locator(".by")).to_have_text("the built-in network")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 700)])
def test_bar_leads_back_to_the_drawing(open_page: Callable[..., Page], width: int, height: int) -> None:
    page = open_page(width, height)
    back, drawing = page.get_by_role("button", name="Back to the drawing"), page.locator(f".st-key-canvas {LOWER}")
    expect(back.get_by_text("drawing")).to_be_hidden()
    click(page, "ask_why")
    expect(drawing).not_to_be_in_viewport()
    expect(back.get_by_text("drawing")).to_be_visible()
    expect(back).to_be_in_viewport(ratio=1)
    back.press("Enter")
    expect(drawing).to_be_in_viewport(ratio=1)
    expect(back.get_by_text("drawing")).to_be_hidden()


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_three_digits_fit_where_one_does(open_page: Callable[..., Page], width: int) -> None:
    page = open_page(width, 800)
    draw_271(page)
    button, pictures = page.get_by_role("button", name="Back to the drawing"), page.locator(".glance img")
    expect(pictures).to_have_count(3)
    for is_away in (False, True):
        page.locator(".stMain").evaluate("(main, top) => main.scrollTo(0, top)", 1000 * is_away)
        expect(button).to_have_class("glance away" if is_away else "glance")
        frame = button.bounding_box()
        assert frame
        for box in (picture.bounding_box() for picture in pictures.all()):
            assert box
            assert frame["x"] <= box["x"] <= box["x"] + box["width"] <= frame["x"] + frame["width"]
            assert frame["y"] <= box["y"] <= box["y"] + box["height"] <= frame["y"] + frame["height"]
    assert page.locator(".comparison.number").evaluate("row => row.scrollWidth <= row.clientWidth")


def test_opened_tab_is_in_view_with_what_it_shows(page: Page) -> None:
    open_tab(page, "Look-alikes")
    expect(page.get_by_role("tab", name="Look-alikes")).to_be_in_viewport()
    expect(page.get_by_role("tabpanel").locator("canvas").first).to_be_in_viewport()


def test_group_opens_at_the_tab_that_was_open_last(page: Page) -> None:
    open_tab(page, "Inside")
    open_tab(page, "Look-alikes")
    page.get_by_role("tab", name="Understand").click()
    expect(page.get_by_role("tab", name="Inside")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".st-key-structure")).to_be_visible()


# Shortcuts


def test_shortcuts_press_the_buttons(page: Page) -> None:
    page.keyboard.press("c")
    expect_reading(page, "")
    page.keyboard.press("z")
    expect_reading(page, "3")
    page.keyboard.press("r")
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    page.keyboard.press("Z")
    expect_reading(page, "3")
    page.keyboard.press("t")
    expect_status(page, "done")
    page.keyboard.press("?")
    for key in ("T", "Space", "C", "Z", "R", "?"):
        expect(page.locator(".shortcuts dt", has_text=key).first).to_be_visible()
    first, then = (page.locator(".st-key-help_text").get_by_text(words).bounding_box() for words in ("What you can do", "Space"))
    assert first
    assert then
    assert first["y"] < then["y"], "the help begins with what one can do"


@pytest.mark.slow
def test_space_pauses_and_resumes(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?epochs=100")
    page.keyboard.press("t")
    expect_status(page, "running")
    page.locator(".st-key-story h1").click()  # Space on a button presses that
    page.keyboard.press(" ")
    expect_status(page, "paused")
    page.keyboard.press(" ")
    expect_status(page, "running")


def test_shortcuts_leave_typing_alone_and_can_be_switched_off(page: Page) -> None:
    field = page.locator(".st-key-num_layers input")
    field.press("c")
    expect_reading(page, "3")
    page.keyboard.press("Escape")
    page.locator(".st-key-story h1").click()
    page.keyboard.press("?")
    page.locator(".st-key-shortcuts_switch label").click()
    expect(page.locator(".st-key-shortcuts_switch input")).not_to_be_checked()
    page.keyboard.press("Escape")
    page.locator(".st-key-story h1").click()
    page.keyboard.press("c")
    page.keyboard.press("r")
    click(page, "pin")  # answered after both
    expect(page.locator(".st-key-pin button")).to_have_text(re.compile("Pinned"))
    expect_reading(page, "3")


# The curves as a table


def test_chart_can_be_read_as_a_table(page: Page) -> None:
    chart = page.locator(".st-key-accuracy_chart .line-chart")
    chart.get_by_role("button", name="The accuracy chart as a table").press("Enter")
    rows = chart.get_by_role("row")
    expect(rows.first).to_have_text("steptrainvalidationtest")
    expect(rows.last).to_contain_text("18,540")
    expect(rows.last).to_contain_text("99.54%")
    assert 8 <= rows.count() <= 14
