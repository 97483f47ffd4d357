"""Generate photographs of digits, with the truth: pen strokes and printed digits on paper or a board, on a table, in some light.

A photograph is drawn from a seed, and each of its conditions independently of the others as far as they go together: chalk
belongs to boards, and what a person could not read does not occur.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_fc.data.pen_digits import PenDigits
from mnist_fc.data.photo_scene import Color, Mark, Scene, View, draw_camera, draw_ink, draw_light, draw_view, render
from mnist_fc.data.typefaces import FACES, SEVEN_SEGMENT, TYPEFACES, outlines
from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.strokes import rotation

CONDITIONS: dict[str, dict[str, float]] = {
    "content": {"digit": 4, "number": 4, "sheet": 2, "nothing": 1.5},
    "writing": {"pen": 8, "printed": 1, "seven-segment": 1},
    "paper": {"plain": 4, "ruled": 2, "squared": 3, "blackboard": 1, "green board": 1},
    "lines": {"light": 1, "dark": 1},
    "ink": {"pencil": 2, "faint pencil": 1, "black": 3, "blue": 3, "red": 1.5, "yellow": 1, "felt-tip": 1.5},
    "light": {"even": 2, "uneven": 2, "shadow": 2, "vignette": 1},
    "camera": {"clean": 4, "blurred": 1.5, "noisy": 1.5, "compressed": 1.5},
    "view": {"straight": 2, "rotated": 2, "perspective": 3},
    "table": {"none": 5, "dark wood": 1.5, "grey": 1.5, "light": 1},
    "frame": {"none": 6, "cell": 1, "frame": 1},
    "stray mark": {"none": 4, "neighbour": 1},
    "size": {"small": 2, "medium": 7, "large": 0.6},
}
"""The conditions of a photograph and how often each value occurs, relative to the others of its kind."""

PEN_INKS = {"printed": ("black", "black", "blue", "red"), "seven-segment": ("black", "black", "red", "felt-tip")}
LONGEST_SIDE = {"small": (600, 1000), "medium": (1200, 1600), "large": (2400, 4032)}
FAINT_INKS = ("faint pencil", "yellow")

STRAY_DEPTH = 0.04
"""A neighbour's mark reaches at most this far into the picture, as a share of its shorter side, and digits keep away from it."""


@dataclass(frozen=True)
class TrueDigit:
    """A digit in a photograph."""

    label: int
    writer: int
    """The number of its writer, or a negative number for a typeface; see TYPEFACES."""
    box: Box
    """Where its ink is, in pixels of the picture."""


@dataclass(frozen=True)
class Photograph:
    """A photograph and what it shows."""

    rgba: np.ndarray
    """uint8 (H, W, 4), opaque."""
    digits: tuple[TrueDigit, ...]
    """In reading order: lines from top to bottom, within a line from left to right."""
    conditions: dict[str, str]
    """The value of each of CONDITIONS, "none" where it does not apply."""
    num_lines: int
    """Straight lines in the picture: of ruled paper, of frames, and edges of the sheet."""


def photographs(digits: PenDigits, count: int, seed: int, **fixed: str) -> Iterator[Photograph]:
    """Yield photographs of these digits. Each has one writer or one typeface; number i depends only on `seed` and i.

    `fixed` fixes conditions as far as they go together, e.g. paper="squared" ("stray_mark" for "stray mark").
    """
    for number in range(count):
        random = np.random.default_rng((seed, number))
        yield _photograph(digits, _draw_conditions(random, {name.replace("_", " "): v for name, v in fixed.items()}), random)


def _draw_conditions(random: np.random.Generator, fixed: dict[str, str]) -> dict[str, str]:
    """Draw the conditions of a photograph, and adapt what does not go together."""
    shares = {name: np.array(list(values.values())) for name, values in CONDITIONS.items()}
    drawn = {name: str(random.choice(list(CONDITIONS[name]), p=each / each.sum())) for name, each in shares.items()} | fixed
    if drawn["writing"] in PEN_INKS:
        drawn["ink"] = str(random.choice(PEN_INKS[drawn["writing"]]))
    if "board" in drawn["paper"]:
        drawn["ink"] = "chalk"
    if drawn["paper"] not in ("ruled", "squared"):
        drawn["lines"] = "none"
    elif drawn["ink"] in FAINT_INKS:
        drawn["lines"] = "light"
    if drawn["content"] == "sheet" and drawn["frame"] == "cell":
        drawn["frame"] = "frame"
    if drawn["table"] != "none":
        drawn["stray mark"] = "none"
    if drawn["content"] == "nothing":
        drawn |= {"writing": "none", "ink": "none", "stray mark": "none"}
    return drawn


