"""The page over a slow network: each choice is applied once, and no control jumps back."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from mnist_fc.config import PRESETS, TrainConfig, format_value, nearest_preset
from mnist_fc.runs.reader import read_run
from mnist_fc.views.settings import WORDS
from mnist_fc.views.state.address import name_in_address
from tests.support.browser import AT_ONCE_SECONDS, SECONDS, Server, click, expect_status, ready, set_number, slider, start_run
from tests.support.faults import run_of
from tests.support.slow_network import SlowNetwork

ROUND_TRIPS = [0.05, 0.5]
"""Seconds."""

LONG = "?preset=fast&num_validation=100&hidden_sizes=2048,2048&batch_size=8&epochs=100&threads=1"
"""A run that lasts until it is stopped."""


@pytest.fixture(scope="module")
def server(small_server: Server) -> Server:
    return small_server


@pytest.fixture(scope="module")
def network(server: Server) -> Iterator[SlowNetwork]:
    with SlowNetwork(int(server.url.rpartition(":")[2])).running() as running:
        yield running


@pytest.fixture
def open_slow(browser: Browser, network: SlowNetwork) -> Iterator[Callable[..., Page]]:
    """Open the page, then slow the network down to a round trip of that many seconds."""
    pages: list[Page] = []

    def open_one(round_trip: float, query: str = "") -> Page:
        network.delay = 0
        page = browser.new_context(viewport={"width": 1280, "height": 2400}).new_page()
        pages.append(page)
        page.goto(f"{network.url}/{query}")
        ready(page)
        network.delay = round_trip / 2
        return page

    yield open_one
    network.delay = 0
    for page in pages:
        button = page.locator(".st-key-stop button")
        button.evaluate("button => button.click()")  # does nothing if no run is active
        expect(button).to_be_disabled(timeout=30 * SECONDS)
        page.context.close()


def shown(page: Page, key: str) -> Locator:
    """Return the field that shows the value of a control."""
    return page.locator(f".st-key-{key} input:not([type=range])").first


def press(page: Page, key: str, *keys: str) -> None:
    """Move a slider with the keyboard; one that the page hides does not take the keys."""
    expect(slider(page, key)).to_be_visible()
    for each in keys:
        slider(page, key).press(each)


def expect_whole_update(page: Page) -> None:
    """Wait until all of the panel's last update has arrived; no person is so quick as to press between two of its parts."""
    page.wait_for_function(
        "([first, last]) => document.querySelector(first).value === document.querySelector(last).value",
        arg=[".st-key-panel_begun input", ".st-key-panel_seen input"],
    )


def run_timers(page: Page) -> None:
    """Let the browser's pending timers run, so that a press is sent by itself: a later change would be sent with it."""
    page.evaluate("() => new Promise(done => setTimeout(done))")


def open_all_settings(page: Page) -> None:
    page.get_by_text("More settings").click()
    for key in ("optimizer", "augmentation", "initialization"):
        expect(shown(page, key)).to_be_visible()


def expect_settings(page: Page, config: TrainConfig, preset: str) -> None:
    """Wait until side panel and address show `config`."""
    expect(shown(page, "preset")).to_have_value(preset)
    for key, text in {
        "learning_rate": f"{config.learning_rate:.12g}",
        "epochs": str(config.num_epochs),
        "batch_size": str(config.batch_size),
        "dropout": f"{config.dropout:.12g}",
        "label_smoothing": f"{config.label_smoothing:.12g}",
        "weight_decay": f"{config.weight_decay:.12g}",
        "num_validation": f"{config.num_validation:,}",
    }.items():
        expect(slider(page, key)).to_have_attribute("aria-valuetext", text)
    for key in ("activation", "optimizer", "schedule", "augmentation", "initialization"):
        expect(shown(page, key)).to_have_value(WORDS[getattr(config, key)])
    for key, number in {
        "num_layers": len(config.hidden_sizes),
        **{f"size_{i}": size for i, size in enumerate(config.hidden_sizes)},
        "seed": config.seed,
    }.items():
        expect(shown(page, key)).to_have_value(str(number))
    page.wait_for_function(ADDRESS_SAYS, arg=in_address(config), timeout=AT_ONCE_SECONDS * SECONDS)


