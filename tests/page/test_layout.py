"""The layout: nothing is cut, covered or overlapping at any width, and nothing moves."""

import re
from collections.abc import Callable, Iterable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import (
    BROWSER,
    BROWSER_ARGS,
    SCRIBBLE,
    SECONDS,
    Server,
    clear,
    click,
    draw,
    draw_271,
    expect_reading,
    expect_status,
    open_tab,
    ready,
    start_run,
)
from tests.support.layout import Positions, faults, moved, positions, resize, settle, without_transitions

PANEL, OPEN_PANEL = "[data-testid=stSidebar]", "[data-testid=stExpandSidebarButton]"
OVERLAY = 768
"""Up to this width the side panel covers the page and is initially collapsed."""

COVERED_SIZES = [
    (390, 844),
    *(pytest.param(size, marks=pytest.mark.slow) for size in ((1280, 800), (844, 390), (768, 1024), (640, 400))),
]

TALL = 3200
"""The height of a window that shows the whole page, so that every control can be checked for covers."""


def collapse_panel(page: Page) -> None:
    page.locator("[data-testid=stSidebarHeader]").hover()
    page.locator("[data-testid=stSidebarCollapseButton] button").click()
    expect(page.locator(OPEN_PANEL)).to_be_visible()


def faults_at(page: Page, widths: Iterable[int]) -> dict[str, list[int]]:
    """Return each fault with the widths at which it occurs."""
    found: dict[str, list[int]] = {}
    for width in widths:
        resize(page, width, TALL)
        for fault in faults(page):
            found.setdefault(fault, []).append(width)
    return found


@pytest.fixture
def wide_page(open_page: Callable[..., Page]) -> Callable[[str], Page]:
    def open_one(scheme: str) -> Page:
        page = open_page(1500, TALL, color_scheme=scheme)
        without_transitions(page)
        return page

    return open_one


# Widths


@pytest.mark.parametrize(("scheme", "step"), [("dark", 270), pytest.param("light", 27, marks=pytest.mark.slow)])
def test_nothing_is_cut_beside_the_open_panel(wide_page: Callable[[str], Page], scheme: str, step: int) -> None:
    assert faults_at(wide_page(scheme), range(OVERLAY + 2, 1501, step)) == {}


@pytest.mark.slow
def test_nothing_is_cut_while_the_panel_is_collapsed(wide_page: Callable[[str], Page]) -> None:
    page = wide_page("dark")
    collapse_panel(page)
    assert faults_at(page, range(320, 1501, 27)) == {}


@pytest.mark.parametrize(("scheme", "step"), [("dark", 590), pytest.param("light", 197, marks=pytest.mark.slow)])
def test_nothing_in_the_tabs_is_cut(wide_page: Callable[[str], Page], scheme: str, step: int) -> None:
    page = wide_page(scheme)
    for tab, shown in (
        ("Misread digits", ".confusion button"),
        ("Runs", ".st-key-blog_table"),
        ("Inside", ".st-key-gallery canvas"),
    ):
        resize(page, 1500, TALL)
        open_tab(page, tab)
        expect(page.locator(shown).first).to_be_visible()
        assert faults_at(page, range(320, 1501, step)) == {}, tab


@pytest.mark.parametrize("size", COVERED_SIZES)
def test_nothing_is_covered_with_the_panel_collapsed_or_open(open_page: Callable[..., Page], size: tuple[int, int]) -> None:
    page = open_page(*size)
    without_transitions(page)
    assert faults(page) == []
    if size[0] > OVERLAY:
        collapse_panel(page)
    else:
        page.locator(OPEN_PANEL).click()
        expect(page.locator(PANEL)).to_have_attribute("data-collapsed", "false")
    assert faults(page) == []


def test_collapsed_panel_takes_no_width(page: Page) -> None:
    without_transitions(page)
    before = page.locator(".st-key-training_bar").bounding_box()
    collapse_panel(page)
    settle(page)
    box = page.locator(".stMain").bounding_box()
    assert box
    assert (box["x"], box["width"]) == (0, 1280)
    page.locator(OPEN_PANEL).click()
    settle(page)
    assert page.locator(".st-key-training_bar").bounding_box() == before


CHART_IS_BELOW_DRAWING = """() => {
  const [drawing, chart] = ["drawing", "loss_chart"].map(key => document.querySelector(`.st-key-${key}`).getBoundingClientRect());
  return chart.top >= drawing.bottom;
}"""


def test_page_below_a_thousand_pixels_has_one_column(page: Page) -> None:
    for width in (390, 700, 999):
        resize(page, width, 900)
        page.wait_for_function(CHART_IS_BELOW_DRAWING)  # the side panel takes a moment to close


