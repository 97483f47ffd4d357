"""A class on one server: sessions that draw, train, reload, leave and return, while one of them trains all the time.

    tests/run soak --sessions 30 --minutes 10

starts a server and measures how long one person waits for a reading while nothing else runs. Then it opens the sessions
(websocket clients, see client.py, and one real browser) and measures the same for the class. Times depend on the machine, so
they are reported and not checked. The exit code is 1 if drawings are lost or misread, the log has errors, processes or temporary
files are left behind, or a session takes too much memory. The clients use the same cores as the server.
"""

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import sync_playwright
from websockets.exceptions import ConnectionClosed

from mnist_fc.drawing.strokes import render, strokes_of_canvas
from mnist_fc.reading.reader import Reader
from mnist_fc.views.components.images import data_url
from tests.support.browser import (
    AT_ONCE_SECONDS,
    BROWSER,
    BROWSER_ARGS,
    ONE,
    SECONDS,
    SEVEN,
    TWO,
    Server,
    click,
    draw,
    expect_reading,
    ready,
    running_server,
    wait_until,
)
from tests.support.client import Point, Session, fabric_path

MAX_LOST = 0.01
"""The share of drawings that a lagging server may take off the canvas; see `draw_stroke`."""

KEPT_SECONDS = 120.0
"""How long Streamlit keeps the session of a closed page."""

MAX_SESSION_MB = 10.0
"""Limit for the memory of each additional session on the server."""

FOUR: list[Point] = [(170, 50), (80, 170), (205, 170)]
FOUR_STEM: list[Point] = [(165, 110), (165, 235)]
SEVEN_BAR: list[Point] = [(115, 150), (185, 150)]
SHAPES: list[list[list[Point]]] = [[SEVEN, SEVEN_BAR], [ONE], [TWO], [FOUR, FOUR_STEM]]

TABS = ["Why this digit?", "Inside", "Misread digits", "Look-alikes", "Runs", "Gradients"]

LONG_RUN, SHORT_RUN = "preset=blog-pytorch&epochs=100", "preset=fast&epochs=1"
"""Query strings of a run that lasts and of one that ends soon."""

LOST = "drawings lost"

SESSION_ERRORS = (AssertionError, OSError, ConnectionClosed)
"""No answer, a violation of the protocol, or the end of the connection."""

LOG_ERRORS = re.compile(r"^.*(?:Traceback|\bERROR\b|\bCRITICAL\b|Uncaught|Exception).*$", re.MULTILINE)


@dataclass(frozen=True)
class Drawing:
    """The strokes of a digit, and after each the pictures of the network's input that the page must show."""

    strokes: list[list[Point]]
    width: float
    seen: list[list[str]]


def drawings(count: int, random: random.Random) -> list[Drawing]:
    """Return digits of several sizes, places and brushes, with the expected pictures."""
    reader = Reader.load()
    made = []
    for i in range(count):
        scale, width = random.uniform(0.5, 0.95), random.choice([14, 20, 26])
        across, down = (random.uniform(10, 270 - 260 * scale) for _ in range(2))
        strokes = [[(across + x * scale, down + y * scale) for x, y in points] for points in SHAPES[i % len(SHAPES)]]
        seen = []
        for n in range(1, len(strokes) + 1):
            objects = [fabric_path(points, width) for points in strokes[:n]]
            readings = reader.read_number(render(strokes_of_canvas({"objects": objects})))
            seen.append([data_url(reading.image) for reading in readings])
        made.append(Drawing(strokes, width, seen))
    return made


