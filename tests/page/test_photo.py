"""A picture of several digits in a browser: its boxes lie over the digits, and a click reads one."""

import io

from PIL import Image
from playwright.sync_api import Page, expect

from tests.support.browser import click, expect_reading
from tests.support.sheets import sheet

BOXES = ".picture-boxes button"


def test_digits_of_a_picture_are_boxed_read_and_pinned(page: Page) -> None:
    rgba, file = sheet("271", "04"), io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    picture = {"name": "sums.png", "mimeType": "image/png", "buffer": file.getvalue()}
    page.locator(".st-key-photo_file input[type=file]").set_input_files(picture)  # type: ignore[arg-type]
    boxes = page.locator(BOXES)
    expect(boxes.locator("b")).to_have_text(list("27104"))
    shown = page.locator(".st-key-photo_view img").bounding_box()
    for number, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        box = boxes.nth(number).bounding_box()
        assert box
        assert shown
        scale = shown["width"] / rgba.shape[1]
        middle = (42 + 30 + column * 66) * scale + shown["x"], (42 + 30 + row * 96) * scale + shown["y"]
        assert box["x"] < middle[0] < box["x"] + box["width"]
        assert box["y"] < middle[1] < box["y"] + box["height"]

    boxes.nth(4).click()
    expect_reading(page, "4")
    expect(boxes.nth(4)).to_have_attribute("aria-pressed", "true")
    click(page, "pin")
    expect(page.locator(".st-key-pin")).to_contain_text("Pinned")
    click(page, "clear")
    expect_reading(page, "")
    expect(boxes.nth(4)).to_have_attribute("aria-pressed", "false")
