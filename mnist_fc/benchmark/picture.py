"""A picture of the benchmark's rows, for a README: a bar for each program and net, with the range over the rounds.

One layout gives rectangles and texts, which become SVG or, drawn with Pillow, PNG.
"""

import html
import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from mnist_fc.benchmark.epochs import Row
from mnist_fc.benchmark.programs import FLOORS

SUFFIXES = (".png", ".svg")

WIDTH, MARGIN = 960, 20
NAME_WIDTH = 130
"""Room for the names of the programs, left of the bars."""
VALUE_WIDTH = 140
"""Room for the figure and its range, right of the longest bar."""
TOP, ROW_HEIGHT, BAR_HEIGHT = 64, 28, 16
LINE_HEIGHT = 18
CAPTION_CHARACTERS = 150

INK, QUIET, PAPER = "#1f2430", "#667085", "#ffffff"
BAR, OWN_BAR, FLOOR_BAR, RANGE = "#a9b8d4", "#4f7df0", "#dfe3ea", "#5b6472"

PNG_SCALE = 2
"""Pixels of a PNG for each unit of the layout, for sharp text on dense screens."""


@dataclass(frozen=True)
class Rectangle:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    color: str


@dataclass(frozen=True)
class Text:
    """A line of text whose baseline starts or ends at (x, y)."""

    x: float
    y: float
    text: str
    size: int = 13
    color: str = INK
    anchor: Literal["start", "end"] = "start"


Shape = Rectangle | Text


def draw(rows: Sequence[Row], caption: str, suffix: str) -> bytes:
    """Return the picture as a file with this suffix, one of SUFFIXES."""
    names = _names(rows)
    lines = textwrap.wrap(caption, CAPTION_CHARACTERS)
    height = TOP + ROW_HEIGHT * len(names) + LINE_HEIGHT * (len(lines) + 1) + MARGIN // 2
    shapes = [*_layout(rows, names, lines)]
    return _to_svg(shapes, height) if suffix == ".svg" else _to_png(shapes, height)


def _names(rows: Sequence[Row]) -> list[str]:
    """Return the programs, from the fastest on the first net to the slowest; those without that row come last."""
    ordered = sorted(rows, key=lambda row: (row.net != rows[0].net, row.seconds_per_epoch))
    return list(dict.fromkeys(row.name for row in ordered))


def _layout(rows: Sequence[Row], names: Sequence[str], caption: Sequence[str]) -> Iterator[Shape]:
    nets = list(dict.fromkeys(row.net for row in rows))
    left = MARGIN + NAME_WIDTH
    column = (WIDTH - left - MARGIN) / len(nets)
    yield Text(MARGIN, MARGIN + 10, "Seconds of one epoch; shorter is faster", size=16)
    for i, name in enumerate(names):
        yield Text(left - 10, TOP + i * ROW_HEIGHT + 19, name, anchor="end")
    for j, net in enumerate(nets):
        x = left + j * column
        yield Text(x, TOP - 6, net, color=QUIET)
        of_net = {row.name: row for row in rows if row.net == net}
        longest = column - VALUE_WIDTH
        scale = longest / max(row.seconds_high for row in of_net.values())
        for i, name in enumerate(names):
            if row := of_net.get(name):
                yield from _bar(row, x, TOP + i * ROW_HEIGHT + (ROW_HEIGHT - BAR_HEIGHT) / 2, scale)
    for i, line in enumerate(caption, start=1):
        yield Text(MARGIN, TOP + len(names) * ROW_HEIGHT + (i + 0.4) * LINE_HEIGHT, line, size=11, color=QUIET)


def _bar(row: Row, x: float, y: float, scale: float) -> Iterator[Shape]:
    """Draw the median as a bar, the range as a line across its end, and both as numbers behind it."""
    color = OWN_BAR if row.name.startswith("engine") else FLOOR_BAR if row.name in FLOORS else BAR
    low, high, middle = x + row.seconds_low * scale, x + row.seconds_high * scale, y + BAR_HEIGHT / 2
    yield Rectangle(x, y, row.seconds_per_epoch * scale, BAR_HEIGHT, color)
    yield Rectangle(low, middle - 0.75, high - low, 1.5, RANGE)
    for end in (low, high):
        yield Rectangle(end - 0.75, middle - 4, 1.5, 8, RANGE)
    yield Text(high + 8, y + 13, f"{row.seconds_per_epoch:.3f}")
    yield Text(high + 52, y + 13, f"{row.seconds_low:.3f} to {row.seconds_high:.3f}", size=11, color=QUIET)


def _to_svg(shapes: Sequence[Shape], height: float) -> bytes:
    elements = [f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>']
    for shape in shapes:
        match shape:
            case Rectangle(x, y, w, h, color):
                elements.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{color}"/>')
            case Text(x, y, text, size, color, anchor):
                style = f'font-size="{size}" fill="{color}" text-anchor="{anchor}"'
                elements.append(f'<text x="{x:.1f}" y="{y:.1f}" {style}>{html.escape(text)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join([f'{head} font-family="system-ui, Helvetica, Arial, sans-serif">', *elements, "</svg>\n"]).encode()


def _to_png(shapes: Sequence[Shape], height: float) -> bytes:
    picture = Image.new("RGB", (WIDTH * PNG_SCALE, round(height * PNG_SCALE)), PAPER)
    pen = ImageDraw.Draw(picture)
    for shape in shapes:
        x, y = shape.x * PNG_SCALE, shape.y * PNG_SCALE
        match shape:
            case Rectangle():
                # Pillow includes the last pixel, and draws nothing narrower than one.
                right, bottom = (x + max(0, shape.width * PNG_SCALE - 1), y + max(0, shape.height * PNG_SCALE - 1))
                pen.rectangle((x, y, right, bottom), shape.color)
            case Text():
                anchor = "ls" if shape.anchor == "start" else "rs"
                pen.text((x, y), shape.text, shape.color, ImageFont.load_default(shape.size * PNG_SCALE), anchor)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