@dataclass
class Measured:
    """The result. Seconds are from mouse-up to the reading, memory is in MB."""

    num_sessions: int
    alone_seconds: list[float] = field(default_factory=list)
    """Of one websocket session before the class, while nothing is trained."""
    seconds: list[float] = field(default_factory=list)
    """Of the websocket sessions of the class."""
    browser_seconds: list[float] = field(default_factory=list)
    """Of the real browser, until the text on the screen has changed."""
    memory: list[float] = field(default_factory=list)
    """Once a second, beginning with one session that has drawn and trains."""
    held: list[int] = field(default_factory=list)
    """How many sessions the server had at each of these moments, with those it keeps for people who left."""
    left_at: list[float] = field(default_factory=list)
    """When sessions were closed."""
    training_seconds: float = 0.0
    """Processor time of the training process."""
    server_seconds: float = 0.0
    client_seconds: float = 0.0
    wall_seconds: float = 0.0
    events: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)

    def count(self, event: str) -> None:
        self.events[event] = self.events.get(event, 0) + 1

    def num_kept(self) -> int:
        """Return how many sessions the server still keeps for people who left."""
        return sum(time.monotonic() - at < KEPT_SECONDS for at in self.left_at)

    @property
    def session_mb(self) -> float:
        """Return the memory of each additional session at the peak."""
        most, held = max(zip(self.memory, self.held, strict=True))
        return (most - self.memory[0]) / (max(held, self.num_sessions) - 1)

    def broken_bounds(self) -> list[str]:
        """Return the broken bounds in words."""
        broken = [*self.errors, *(f"left behind: {what}" for what in self.left_behind)]
        for what, seconds in (("websocket sessions", self.seconds), ("the browser", self.browser_seconds)):
            if not seconds:
                broken.append(f"no reading of {what}")
        if (lost := self.events.get(LOST, 0)) > MAX_LOST * (len(self.seconds) + lost):
            broken.append(f"{lost} drawings lost beside {len(self.seconds)} strokes read; at most {MAX_LOST:.0%}")
        if self.session_mb > MAX_SESSION_MB:
            broken.append(f"{self.session_mb:.1f} MB for each further session; at most {MAX_SESSION_MB}")
        return broken

    def __str__(self) -> str:
        events = ", ".join(f"{number} {event}" for event, number in sorted(self.events.items()))
        start, most, end = self.memory[0], max(self.memory), self.memory[-1]
        server, training, clients = (
            seconds / self.wall_seconds for seconds in (self.server_seconds, self.training_seconds, self.client_seconds)
        )
        return f"""\
{self.num_sessions} sessions for {self.wall_seconds:.0f} s: {events}
mouse-up to reading, one session alone:  {percentiles(self.alone_seconds)}
mouse-up to reading, websocket sessions: {percentiles(self.seconds)}; {ratios(self.seconds, self.alone_seconds)}
mouse-up to reading, the real browser:   {percentiles(self.browser_seconds)}
server memory: {start:.0f} MB with one session, {most:.0f} at the most, {end:.0f} at the end; \
{self.session_mb:.1f} MB for each further session, of which there were {max(self.held)} with those that are kept for who left
cores taken: {server:.2f} by the server, {training:.2f} by training, {clients:.2f} by the websocket clients
errors: {len(self.errors)}, left behind: {len(self.left_behind)}"""


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of at least one value."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def percentiles(seconds: Sequence[float]) -> str:
    """Describe the distribution in words."""
    if not seconds:
        return "none"
    ranks = ", ".join(f"p{percent} {percentile(seconds, percent):.2f}" for percent in (50, 95, 99))
    return f"{ranks}, max {max(seconds):.2f} s of {len(seconds)}"


def ratios(seconds: Sequence[float], alone: Sequence[float]) -> str:
    """Describe in words how much longer it takes in a class than alone."""
    if not seconds or not alone:
        return "nothing to compare"
    return ", ".join(f"p{percent} {percentile(seconds, percent) / percentile(alone, percent):.1f}" for percent in (50, 95)) + (
        " times as long as alone"
    )


