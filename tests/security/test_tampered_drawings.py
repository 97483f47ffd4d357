"""Drawings that are changed on their way from the browser to the server."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.support.browser import (
    ONE,
    SEVEN,
    Server,
    clear,
    draw,
    expect_reading,
    ready,
)
from tests.support.tampering import tamper_with


def tampered_page(browser: Browser, server: Server, drawing: object) -> Page:
    """Open a page whose messages with strokes are replaced on their way to the server."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()

    def change(state: WidgetState) -> None:
        if '"path"' in state.json_value:
            sent = json.loads(state.json_value)["drawing"]
            state.json_value = json.dumps({"drawing": {**sent, **drawing} if isinstance(drawing, dict) else drawing})

    tamper_with(page, change)
    page.goto(server.url)
    ready(page)
    return page


TAMPERED: dict[str, object] = {
    "not an object": "text",
    "no strokes and a broken image": {"raw": None, "data": "data:image/png;base64,AAAA"},
    "objects that are no list": {"raw": {"objects": "x"}},
    "a path of words": {"raw": {"objects": [{"path": [["M", 1, "x"]], "strokeWidth": 1}]}},
    "too many strokes": {"raw": {"objects": [{"path": [["M", 1, 1]], "strokeWidth": 1}] * 501}},
    "too many points": {"raw": {"objects": [{"path": [["L", 1, 1]] * 50_001, "strokeWidth": 1}]}},
}


@pytest.mark.parametrize(
    "kind", ["not an object", *(pytest.param(kind, marks=pytest.mark.slow) for kind in TAMPERED if kind != "not an object")]
)
def test_tampered_drawing_is_rejected_with_a_message(browser: Browser, server: Server, kind: str) -> None:
    page = tampered_page(browser, server, TAMPERED[kind])
    draw(page, ONE)
    expect(page.get_by_text("Press Clear and draw again")).to_be_visible()
    expect_reading(page, "3")
    page.context.close()


@pytest.mark.slow
def test_huge_image_in_a_message_is_not_decoded(browser: Browser, server: Server, tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("1", (9000, 9000)).save(picture, "PNG")
    stroke = {"path": [["M", *ONE[0]], ["L", *ONE[1]]], "strokeWidth": 20}
    url = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    page = tampered_page(browser, server, {"raw": {"objects": [stroke]}, "data": url})
    clear(page)
    before = memory_peak(server)
    draw(page, SEVEN)
    expect_reading(page, "1")
    assert memory_peak(server) - before < 50_000
    page.context.close()


def memory_peak(server: Server) -> int:
    """Return the server's peak memory in kB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0])