@dataclass
class _Glyph:
    """A digit before it is placed: its mark with a height of about 1, from (0, 0)."""

    lines: list[np.ndarray]
    label: int
    writer: int
    is_filled: bool

    @property
    def extent(self) -> np.ndarray:
        """Width and height."""
        points = np.concatenate(self.lines)
        extent: np.ndarray = points.max(0)
        return extent


def _photograph(digits: PenDigits, conditions: dict[str, str], random: np.random.Generator) -> Photograph:
    longest = int(random.uniform(*LONGEST_SIDE[conditions["size"]]))
    width, height = longest, int(longest * random.uniform(0.6, 0.8))
    if random.random() < 0.5:
        width, height = height, width
    view = draw_view(width, height, conditions["view"], random)
    sheet, region = _sheet(view, conditions["table"], random)
    layout = _lay_out(_choose_glyphs(digits, conditions, random), conditions["frame"] == "cell", region, view, random)
    pen_width = _pen_width(conditions, layout.digit_height, longest, random)
    marks = [Mark(lines, 0 if glyph.is_filled else pen_width).seen(view) for glyph, lines in layout.placed]
    frames = _frames(conditions["frame"], layout, region, view, pen_width, random)
    others = list(frames)
    if conditions["stray mark"] != "none":
        others += _stray_marks(digits, layout.digit_height, pen_width, view, random)
    if "board" not in conditions["paper"] and random.random() < 0.3:
        others += [_speck(region, view, random) for _ in range(random.integers(1, 4))]
    scene = _scene(conditions, view, sheet, random)
    scene.printed = _ruling(conditions, sheet, layout, pen_width, longest, random)
    is_faint = conditions["ink"] in FAINT_INKS
    ink, light = draw_ink(conditions["ink"], random), draw_light(conditions["light"], is_faint, random)
    camera = draw_camera(conditions["camera"], is_faint, pen_width, random)
    rgb = render(scene, [(mark, ink) for mark in (*marks, *others)], light, camera, random)
    truth = [TrueDigit(glyph.label, glyph.writer, mark.box) for (glyph, _), mark in zip(layout.placed, marks, strict=True)]
    num_lines = scene.num_lines + 4 * len(frames)
    return Photograph(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA), tuple(truth), conditions, num_lines)


def _sheet(view: View, table: str, random: np.random.Generator) -> tuple[Box, Box]:
    """Return the sheet, of whose edges one to four are in the picture if it lies on a table, and where to write."""
    sides = np.array([view.width, view.height, view.width, view.height])
    inset = np.full(4, -0.6)
    if table != "none":
        seen = random.permutation(4)[: random.integers(1, 5)]
        inset[seen] = random.uniform(0.05, 0.14, len(seen))
    margin = np.maximum(inset, 0) + 0.07
    ends = np.array([0, 0, view.width, view.height])
    signs = np.array([1, 1, -1, -1])
    sheet, region = ends + signs * inset * sides, ends + signs * margin * sides
    return Box(*sheet.astype(int).tolist()), Box(*region.astype(int).tolist())


def _choose_glyphs(digits: PenDigits, conditions: dict[str, str], random: np.random.Generator) -> list[list[_Glyph]]:
    """Return the lines of digits."""
    content = conditions["content"]
    if content == "nothing":
        return []
    if content == "digit":
        lengths = [1]
    elif content == "number":
        lengths = [int(random.integers(2, 9))]
    else:
        lengths = random.integers(2, 9, random.integers(2, 4 if conditions["size"] == "small" else 7)).tolist()
    if conditions["writing"] == "pen":
        writer = random.choice(np.unique(digits.writers))
        own = np.flatnonzero(digits.writers == writer)
        turn = rotation(random.uniform(-4, 4))
        return [[_pen_glyph(digits, int(i), turn) for i in random.choice(own, length)] for length in lengths]
    face = SEVEN_SEGMENT if conditions["writing"] == SEVEN_SEGMENT else str(random.choice(FACES))
    slant = random.uniform(0, 0.2) if face == SEVEN_SEGMENT else 0.0
    return [[_printed_glyph(face, int(label), slant) for label in random.integers(0, 10, length)] for length in lengths]


def _pen_glyph(digits: PenDigits, index: int, turn: np.ndarray) -> _Glyph:
    strokes = [_smoothed(stroke @ turn) for stroke in digits.strokes[index]]
    return _Glyph(_normalized(strokes), int(digits.labels[index]), int(digits.writers[index]), is_filled=False)


def _smoothed(points: np.ndarray) -> np.ndarray:
    """Return a line with its corners cut twice (Chaikin 1974): the tablet's points are too far apart for large digits."""
    for _ in range(2):
        if len(points) > 2:
            quarters = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], axis=1)
            points = np.concatenate([points[:1], quarters.reshape(-1, 2), points[-1:]])
    return points


