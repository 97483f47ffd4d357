"""A picture of several digits in a browser: its boxes lie over the digits, and a click reads one."""

import base64
import io

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import BROWSER, BROWSER_ARGS, Server, click, expect_reading, ready
from tests.support.sheets import sheet

BOXES = ".picture-boxes button"


SEND = """(element, [encoded, kind]) => {
  const bytes = Uint8Array.from(atob(encoded), character => character.charCodeAt(0)), files = new DataTransfer();
  files.items.add(new File([bytes], "sums.png", { type: "image/png" }));
  const options = { bubbles: true, composed: true, cancelable: true, clipboardData: files, dataTransfer: files };
  const event = kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options);
  element.dispatchEvent(event);
}"""
"""Paste or drop a picture on an element, as a browser does."""


def png(*lines: str) -> bytes:
    """Return a picture of lines of digits as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(sheet(*lines)).save(file, "PNG")
    return file.getvalue()


def test_digits_of_a_picture_are_boxed_read_and_pinned(page: Page) -> None:
    rgba = sheet("271", "04")
    picture = {"name": "sums.png", "mimeType": "image/png", "buffer": png("271", "04")}
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


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "target"), [("paste", "body"), ("drop", ".st-key-canvas canvas.upper-canvas")])
def test_picture_can_be_pasted_or_dropped_on_the_canvas(page: Page, kind: str, target: str) -> None:
    page.locator(target).evaluate(SEND, [base64.b64encode(png("27")).decode(), kind])
    expect(page.locator(f"{BOXES} b")).to_have_text(["2", "7"])


@pytest.mark.slow
def test_camera_takes_a_picture(browser: Browser, server: Server) -> None:
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with browser.browser_type.launch(executable_path=BROWSER, args=[*BROWSER_ARGS, *fake]) as own:
        page = own.new_context(viewport={"width": 390, "height": 844}, permissions=["camera"]).new_page()
        page.goto(server.url)
        ready(page)
        page.get_by_text("Photo or file").click()
        page.get_by_text("Use the camera").click()
        page.wait_for_function("document.querySelector('video')?.videoWidth > 0")  # a press before that takes no picture
        page.get_by_role("button", name="Take Photo").click()
        expect(page.locator(".st-key-photo_view img")).to_be_visible()