class Person:
    """A member of the class, who draws a stroke every 2 to 5 seconds and sometimes does something else."""

    def __init__(
        self, session: Session, bank: Sequence[Drawing], random: random.Random, measured: Measured, number: int = 0
    ) -> None:
        self.session, self.bank, self.random, self.measured, self.number = session, bank, random, measured, number
        self._else = {
            self.stay: 80,
            self.look: 8,
            self.train: 4,
            self.reload: 4,
            self.go_out: 2,
            self.lose_connection: 2,
        }
        """What follows a digit, in percent."""

    async def attend(self, until: float) -> None:
        """Use the page until `until` on the monotonic clock, and for at least one digit and what follows it.

        The person's number decides what follows the first digit, so that everything happens even on a slow machine.
        """
        await self.session.open()
        what = list(self._else)[self.number % len(self._else)]
        while True:
            await self.draw_digit()
            await what()
            if time.monotonic() >= until:
                break
            (what,) = self.random.choices(list(self._else), list(self._else.values()))
        await self.session.leave()

    async def pause(self, least: float = 2.0, most: float = 5.0) -> None:
        """Wait like a person who thinks."""
        await asyncio.sleep(self.random.uniform(least, most))

    async def draw_digit(self) -> None:
        """Clear the canvas, draw another digit, and wait for the reading of each stroke."""
        session, drawing = self.session, self.random.choice(self.bank)
        await session.click("clear")
        await session.wait_for(is_empty, "the empty canvas")
        for index in range(len(drawing.strokes)):
            await self.pause()
            seconds = await draw_stroke(session, drawing, index)
            if seconds is None:
                self.measured.count(LOST)
                return
            self.measured.seconds.append(seconds)
            self.measured.count("strokes")

    async def stay(self) -> None:
        """Do nothing else."""

    async def look(self) -> None:
        """Open a tab."""
        await self.session.open_tab(self.random.choice(TABS))
        await self.session.settle()
        self.measured.count("tabs opened")

    async def train(self) -> None:
        """Press Train, or Stop if the own run is active or queued."""
        key = "train" if self.session.is_enabled("train") else "stop"
        if self.session.is_enabled(key):
            await self.session.click(key)
            await self.session.settle()
            self.measured.count(f"clicks on {key}")

    async def reload(self) -> None:
        """Reload the page."""
        self.measured.left_at.append(time.monotonic())
        await self.session.reload()
        self.measured.count("reloads")

    async def go_out(self) -> None:
        """Close the tab and open the page again after a while."""
        self.measured.left_at.append(time.monotonic())
        await self.session.leave()
        await self.pause(5, 30)
        await self.session.open()
        self.measured.count("goings and comings")

    async def lose_connection(self) -> None:
        """Lose the connection and return to the same session."""
        await self.session.reconnect()
        self.measured.count("reconnections")


class TrainingPerson(Person):
    """A member of the class who trains all the time and draws meanwhile."""

    async def attend(self, until: float) -> None:
        """Train until `until`; the page is already open."""
        while time.monotonic() < until:
            await self.keep_training()
            await self.draw_digit()
        if self.session.is_enabled("stop"):
            await self.session.click("stop")
            await self.session.settle()
        await self.session.leave()

    async def keep_training(self) -> None:
        """Train unless an own run is active."""
        if self.session.is_enabled("train"):
            await self.session.click("train")
            await self.session.settle()
            self.measured.count("long runs")


async def draw_stroke(session: Session, drawing: Drawing, index: int) -> float | None:
    """Draw a stroke and return the seconds from mouse-up to its reading, or None if the drawing is lost.

    A lagging server can lose it: when a fragment's run overtakes the elements of a full run, Streamlit sends only the end of
    the full run. The front end then removes the canvas and mounts an empty one, and the person starts again.
    """
    is_read = shows(drawing.seen[index])
    if len(session.drawing() or []) != index:
        return None
    mouse_up = time.monotonic()
    await session.draw(drawing.strokes[index], drawing.width)
    await session.wait_for(lambda page: is_read(page) or len(page.drawing() or []) != index + 1, "the reading")
    return time.monotonic() - mouse_up if is_read(session) else None


def is_empty(page: Session) -> bool:
    """Return whether the canvas is empty and nothing is read."""
    return page.drawing() == [] and not page.text("reading")


def shows(seen: Sequence[str]) -> Callable[[Session], bool]:
    """Return a condition: the page shows these pictures of the network's input."""
    return lambda page: all(one in page.html("seen") for one in seen)


