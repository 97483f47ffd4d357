"""The canvas: strokes that end in unusual ways, touch, latency, Undo, and drawings that survive a reload."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from mnist_fc.drawing.strokes import Stroke, render
from tests.support.browser import (
    LOWER,
    NUM_DARK,
    ONE,
    SEVEN,
    UPPER,
    Server,
    clear,
    click,
    draw,
    expect_blank,
    expect_reading,
    open_tab,
    ready,
    wait_until,
)

CANVAS, HAND = ".st-key-canvas", ".st-key-hand_canvas"
BAR: list[tuple[float, float]] = [(115, 150), (175, 150)]
"""The bar of a 7."""

WAIT_SECONDS = 30.0

Point = tuple[float, float]


# Ink


def ink_of(*strokes: list[Point], width: float = 20) -> int:
    """Return the number of canvas pixels that these strokes make dark."""
    return int((render([Stroke(tuple(points), width) for points in strokes])[..., 3] > 127).sum())


def ink_on(page: Page, canvas: str = CANVAS, layer: str = LOWER) -> float:
    """Return the number of dark pixels of the drawing or, with UPPER, of the unfinished stroke."""
    number: float = page.locator(f"{canvas} {layer}").evaluate(NUM_DARK)
    return number


def expect_strokes(page: Page, *strokes: list[Point], canvas: str = CANVAS) -> None:
    """Wait until exactly these strokes are on the canvas and none is unfinished."""
    expected = ink_of(*strokes)
    # Antialiased edges make a stroke of 20 pixels 19 or 21 wide.
    wait_until(
        lambda: abs(ink_on(page, canvas) - expected) <= 0.08 * expected and not ink_on(page, canvas, UPPER), seconds=WAIT_SECONDS
    )


def origin(page: Page, canvas: str = CANVAS) -> Point:
    """Return the upper left corner of the canvas in the window."""
    surface = page.locator(f"{canvas} {UPPER}")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    assert box
    return box["x"], box["y"]


# The end of a stroke


def release_over_a_disabled_button(page: Page) -> None:
    pause = page.locator(".st-key-pause button")
    expect(pause).to_be_disabled()
    pause.hover(force=True)
    page.mouse.up()


def click_right(page: Page) -> None:
    page.mouse.down(button="right")
    page.mouse.up(button="right")
    page.mouse.up()


def release_outside_the_window(page: Page) -> None:
    page.mouse.move(-40, 300)
    page.mouse.up()


def release_in_an_alert(page: Page) -> None:
    """Open an alert that takes the mouse-up: the page next sees the mouse without a pressed button."""
    page.once("dialog", lambda dialog: dialog.accept())
    page.evaluate("alert('a word')")
    lose_the_mouse_up(page)


def lose_the_mouse_up(page: Page) -> None:
    x, y = origin(page)
    moved = {"type": "mouseMoved", "x": x + 200, "y": y + 100, "button": "none", "buttons": 0}
    page.context.new_cdp_session(page).send("Input.dispatchMouseEvent", moved)


@pytest.fixture(scope="module")
def shared(server: Server, browser: Browser) -> Iterator[Page]:
    """Share one page between tests that leave nothing behind."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(server.url)
    ready(page)
    yield page
    page.context.close()


@pytest.mark.parametrize(
    "release", [release_over_a_disabled_button, click_right, release_outside_the_window, release_in_an_alert, lose_the_mouse_up]
)
def test_stroke_ends_and_is_read_however_the_button_goes_up(shared: Page, release: Callable[[Page], None]) -> None:
    clear(shared)
    x, y = origin(shared)
    shared.mouse.move(x + 140, y + 50)
    shared.mouse.down()
    shared.mouse.move(x + 140, y + 230, steps=8)
    release(shared)
    for corner in ((250, 30), (20, 20), (20, 250)):
        shared.mouse.move(x + corner[0], y + corner[1], steps=4)
    drawn = ink_on(shared)
    assert drawn >= 0.92 * ink_of(ONE)
    assert not ink_on(shared, layer=UPPER)
    expect(shared.locator(".st-key-reading")).not_to_have_text("")
    shared.mouse.move(x + 250, y + 250, steps=4)
    assert ink_on(shared) == drawn
    shared.mouse.up()


# Touch


class Touch:
    """Fingers on a canvas, sent over the Chrome DevTools Protocol."""

    def __init__(self, page: Page) -> None:
        self.x, self.y = origin(page)
        self.session = page.context.new_cdp_session(page)

    def send(self, kind: str, **points: Point) -> None:
        """Send the positions of fingers, by name, in pixels of the canvas; at touchEnd those that leave, by default all."""
        at = [{"x": self.x + x, "y": self.y + y, "id": sum(map(ord, name))} for name, (x, y) in points.items()]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})


