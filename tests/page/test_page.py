"""The page in a real browser: opened, drawn on, trained on, reloaded, and attacked."""

import base64
import io
import json
import os
import re
import select
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from streamlit.proto.BackMsg_pb2 import BackMsg

from mnist_fc.config import CPU_COUNT
from mnist_fc.training.throughput import BATCH_SIZES, thread_counts
from tests.support.browser import (
    ALL_FADED,
    CONTRAST_BELOW,
    LOWER,
    NUM_DARK,
    ONE,
    SECONDS,
    SEVEN,
    TWO,
    UPPER,
    Server,
    choose,
    choose_preset,
    clear,
    click,
    curve_length,
    draw,
    expect_at_end,
    expect_blank,
    expect_longer_curve,
    expect_reading,
    expect_status,
    open_tab,
    ready,
    running_server,
    slide,
    start_run,
    wait_until,
)
from tests.support.settings import OVERFLOWING, as_query

# Charts and the machine


def test_pointing_at_a_curve_says_its_exact_values(page: Page) -> None:
    slide(page, "epochs", "Home")
    click(page, "train")
    expect_at_end(page, 275)
    end = page.locator(".st-key-accuracy_chart .curves circle").last.bounding_box()
    assert end
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2)
    accuracy = re.findall(r"\d\d\.\d\d", page.locator(".st-key-progress").inner_text())[0]
    expect(page.locator(".st-key-accuracy_chart .tip")).to_have_text(f"test · step 275 · {accuracy} %")
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


