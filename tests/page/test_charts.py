"""The curves of a run: they grow, tell exact values, and change their scale."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import (
    choose_preset,
    click,
    curve_length,
    expect_at_end,
    expect_longer_curve,
    expect_status,
    slide,
)


@pytest.mark.slow
def test_hovering_a_curve_shows_exact_values(page: Page) -> None:
    slide(page, "epochs", "Home")
    click(page, "train")
    expect_at_end(page, 430)
    circles = page.locator(".st-key-accuracy_chart .curves circle")
    expect(circles).to_have_count(2)  # of the validation and of the test
    end = circles.last.bounding_box()
    assert end
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2)
    accuracy = re.findall(r"\d\d\.\d\d", page.locator(".st-key-progress").inner_text())[0]
    expect(page.locator(".st-key-accuracy_chart .tip")).to_have_text(f"test · step 430 · {accuracy}%")
    page.mouse.move(5, 5)
    expect(page.locator(".st-key-accuracy_chart .tip")).to_be_hidden()


def test_loss_axis_turns_logarithmic_and_back(page: Page) -> None:
    labels = page.locator(".st-key-loss_chart .axes text")
    expect(labels.filter(has_text=re.compile(r"^0\.5$"))).to_have_count(1)
    page.locator(".st-key-log_scale label").click()
    expect(labels.filter(has_text=re.compile(r"^0\.1$"))).to_have_count(1)
    expect(labels.filter(has_text=re.compile(r"^0\.5$"))).to_have_count(0)
    page.locator(".st-key-log_scale label").click()
    expect(labels.filter(has_text=re.compile(r"^0\.5$"))).to_have_count(1)


def test_both_curves_grow_during_training(page: Page) -> None:
    choose_preset(page, "best")
    click(page, "train")
    expect_longer_curve(page, "accuracy_chart", 0)
    lengths = [curve_length(page, "loss_chart"), curve_length(page, "accuracy_chart")]
    expect_longer_curve(page, "loss_chart", lengths[0])
    expect_longer_curve(page, "accuracy_chart", lengths[1])
    expect_status(page, "running")