@pytest.fixture(scope="module")
def phone(server: Server, browser: Browser) -> Iterator[Page]:
    page = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).new_page()
    page.goto(server.url)
    ready(page)
    yield page
    page.context.close()


def down_the_middle(touch: Touch, **resting: Point) -> None:
    """Draw a 1 with a finger that stays on the screen."""
    touch.send("touchStart", **resting, finger=ONE[0])
    for i in range(1, 19):
        touch.send("touchMove", **resting, finger=(140, 50 + 10 * i))


def test_touchcancel_ends_the_stroke_and_the_next_finger_draws(phone: Page) -> None:
    clear(phone)
    touch = Touch(phone)
    down_the_middle(touch)
    touch.send("touchCancel")
    expect_reading(phone, "1")
    expect_strokes(phone, ONE)
    touch.send("touchStart", finger=(115, 150))
    for i in range(1, 7):
        touch.send("touchMove", finger=(115 + 10 * i, 150))
    touch.send("touchEnd")
    expect_strokes(phone, ONE, BAR)


def test_resting_palm_neither_draws_nor_blocks_the_finger(phone: Page) -> None:
    clear(phone)
    touch = Touch(phone)
    touch.send("touchStart", palm=(240, 250))
    down_the_middle(touch, palm=(241, 251))
    touch.send("touchEnd", finger=ONE[-1])
    expect_reading(phone, "1")
    touch.send("touchEnd")
    expect_strokes(phone, ONE)


@pytest.mark.parametrize("is_first_moving", [False, True])
def test_pinch_with_two_fingers_draws_nothing(phone: Page, is_first_moving: bool) -> None:
    clear(phone)
    draw(phone, BAR)
    touch = Touch(phone)
    first, second = (120.0, 140.0), (160.0, 140.0)
    touch.send("touchStart", finger=first)
    if is_first_moving:
        first = (110, 140)
        touch.send("touchMove", finger=first)
    touch.send("touchStart", finger=first, thumb=second)
    for i in range(1, 9):
        touch.send("touchMove", finger=(first[0] - 8 * i, 140), thumb=(second[0] + 8 * i, 140))
    touch.send("touchEnd")
    down_the_middle(touch)
    touch.send("touchEnd")
    expect_strokes(phone, BAR, ONE)


def test_tap_draws_a_dot(phone: Page) -> None:
    clear(phone)
    touch = Touch(phone)
    touch.send("touchStart", finger=(140, 140))
    touch.send("touchEnd")
    expect_strokes(phone, [(140, 140)])
    expect(phone.locator(".under-digit")).to_contain_text("Not a digit")


# Latency


SLOW_SOCKETS = """delay => {
  // Messages take so long in each direction, and keep their order.
  const later = act => setTimeout(act, delay);
  window.WebSocket = class extends WebSocket {
    send(data) { later(() => super.send(data)); }
    addEventListener(type, listener) {
      super.addEventListener(type, type === "message" ? event => later(() => listener(event)) : listener);
    }
  };
}"""