def test_speed_of_the_machine_is_measured_live_and_the_fastest_number_of_threads_is_offered(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(query="?hidden_sizes=2048,2048")  # takes long to measure
    open_tab(page, "How fast is this machine?")
    click(page, "measure_speed")
    expect(page.locator(".st-key-stop_measuring button")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^1 thread, batch [\d,]+: [\d,]+ images/s$"))).to_be_visible()
    click(page, "train")
    expect_status(page, "waiting")
    click(page, "stop")
    expect_status(page, "stopped")
    click(page, "stop_measuring")
    expect(page.locator(".st-key-measure_speed button")).to_be_visible()
    choose_preset(page, "fast")
    click(page, "measure_speed")
    expect(page.locator(".st-key-stop_measuring button")).to_be_visible()
    expect(page.locator(".st-key-measure_speed button")).to_be_visible(timeout=300 * SECONDS)
    dots = page.locator(".st-key-speed_chart .curves circle")
    expect(dots).to_have_count(len(thread_counts()) * len(BATCH_SIZES))
    advice = page.get_by_text("For batches of 200 (measured: 256) the fastest is")
    expect(advice).to_contain_text(re.compile(r"(1 thread|\d+ threads): [\d,]+ images/s"))
    if CPU_COUNT > 1:
        fastest = re.findall(r"(\d+) threads?:", advice.inner_text())[0]
        page.locator(".st-key-machine summary").click()
        slide(page, "threads", "Home" if fastest != "1" else "End")
        thumb = page.locator(".st-key-threads").get_by_role("slider")
        expect(thumb).not_to_have_attribute("aria-valuetext", fastest)
        click(page, "use_fastest")
        expect(thumb).to_have_attribute("aria-valuetext", fastest)
    click(page, "train")
    expect_status(page, "done")


# Drawing and reading


def test_page_opens_with_a_digit_drawn_and_read(page: Page) -> None:
    expect_reading(page, "3")
    expect(page.locator(".st-key-status")).to_have_text("ready")
    expect(page.locator(".st-key-seen img.pixels")).to_be_visible()


def test_blank_canvas_is_not_read(page: Page) -> None:
    click(page, "clear")
    expect_reading(page, "")
    expect(page.locator(".under-digit")).to_contain_text("Draw a digit")


def test_drawing_is_read_after_each_stroke_and_undone(page: Page) -> None:
    clear(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    expect(page.locator(".bar.best")).to_have_attribute("title", re.compile("^7: "))
    expect(page.locator(".under-digit")).to_contain_text("then")
    click(page, "undo")
    expect_reading(page, "")
    expect_blank(page)
    draw(page, ONE)
    expect_reading(page, "1")


def test_stroke_that_begins_in_the_upper_right_corner_is_drawn(page: Page) -> None:
    clear(page)
    draw(page, [(272, 8), (272, 120)])
    expect_reading(page, "1")


def test_small_digit_in_a_corner_is_read_and_the_plain_resize_shown_beside_it(page: Page) -> None:
    clear(page)
    draw(page, [(15 + x / 4, 190 + y / 4) for x, y in SEVEN])
    expect_reading(page, "7")
    page.locator(".st-key-show_steps label").first.click()
    expect(page.locator(".steps figure")).to_have_count(5)
    expect(page.locator(".steps figcaption")).to_have_text(
        ["drawn", "cropped", "stroke as in MNIST", "scaled to 20 px", "centred by weight"]
    )
    expect(page.locator(".comparison figure")).to_have_count(2)
    pictures = page.locator(".comparison img").evaluate_all("images => images.map(image => image.src)")
    seen = page.locator(".st-key-seen img").get_attribute("src")
    assert pictures[0] == seen == page.locator(".steps img").last.get_attribute("src")
    assert pictures[0] != pictures[1]
    expect(page.locator(".comparison figcaption").first).to_contain_text("Normalised: read as 7")


def test_scribble_is_not_a_digit_and_what_is_said_is_a_question_mark(page: Page) -> None:
    clear(page)
    draw(page, [(60, 60), (220, 200), (60, 200), (200, 50), (140, 240), (40, 120), (240, 130), (100, 40)])
    expect_reading(page, "?")
    expect(page.locator(".under-digit")).to_contain_text("Not a digit")
    expect(page.locator(".bar.best")).to_have_count(0)
    click(page, "undo")
    expect_reading(page, "")


def test_dot_is_not_a_digit(page: Page) -> None:
    clear(page)
    draw(page, [(140, 140), (141, 140)])
    expect_reading(page, "?")


def test_several_digits_are_read_as_a_number(page: Page) -> None:
    clear(page)
    slide(page, "brush", "Home")
    for i, shape in enumerate((TWO, SEVEN, ONE)):
        draw(page, [(x / 3 + 15 + 75 * i, y / 3 + 90) for x, y in shape])
        expect_reading(page, "271"[: i + 1])
    expect(page.locator(".st-key-seen img")).to_have_count(3)
    expect(page.locator(".comparison.number figure")).to_have_count(3)
    expect(page.locator(".comparison.number figcaption b").nth(1)).to_have_text("7")
    click(page, "undo")
    expect_reading(page, "27")


HAND = ".st-key-hand_canvas"


def draw_next(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw the digit that is asked for and go on to the next."""
    boxes = page.locator(".box img").count()
    expect(page.locator(".st-key-hand_next button")).to_be_disabled()
    expect_blank(page, HAND)
    draw(page, points, HAND)
    expect(page.locator(".st-key-hand_next button")).to_be_enabled()
    click(page, "hand_next")
    expect(page.locator(".box img")).to_have_count(boxes + 1)


def test_ten_digits_of_ones_own_are_scored_and_scored_again_by_a_new_network(page: Page) -> None:
    open_tab(page, "Test your hand")
    for digit in range(10):
        expect(page.locator(".st-key-hand_asked")).to_have_text(f"Draw a {digit}")
        # Every time a 1, as no hand draws it twice alike: what is asked for decides what is right.
        draw_next(page, [(x + digit, y) for x, y in ONE])
    expect(page.locator(".box.right")).to_have_count(1)
    expect(page.locator(".box.right .asked")).to_have_text("1")
    expect(page.locator(".box.wrong").first).to_contain_text("read as 1")
    expect(page.locator(f"{HAND} {UPPER}")).to_have_count(0)
    expect(page.locator(".st-key-hand_score")).to_have_count(1)  # that of nine digits stands elsewhere until all is drawn
    expect(page.locator(".st-key-hand_score")).to_have_text(re.compile(r"^You 1 of 10, MNIST 99\.\d\d%$"))

    open_tab(page, "What is on this page")
    choose_preset(page, "fast")
    slide(page, "epochs", "Home")
    slide(page, "size_0", "Home")
    for _ in range(2):
        start_run(page)
        expect_status(page, "done")
        open_tab(page, "Runs")
        expect(page.locator("tr.watched")).to_contain_text(re.compile(r"\d of 10"))
        open_tab(page, "What is on this page")
        click(page, "reset")
        expect_status(page, "ready")
    open_tab(page, "Test your hand")
    expect(page.get_by_text("The same ten digits before:")).to_be_visible()
    scores = page.get_by_text(re.compile(r"^You \d+ of 10, MNIST \d\d\.\d\d%: 784-\d+-10"))
    expect(scores).to_have_count(2)
    click(page, "hand_again")
    expect(page.locator(".st-key-hand_asked")).to_have_text("Draw a 0")
    expect(page.locator(".box img")).to_have_count(0)


def test_half_drawn_digit_of_ones_own_is_there_again_after_another_tab_and_a_run(page: Page) -> None:
    open_tab(page, "Test your hand")
    draw_next(page, ONE)
    expect_blank(page, HAND)
    draw(page, ONE, HAND)
    expect(page.locator(".st-key-hand_next button")).to_be_enabled()
    open_tab(page, "What is on this page")
    slide(page, "epochs", "Home")
    click(page, "train")
    expect_status(page, "done")
    open_tab(page, "Test your hand")
    expect(page.locator(".st-key-hand_asked")).to_have_text("Draw a 1")
    expect(page.locator(".st-key-hand_next button")).to_be_enabled()
    expect(page.locator(".box img")).to_have_count(1)
    click(page, "hand_next")
    expect(page.locator(".box.right .asked")).to_have_text("1")
    click(page, "hand_back")
    expect(page.locator(".st-key-hand_asked")).to_have_text("Draw a 1")
    expect(page.locator(".st-key-hand_next button")).to_be_enabled()
    click(page, "hand_clear")
    expect(page.locator(".st-key-hand_next button")).to_be_disabled()


def test_hand_is_read_by_the_network_that_is_chosen_and_drawn_with_the_brush_that_is_chosen(page: Page) -> None:
    slide(page, "epochs", "Home")
    click(page, "train")
    expect_status(page, "done")
    open_tab(page, "Test your hand")
    draw_next(page, ONE)
    read_by = page.locator("[data-testid=stCaptionContainer]", has_text="Read by")
    expect(read_by).to_contain_text("Read by this run")
    page.locator(".st-key-network").get_by_text("Shipped network").click()
    expect(read_by).to_contain_text("Read by the shipped network")
    expect(page.locator(".st-key-hand_score")).to_contain_text("MNIST 99.")
    slide(page, "brush", "Home")
    expect(page.locator(".st-key-brush").get_by_role("slider")).to_have_attribute("aria-valuetext", re.compile("6"))
    draw(page, ONE, HAND)
    expect(page.locator(".st-key-hand_next button")).to_be_enabled()
    canvas = page.locator(f"{HAND} {LOWER}")
    wait_until(lambda: 180 * 5 < canvas.evaluate(NUM_DARK) < 180 * 8, seconds=20)  # 180 pixels long and 6 wide
    assert page.locator(f"{HAND} {UPPER}").get_attribute("aria-label"), (
        "the component's toolbar is hidden where its canvas has a name"
    )
    click(page, "reset")
    expect(read_by).to_contain_text("Read by the shipped network")


def test_test_digit_is_read_with_its_label_and_the_drawing_comes_back(page: Page) -> None:
    click(page, "test_digit_button")
    expect(page.locator(".under-digit")).to_contain_text(re.compile(r"Test digit [\d,]+,\s*labelled \d [✓✗]"))
    expect(page.locator(".st-key-canvas")).to_have_css("opacity", "0.25")
    click(page, "undo")
    expect(page.locator(".under-digit")).not_to_contain_text("Test digit")
    expect(page.locator(".st-key-canvas")).to_have_css("opacity", "1")
    expect_reading(page, "3")


def test_drawing_takes_the_place_of_a_test_digit(page: Page) -> None:
    clear(page)
    click(page, "test_digit_button")
    expect(page.locator(".under-digit")).to_contain_text("Test digit")
    draw(page, SEVEN)
    expect_reading(page, "7")
    expect(page.locator(".under-digit")).not_to_contain_text("Test digit")
    expect(page.locator(".st-key-canvas")).to_have_css("opacity", "1")


def test_reading_goes_from_a_guess_to_near_certainty_as_the_network_learns(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?preset=best&schedule=constant&learning_rate=0.00001&optimizer=sgd")
    click(page, "train")
    expect(page.locator(".under-digit")).to_contain_text(re.compile(r"^1\d\.\d% sure.*this run, step", re.DOTALL))
    rate = page.locator(".st-key-learning_rate").get_by_role("slider")
    for _ in range(10):  # now it learns
        rate.press("ArrowRight")
    expect(rate).to_have_attribute("aria-valuetext", "0.1")
    sure = re.compile(r"^(over 99\.9|9\d\.\d)% sure.*this run", re.DOTALL)
    expect(page.locator(".under-digit")).to_contain_text(sure, timeout=300 * SECONDS)  # a part of the run has to pass


def test_drawing_by_touch_on_a_phone_is_read_without_scrolling_sideways(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 844, has_touch=True, is_mobile=True)
    clear(page)
    box = page.locator("canvas.upper-canvas").bounding_box()
    assert box
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": box["x"] + x, "y": box["y"] + y} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    send("touchStart", (270, 10))
    for i in range(1, 21):
        send("touchMove", (270 - 5 * i, 10 + 11 * i))
    send("touchEnd")
    expect_reading(page, "1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# Training


def test_both_curves_grow_while_it_learns(page: Page) -> None:
    choose_preset(page, "best")
    click(page, "train")
    expect_longer_curve(page, "accuracy_chart", 0)
    lengths = [curve_length(page, "loss_chart"), curve_length(page, "accuracy_chart")]
    expect_longer_curve(page, "loss_chart", lengths[0])
    expect_longer_curve(page, "accuracy_chart", lengths[1])
    expect_status(page, "running")


def test_one_epoch_ends_with_the_accuracies_on_validation_and_test_images(page: Page) -> None:
    choose_preset(page, "best")
    slide(page, "epochs", "Home")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("215 steps an epoch, 215 in all")
    expect(page.locator(".st-key-preset input")).to_have_value("custom")
    click(page, "train")
    expect_status(page, "done")
    expect(page.locator(".st-key-progress")).to_contain_text(re.compile(r"Test accuracy 9\d\.\d\d"))
    expect(page.locator(".series:has-text('validation')")).to_have_count(2)
    expect(page.locator(".series:has-text('test')")).to_have_count(2)


def test_blog_preset_shows_the_test_set_after_each_epoch_and_says_so(page: Page) -> None:
    choose_preset(page, "blog-pytorch")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("784-500-10: 397,510 parameters")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("all training images, the test set after each epoch")
    click(page, "train")
    expect(page.locator(".series:has-text('test')")).to_have_count(2)
    expect(page.locator(".series:has-text('validation')")).to_have_count(0)
    expect(page.get_by_text("it has no validation images")).to_be_visible()


def test_two_changes_in_quick_succession_both_hold(browser: Browser, server: Server) -> None:
    """The second leaves the browser before the page has heard that the first made the preset a custom one."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    held: list[Callable[[], None]] = []
    is_slow = False

    def delay(route: WebSocketRoute) -> None:
        upstream = route.connect_to_server()
        route.on_message(upstream.send)
        upstream.on_message(lambda message: held.append(lambda: route.send(message)) if is_slow else route.send(message))

    page.route_web_socket(re.compile("_stcore/stream"), delay)
    page.goto(server.url)
    ready(page)
    is_slow = True
    for key in ("epochs", "batch_size"):
        answered = len(held)
        page.locator(f".st-key-{key} [role=slider], .st-key-{key} input[type=range]").first.press("End")
        while len(held) == answered:
            page.wait_for_timeout(50)
    is_slow = False
    for send in held:
        send()
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("14 steps an epoch, 1,400 in all")
    expect(page.locator(".st-key-preset input")).to_have_value("custom")
    page.context.close()


def test_run_pauses_resumes_and_stops(page: Page) -> None:
    choose_preset(page, "best")
    click(page, "train")
    expect_status(page, "running")
    click(page, "pause")
    expect_status(page, "paused")
    expect(page.locator(".st-key-pause")).to_contain_text("Resume")
    click(page, "pause")
    expect(page.locator(".st-key-status")).not_to_contain_text("paused")
    expect(page.locator(".st-key-pause")).to_contain_text("Pause")
    click(page, "stop")
    expect_status(page, "stopped in epoch")
    expect(page.locator(".st-key-progress")).to_contain_text("Test accuracy")
    click(page, "reset")
    expect(page.locator(".st-key-status")).to_have_text("ready")
    expect(page.locator(".under-digit")).to_contain_text("the shipped network")


def test_drawing_while_it_trains_is_read_by_the_newest_weights(page: Page) -> None:
    choose_preset(page, "best")
    click(page, "train")
    by = page.locator(".under-digit .by")
    expect(by).to_contain_text("this run, step")
    clear(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    first = by.inner_text()
    expect(by).not_to_have_text(first)
    expect_reading(page, "7")
    page.locator(".st-key-network").get_by_text("Shipped network").click()
    expect(by).to_have_text("the shipped network")
    expect_reading(page, "7")


def test_drawing_stays_on_the_canvas_when_a_run_begins_goes_wrong_and_is_put_away(page: Page) -> None:
    slide(page, "epochs", "End")
    slide(page, "learning_rate", "End")
    expect(page.locator(".st-key-learning_rate").get_by_role("slider")).to_have_attribute("aria-valuetext", "1")
    choose(page, "schedule", "constant")
    clear(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    canvas = page.locator(f".st-key-canvas {LOWER}")
    num_dark = canvas.evaluate(NUM_DARK)
    assert num_dark > 1000
    click(page, "train")
    expect(page.locator(".st-key-timeline")).to_be_visible()
    assert canvas.evaluate(NUM_DARK) == num_dark
    expect(page.locator(".st-key-diagnosis")).to_contain_text("Training diverged")
    assert canvas.evaluate(NUM_DARK) == num_dark
    click(page, "reset")
    expect(page.locator(".st-key-status")).to_have_text("ready")
    assert canvas.evaluate(NUM_DARK) == num_dark


def test_learning_rate_changes_while_it_runs(page: Page) -> None:
    slide(page, "epochs", "End")
    choose(page, "schedule", "constant")
    click(page, "train")
    expect_status(page, "running")
    slide(page, "learning_rate", "End")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text(
        "The learning rate slider changes this run. Everything else is for the next run."
    )
    expect(page.locator(".st-key-learning_rate")).to_contain_text("1")
    expect_status(page, "running")


def test_reload_comes_back_to_the_run(page: Page) -> None:
    choose_preset(page, "best")
    click(page, "train")
    expect_status(page, "running")
    page.reload()
    ready(page)
    expect_status(page, "running")
    expect(page.locator(".st-key-preset input")).to_have_value("best")
    expect_longer_curve(page, "loss_chart", 0)


def test_second_person_waits_for_a_turn_and_can_draw_meanwhile_leave_and_begin_by_itself(open_page: Callable[..., Page]) -> None:
    first, second = open_page(), open_page()
    choose_preset(first, "best")
    click(first, "train")
    expect_status(first, "running")
    click(second, "train")
    expect_status(second, "waiting")
    expect(second.locator(".st-key-progress")).to_contain_text(
        re.compile(r"You're next, about \d+ (s|min) until it starts\. Starts automatically\.")
    )
    clear(second)
    draw(second, SEVEN)
    expect_reading(second, "7")
    expect(second.locator(".st-key-stop")).to_contain_text("Leave queue")
    click(second, "stop")
    expect_status(second, "stopped")
    click(second, "train")
    expect_status(second, "waiting")
    click(first, "stop")
    expect_status(first, "stopped")
    expect_status(second, re.compile("epoch|^done$"))
    expect_status(second, re.compile("^done$"))


def test_run_whose_page_is_closed_stops_within_the_minute_unless_it_is_to_go_on(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as own:
        pages = [browser.new_context(viewport={"width": 1280, "height": 800}).new_page() for _ in range(2)]
        for page, epochs in zip(pages, (60, 61), strict=True):
            page.goto(f"{own.url}/?preset=best&epochs={epochs}&threads=1")
            ready(page)
        pages[0].locator(".st-key-detached label").click()
        for page in pages:
            click(page, "train")
        expect_status(pages[1], "waiting")
        addresses = [page.url for page in pages]
        for page in pages:
            page.context.close()
        wait_until(lambda: "is stopped: nobody looks at it any more" in own.log.read_text())
        back = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        back.goto(addresses[0])
        ready(back)
        expect_status(back, "running")
        back.goto(addresses[1])
        ready(back)
        expect_status(back, "stopped")
        expect(back.get_by_text("its page had been closed for 60 s")).to_be_visible()
        back.context.close()


def test_killed_training_process_is_reported_and_the_next_run_works(page: Page, server: Server) -> None:
    choose_preset(page, "best")
    click(page, "train")
    expect_status(page, "running")
    expect(page.locator(".series:has-text('train')")).to_have_count(2)
    os.kill(server.worker(), signal.SIGKILL)
    expect_status(page, "failed")
    expect(page.get_by_text("was ended by SIGKILL")).to_be_visible()
    expect(page.locator(".series:has-text('train')")).to_have_count(2)
    choose_preset(page, "fast")
    start_run(page)


def test_diverging_run_says_at_which_step_and_what_helps(open_page: Callable[..., Page]) -> None:
    page = open_page(query=as_query(OVERFLOWING))
    click(page, "train")
    expect_status(page, "diverged")
    expect(page.get_by_text(re.compile(r"stopped being a finite number at step \d+.*lower learning rate"))).to_be_visible()


# Looks and access


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_text_has_enough_contrast(open_page: Callable[..., Page], scheme: str, width: int) -> None:
    page = open_page(width, 800, color_scheme=scheme)
    page.evaluate(ALL_FADED)
    faint = page.evaluate(CONTRAST_BELOW, 4.5)
    assert faint == []


def test_training_drawing_and_reading_are_in_view_together_on_a_laptop(page: Page) -> None:
    for key in ("train", "pause", "stop", "reset", "status", "canvas", "reading", "seen", "probabilities", "accuracy_chart"):
        box = page.locator(f".st-key-{key}").bounding_box()
        assert box, key
        assert box["y"] >= 0, key
        assert box["y"] + box["height"] <= 800, key
        assert box["x"] + box["width"] <= 1280, key


def test_training_bar_stays_in_view_when_scrolled(open_page: Callable[..., Page]) -> None:
    page = open_page(390, 700)
    page.mouse.move(195, 500)
    page.mouse.wheel(0, 900)
    expect(page.locator(".st-key-accuracy_chart")).to_be_in_viewport()
    for key in ("train", "pause", "stop", "reset"):
        expect(page.locator(f".st-key-{key} button")).to_be_in_viewport(ratio=1)


def test_train_is_reached_and_pressed_with_the_keyboard(page: Page) -> None:
    slide(page, "epochs", "Home")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("275 steps an epoch, 275 in all")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.st-key-train') !== null"):
            break
    page.keyboard.press("Enter")
    expect_status(page, "done")


def test_every_control_has_a_name(page: Page) -> None:
    page.locator(".st-key-machine summary").click()
    page.locator(".st-key-regularization summary").click()
    snapshot = page.locator("body").aria_snapshot()
    assert (
        re.findall(r"- (?:button|slider|switch|checkbox|combobox|spinbutton|textbox)(?: \[[^\]]*\])*:?$", snapshot, re.MULTILINE)
        == []
    )


# Hostile clients


def tampered_page(browser: Browser, server: Server, drawing: object) -> Page:
    """A page whose every message with strokes is spoiled on its way to the server."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()

    def tamper(route: WebSocketRoute) -> None:
        upstream = route.connect_to_server()

        def forward(message: str | bytes) -> None:
            assert isinstance(message, bytes)
            content = BackMsg.FromString(message)
            for state in content.rerun_script.widget_states.widgets:
                if '"path"' in state.json_value:
                    sent = json.loads(state.json_value)["drawing"]
                    state.json_value = json.dumps({"drawing": {**sent, **drawing} if isinstance(drawing, dict) else drawing})
            upstream.send(content.SerializeToString())

        route.on_message(forward)
        upstream.on_message(route.send)

    page.route_web_socket(re.compile("_stcore/stream"), tamper)
    page.goto(server.url)
    ready(page)
    return page


@pytest.mark.parametrize(
    "drawing",
    [
        pytest.param("text", id="not an object"),
        pytest.param({"raw": None, "data": "data:image/png;base64,AAAA"}, id="no strokes and a broken image"),
        pytest.param({"raw": {"objects": "x"}}, id="objects that are no list"),
        pytest.param({"raw": {"objects": [{"path": [["M", 1, "x"]], "strokeWidth": 1}]}}, id="a path of words"),
        pytest.param({"raw": {"objects": [{"path": [["M", 1, 1]], "strokeWidth": 1}] * 501}}, id="too many strokes"),
        pytest.param({"raw": {"objects": [{"path": [["L", 1, 1]] * 50_001, "strokeWidth": 1}]}}, id="too many points"),
    ],
)
def test_tampered_drawing_gets_a_clear_message_and_costs_nothing(browser: Browser, server: Server, drawing: object) -> None:
    page = tampered_page(browser, server, drawing)
    draw(page, ONE)
    expect(page.get_by_text("Press Clear and draw again")).to_be_visible()
    expect_reading(page, "3")
    page.context.close()


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
    """The most memory that the server has had so far, in kB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0])


# Servers of their own


def test_missing_data_is_named_on_the_page(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path, MNIST_FC_DATA=str(tmp_path / "missing.npz")) as own:
        page = browser.new_page()
        page.goto(own.url)
        expect(page.get_by_text("missing.npz does not exist")).to_be_visible()
        page.close()


def test_store_that_cannot_be_written_is_said_and_the_run_goes_on(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with running_server(tmp_path, MNIST_FC_RUNS=str(tmp_path / "file" / "runs")) as own:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(own.url)
        ready(page)
        click(page, "train")
        expect(page.get_by_text("This run is not kept on disk")).to_be_visible()
        expect_status(page, "done")
        page.close()


def test_killed_server_leaves_no_process_behind(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as own:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(own.url)
        ready(page)
        choose_preset(page, "best")
        click(page, "train")
        expect_status(page, "running")
        worker = os.pidfd_open(own.worker())
        own.process.kill()
        gone, _, _ = select.select([worker], [], [], 30)  # not our child: its descriptor becomes readable when it is gone
        os.close(worker)
        assert gone
        page.close()
