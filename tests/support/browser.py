"""A server of the page with its training process, and what a person does in the browser."""

import collections
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from mnist_fc.config import PRESETS
from mnist_fc.files import ROOT
from mnist_fc.views import tabs
from mnist_fc.views.controls import MORE
from mnist_fc.views.state.address import FIELD_NAMES

BROWSER = os.environ.get("MNIST_FC_BROWSER") or None  # read at import, since tests run without these variables
BROWSER_ARGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
SECONDS = 1000.0
AT_ONCE_SECONDS = 60.0
"""An upper bound, for a busy machine, on what an idle one does immediately."""
expect.set_options(timeout=AT_ONCE_SECONDS * SECONDS)

SEVEN: list[tuple[float, float]] = [(80, 60), (200, 60), (130, 230)]
ONE: list[tuple[float, float]] = [(140, 50), (140, 230)]
TWO: list[tuple[float, float]] = [(80, 90), (100, 65), (140, 55), (185, 70), (190, 105), (160, 150), (80, 225), (200, 225)]
SCRIBBLE: list[tuple[float, float]] = [(60, 60), (220, 200), (60, 200), (200, 50), (140, 240), (40, 120), (240, 130), (100, 40)]
"""A stroke that is not a digit."""


UPPER, LOWER = "canvas.upper-canvas", "canvas.dc-canvas.lower-canvas"
"""The canvas that takes strokes, and the one below it that shows them."""


PLAIN_PROCESS = {
    # Threads that spin while they wait are 30 times as slow when other processes use the cores, too.
    "OMP_WAIT_POLICY": "PASSIVE",
    # glibc's value on two cores: otherwise the memory of many threads grows with the number of cores.
    "MALLOC_ARENA_MAX": "16",
}


@dataclass(frozen=True)
class Server:
    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def worker(self) -> int:
        """Return the process id of the training process."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int(re.findall(r"PPid:\s+(\d+)", (folder / "status").read_text())[0])
                command = (folder / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == self.process.pid and b"mnist_fc.server.worker" in command:
                return int(folder.name)
        raise AssertionError("the server has no training process")


SERVERS: list[Server] = []
"""The servers that this process has started and not yet ended."""


class RunningServers:
    """The servers that run now, so that a test stops waiting when one of them exits."""

    def __init__(self) -> None:
        self._servers = [server for server in SERVERS if server.process.poll() is None]

    def check(self) -> None:
        for server in self._servers:
            code = server.process.poll()
            assert code is None, f"the server exited with code {code}:\n{server.log.read_text()[-2000:]}"


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Poll for what sends no event: another process, or a file. Fail as soon as a server exits."""
    deadline, servers = time.monotonic() + seconds, RunningServers()
    while not condition():
        servers.check()
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.002)