STICKING_OUT = """parts => {
  const page = document.querySelector(".stMainBlockContainer"), right = (e) => e.getBoundingClientRect().right;
  const end = right(page) - parseFloat(getComputedStyle(page).paddingRight);
  return parts.filter((part) => right(part) > end + 0.5).map((part) => `${part.tagName} ${part.className}: ${right(part) - end}`);
}"""


@pytest.mark.parametrize("width", [320, 390, 768, 1000, 1280, 1440])
def test_why_tab_stays_within_the_margins(open_page: Callable[..., Page], width: int) -> None:
    page = open_page(width, 900)
    expect(page.locator(".st-key-why_sums table")).to_be_visible()
    assert page.locator(".stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
    assert page.locator(".st-key-why_sums table, .st-key-why_pictures canvas").evaluate_all(STICKING_OUT) == []


def test_words_of_a_run_that_are_cut_can_be_opened(open_page: Callable[..., Page]) -> None:
    page = open_page(1280, 800, query="?hidden_sizes=100,100,100,100&epochs=1")
    start_run(page)
    run = page.locator(".timeline .run")
    expect(run).to_have_attribute("aria-expanded", "false")
    run.press("Enter")
    cut = "all => all.filter(e => e.scrollWidth > e.clientWidth || e.getBoundingClientRect().right > innerWidth).length"
    assert run.locator("b, span span").evaluate_all(cut) == 0
    run.press("Escape")
    expect(run).to_have_attribute("aria-expanded", "false")


# Places


SIZES = ((390, 844), (768, 1024), (1440, 1000), (1280, 800))


def states(page: Page) -> Iterator[str]:
    """Bring the page into one state after the other and yield the name of each."""
    yield "a drawing"
    clear(page)
    yield "an empty canvas"
    draw(page, SCRIBBLE)
    expect_reading(page, "?")
    yield "no digit"
    clear(page)
    draw_271(page)
    yield "a number"
    click(page, "test_digit_button")
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    yield "a test digit"
    click(page, "undo")
    start_run(page)
    expect_status(page, "running")
    yield "training"
    expect(page.locator(".st-key-cure button")).to_be_visible(timeout=300 * SECONDS)  # the run has to progress
    yield "diverged"
    click(page, "pause")
    expect_status(page, "paused")
    yield "paused"
    click(page, "stop")
    expect_status(page, "stopped")
    yield "stopped"


@pytest.mark.slow
def test_no_control_moves_from_state_to_state(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?learning_rate=1&schedule=constant&epochs=60")
    without_transitions(page)
    first: dict[tuple[int, int], Positions] = {}
    shifts = []
    for state in states(page):
        for size in SIZES:
            resize(page, *size)
            expect(page.locator(PANEL)).to_have_attribute("data-collapsed", "true" if size[0] <= OVERLAY else "false")
            expect(page.locator(".timeline input")).to_be_visible()
            now = positions(page)
            before = first.setdefault(size, now)
            assert set(now) == set(before), state
            shifts += [f"{state}, {size[0]} px: {shift}" for shift in moved(before, now)]
    assert not shifts, "\n".join(shifts)


def test_pressed_confusion_cell_stays_under_the_pointer(open_page: Callable[..., Page]) -> None:
    page = open_page(1440, 1000)
    open_tab(page, "Misread digits")
    expect(page.locator(".st-key-misread figure")).to_have_count(24)
    cell = page.locator(".confusion .wrong:enabled").last
    page.locator(".stMain").evaluate("main => main.scrollTo(0, main.scrollHeight)")
    settle(page)
    cell.scroll_into_view_if_needed()
    before = cell.bounding_box()
    cell.click()
    expect(page.locator(".st-key-gallery")).to_contain_text(re.compile(r"\d labelled \d, read as \d"))
    expect(page.locator(".st-key-misread figure")).not_to_have_count(24)
    settle(page)
    assert cell.bounding_box() == pytest.approx(before, abs=0.5)


PIN_WORDS = (
    "values overflowed",
    "correct since step 100",
    "read as 3, not yet correct",
    "read as 3, first correct at step 12,345",
)


def test_words_of_a_pin_move_nothing_below(page: Page) -> None:
    click(page, "pin")
    words, below = page.locator(".probes small"), page.locator(".st-key-notices")
    expect(words).to_contain_text("correct since step")
    for width in (1440, 1280, 1000, 390):
        resize(page, width, 900)
        places = []
        for text in PIN_WORDS:
            words.evaluate("(element, text) => { element.textContent = text; }", text)
            places.append(below.bounding_box())
        assert all(place == pytest.approx(places[0], abs=0.5) for place in places), (width, places)


def test_choosing_a_preset_moves_no_control(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?preset=best")
    for key in ("learning_rate", "epochs", "batch_size"):  # the browser loads controls one by one
        expect(page.locator(f".st-key-{key}").get_by_role("slider")).to_be_visible()
    for key in ("preset", "num_layers", "size_0", "activation"):
        expect(page.locator(f".st-key-{key} input").first).to_be_visible()
    before = positions(page)
    page.locator(".st-key-epochs").get_by_role("slider").press("ArrowLeft")
    expect(page.locator(".st-key-preset input")).to_have_value("custom")
    expect(page.locator(PANEL)).to_contain_text("Your own settings.")
    assert moved(before, positions(page)) == []


# Phones


def test_phone_training_bar_takes_at_most_an_eighth(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 844, has_touch=True, is_mobile=True)
    page.locator(".stMain").evaluate("main => main.scrollTo(0, 900)")
    settle(page)
    boxes = [page.locator(f".st-key-{key}").bounding_box() for key in ("training_bar", "looking_back")]
    bottom = max(box["y"] + box["height"] for box in boxes if box)
    assert 0 < bottom <= 844 / 8


def test_phone_targets_are_at_least_24_pixels(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 844, has_touch=True, is_mobile=True)
    without_transitions(page)
    page.locator(OPEN_PANEL).click()
    expect(page.locator(PANEL)).to_have_attribute("data-collapsed", "false")
    small = page.locator("button:visible, summary:visible, [role=tab]:visible").evaluate_all("""all => all
      .map(e => [e.ariaLabel ?? e.textContent, e.getBoundingClientRect()])
      .filter(([, box]) => Math.min(box.width, box.height) < 24)
      .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)""")
    assert small == []
    for key in ("train", "pause", "stop", "reset"):
        box = page.locator(f".st-key-{key} button").bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 40


def test_touch_targets_are_at_least_44_pixels(open_page: Callable[..., Page]) -> None:
    page = open_page(768, 1024, has_touch=True, is_mobile=True)
    low = page.locator(
        ".stMain .stButton button:visible, .stMain .stPopover button:visible, .stMain summary:visible, [role=tab]:visible, "
        ".output:visible, .correction button:visible, .line-chart .files button:visible"
    )
    heights = low.evaluate_all("all => all.map(each => [each.textContent, each.getBoundingClientRect().height])")
    assert len(heights) > 38
    assert [each for each in heights if each[1] < 44] == []
    widths = page.locator(".line-chart .files button").evaluate_all("all => all.map(each => each.getBoundingClientRect().width)")
    assert len(widths) == 6
    assert min(widths) >= 44


TOPS = "all => all.map(e => e.getBoundingClientRect().top)"


def test_phone_tab_bar_shows_every_tab_and_stays(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 844, has_touch=True, is_mobile=True)
    boxes = "all => all.map(e => e.getBoundingClientRect()).map(box => [box.left, box.right])"
    tabs = page.get_by_role("tab")
    before = tabs.evaluate_all(boxes)
    assert all(left >= 0 and right <= 390 for left, right in before)
    expect(page.locator("[data-testid=stTabsScrollRight]")).to_be_hidden()
    assert len(set(page.locator("[role=tablist]").first.get_by_role("tab").evaluate_all(TOPS))) == 1, "the groups fit in one row"
    open_tab(page, "Gradients")
    click(page, "test_digit_button")  # reruns the page
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    assert tabs.evaluate_all(boxes) == before


# Letters


def font_sizes(page: Page) -> list[float]:
    """Return the sizes of different kinds of text in pixels, once all of them are there."""
    kinds = (".under-digit", ".bar b", ".stTabs p", ".st-key-train button", ".axes text")
    return [page.locator(kind).first.evaluate("e => parseFloat(getComputedStyle(e).fontSize)") for kind in kinds]


@pytest.mark.slow
def test_larger_browser_font_enlarges_the_page_without_cuts(server: Server, page: Page, browser: Browser) -> None:
    arguments = [*BROWSER_ARGS, "--blink-settings=defaultFontSize=24"]
    with browser.browser_type.launch(executable_path=BROWSER, args=arguments) as large:
        enlarged = large.new_page(viewport={"width": 1280, "height": TALL})
        enlarged.goto(server.url)
        ready(enlarged)
        without_transitions(enlarged)
        pairs = zip(font_sizes(enlarged), font_sizes(page), strict=True)
        *texts, axis = [after / before for after, before in pairs]
        assert texts == pytest.approx([1.5] * len(texts), abs=0.02)
        assert axis > 1.1
        assert faults_at(enlarged, (1440, 1280, 1000, 768, 390)) == {}


@pytest.mark.slow
def test_larger_browser_font_on_a_phone_cuts_nothing(server: Server, browser: Browser) -> None:
    arguments = [*BROWSER_ARGS, "--blink-settings=defaultFontSize=24"]
    with browser.browser_type.launch(executable_path=BROWSER, args=arguments) as large:
        page = large.new_page(viewport={"width": 390, "height": TALL})
        page.goto(server.url)
        ready(page)
        run = page.locator(".timeline .run")
        expect(run).to_have_text("Built-in network · 784-1024-128-10, best")
        assert run.evaluate("run => run.scrollHeight <= run.clientHeight")
        start_run(page)
        open_tab(page, "Misread digits")
        expect(page.locator(".confusion button").first).to_be_visible()
        assert page.locator(".confusion").evaluate("matrix => matrix.scrollWidth <= matrix.clientWidth")
        open_tab(page, "Runs")
        second = page.locator(".st-key-runs .runs tbody tr").first.locator("td, th").nth(1)
        expect(second).to_be_visible()
        page.locator(".st-key-runs .runs").evaluate("runs => runs.scrollTo(runs.scrollWidth, 0)")
        expect(second).not_to_be_in_viewport()
        click(page, "stop")
        page.close()


def test_axis_labels_are_12_pixels(page: Page) -> None:
    sizes = page.locator(".axes text").evaluate_all("all => all.map(e => parseFloat(getComputedStyle(e).fontSize))")
    assert min(sizes) >= 12


@pytest.mark.slow
def test_confusion_cells_of_a_row_are_level(page: Page) -> None:
    open_tab(page, "Misread digits")
    expect(page.locator(".confusion button:disabled").first).to_be_visible()
    rows = page.locator(".confusion tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('button')].map(e => e.getBoundingClientRect().top))"
    )
    assert len(rows) == 10
    assert all(max(row) - min(row) < 0.5 for row in rows)


def test_training_drawing_and_reading_fit_a_laptop_screen(page: Page) -> None:
    for key in ("train", "pause", "stop", "reset", "status", "canvas", "reading", "seen", "probabilities", "accuracy_chart"):
        box = page.locator(f".st-key-{key}").bounding_box()
        assert box, key
        assert box["y"] >= 0, key
        assert box["y"] + box["height"] <= 800, key
        assert box["x"] + box["width"] <= 1280, key


def test_nothing_sticks_out_beside_the_training_bar_on_a_small_phone(open_page: Callable[..., Page]) -> None:
    page = open_page(320, 640)
    bar, picture = (page.locator(each).bounding_box() for each in (".st-key-training_bar", ".st-key-seen img"))
    assert bar
    assert picture
    assert bar["x"] <= picture["x"]
    assert picture["x"] + picture["width"] <= bar["x"] + bar["width"]


def test_canvas_keeps_its_place_while_its_script_loads(server: Server, browser: Browser) -> None:
    page = browser.new_page()
    page.route(re.compile("streamlit-drawable-canvas"), lambda route: None)  # it is never answered
    page.goto(server.url)
    expect(page.locator(".st-key-accuracy_chart .axes text").first).to_be_visible()
    expect(page.locator("canvas.upper-canvas")).to_have_count(0)
    box = page.locator(".st-key-canvas").bounding_box()
    assert box
    assert box["height"] == 280
    page.close()


def test_slider_is_aligned_with_axes_that_are_drawn_late(page: Page) -> None:
    slider = page.locator(".timeline input")
    page.evaluate("""() => {
      const timeline = document.querySelector(".timeline");
      delete document.querySelector(".st-key-loss_chart .line-chart").dataset.plotLeft;  // as before it is drawn
      timeline.querySelector("input").style.left = "";
      timeline.style.minHeight = "80px";  // which makes it measure
    }""")
    settle(page)
    for plot in (46, 61):
        page.locator(".st-key-loss_chart .line-chart").evaluate("(chart, left) => chart.dataset.plotLeft = left", plot)
        expect(slider).to_have_css("left", f"{plot - 6}px")


def test_training_bar_stays_in_view_when_scrolled(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 700)
    page.mouse.move(195, 500)
    page.mouse.wheel(0, 1100)
    expect(page.locator(".st-key-accuracy_chart")).to_be_in_viewport()
    for key in ("train", "pause", "stop", "reset"):
        expect(page.locator(f".st-key-{key} button")).to_be_in_viewport(ratio=1)
