"""Measure how quick the page is in a real browser, and what it costs to have it open.

Opening it, layout shifts, reading a stroke at rest and during training, processor time at rest, and an epoch while one watches.

    .venv-tests/bin/python tests/support/page_speed.py

starts a server with an empty store and prints medians with their ranges. It needs the test environment, which `bash tests/run`
makes, and a Chromium that MNIST_FC_BROWSER names or Playwright has fetched. Run it on an otherwise quiet machine.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.sync_api import Browser, Page, expect, sync_playwright

from mnist_fc.benchmark.machine import machine
from mnist_fc.runs.reader import read_run
from tests.support.browser import (
    BROWSER,
    BROWSER_ARGS,
    ONE,
    SECONDS,
    SEVEN,
    clear,
    click,
    draw,
    expect_reading,
    expect_status,
    ready,
    running_server,
    start_run,
)
from tests.support.processes import processor_seconds

NUM_OPENED, NUM_STROKES, NUM_IDLE, NUM_PAIRS = 10, 20, 5, 6

IDLE_SECONDS, WINDOW_SECONDS, SETTLING_SECONDS = 15, 12, 4

TRAINING = "?epochs=100&hidden_sizes=500,500"

SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    const shifts = list.getEntries().filter(({ hadRecentInput }) => !hadRecentInput);
    window.shifts.push(...shifts.map(({ startTime, value }) => [startTime, value]));
  }).observe({ type: "layout-shift", buffered: true });
}"""

WATCH_OPENING = """() => {
  // The first frame in which all is there and nothing is about to be replaced, in milliseconds since the navigation began.
  const canvas = () => [...document.querySelectorAll(".st-key-canvas *")]
    .map(({ shadowRoot }) => shadowRoot?.querySelector("canvas.upper-canvas")).find(Boolean);
  const isThere = () => document.querySelectorAll(".st-key-probabilities .bar").length === 10
    && canvas()?.checkVisibility({ visibilityProperty: true })
    && document.querySelector(".st-key-accuracy_chart .axes text")
    && document.querySelector(".stApp")?.dataset.testScriptState === "notRunning";
  const look = () => isThere() ? (window.usable = performance.now()) : requestAnimationFrame(look);
  look();
}"""

FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"

WATCH_STROKE = """() => {
  // From the mouse-up to the frame in which the reading has changed.
  const reading = document.querySelector(".st-key-reading");
  window.stroke = new Promise((done) => {
    let released;
    addEventListener("pointerup", () => (released = performance.now()), { capture: true, once: true });
    const observer = new MutationObserver(() => {
      if (released === undefined || !reading.textContent.trim()) return;
      observer.disconnect();
      requestAnimationFrame(() => done((performance.now() - released) / 1000));
    });
    observer.observe(reading, { subtree: true, childList: true, characterData: true });
  });
}"""


def opened(browser: Browser, url: str) -> tuple[float, float]:
    """Return the seconds until a new session can be used, and the layout shift after its first paint."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(f"({SHIFTS})(); ({WATCH_OPENING})()")
    page.goto(url)
    seconds = page.wait_for_function("window.usable", timeout=180 * SECONDS).json_value() / 1000
    first_paint = page.wait_for_function(FIRST_PAINT).json_value()
    shift = sum(value for at, value in page.evaluate("window.shifts") if at > first_paint)
    page.context.close()
    return seconds, shift


def strokes(page: Page) -> list[float]:
    """Return the seconds from the end of a stroke to its reading, for one stroke after the other."""
    seconds = []
    for number in range(NUM_STROKES):
        clear(page)
        page.evaluate(WATCH_STROKE)
        draw(page, SEVEN if number % 2 else ONE)
        seconds.append(page.evaluate("window.stroke"))
    return seconds


def idle_share(page: Page) -> float:
    """Return the share of a core that server and browser take while nobody does anything, in percent."""
    began, before = time.perf_counter(), processor_seconds(os.getpid())  # they are started by this process
    page.wait_for_timeout(1000 * IDLE_SECONDS)
    return 100 * (processor_seconds(os.getpid()) - before) / (time.perf_counter() - began)


def steps_per_second(page: Page, url: str, run: Path) -> float:
    """Return the training steps of a run in a second of the clock while `page` shows `url`."""
    page.goto(url)
    if url != "about:blank":
        ready(page)
    page.wait_for_timeout(1000 * SETTLING_SECONDS)
    began, before = time.perf_counter(), last_step(run)
    page.wait_for_timeout(1000 * WINDOW_SECONDS)
    return (last_step(run) - before) / (time.perf_counter() - began)


def last_step(run: Path) -> int:
    stored = read_run(run)
    assert stored.end is None, "the run ended while it was watched"
    return stored.steps[-1].step


def slowdown(page: Page, runs: Path, *, watched_first: bool) -> float:
    """Return how many times as long an epoch takes while `page` shows it as while it shows nothing, in a new run."""
    before, address = set(runs.glob("[0-9]*")), page.url
    start_run(page)
    expect(page).not_to_have_url(address)  # it names the new run
    shown, (run,) = page.url, set(runs.glob("[0-9]*")) - before
    urls = (shown, "about:blank") if watched_first else ("about:blank", shown)
    rates = {url: steps_per_second(page, url, run) for url in urls}
    page.goto(shown)
    ready(page)
    click(page, "stop")
    expect_status(page, "stopped")
    return rates["about:blank"] / rates[shown]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def report(what: str, values: list[float], unit: str = " s") -> None:
    low, high = min(values), max(values)
    say(f"{what}: median {statistics.median(values):.3f}{unit} ({low:.3f} to {high:.3f}, n = {len(values)})")


def main() -> None:
    say(machine())
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_ARGS)
        first, _ = opened(browser, server.url)
        say(f"first page of a new server: {first:.2f} s")
        pages = [opened(browser, server.url) for _ in range(NUM_OPENED)]
        report("next page", [seconds for seconds, _ in pages])
        report("layout shift after the first paint", [shift for _, shift in pages], "")
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{server.url}/{TRAINING}")
        ready(page)
        page.wait_for_timeout(1000 * SETTLING_SECONDS)
        report("server and browser at rest", [idle_share(page) for _ in range(NUM_IDLE)], "% of a core")
        report("a stroke's reading, at rest", strokes(page))
        start_run(page)
        expect_reading(page, "1" if NUM_STROKES % 2 else "7")
        report("a stroke's reading, during training", strokes(page))
        click(page, "stop")
        expect_status(page, "stopped")
        runs = Path(folder) / "runs"
        ratios = [slowdown(page, runs, watched_first=bool(pair % 2)) for pair in range(NUM_PAIRS)]
        report("an epoch while the page shows it, beside a blank page", ratios, " times")
        browser.close()


if __name__ == "__main__":
    main()