def _normalized(lines: list[np.ndarray]) -> list[np.ndarray]:
    """Return lines from (0, 0) with a height of 1, or less if they would be wider than 1.1."""
    low, extent = np.concatenate(lines).min(0), np.ptp(np.concatenate(lines), axis=0)
    scale = 1 / max(extent[1], extent[0] / 1.1, 1e-6)
    return [(line - low) * scale for line in lines]


def _printed_glyph(face: str, label: int, slant: float) -> _Glyph:
    slanted = [outline @ np.array([[1, 0], [-slant, 1]]) for outline in outlines(face, label)]
    return _Glyph(_normalized(slanted), label, -1 - TYPEFACES.index(face), is_filled=True)


@dataclass
class _Layout:
    """Digits in their places on the sheet; sizes in pixels."""

    placed: list[tuple[_Glyph, list[np.ndarray]]]
    """Each digit with its lines as points of the sheet."""
    digit_height: float
    """Without digits, the height for which paper would be ruled."""
    leading: float
    """From one line of digits to the next."""
    cell: float
    """Side of the cell around each digit; 0 for none."""

    @property
    def blocks(self) -> list[np.ndarray]:
        """The points of each digit, each (N, 2)."""
        return [np.concatenate(lines) for _, lines in self.placed]


def _lay_out(lines: list[list[_Glyph]], in_cells: bool, region: Box, view: View, random: np.random.Generator) -> _Layout:
    """Place lines of digits within the region, and so that all of them are in the picture."""
    corner, room = np.array([region.left, region.top]), np.array([region.right - region.left, region.bottom - region.top], float)
    if not lines:
        height = float(room.min() * random.uniform(0.05, 0.2))
        return _Layout([], height, height * 1.5, 0)
    cell = random.uniform(1.5, 1.8) if in_cells else 0.0
    gap, leading = random.uniform(0.18, 0.45), random.uniform(1.35, 1.8)
    placed: list[tuple[_Glyph, list[np.ndarray]]] = []
    for row, glyphs in enumerate(lines):
        x = random.uniform(0, 0.4)
        for glyph in glyphs:
            size = random.uniform(0.88, 1.0)
            extent = glyph.extent * size
            offset = np.array([x + max(0, (cell - extent[0]) / 2), row * leading + (1 - size) + random.uniform(-0.06, 0.06)])
            placed.append((glyph, [line * size + offset for line in glyph.lines]))
            x += cell or extent[0] + gap * random.uniform(0.8, 1.3) + random.choice([0, random.uniform(0.6, 1.2)], p=[0.88, 0.12])
    points = np.concatenate([line for _, moved in placed for line in moved])
    middle, extent = (points.min(0) + points.max(0)) / 2, np.ptp(points, axis=0) + max(cell - 0.5, 0.1)
    scale = float((room / extent).min()) * (random.uniform(0.15, 0.75) if len(placed) == 1 else random.uniform(0.5, 0.95))
    center = corner + room / 2 + (room - extent * scale) * random.uniform(-0.45, 0.45, 2)
    picture = np.array([view.width, view.height])
    margin = STRAY_DEPTH * picture.min() + 0.1 * scale
    while True:
        seen = view.project((points - middle) * scale + center)
        if (seen > margin).all() and (seen < picture - margin).all():
            break
        scale, center = scale * 0.97, center + (picture / 2 - center) * 0.25
    moved = [(glyph, [(line - middle) * scale + center for line in each]) for glyph, each in placed]
    return _Layout(moved, scale, leading * scale, cell * scale)


def _pen_width(conditions: dict[str, str], digit_height: float, longest: int, random: np.random.Generator) -> float:
    """Return the width of the pen in pixels: of one that can be read, and does not fill the digit's loops."""
    low, high = (0.08, 0.13) if conditions["ink"] in ("felt-tip", "chalk") else (0.02, 0.1)
    share = math.exp(random.uniform(math.log(low), math.log(high)))
    least = longest / 1400 * (3.5 if conditions["ink"] in FAINT_INKS else 2)
    return min(max(share * digit_height, least, 1.5), max(0.16 * digit_height, 2))


def _scene(conditions: dict[str, str], view: View, sheet: Box, random: np.random.Generator) -> Scene:
    table = conditions["table"]
    if "board" in conditions["paper"]:
        level = random.uniform(0.8, 1.3)
        red, green, blue = (62, 64, 68) if conditions["paper"] == "blackboard" else (50, 98, 78)
        return Scene(view, (red * level, green * level, blue * level), 0.12, sheet, table, dust=random.uniform(0.1, 0.7))
    white = random.uniform(238, 252)
    paper = (white, white - random.uniform(0, 5), white - random.uniform(0, 16))
    return Scene(view, paper, random.uniform(0.006, 0.03), sheet, table)