def in_address(config: TrainConfig) -> dict[str, str]:
    preset, differing = nearest_preset(config)
    return {"preset": preset} | {name_in_address(field): format_value(value) for field, value in differing.items()}


def choose_by_typing(page: Page, key: str, option: str) -> None:
    """Choose an option by typing, faster than `choose`."""
    shown(page, key).fill(option)
    page.get_by_role("option", name=option, exact=True).click()


def stop(page: Page) -> None:
    click(page, "stop")
    expect(page.locator(".st-key-train button")).to_be_enabled()


def config_of_run(page: Page, server: Server) -> TrainConfig:
    """Return the settings with which the run on the page started."""
    return read_run(run_of(page, server.log.parent / "runs"), with_steps=False).config


@pytest.mark.slow
@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_twenty_choices_during_a_run_are_each_taken_once(
    open_slow: Callable[..., Page], network: SlowNetwork, server: Server, round_trip: float
) -> None:
    page = open_slow(round_trip, LONG)
    open_all_settings(page)
    start_run(page)
    choose_by_typing(page, "preset", "best")
    press(page, "epochs", "Home")
    expect(shown(page, "preset")).to_have_value("custom")
    with network.answers_held():  # an open list closes when its control changes
        choose_by_typing(page, "preset", "blog-keras")
        choose_by_typing(page, "preset", "fast")
    expect(slider(page, "epochs")).to_have_attribute("aria-valuetext", str(PRESETS["fast"].num_epochs))
    expect(shown(page, "augmentation")).to_have_value("none")
    for key, preset in (("ArrowRight", "custom"), ("ArrowLeft", "fast")):  # answered after all earlier changes
        press(page, "epochs", key)
        expect(shown(page, "preset")).to_have_value(preset)
    page.evaluate(WATCH)
    choose_by_typing(page, "schedule", "cosine")
    press(page, "dropout", "End")
    set_number(page, "seed", 7)
    choose_by_typing(page, "augmentation", "shift")
    press(page, "batch_size", "End", "ArrowLeft")
    choose_by_typing(page, "optimizer", "AdamW")
    set_number(page, "num_layers", 2)
    press(page, "learning_rate", "ArrowLeft", "ArrowLeft")
    set_number(page, "size_1", 8)
    press(page, "label_smoothing", "End")
    press(page, "weight_decay", "ArrowRight")
    choose_by_typing(page, "activation", "GELU")
    choose_by_typing(page, "initialization", "Keras's")
    press(page, "num_validation", "ArrowLeft", "ArrowLeft")
    press(page, "epochs", "Home")
    wanted = PRESETS["fast"].replace(
        schedule="cosine",
        dropout=0.5,
        seed=7,
        augmentation="shift",
        batch_size=2048,
        optimizer="adamw",
        hidden_sizes=(256, 8),
        learning_rate=0.003,
        label_smoothing=0.2,
        weight_decay=1e-6,
        activation="gelu",
        initialization="keras",
        num_validation=1000,  # half of the server's images
        num_epochs=1,
        threads=1,
    )
    expect_settings(page, wanted, "custom")
    changes = page.evaluate("window.changes")
    for key, values in changes.items():
        assert len(values) == len(set(values)), f"{key} jumped back: {values}"
    expect_status(page, "running")
    stop(page)
    start_run(page)
    expect_status(page, "done")
    assert config_of_run(page, server) == wanted
    expect_settings(page, wanted, "custom")