def free_port() -> int:
    """Return a free port below 32768, where systems take the ports of outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


@contextmanager
def running_server(folder: Path, *inside: str, **environment: str) -> Iterator[Server]:
    """Serve the page with a store in `folder`, inside the command `inside` if one is given.

    It listens on the port that STREAMLIT_SERVER_PORT names, or on a free one.
    """
    port = int(environment.get("STREAMLIT_SERVER_PORT") or free_port())
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *inside,
                sys.executable,
                "-m",
                "streamlit",
                "run",
                "app.py",
                "--server.port",
                str(port),
                "--server.headless",
                "true",
            ],
            cwd=ROOT,
            env={**os.environ, **PLAIN_PROCESS, "MNIST_FC_RUNS": str(folder / "runs"), **environment},
            stdout=subprocess.PIPE,
            stderr=output,
        )
    server = Server(process, f"http://localhost:{port}", log)
    assert process.stdout
    with process.stdout:
        if not any(b"URL:" in line for line in process.stdout):
            process.wait()
            raise AssertionError(f"the server did not start:\n{log.read_text()}")
        # Nobody reads the rest, but a full pipe would stop the server: Streamlit prints errors of a script there.
        rest = threading.Thread(target=collections.deque, args=(process.stdout, 0), daemon=True)
        rest.start()
        SERVERS.append(server)
        try:
            yield server
        finally:
            SERVERS.remove(server)
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                rest.join(60)  # it ends with the output, before the pipe is closed


def ready(page: Page) -> None:
    expect(page.locator(".st-key-probabilities .bar")).to_have_count(10, timeout=180 * SECONDS)  # the first page imports PyTorch
    expect(page.locator(".st-key-canvas canvas.upper-canvas")).to_be_visible()
    expect(page.locator(".st-key-accuracy_chart .axes text").first).to_be_visible()
    expect(page.locator(".stApp")).to_have_attribute("data-test-script-state", "notRunning")  # nothing is about to be replaced


STILL: dict[str, Any] = {"reduced_motion": "reduce"}


class Tabs:
    """Tabs that tests use one after the other: in a used tab the page opens in a third of the time."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: dict[str, list[Page]] = collections.defaultdict(list)

    def open(self, address: str, width: int = 1280, height: int = 800, **options: Any) -> Page:
        """Open the page as a new session, in a free tab of a context with these options or else in a new one.

        Without `reduced_motion="no-preference"` nothing fades or flows, which costs the browser half of a stroke's time.
        """
        free = self._free[self._name(options)]
        page = free.pop() if free else self._browser.new_context(**STILL | options).new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.mouse.move(0, 0)
        page.goto(address)
        ready(page)
        return page

    def give_back(self, page: Page, **options: Any) -> None:
        """Stop what the tab still trains, end its session and delete what it stored."""
        if page.is_closed():
            return
        stop = page.locator(".st-key-stop button")
        if stop.count():
            stop.evaluate("button => button.click()")  # does nothing if the run has just ended and it is disabled
            expect(stop).to_be_disabled()
        page.goto(f"{page.evaluate('location.origin')}/_stcore/health")
        page.evaluate("() => { sessionStorage.clear(); localStorage.clear(); }")
        self._free[self._name(options)].append(page)

    @staticmethod
    def _name(options: dict[str, Any]) -> str:
        return json.dumps(STILL | options, sort_keys=True)


def draw(page: Page, points: list[tuple[float, float]], canvas: str = ".st-key-canvas") -> None:
    """Draw one stroke with the mouse, in pixels of the canvas."""
    drawn_on = page.locator(f"{canvas} {UPPER}")
    drawn_on.evaluate("canvas => canvas.scrollIntoView({ block: 'center' })")  # not under the training bar
    box = drawn_on.bounding_box()
    assert box
    (x, y), *rest = points
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.down()
    for x, y in rest:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=8)
    page.mouse.up()


def draw_271(page: Page) -> None:
    """Draw three small digits beside each other on an empty canvas, and wait for the reading of each."""
    slide(page, "brush", "Home")
    for i, shape in enumerate((TWO, SEVEN, ONE)):
        draw(page, [(x / 3 + 15 + 75 * i, y / 3 + 90) for x, y in shape])
        expect_reading(page, "271"[: i + 1])


def expect_blank(page: Page, canvas: str = ".st-key-canvas") -> None:
    """Wait until a canvas is empty in the browser, too: an earlier stroke would be cleared with the old ones."""
    assert page.locator(f"{canvas} {LOWER}").evaluate(DARK_AT_LAST) == 0


def clear(page: Page) -> None:
    """Press Clear and wait until there is nothing to read."""
    click(page, "clear")
    expect_reading(page, "")
    expect_blank(page)


def click(page: Page, key: str) -> None:
    page.locator(f".st-key-{key} button").click()


def expect_reading(page: Page, digit: str) -> None:
    expect(page.locator(".st-key-reading")).to_have_text(digit)


STATUS_SECONDS = 300.0
"""An upper bound for a busy machine: on an idle one the longest run of a test takes ten seconds."""
AT_REST = "^(ready|done|stopped|diverged|failed|interrupted|$)"
"""How the status begins while nothing is running."""


