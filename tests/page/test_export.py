"""A real download and real uploads in a browser, and the look of the tab. tests/views/test_export_tab.py tests the contents."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from mnist_fc.network import checkpoint
from tests.support.browser import Server, choose, click, expect_reading, expect_status, open_tab, start_run
from tests.support.layout import IN_EVERY_LOOK, faint_texts

TAB = "Export and import"
QUICK = "?preset=fast&num_validation=100&epochs=1&threads=1&activation=tanh"
"""Takes a moment on the few images of `small_server`."""


@pytest.fixture(scope="module")
def server(small_server: Server) -> Server:
    return small_server


def bring(page: Page, content: bytes, name: str) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    chooser = page.locator(".st-key-upload input[type=file]")
    expect(chooser).to_have_count(1)  # one of an earlier file goes when the page has read that
    chooser.set_input_files(file)  # type: ignore[arg-type]


def shown_network(page: Page) -> Locator:
    """Return the message about the uploaded file."""
    return page.locator(".st-key-upload_loaded")


def reads(page: Page, network: str) -> None:
    expect(page.locator(".by")).to_have_text(network)


@pytest.mark.slow
def test_downloaded_network_is_uploaded_replaced_and_removed(open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(query=QUICK)
    start_run(page)
    expect_status(page, "done")
    reads(page, "this run, step 15")
    bars = page.locator(".bar").evaluate_all("bars => bars.map(bar => bar.title)")
    open_tab(page, TAB)
    with page.expect_download() as waiting:
        click(page, "take_model_ckpt")
    assert waiting.value.suggested_filename == "model.ckpt"
    path = tmp_path / "model.ckpt"
    waiting.value.save_as(path)
    assert checkpoint.load(path).hidden_sizes == (256,)
    click(page, "reset")
    reads(page, "the built-in network")

    bring(page, path.read_bytes(), "my_net_*2*.pt")
    reads(page, "the loaded file")
    expect(shown_network(page)).to_contain_text("my_net_*2*.pt: 784-256-10, MNIST ")
    choose(page, "upload_activation", "tanh")
    expect(page.locator(".bar").first).to_have_attribute("title", bars[0])
    assert page.locator(".bar").evaluate_all("bars => bars.map(bar => bar.title)") == bars

    evil = "<b>_a_</b> **b**.ckpt"
    bring(page, b"", evil)
    alert = page.locator(".st-key-upload_message").get_by_role("alert")
    expect(alert).to_contain_text(f"{evil} is empty")
    reads(page, "the loaded file")
    page.locator(".st-key-upload").get_by_role("button", name="Remove").click()
    expect(alert).to_have_count(0)
    click(page, "upload_remove")
    reads(page, "the built-in network")
    expect_reading(page, "3")


@pytest.mark.slow
@IN_EVERY_LOOK
def test_export_tab_is_legible_and_fits_the_screen(open_page: Callable[..., Page], scheme: str, width: int) -> None:
    page = open_page(width, 800, color_scheme=scheme)
    open_tab(page, TAB)
    expect(page.locator(".st-key-take_train_py")).to_be_visible()
    assert faint_texts(page) == []
    bring(page, checkpoint.SHIPPED.read_bytes(), f"{'a_long_name_' * 8}.ckpt")
    expect(page.locator(".st-key-upload_remove")).to_be_visible()
    bring(page, b"no network", f"{'a_long_name_' * 8}.ckpt")
    expect(page.locator(".st-key-upload_message").get_by_role("alert")).to_be_visible()
    assert faint_texts(page) == []
    right = page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('[role=tabpanel] *')].map(e => e.getBoundingClientRect().right))"
    )
    assert right <= width
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