def _ruling(
    conditions: dict[str, str], sheet: Box, layout: _Layout, pen_width: float, longest: int, random: np.random.Generator
) -> list[tuple[np.ndarray, Color, float]]:
    """Return the lines of ruled or squared paper, perhaps with a red margin line left of the digits."""
    kind = conditions["paper"]
    if kind not in ("ruled", "squared"):
        return []
    left, top, right, bottom = sheet.left, sheet.top, sheet.right, sheet.bottom
    darkness = random.uniform(0.15, 0.3) if conditions["lines"] == "light" else random.uniform(0.35, 0.6)
    if conditions["ink"] in ("pencil", *FAINT_INKS):
        darkness *= 0.65
    shade = (1.0, 0.6, 0.2) if random.random() < 0.5 else (1.0, 1.0, 1.0)
    red, green, blue = (255 * (1 - darkness * channel) for channel in shade)
    width = min(max(pen_width * random.uniform(0.2, 0.6), 0.6 * longest / 1400), 3 * longest / 1400)
    height = layout.digit_height
    if kind == "squared":
        pitch = max(height * math.exp(random.uniform(math.log(0.2), math.log(1.3))), longest / 70)
    else:
        pitch = max(random.choice([layout.leading, height * random.uniform(0.4, 1.6)]), longest / 50)
    pitch = max(pitch, 6 * width)
    bottoms = [float(block[:, 1].max()) for block in layout.blocks]
    baseline = bottoms[0] + pen_width if bottoms and random.random() < 0.7 else random.uniform(top, bottom)
    first = baseline - (baseline - top) // pitch * pitch
    color = (red, green, blue)
    printed = [(np.array([(left, y), (right, y)], float), color, width) for y in np.arange(first, bottom, pitch)]
    if kind == "squared":
        columns = np.arange(left + random.uniform(0, pitch), right, pitch)
        printed += [(np.array([(x, top), (x, bottom)], float), color, width) for x in columns]
    if random.random() < 0.4:
        start = min((float(block[:, 0].min()) for block in layout.blocks), default=(left + right) / 2)
        x = start - pen_width - height * random.uniform(0.15, 0.8)
        printed.append((np.array([(x, top), (x, bottom)], float), (225.0, 110.0, 120.0), width))
    return printed


def _frames(kind: str, layout: _Layout, region: Box, view: View, pen_width: float, random: np.random.Generator) -> list[Mark]:
    """Return the border of each digit's cell, or one frame around everything; without digits an empty one."""
    if kind == "none":
        return []
    width = float(max(1, round(pen_width * random.uniform(0.3, 1))))
    blocks = layout.blocks
    if kind == "cell" and blocks:
        middles = np.array([(block.min(0) + block.max(0)) / 2 for block in blocks])
        boxes = [
            ((x, y), layout.cell / 2) for x, y in zip(middles[:, 0], np.full(len(blocks), middles[:, 1].mean()), strict=True)
        ]
        corners = [(np.array(middle) - half, np.array(middle) + half) for middle, half in boxes]
    elif blocks:
        points = np.concatenate(blocks)
        gap = pen_width + layout.digit_height * random.uniform(0.15, 0.5, 2)
        corners = [(points.min(0) - gap, points.max(0) + gap)]
    else:
        room = np.array([region.right - region.left, region.bottom - region.top])
        start = (region.left, region.top) + random.uniform(0, 0.3, 2) * room
        side = random.uniform(0.2, 0.7, 2) * room
        corners = [(start, start + (side.min() if kind == "cell" else side))]
    rectangles = [np.array([low, (high[0], low[1]), high, (low[0], high[1]), low]) for low, high in corners]
    return [Mark([rectangle], width).seen(view) for rectangle in rectangles]


def _stray_marks(digits: PenDigits, digit_height: float, pen_width: float, view: View, random: np.random.Generator) -> list[Mark]:
    """Return a neighbouring digit of which less than a third is in the picture."""
    picture = np.array([view.width, view.height])
    size = digit_height * random.uniform(0.8, 1.1)
    lines = [line * size for line in _pen_glyph(digits, int(random.integers(len(digits.labels))), np.eye(2)).lines]
    extent = np.concatenate(lines).max(0)
    axis, is_far = int(random.integers(2)), bool(random.integers(2))
    depth = min(random.uniform(0.1, 0.3) * extent[axis], STRAY_DEPTH * picture.min()) - pen_width / 2
    corner = random.uniform(0.05, 0.95, 2) * (picture - extent)
    corner[axis] = picture[axis] - depth if is_far else depth - extent[axis]
    return [Mark([line + corner for line in lines], pen_width)]


def _speck(region: Box, view: View, random: np.random.Generator) -> Mark:
    """Return a speck of dirt on the paper."""
    size = max(view.width, view.height) / 1400
    place = random.uniform((region.left, region.top), (region.right, region.bottom))
    return Mark([place + random.normal(0, 0.6 * size, (3, 2))], random.uniform(1, 2.5) * size).seen(view)