def expect_status(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the status contains the text. Fail as soon as the run ends otherwise or the server exits."""
    expected = text.pattern if isinstance(text, re.Pattern) else re.escape(text)
    before = page.evaluate(STATUS)
    began, servers = time.monotonic(), RunningServers()
    while True:
        try:
            reached = page.wait_for_function(
                STATUS_REACHED, arg=[before, expected, AT_REST], timeout=min(5.0, AT_ONCE_SECONDS) * SECONDS, polling=50
            ).json_value()
        except PlaywrightTimeoutError:
            servers.check()
            has_not_begun = re.match(AT_REST, before[1]) and page.evaluate(STATUS) == before
            if time.monotonic() - began < (AT_ONCE_SECONDS if has_not_begun else STATUS_SECONDS):
                continue
            reached = {"isExpected": False}
        assert reached["isExpected"], f"waited for {text!r}; the page shows {json.dumps(page.evaluate(SHOWN), indent=2)}"
        return


def start_run(page: Page) -> None:
    """Press Train and wait until the status shows the new run, which may already be done."""
    status = page.locator(".st-key-status [role=status]")
    before = status.get_attribute("data-run") or "none"
    click(page, "train")
    expect(status).to_have_attribute("data-run", re.compile(f"^(?!{re.escape(before)}$)."))


def expect_at_end(page: Page, step: int) -> None:
    """Wait until the run is done and the page has used its last weights, of `step`, for the reading and the tabs."""
    expect_status(page, "done")
    expect(page.get_by_text(f"Read by this run, step {step:,}.")).to_be_visible()


def choose(page: Page, key: str, option: str) -> None:
    """Choose an option of a control; one of those under "More settings" is revealed first."""
    if key in MORE and not page.locator(f".st-key-{key}").is_visible():
        page.locator(".st-key-more_settings summary").click()
        page.locator(".st-key-more_settings").evaluate(ANIMATED)
    control = page.locator(f".st-key-{key} input").first
    control.scroll_into_view_if_needed()
    control.focus()
    # A list closes as soon as its panel scrolls.
    expect(page.locator(".stApp")).to_have_attribute("data-test-script-state", "notRunning")
    control.evaluate(UNTIL_STILL)
    control.press("ArrowDown")  # a click may scroll: if something covers the control for a moment, it is scrolled elsewhere
    page.get_by_role("option", name=option, exact=True).click()


def choose_preset(page: Page, name: str) -> None:
    """Choose a preset and wait until the side panel shows it: the next click would send the old values."""
    choose(page, "preset", name)
    for i in range(len(PRESETS[name].hidden_sizes)):
        expect(page.locator(f".st-key-size_{i} input")).to_have_value(str(PRESETS[name].hidden_sizes[i]))
    expect(page.locator(".st-key-batch_size")).to_contain_text(str(PRESETS[name].batch_size))
    expect(page.locator(".st-key-epochs")).to_contain_text(str(PRESETS[name].num_epochs))


def slider(page: Page, key: str) -> Locator:
    return page.locator(f".st-key-{key} [role=slider], .st-key-{key} input[type=range]").first


def slide(page: Page, key: str, end: str) -> None:
    """Move a control to one end of its ladder with the keyboard, Home or End, and wait until the page knows it.

    Train pressed before that would use the old value, and a list opened before that would close.
    """
    address = page.url
    slider(page, key).press(end)
    if (key, end) == ("epochs", "Home"):  # where it may have been already
        expect(page.locator("[data-testid=stSidebar]")).to_contain_text(re.compile(r"([\d,]+) steps an epoch, \1 in all"))
    elif key == "brush":
        (width,) = re.findall(r"\d+", slider(page, key).get_attribute("aria-valuetext") or "")
        expect(page.locator(f"[data-brush='{width}']").first).to_be_attached()
        expect(page.locator(f"[data-brush]:not([data-brush='{width}'])")).to_have_count(0)
    elif key in FIELD_NAMES:
        expect(page).not_to_have_url(address)


def set_number(page: Page, key: str, value: int) -> None:
    """Type a number into a control with "+" and "-"."""
    field = page.locator(f".st-key-{key} input").first
    field.fill(str(value))
    field.press("Enter")


def curve_length(page: Page, chart: str) -> int:
    """Return the number of points of the training curve; its length in pixels shrinks when the axes move."""
    length: int = page.evaluate(CURVE_LENGTH, chart)
    return length


def expect_longer_curve(page: Page, chart: str, length: int) -> None:
    expect(page.locator(".timeline .run b")).not_to_have_text("Built-in network")  # whose curves are longer
    page.wait_for_function(f"([chart, length]) => ({CURVE_LENGTH})(chart) > length", arg=[chart, length], timeout=60 * SECONDS)


def open_tab(page: Page, name: str) -> None:
    """Open a tab, in its group, when the page is not being redrawn: Streamlit (1.67) disables its tabs for moments meanwhile."""
    for each in tabs.choices(name).values():
        tab = page.get_by_role("tab", name=each, exact=True)
        expect(tab).to_be_visible()
        expect(page.locator(".stApp")).to_have_attribute("data-test-script-state", "notRunning")
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")


ANIMATED = """element => {
  const ending = element.getAnimations({ subtree: true }).filter(({ effect }) => effect.getComputedTiming().endTime < Infinity);
  return Promise.allSettled(ending.map(({ finished }) => finished));
}"""
"""Wait until an element has opened or closed."""

UNTIL_STILL = """element => new Promise(done => {
  let last, numSame = 0;
  const scrolled = () => { numSame = 0; };
  window.addEventListener("scroll", scrolled, true);
  const look = () => {
    const { top } = element.getBoundingClientRect();
    numSame = top === last ? numSame + 1 : 0;
    last = top;
    if (numSame < 10) return requestAnimationFrame(look);
    window.removeEventListener("scroll", scrolled, true);
    done();
  };
  look();
})"""
"""Wait until an element has stood still, and nothing has scrolled, for ten frames."""

STATUS = """() => {
  const status = document.querySelector(".st-key-status");
  const run = status?.querySelector("[role=status]")?.dataset.run;
  return [run ?? "", (status?.textContent ?? "").replace(/\\s+/g, " ").trim()];
}"""
"""The id of the run on the page, and the text of its status."""

STATUS_REACHED = f"""([before, expected, atRest]) => {{
  const [run, words] = ({STATUS})();
  const isExpected = new RegExp(expected).test(words);
  // A run at rest may be about to start, and "Close run" leads from a finished run to none.
  const hasChanged = run !== before[0] || words !== before[1];
  const isOver = hasChanged && run && new RegExp(atRest).test(words) && !/ready/.test(expected);
  return isExpected || isOver ? {{ isExpected }} : null;
}}"""
"""Whether the status is as expected, or the run has ended otherwise; null for neither."""

SHOWN = """() => Object.fromEntries(
  [".st-key-status", ".st-key-progress", ".st-key-diagnosis", "[data-testid=stAlert]", "[data-testid=stException]"].map(
    name => [name, Array.from(document.querySelectorAll(name), element => element.innerText).join("; ")]
  )
)"""
"""What the page shows of its run, for the message of a failing test."""

CURVE_LENGTH = """
chart => {
  const paths = Array.from(document.querySelectorAll(`.st-key-${chart} .curves path`));
  return Math.max(0, ...paths.map(path => path.getAttribute("d").split("L").length));
}
"""

NUM_DARK = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 128 && data[i] < 128) count++;
  return count * (280 / canvas.width) ** 2;
}"""
"""The number of dark pixels of a canvas."""

DARK_AT_LAST = f"""async canvas => {{
  const numDark = {NUM_DARK};
  for (let frame = 0; frame < 3600 && numDark(canvas); frame++) await new Promise(requestAnimationFrame);
  return numDark(canvas);
}}"""
"""The same, as soon as it is 0, or after 3,600 frames."""
