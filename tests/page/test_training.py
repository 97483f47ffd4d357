"""Training: a run starts, changes, waits, ends and fails."""

import os
import re
import signal
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.support.browser import (
    SEVEN,
    Server,
    choose,
    choose_preset,
    clear,
    click,
    draw,
    expect_longer_curve,
    expect_reading,
    expect_status,
    open_tab,
    ready,
    slide,
    slider,
    start_run,
)
from tests.support.settings import OVERFLOWING, as_query


def test_run_ends_with_validation_and_test_accuracy(page: Page) -> None:
    choose_preset(page, "best")
    slide(page, "epochs", "Home")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("215 steps an epoch, 215 in all")
    expect(page.locator(".st-key-preset input")).to_have_value("custom")
    click(page, "train")
    expect_status(page, "done")
    expect(page.locator(".st-key-progress")).to_contain_text(re.compile(r"Test accuracy 9\d\.\d\d"))
    expect(page.locator(".series:has-text('validation')")).to_have_count(2)
    expect(page.locator(".series:has-text('test')")).to_have_count(2)


@pytest.mark.slow
def test_blog_preset_shows_test_accuracy_after_each_epoch(page: Page) -> None:
    choose_preset(page, "blog-pytorch")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("784-500-10: 397,510 parameters")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("all training images, the test set after each epoch")
    click(page, "train")
    expect(page.locator(".series:has-text('test')")).to_have_count(2)
    expect(page.locator(".series:has-text('validation')")).to_have_count(0)
    expect(page.get_by_text("it has no validation images")).to_be_visible()


@pytest.mark.slow
def test_two_changes_in_quick_succession_both_hold(browser: Browser, server: Server) -> None:
    """Send the second change before the page knows that the first made the preset a custom one."""
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
        slider(page, key).press("End")
        while len(held) == answered:
            page.evaluate("() => new Promise(requestAnimationFrame)")  # lets messages arrive
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
    expect(page.locator(".under-digit")).to_contain_text("the built-in network")


@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 2])
def test_click_on_pause_in_a_busy_browser_pauses_the_run(page: Page, presses: int) -> None:
    choose_preset(page, "best")
    start_run(page)
    expect_status(page, "running")
    button = page.locator(".st-key-pause button")
    expect(button).to_be_enabled()
    box = button.bounding_box()
    assert box
    # Meanwhile an automatic rerun becomes due. Streamlit often sends the click with that, and then a second time by itself.
    page.evaluate("() => { setTimeout(() => { const end = performance.now() + 3000; while (performance.now() < end); }) }")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, click_count=presses)
    expect_status(page, "paused")
    page.locator(".st-key-show_steps").get_by_text("How the drawing is prepared").click()
    expect(page.locator(".steps")).to_be_visible()  # so the messages before this click have been answered, too
    expect(page.locator(".st-key-status")).to_contain_text("paused")


@pytest.mark.slow
def test_learning_rate_changes_during_training(page: Page) -> None:
    slide(page, "epochs", "End")
    choose(page, "schedule", "constant")
    click(page, "train")
    expect_status(page, "running")
    slide(page, "learning_rate", "End")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text(
        "This run's learning rate is 1. Only moving its slider changes it. Everything else is for the next run."
    )
    expect(page.locator(".st-key-learning_rate")).to_contain_text("1")
    expect_status(page, "running")


@pytest.mark.slow
def test_reload_returns_to_the_run(page: Page) -> None:
    choose_preset(page, "best")
    click(page, "train")
    expect_status(page, "running")
    page.reload()
    ready(page)
    expect_status(page, "running")
    expect(page.locator(".st-key-preset input")).to_have_value("best")
    expect_longer_curve(page, "loss_chart", 0)


@pytest.mark.slow
def test_queued_person_can_draw_leave_and_start_automatically(open_page: Callable[..., Page]) -> None:
    first, second = open_page(query="?preset=best"), open_page(query="?epochs=1&hidden_sizes=32")
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
    beside = second.locator(".st-key-reset").bounding_box()
    click(second, "stop")
    expect_status(second, "stopped")
    expect(second.locator(".st-key-stop")).to_have_text(re.compile("Stop$"))
    assert second.locator(".st-key-reset").bounding_box() == beside
    click(second, "train")
    expect_status(second, "waiting")
    click(first, "stop")
    expect_status(first, "stopped")
    expect_status(second, re.compile("epoch|^done$"))
    expect_status(second, re.compile("^done$"))


@pytest.mark.slow
def test_speed_test_draws_its_figures_live(open_page: Callable[..., Page]) -> None:
    page = open_page(query="?hidden_sizes=2048,2048")  # takes long to measure
    open_tab(page, "How fast is this machine?")
    click(page, "measure_speed")
    expect(page.locator(".st-key-stop_measuring button")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^1 thread, batch [\d,]+: [\d,]+ images/s$"))).to_be_visible()
    dots = page.locator(".st-key-speed_chart .curves circle")
    expect(dots.nth(1)).to_be_visible()
    click(page, "stop_measuring")
    expect(page.locator(".st-key-measure_speed button")).to_be_visible()
    stopped = page.get_by_text(re.compile(r"^Stopped after \d+ of \d+ figures\.$"))
    expect(dots).to_have_count(int(re.findall(r"\d+", stopped.inner_text())[0]))


@pytest.mark.slow
def test_killed_training_process_is_reported_and_the_next_run_works(page: Page, server: Server) -> None:
    choose_preset(page, "best")
    click(page, "train")
    expect_status(page, "running")
    expect(page.locator(".series:has-text('train')")).to_have_count(2)
    os.kill(server.worker(), signal.SIGKILL)
    expect_status(page, "failed")
    expect(page.get_by_role("alert").get_by_text("was ended by SIGKILL")).to_be_visible()
    expect(page.locator(".st-key-progress")).to_contain_text("was ended by SIGKILL")
    expect(page.locator(".series:has-text('train')")).to_have_count(2)
    choose_preset(page, "fast")
    start_run(page)


def test_divergence_names_its_step_and_a_remedy(open_page: Callable[..., Page]) -> None:
    page = open_page(query=as_query(OVERFLOWING))
    click(page, "train")
    expect_status(page, "diverged")
    expect(page.get_by_text(re.compile(r"stopped being a finite number at step \d+.*lower learning rate"))).to_be_visible()
