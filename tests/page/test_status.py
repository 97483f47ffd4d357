"""The status and the settings of a run in a browser, looking back, and the table of runs."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import SECONDS, Server, click, expect_status, open_tab, set_number, slide, start_run

SMALL = "?preset=fast&num_validation=100&threads=1"
QUICK = f"{SMALL}&hidden_sizes=32&epochs=2"
"""Takes a moment: two epochs of ten steps."""
LONG = f"{SMALL}&hidden_sizes=512,512&batch_size=8&epochs=100"
"""Takes at least half a minute."""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(small_server: Server) -> Server:
    return small_server


def status(page: Page) -> Locator:
    return page.locator(".st-key-status [role=status]")


def expect_state(page: Page, state: str, line: str | re.Pattern[str]) -> None:
    """Wait for the state that programs read and for the line that people read."""
    expect(status(page)).to_have_attribute("data-state", state, timeout=300 * SECONDS)
    expect(status(page)).to_have_text(line)


def progress(page: Page) -> Locator:
    return page.locator(".st-key-progress")


def row(page: Page, run_id: str | None = None) -> Locator:
    """Return the table row of a run, by default of the run on the page."""
    return page.locator(f".st-key-runs tr[data-run='{run_id}']" if run_id else ".st-key-runs tr.watched")


def captions(page: Page) -> Locator:
    return page.locator(".stMain [data-testid=stCaptionContainer]")


def plain(page: Page) -> Locator:
    return page.locator(".timeline .run")


# Status


@pytest.mark.slow
def test_cure_stops_the_active_run_and_retrains(open_page: Open) -> None:
    page = open_page(query=f"{SMALL}&learning_rate=1&schedule=constant&hidden_sizes=512,512&batch_size=8&epochs=100")
    start_run(page)
    expect(page.locator(".st-key-diagnosis")).to_contain_text("Training diverged.", timeout=300 * SECONDS)
    first = str(status(page).get_attribute("data-run"))
    click(page, "cure")
    retrain = page.locator(".st-key-retrain button")
    expect(retrain).to_have_text("Stop and retrain")
    click(page, "pause")
    expect_status(page, "paused")
    expect(retrain).to_be_enabled()
    retrain.dblclick()
    expect(status(page)).not_to_have_attribute("data-run", first)
    expect_state(page, "running", re.compile("^running, epoch"))
    open_tab(page, "Runs")
    expect(row(page, first)).to_have_attribute("data-state", "stopped")
    expect(page.locator(".st-key-runs tr[data-state=running]")).to_have_count(1)


# The settings of a run


HEIGHT = "element => element.getBoundingClientRect().height"


@pytest.mark.slow
def test_header_names_the_run_and_its_settings_can_be_used(open_page: Open) -> None:
    page = open_page(query=QUICK)
    start_run(page)
    expect_status(page, "done")
    expect(plain(page)).to_have_text(re.compile(r"^custom-\w+ · 784-32-10, custom$"))
    use = page.locator(".timeline .use")
    expect(use).to_be_hidden()
    height = page.locator(".st-key-looking_back").evaluate(HEIGHT)
    slide(page, "epochs", "End")
    expect(use).to_be_visible()
    use.click()
    expect(use).to_be_hidden()
    expect(page.locator(".st-key-epochs").get_by_role("slider")).to_have_attribute("aria-valuetext", "2")
    open_tab(page, "Runs")
    name = row(page).locator("input[type=text]")
    long = "my <b>net</b>, whose name takes two lines beside the slider"
    name.fill(long)
    name.press("Enter")
    expect(plain(page)).to_have_text(f"{long} · 784-32-10, custom")
    assert page.locator(".st-key-looking_back").evaluate(HEIGHT) == height
    set_number(page, "size_0", 2048)
    expect(use).to_be_visible()
    row(page).get_by_role("button", name="Use settings").click()
    expect(use).to_be_hidden()
    expect(page.locator(".st-key-size_0 input")).to_have_value("32")


# Looking back


@pytest.mark.slow
def test_looking_back_shows_the_figures_of_that_moment(open_page: Open) -> None:
    page = open_page(query=QUICK)
    start_run(page)
    expect_status(page, "done")
    open_tab(page, "Gradients")
    words = page.locator(".st-key-gradient_words")
    expect(words).to_contain_text("The gradient of layer 1 is now")
    slider, output, test = (
        page.locator(".timeline input"),
        page.locator(".timeline output"),
        page.locator(".series:has-text('test') b"),
    )
    expect(output).to_have_text("step 30, final")
    expect(test).to_have_count(2)
    at_the_end = page.locator(".chart-heading").all_inner_texts()
    slider.press("Home")
    expect(progress(page)).to_have_text("Step 0 of 30")
    expect(page.locator(".chart-heading b")).to_have_count(0)
    expect(words).to_have_text("No step has been taken yet.")
    slider.press("ArrowRight")
    expect(output).to_have_text("step 5")
    expect(progress(page)).to_have_text(re.compile(r"^Step 5 of 30 · train accuracy \d+\.\d\d% · loss \d\.\d{3}$"))
    train = page.locator(".chart-heading", has_text="Accuracy").locator(".series:has-text('train') b")
    expect(progress(page)).to_contain_text(train.inner_text())
    expect(test).to_have_count(0)
    expect(page.locator(".series:has-text('validation') b")).to_have_count(0)  # before the end of the first epoch
    for step in (10, 15):
        slider.press("ArrowRight")
        expect(output).to_have_text(f"step {step}")
    expect(page.locator(".series:has-text('validation') b")).to_have_count(2)
    expect(test).to_have_count(0)
    expect(status(page)).to_have_text("done")
    slider.press("End")
    expect(output).to_have_text("step 30, final")
    expect(progress(page)).to_contain_text("Test accuracy")
    expect(test).to_have_count(2)
    assert page.locator(".chart-heading").all_inner_texts() == at_the_end


WHERE = """() => {
  const input = document.querySelector(".timeline input"), box = input.getBoundingClientRect();
  const mark = document.querySelector(".st-key-loss_chart line.mark").getBoundingClientRect();
  const thumb = 12;
  return [box.left + thumb / 2 + (box.width - thumb) * input.value / input.max, mark.left];
}"""
"""The centre of the slider's thumb, and the position of the chart's mark."""


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_slider_lies_on_the_charts_own_axis(open_page: Open, width: int) -> None:
    page = open_page(width, query=f"{QUICK}&batch_size=32")
    start_run(page)
    expect_status(page, "done")
    slider, output = page.locator(".timeline input"), page.locator(".timeline output")
    expect(output).to_have_text(re.compile("final$"))
    slider.press("Home")
    for step in (5, 10, 20, 50):
        slider.press("ArrowRight")
        expect(output).to_have_text(f"step {step}")
        expect(page.locator(".st-key-progress")).to_contain_text(f"Step {step} of")
        expect(page.locator(".st-key-loss_chart line.mark")).to_have_count(1)
        page.wait_for_function(f"() => {{ const [thumb, mark] = ({WHERE})(); return Math.abs(thumb - mark) < 2; }}")
    assert slider.evaluate("input => getComputedStyle(input).appearance") == "none", "no filled part as a progress bar has"
    box = slider.bounding_box()
    assert box
    slider.click(position={"x": box["width"] * 0.1, "y": box["height"] / 2})
    expect(output).to_have_text("step 10")


# The table


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_runs_table_keeps_names_visible_and_marks_cut_edges(open_page: Open, width: int) -> None:
    for changes in ("&batch_size=64&dropout=0.1", "&activation=tanh&weight_decay=0.001&label_smoothing=0.1&augmentation=affine"):
        page = open_page(width, query=f"{QUICK}{changes}&learning_rate=0.002&seed={width}")
        start_run(page)
        expect_status(page, "done")
    open_tab(page, "Runs")
    table = page.get_by_role("region", name="Table of runs")
    expect(table).to_have_class(re.compile(r"\bcut\b"))
    assert table.evaluate("e => getComputedStyle(e).boxShadow") != "none"
    name = row(page).locator("input[type=text]")
    table.focus()
    expect(table).to_be_focused()
    name.evaluate("e => e.scrollIntoView({ block: 'center' })")  # not covered by the training bar
    before = name.bounding_box()
    table.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
    expect(table).not_to_have_class(re.compile(r"\bcut\b"))
    assert name.bounding_box() == before
    covering = "e => { const b = e.getBoundingClientRect(); return document.elementFromPoint(b.left + 9, b.top + 9) === e; }"
    assert name.evaluate(covering), "no other column lies over the name"