@contextmanager
def slow_page(browser: Browser, server: Server, delay: int) -> Iterator[Page]:
    """Open a page with `delay` milliseconds to the server in each direction."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(f"({SLOW_SOCKETS})({delay})")
    page.goto(server.url)
    ready(page)
    yield page
    page.context.close()


@pytest.mark.parametrize("delay", [pytest.param(0, marks=pytest.mark.slow), 500])
def test_stroke_begun_right_after_clear_or_undo_is_kept(browser: Browser, server: Server, delay: int) -> None:
    with slow_page(browser, server, delay) as page:
        expect_reading(page, "3")
        click(page, "clear")
        draw(page, ONE)
        expect_reading(page, "1")
        expect_strokes(page, ONE)
        click(page, "undo")
        draw(page, SEVEN)
        expect_reading(page, "7")
        expect_strokes(page, SEVEN)
        draw(page, BAR)
        click(page, "undo")  # before the bar can be read
        expect_strokes(page, SEVEN)
        draw(page, BAR)
        draw(page, ONE)
        click(page, "undo")
        click(page, "undo")  # each click counts
        expect_strokes(page, SEVEN)
        x, y = origin(page)
        click(page, "clear")
        page.mouse.move(x + 140, y + 50)
        page.mouse.down()
        page.mouse.move(x + 140, y + 140, steps=8)
        expect_reading(page, "")  # the answer arrives during a stroke
        page.mouse.move(x + 140, y + 230, steps=8)
        page.mouse.up()
        expect_reading(page, "1")
        expect_strokes(page, ONE)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [200])
def test_hand_canvas_keeps_strokes_under_latency_and_tab_changes(browser: Browser, server: Server, delay: int) -> None:
    with slow_page(browser, server, delay) as page:
        open_tab(page, "Test your handwriting")
        expect(page.locator(f"{HAND} {UPPER}")).to_be_visible()
        draw(page, SEVEN, HAND)
        expect(page.locator(".st-key-hand_next button")).to_be_enabled()
        click(page, "hand_clear")
        draw(page, ONE, HAND)
        expect_strokes(page, ONE, canvas=HAND)
        click(page, "hand_next")
        draw(page, SEVEN, HAND)
        expect(page.locator(".st-key-hand_asked")).to_have_text("Draw a 1")
        expect_strokes(page, SEVEN, canvas=HAND)
        expect(page.locator(".st-key-hand_boxes .box").first).to_contain_text("read as 1")
        draw(page, BAR, HAND)
        open_tab(page, "Runs")
        expect(page.locator(HAND)).to_have_count(0)
        open_tab(page, "Test your handwriting")
        expect_strokes(page, SEVEN, BAR, canvas=HAND)
        x, y = origin(page, HAND)
        click(page, "hand_clear")
        page.mouse.move(x + 140, y + 50)
        page.mouse.down()
        page.mouse.move(x + 140, y + 230, steps=8)
        click_right(page)
        page.mouse.move(x + 20, y + 20, steps=8)
        expect_strokes(page, ONE, canvas=HAND)
        click(page, "hand_next")
        expect(page.locator(".st-key-hand_asked")).to_have_text("Draw a 2")
        expect(page.locator(".st-key-hand_boxes .box").nth(1)).to_contain_text("read as 1")


@pytest.mark.parametrize("button", ["hand_next", "hand_undo"])
def test_button_that_is_still_disabled_for_an_older_drawing_works(browser: Browser, server: Server, button: str) -> None:
    with slow_page(browser, server, 500) as page:
        open_tab(page, "Test your handwriting")
        expect(page.locator(f".st-key-{button} button")).to_be_disabled()
        draw(page, ONE, HAND)
        expect_strokes(page, ONE, canvas=HAND)
        expect(page.locator(f".st-key-{button} button")).to_be_disabled()
        page.locator(f".st-key-{button} button").hover(force=True)
        page.mouse.down()
        page.mouse.up()
        expect_blank(page, HAND)
        if button == "hand_next":
            expect(page.locator(".st-key-hand_asked")).to_have_text("Draw a 1")
        expect(page.locator(f".st-key-{button} button")).to_be_disabled()


# Undo


def test_undo_goes_back_through_clear_and_test_digits(page: Page) -> None:
    clear(page)
    draw(page, ONE)
    expect_reading(page, "1")
    click(page, "test_digit_button")
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    draw(page, SEVEN)
    expect_reading(page, "7")
    expect_strokes(page, SEVEN)
    click(page, "undo")
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    expect_strokes(page, ONE)
    click(page, "clear")
    expect_reading(page, "")
    click(page, "undo")
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    click(page, "undo")
    expect_reading(page, "1")
    expect_strokes(page, ONE)
    click(page, "undo")
    expect_reading(page, "")
    click(page, "undo")  # the Clear at the beginning
    expect_reading(page, "3")
    expect(page.locator(".st-key-undo button")).to_be_disabled()  # the drawing that was there when the page opened


@pytest.mark.slow
def test_stroke_right_after_test_digit_begins_a_new_drawing(browser: Browser, server: Server) -> None:
    with slow_page(browser, server, 200) as page:
        click(page, "test_digit_button")
        draw(page, SEVEN)
        expect_reading(page, "7")
        expect_strokes(page, SEVEN)
        expect(page.locator(".under-digit")).not_to_contain_text("Test digit")


# The tab


@pytest.mark.slow
def test_reload_keeps_the_drawing_of_the_tab_alone(open_page: Callable[..., Page]) -> None:
    page = open_page()
    clear(page)
    draw(page, SEVEN)
    draw(page, BAR)
    page.reload()  # without waiting for an answer
    ready(page)
    expect_reading(page, "7")
    expect_strokes(page, SEVEN, BAR)
    click(page, "undo")
    expect_strokes(page, SEVEN)
    clear(page)
    page.reload()
    ready(page)
    expect_reading(page, "")
    assert not ink_on(page)
    expect_reading(open_page(), "3")


# Browsers


LACKING = {
    "constructed style sheets": "window.CSSStyleSheet = class { constructor() { throw new TypeError('Illegal constructor'); } }",
    "storage": "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('', 'SecurityError'); } })",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", LACKING)
def test_canvas_draws_in_its_corner_in_a_browser_without(browser: Browser, server: Server, what: str) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(LACKING[what])
    page.goto(server.url)
    ready(page)
    clear(page)
    corner: list[Point] = [(270, 10), (170, 230)]
    draw(page, corner)
    expect_strokes(page, corner)
    page.context.close()
