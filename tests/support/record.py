"""Record the animated picture of the README from the real page: draw, train, watch, read.

    .venv-tests/bin/python tests/support/record.py

starts a server with an empty store, draws with the mouse, trains with the preset "fast", and writes assets/page.webp. It needs
the test environment, which `bash tests/run` makes, and a Chromium that MNIST_FC_BROWSER names or Playwright has fetched.
Drawing is shown at a person's speed, training faster than it happens: each state of the page for at most MAX_TICK_MS.
"""

import io
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from PIL import Image, ImageChops, ImageDraw
from playwright.sync_api import Locator, Page, sync_playwright

from mnist_fc.files import ASSETS, atomic_write
from tests.support.browser import BROWSER, BROWSER_ARGS, UPPER, clear, expect_reading, ready, running_server, start_run

PICTURE = ASSETS / "page.webp"
MAX_BYTES = 3 * 10**6
WIDTH, HEIGHT = 1280, 800

Point = tuple[float, float]

SEVEN: list[Point] = [(80, 66), (140, 63), (198, 60), (188, 90), (172, 122), (158, 158), (146, 194), (138, 228)]
FIVE: list[Point] = [
    *((190, 58), (148, 59), (106, 60), (101, 92), (98, 126), (116, 116), (138, 113), (162, 118)),
    *((180, 132), (190, 154), (190, 180), (180, 202), (160, 218), (134, 224), (108, 220), (88, 206)),
]

NUM_STROKE_FRAMES = 24
STROKE_MS, MOVE_MS, READ_MS = 50, 40, 1500
MAX_TICK_MS = 200
"""No state of the page is shown for longer while a network trains; it lasts 800 ms or more."""

POINTER: list[Point] = [(0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12)]
"""The outline of a mouse pointer, which a screenshot does not show."""

IS_DONE = """() => document.querySelector(".st-key-status").textContent.trim().startsWith("done")"""


@dataclass
class Recording:
    """Frames of a page with the milliseconds that each is shown, and where the mouse is."""

    page: Page
    frames: list[Image.Image] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    mouse: Point = (WIDTH * 0.6, HEIGHT * 0.9)

    def shoot(self, milliseconds: int, at_most: int = 10_000) -> None:
        """Add what the page shows now, or show the last frame longer, `at_most` so long in all, if nothing has changed."""
        frame = Image.open(io.BytesIO(self.page.screenshot(animations="allow", caret="initial"))).convert("RGB")
        outline = [(x + self.mouse[0], y + self.mouse[1]) for x, y in POINTER]
        ImageDraw.Draw(frame).polygon(outline, fill="black", outline="white")
        if self.frames and not ImageChops.difference(frame, self.frames[-1]).getbbox():
            self.durations[-1] = max(self.durations[-1], min(at_most, self.durations[-1] + milliseconds))
        else:
            self.frames.append(frame)
            self.durations.append(min(at_most, milliseconds))

    def move(self, to: Point, milliseconds: int, num_frames: int) -> None:
        """Move the mouse in a straight line, with a frame at each of `num_frames` points of it."""
        (x, y), (to_x, to_y) = self.mouse, to
        for i in range(1, num_frames + 1):
            self.mouse = x + (to_x - x) * i / num_frames, y + (to_y - y) * i / num_frames
            self.page.mouse.move(*self.mouse)
            self.shoot(milliseconds)

    def move_to(self, target: Locator) -> None:
        """Move the mouse to the middle of an element."""
        box = target.bounding_box()
        assert box, "the element is not on the page"
        self.move((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), MOVE_MS, 6)

    def draw(self, points: Sequence[Point], digit: str) -> None:
        """Draw one stroke, in pixels of the canvas, and wait until it is read as `digit`."""
        box = self.page.locator(f".st-key-canvas {UPPER}").bounding_box()
        assert box, "the canvas is not on the page"
        (x, y), *rest = [(box["x"] + x, box["y"] + y) for x, y in points]
        self.move((x, y), MOVE_MS, 6)
        self.page.mouse.down()
        for point in rest:
            self.move(point, STROKE_MS, round(NUM_STROKE_FRAMES / len(rest)))
        self.page.mouse.up()
        expect_reading(self.page, digit)
        self.shoot(READ_MS)

    def clear(self) -> None:
        """Press Clear, and wait until the canvas is empty."""
        self.move_to(self.page.locator(".st-key-clear button"))
        clear(self.page)
        self.shoot(STROKE_MS)

    def train(self) -> None:
        """Press Train, and add frames until the run is done, each for as long as the page showed it."""
        self.move_to(self.page.locator(".st-key-train button"))
        start_run(self.page)
        is_done, last = False, time.monotonic()
        while not is_done:
            is_done = self.page.evaluate(IS_DONE)
            now = time.monotonic()
            self.shoot(round(1000 * (now - last)), MAX_TICK_MS)
            last = now
        self.shoot(READ_MS)

    def save(self, path: Path) -> None:
        """Write an animated WebP that repeats. Lossless, for text stays sharp and most of a frame is that of the one before."""
        content = io.BytesIO()
        first, *others = self.frames
        animation = {"save_all": True, "append_images": others, "duration": self.durations, "loop": 0}
        first.save(content, "webp", lossless=True, quality=50, method=2, **animation)
        num_bytes = len(content.getvalue())
        assert num_bytes <= MAX_BYTES, f"the picture has {num_bytes:,} bytes; it may have {MAX_BYTES:,}"
        atomic_write(path, lambda file: file.write(content.getvalue()))


def record(page: Page) -> Recording:
    """Draw a 7 for the built-in network, train a new one while it reads the 7, then draw a 5 for the new one."""
    recording = Recording(page)
    recording.shoot(1200)
    recording.clear()
    recording.draw(SEVEN, "7")
    recording.train()
    recording.clear()
    recording.draw(FIVE, "5")
    recording.shoot(1500)
    return recording


def main() -> None:
    """Record and replace the picture."""
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_ARGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"{server.url}/?preset=fast&threads=1")  # a core is left for the page, which then follows more often
        ready(page)
        recording = record(page)
        browser.close()
    recording.save(PICTURE)


if __name__ == "__main__":
    main()