def browse(url: str, until: float, measured: Measured) -> None:
    """Draw in a real browser until `until`; the browser measures from mouse-up to the changed text."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_ARGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        ready(page)
        page.evaluate(WATCH_READING)
        while True:
            for points, digit in ((SEVEN, "7"), (ONE, "1")):
                click(page, "clear")
                expect_reading(page, "")
                page.wait_for_timeout(2000)  # the pace of a person
                page.evaluate("window.waited = null")
                draw(page, points)
                waited = page.wait_for_function("window.waited", timeout=AT_ONCE_SECONDS * SECONDS)
                measured.browser_seconds.append(waited.json_value() / 1000)
                expect_reading(page, digit)
            if time.monotonic() >= until:
                break
        browser.close()


WATCH_READING = """() => {
  const text = () => document.querySelector(".st-key-reading")?.textContent.trim() ?? "";
  let shown = text(), mouseUp = null;
  addEventListener("mouseup", () => { mouseUp = performance.now(); }, true);
  new MutationObserver(() => {
    const now = text();
    if (now === shown) return;
    shown = now;
    if (now && mouseUp !== null) {
      const since = mouseUp;
      mouseUp = null;
      requestAnimationFrame(() => setTimeout(() => { window.waited = performance.now() - since; }));
    }
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
"""Lets `window.waited` be the milliseconds from the last mouse-up until the next text in `reading` is on the screen."""


# The server as the system sees it


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processes_of(folder: Path) -> Iterator[str]:
    """Yield the server with its store in `folder` and the processes it has started."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (process / "environ").read_bytes():
                yield f"{process.name} {(process / 'cmdline').read_bytes().replace(bytes(1), b' ').decode().strip()}"


# The class


async def attend_safely(person: Person, until: float, measured: Measured) -> None:
    """Record an error of one session; the others continue."""
    try:
        await person.attend(until)
    except SESSION_ERRORS as error:
        measured.errors.append(f"a session: {error!r}")
        with suppress(*SESSION_ERRORS):  # leaving may raise the same error again
            await person.session.leave()
    measured.errors += [f"on a page: {problem}" for problem in person.session.problems]


async def watch(server: Server, measured: Measured) -> None:
    """Sample the server every second."""
    training: dict[int, float] = {}
    while True:
        measured.memory.append(memory_mb(server.process.pid))
        measured.held.append(measured.num_sessions + measured.num_kept())
        with suppress(OSError, AssertionError):  # a training process that is being started
            training[server.worker()] = processor_seconds(server.worker())
        measured.training_seconds = sum(training.values())
        await asyncio.sleep(1)


async def draw_alone(session: Session, bank: Sequence[Drawing], measured: Measured) -> None:
    """Draw while nothing else happens, for comparison."""
    for drawing in bank:
        await session.click("clear")
        await session.wait_for(is_empty, "the empty canvas")
        for index in range(len(drawing.strokes)):
            seconds = await draw_stroke(session, drawing, index)
            if seconds is None:
                measured.count(LOST)
                break
            measured.alone_seconds.append(seconds)


async def hold_class(server: Server, num_sessions: int, seconds: float, seed: int) -> Measured:
    """Run a class for `seconds`: one who trains all the time, one with a real browser, and the rest."""
    measured = Measured(num_sessions)
    of = random.Random(seed)
    bank = drawings(40, of)
    trainer = TrainingPerson(Session(server.url, LONG_RUN), bank, random.Random(of.random()), measured)
    await trainer.session.open()
    await draw_alone(trainer.session, bank[:12], measured)
    await trainer.keep_training()
    await trainer.draw_digit()
    watching = asyncio.create_task(watch(server, measured))
    began, at_server, at_client = time.monotonic(), processor_seconds(server.process.pid), time.process_time()
    until = began + seconds

    async def come(person: Person, late: float) -> None:
        await asyncio.sleep(late)
        await attend_safely(person, until, measured)

    others = [
        Person(Session(server.url, SHORT_RUN), bank, random.Random(of.random()), measured, number)
        for number in range(num_sessions - 2)
    ]
    browsing = asyncio.to_thread(browse, server.url, until, measured)
    arrivals = [come(person, of.uniform(0, min(seconds / 6, 30))) for person in others]
    await asyncio.gather(browsing, attend_safely(trainer, until, measured), *arrivals)
    measured.wall_seconds = time.monotonic() - began
    measured.server_seconds = processor_seconds(server.process.pid) - at_server
    measured.client_seconds = time.process_time() - at_client
    watching.cancel()
    return measured


def soak(folder: Path, num_sessions: int, seconds: float, seed: int = 0, **environment: str) -> Measured:
    """Start a server in `folder`, run a class, end the server, and collect what is left behind."""
    temporary = folder / "tmp"
    temporary.mkdir()
    with running_server(folder, TMPDIR=str(temporary), **environment) as server:
        measured = asyncio.run(hold_class(server, num_sessions, seconds, seed))
    measured.errors += LOG_ERRORS.findall(server.log.read_text())
    with suppress(AssertionError):  # those left are reported below
        wait_until(lambda: not any(processes_of(folder)), seconds=30)
    measured.left_behind += [*processes_of(folder), *map(str, temporary.iterdir())]
    return measured


def main() -> int:
    """Run a class and print the report."""
    parser = argparse.ArgumentParser(description="Run a class on one server; report waiting times and memory.")
    parser.add_argument("--sessions", type=int, default=30, help="with the one that trains and the real browser")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0, help="of what the sessions do")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = soak(Path(folder), arguments.sessions, arguments.minutes * 60, arguments.seed)
    broken = measured.broken_bounds()
    sys.stdout.write("\n".join([str(measured), *(broken or ["All bounds hold."]), ""]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