@pytest.mark.slow
def test_changes_faster_than_answers_keep_the_last_choice(open_slow: Callable[..., Page], network: SlowNetwork) -> None:
    page = open_slow(0.5, LONG)
    open_all_settings(page)
    start_run(page)
    one_thread = {name: preset.replace(threads=1) for name, preset in PRESETS.items()}

    with network.answers_held():
        choose_by_typing(page, "preset", "best")
        press(page, "learning_rate", "End")  # a control that the preset is about to set
    expect_settings(page, one_thread["best"].replace(learning_rate=1.0), "custom")

    with network.answers_held():
        press(page, "batch_size", "Home")
        choose_by_typing(page, "preset", "blog-keras")
    expect_settings(page, one_thread["blog-keras"], "blog-keras")

    with network.answers_held():
        press(page, "epochs", "Home")
        choose_by_typing(page, "preset", "best")
        choose_by_typing(page, "preset", "blog-keras")
    expect_settings(page, one_thread["blog-keras"], "blog-keras")

    with network.answers_held():
        choose_by_typing(page, "activation", "tanh")
        choose_by_typing(page, "activation", "GELU")
        press(page, "dropout", "End", "Home")
    expect_settings(page, one_thread["blog-keras"].replace(activation="gelu"), "custom")
    choose_by_typing(page, "activation", "ReLU")
    expect_settings(page, one_thread["blog-keras"], "blog-keras")


@pytest.mark.slow
def test_clicks_faster_than_answers_keep_run_and_network(
    open_slow: Callable[..., Page], network: SlowNetwork, server: Server
) -> None:
    page = open_slow(0.5, LONG)
    by = page.locator(".under-digit .by")
    with network.answers_held():
        click(page, "train")
        expect(page.locator(".st-key-train button")).to_have_class(re.compile("pressed"))
        run_timers(page)
        press(page, "epochs", "ArrowLeft")  # sent before the address names the run
    expect_status(page, "running")
    expect(slider(page, "epochs")).to_have_attribute("aria-valuetext", "80")
    expect(by).to_contain_text("this run, step")
    assert config_of_run(page, server).num_epochs == 100
    choice = page.locator(".st-key-network")
    with network.answers_held():
        choice.get_by_text("Built-in network").click()
        choice.get_by_text("This run's network").click()
        choice.get_by_text("Built-in network").click()
    shipped = choice.get_by_role("radio", name="Built-in network")
    expect(by).to_have_text("the built-in network")
    expect(shipped).to_be_checked()
    stop(page)
    expect(by).to_have_text("the built-in network")
    expect(shipped).to_be_checked()
    click(page, "reset")
    expect_status(page, "ready")
    assert "run" not in dict(parse_qsl(urlsplit(page.url).query))


@pytest.mark.slow
def test_back_leaves_the_page_and_forward_restores_settings(open_slow: Callable[..., Page], network: SlowNetwork) -> None:
    page = open_slow(0.05)
    before = page.evaluate("history.length")
    choose_by_typing(page, "preset", "best")
    expect(slider(page, "epochs")).to_have_attribute("aria-valuetext", str(PRESETS["best"].num_epochs))
    expect_whole_update(page)
    press(page, "epochs", "Home", "ArrowRight", "ArrowRight")
    wanted = PRESETS["best"].replace(num_epochs=3)
    expect(page).to_have_url(re.compile("epochs=3"))
    assert page.evaluate("history.length") == before
    page.go_back()
    assert page.url == "about:blank"
    page.go_forward()
    ready(page)
    open_all_settings(page)
    expect_settings(page, wanted, "custom")


WATCH = """() => {
  window.changes = {};
  const look = () => {
    for (const element of document.querySelectorAll("[data-testid=stSidebar] [class*=st-key-]")) {
      const key = Array.from(element.classList).find(name => name.startsWith("st-key-")).slice("st-key-".length);
      const slider = element.querySelector("[role=slider], input[type=range]");
      const value = slider ? slider.getAttribute("aria-valuetext") : element.querySelector("input")?.value;
      const values = window.changes[key] ??= [];
      if (value !== undefined && values.at(-1) !== value) values.push(value);
    }
    requestAnimationFrame(look);
  };
  look();
}"""
"""Records, frame by frame, every value that each control of the side panel shows."""

ADDRESS_SAYS = """wanted => {
  const address = Object.fromEntries(new URLSearchParams(location.search));
  delete address.run;
  const names = Object.keys(address);
  return names.length === Object.keys(wanted).length && names.every(name => address[name] === wanted[name]);
}"""
"""Whether the address contains exactly these settings."""
