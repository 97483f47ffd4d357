"""Find the connected parts of ink in a photograph, and leave out what is neither digit nor point: edges, frames, grain, noise."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

MIN_AREA = 8
"""Pixels of the smallest part, and of the strong ink in it."""
STRONG = 1.6
"""A part has ink that is this many times as strong as what stands out from the noise. Otherwise it is a cloud of grain."""
LEVEL = 0.85
"""The quantile of a part's contrast that is its strength: its darkest pixels are noise."""
INK_LEVEL = 0.4
"""As a share of the part's strength: what is fainter is the blurred rim of a stroke, or a shadow that joins two strokes."""

MIN_STRENGTH = 0.065
"""The least contrast of a part: that of a faint pencil."""
MIN_SURE = 0.11
"""A part with less contrast is suspect. Of 1,051 digits read right, in 200 photographs of writers from whom the networks learned,
all but 1% have more than 0.16; of 44 marks falsely read as digits, three quarters have less than 0.13."""
MIN_CLARITY = 1.8
"""The same as a multiple of what stands out from the noise. Of those digits all but 1% have more than 2.5, and a quarter of the
false marks have less than 1.8."""

RING_SIDE = 150
"""Pixels to which a large part is shrunk to look at what lies around it."""
MAX_DARK_AROUND = 0.6
"""At the corner of a sheet, three quarters of the ring around a dark part are as dark as itself; on paper, hardly anything is."""
MAX_ASYMMETRY = 1.0
"""The paper's difference between two sides of a part, over the ink's contrast: near 0 on a sheet, up to 0.95 across the edge of a
shadow twice as dark, and about 2 at the edge of a sheet on a table."""

MAX_IN_EDGES = 0.65
"""The share of a part that may lie where the paper changes. Stripes along such an edge lie there entirely."""
MIN_RELATIVE = 0.4
"""Of the strength of most ink: fainter parts are erased lines, grain or what shines through."""
MIN_RELATIVE_IN_EDGES = 0.7
"""The same for a part where the paper changes, whose contrast is less certain."""
TYPICAL = 0.75
"""The quantile of strength, by area times strength, that counts as that of most ink. Faint grain may take most of the area."""
MAX_STRIPE = 3
"""How many times as long as wide a part may be where the paper changes."""

MAX_HUE = 0.12
"""The largest difference of the paper's hue at a part from that at most ink, as the logarithm of the ratio of two channels.
A shadow changes the brightness, and hardly the hue."""
MIN_ELSEWHERE = 0.3
"""The least contrast of ink where most of it lies on something of another hue than most of the picture: on a small note, or
in the grain of a table beside an empty sheet, which has less."""

MIN_DRAWN = 3
"""If at least three parts look drawn, only they decide which paper is written on."""

MIN_SUSPECT = 20
"""Pixels of the longest side of the smallest suspect part that may be a digit."""
SLENDER = 0.35
"""A part that is narrower than this share of its length may be an edge."""
SAME_WIDTH = 1.3
"""The strokes of one digit differ in width by less than this factor."""
BLOB = 0.2
"""A part whose strokes are wider than this share of its length may be a stain or grain."""

BORDER = 2
"""Pixels: what reaches so close to the picture's border is cut off by it."""
MIN_ENCLOSED = 0.2
"""The least ink within a frame, as a share of its own. Specks within the loop of a 0 have less."""
MAX_FRAME_INK = 0.5
"""A frame fills at most this share of its box."""
STRAIGHT_SIDES = 0.93
"""A frame's outline and its four corners both enclose this share of its hull. Four corners enclose two thirds of a circle."""
MAX_FRAME_WIDTH = 0.07
"""The lines of a frame are at most this wide, as a share of its longer side: a square 0 is drawn with a wider stroke."""


class Box(NamedTuple):
    """A rectangle in pixels of a picture. `right` and `bottom` are the first column and row beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def union(self, other: "Box") -> "Box":
        """Return the smallest box that holds both."""
        return Box(
            min(self.left, other.left), min(self.top, other.top), max(self.right, other.right), max(self.bottom, other.bottom)
        )

    def scaled(self, factor: float) -> "Box":
        """Return the same rectangle where each pixel is this many pixels."""
        return Box(*(round(side * factor) for side in self))


def box_around(inked: np.ndarray) -> Box:
    """Return the box around the pixels that are inked, bool (H, W); there must be some."""
    columns, rows = (np.flatnonzero(inked.any(axis)) for axis in (0, 1))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


@dataclass
class Part:
    """Connected ink."""

    labels: list[int]
    box: Box
    area: int
    strength: float
    width: float
    """Of its strokes."""
    in_edges: float
    """The share of it that lies where the paper itself changes."""
    is_suspect: bool = False
    """Whether it may belong to a table or an edge rather than to the writing."""
    is_framed: bool = False
    """Whether it touched a line of a frame that was erased."""
    after_point: bool = False
    after_sign: bool = False
    line: int = 0

    def merged(self, other: "Part") -> "Part":
        area = self.area + other.area
        return Part(
            self.labels + other.labels,
            self.box.union(other.box),
            area,
            max(self.strength, other.strength),
            (self.width * self.area + other.width * other.area) / area,
            (self.in_edges * self.area + other.in_edges * other.area) / area,
            self.is_suspect and other.is_suspect,
            self.is_framed or other.is_framed,
        )


def connected(
    contrast: np.ndarray, threshold: np.ndarray, edges: np.ndarray, *, min_side: int = 1
) -> tuple[list[Part], np.ndarray]:
    """Return the connected parts of ink, and which of them each pixel belongs to, int32 (h, w).

    Parts whose box is narrower or lower than `min_side` are left out. Their ink has the label -1 if it was separate from the
    start, and otherwise one that no part has.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((contrast > threshold).astype(np.uint8))
    is_large = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].min(1) >= min_side
    is_large[0] = False  # the paper
    if not is_large.any():
        return [], -np.minimum(labels, 1)
    # Ink is a small share of the pixels, so only its own are looked at from here on.
    inked = np.flatnonzero(labels)
    ink_labels = labels.ravel()[inked]
    small_ink = inked[~is_large[ink_labels]]
    inked, ink_labels = inked[is_large[ink_labels]], ink_labels[is_large[ink_labels]]
    is_dark = cv2.blur(contrast, (3, 3)).ravel()[inked] > STRONG * threshold.ravel()[inked]
    is_strong = (np.bincount(ink_labels[is_dark], minlength=count) >= MIN_AREA)[ink_labels]
    inked, ink_labels = inked[is_strong], ink_labels[is_strong]
    values = contrast.ravel()[inked]
    levels = _levels(values, ink_labels, count)
    is_kept = values > INK_LEVEL * levels[ink_labels]
    inked, ink_labels = inked[is_kept], ink_labels[is_kept]
    mask = np.zeros(contrast.shape, np.uint8)
    mask.ravel()[inked] = 1
    count, again, stats, _ = cv2.connectedComponentsWithStats(mask)
    part_labels = again.ravel()[inked]
    strengths = np.zeros(count, np.float32)
    strengths[part_labels] = levels[ink_labels]
    in_edges = np.bincount(part_labels[edges.ravel()[inked] > 0], minlength=count)
    again.ravel()[small_ink] = -1
    parts = []
    for label in range(1, count):
        left, top, width, height, area = stats[label].tolist()
        if area < MIN_AREA or min(width, height) < min_side:
            continue
        inside = (again[top : top + height, left : left + width] == label).astype(np.uint8)
        box = Box(left, top, left + width, top + height)
        parts.append(Part([label], box, area, float(strengths[label]), stroke_width(inside), in_edges[label] / area))
    return parts, again


def _levels(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return, for each label below `count`, the quantile LEVEL of the values with it, float32 (count,); 0 if there are none."""
    order = np.lexsort((values, labels))
    values = values[order]
    numbers, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    levels = np.zeros(count, np.float32)
    levels[numbers] = values[(starts + LEVEL * sizes).astype(int)]
    return levels


def stroke_width(inked: np.ndarray) -> float:
    """Return the mean width in pixels, at least 1, of the strokes of which ink consists, uint8 (h, w), 0 or 1."""
    distance = cv2.distanceTransform(np.pad(inked, 1), cv2.DIST_L2, 3)
    return max(4 * float(distance[distance > 0].mean()) - 1, 1.0)


def as_strong_as_most(parts: list[Part]) -> list[Part]:
    """Return the parts that are not much fainter than most ink, and no stripes along an edge of the paper."""
    on_paper = [part for part in parts if part.in_edges <= MAX_IN_EDGES and not part.is_suspect] or parts
    if not on_paper:
        return []
    strengths, areas = (np.array([getattr(part, name) for part in on_paper]) for name in ("strength", "area"))
    typical = weighted_quantile(strengths, areas * strengths, TYPICAL)
    kept: list[Part] = []
    stripes: list[Part] = []
    for part in parts:
        long, short = max(part.box.width, part.box.height), min(part.box.width, part.box.height)
        # Ink across the edge of a shadow is as strong as elsewhere, and no stripe.
        is_at_edge = part.in_edges > MAX_IN_EDGES
        if part.strength > (MIN_RELATIVE_IN_EDGES if is_at_edge else MIN_RELATIVE) * typical:
            (stripes if is_at_edge and long > MAX_STRIPE * short else kept).append(part)
    # The segment of a display's digit may be as long and narrow.
    return kept + [stripe for stripe in stripes if any(_all_but_touch(stripe, part) for part in kept)]


def without_borders(parts: list[Part], labels: np.ndarray) -> list[Part]:
    """Return the parts that are neither cut off by the picture's border nor frames."""
    height, width = labels.shape
    whole = [part for part in parts if min(*part.box[:2], width - part.box.right, height - part.box.bottom) > BORDER]
    return [part for part in whole if not (_encloses(part, parts) or _is_frame(part, labels))]


def digit_like(parts: list[Part]) -> list[Part]:
    """Return the parts that are not suspect, or have the shape of a digit drawn with a pen: neither a line nor a blob.

    A line that all but touches such a shape belongs to it, like the segments of a display's digit.
    """
    suspect = [part for part in parts if part.is_suspect and part.in_edges < MAX_IN_EDGES]
    drawn = [part for part in suspect if _is_drawn(part)]
    lines = [part for part in suspect if _is_slender(part) and any(_all_but_touch(part, each) for each in drawn)]
    kept = {id(part) for part in (*drawn, *lines)}
    return [part for part in parts if not part.is_suspect or id(part) in kept]


def _all_but_touch(one: Part, other: Part) -> bool:
    """Return whether the gap between two parts of the same width, by their boxes, is smaller than half of that width."""
    narrow, wide = sorted((one.width, other.width))
    across = max(one.box.left, other.box.left) - min(one.box.right, other.box.right)
    down = max(one.box.top, other.box.top) - min(one.box.bottom, other.box.bottom)
    return wide < SAME_WIDTH * narrow and max(across, down) < narrow / 2


def _is_drawn(part: Part) -> bool:
    """Return whether a part has the shape of most digits drawn with a pen: it is neither a line nor a blob."""
    long = max(part.box.width, part.box.height)
    return long >= MIN_SUSPECT and not _is_slender(part) and part.width < BLOB * long


def _is_slender(part: Part) -> bool:
    return min(part.box.width, part.box.height) <= SLENDER * max(part.box.width, part.box.height)


def suspect_elsewhere(parts: list[Part], paper: np.ndarray, shape: tuple[int, ...]) -> None:
    """Mark the parts that do not lie on paper of the same hue as most ink does: those on the table."""
    sure = [part for part in parts if not part.is_suspect]
    if not sure:
        return
    scale = paper.shape[1] / shape[1]
    rows = np.array([(part.box.top + part.box.bottom) / 2 * scale for part in parts]).astype(int).clip(0, paper.shape[0] - 1)
    columns = np.array([(part.box.left + part.box.right) / 2 * scale for part in parts]).astype(int).clip(0, paper.shape[1] - 1)
    colours = np.log(paper[rows, columns].astype(np.float32) + 8)
    hues = colours[:, [0, 2]] - colours[:, [1]]
    # A coloured bar or a dark object may have more ink than all digits.
    looks_drawn = sum(map(_is_drawn, sure)) >= MIN_DRAWN
    counts = [not part.is_suspect and (_is_drawn(part) or not looks_drawn) for part in parts]
    weights = np.array([part.area * part.strength * count for part, count in zip(parts, counts, strict=True)])
    typical = [weighted_quantile(hues[:, i], weights) for i in range(2)]
    of_all = np.log(paper.reshape(-1, 3).astype(np.float32) + 8)
    majority = np.median(of_all[:, [0, 2]] - of_all[:, [1]], axis=0)
    least = MIN_ELSEWHERE if np.abs(typical - majority).max() >= MAX_HUE else 0.0
    for part, hue in zip(parts, hues, strict=True):
        part.is_suspect |= bool(np.abs(hue - typical).max() >= MAX_HUE or part.strength <= least)


def is_clear(part: Part, threshold: np.ndarray) -> bool:
    """Return whether a part stands out so much that it is neither noise nor grain."""
    box = part.box
    noise = float(np.median(threshold[box.top : box.bottom, box.left : box.right]))
    return part.strength > max(MIN_STRENGTH, MIN_CLARITY * noise)


def is_on_paper(part: Part, labels: np.ndarray, luma: np.ndarray) -> bool:
    """Return whether the same paper lies all around a part, and not a table on one side of it.

    The paper may be darker on one side, in a shadow, but not nearly as dark as the ink.
    """
    box, gap = part.box, round(0.5 * part.width) + 2
    margin = 3 * gap
    left, top = max(box.left - margin, 0), max(box.top - margin, 0)
    window = slice(top, box.bottom + margin), slice(left, box.right + margin)
    step = max(1, max(box.width, box.height) // RING_SIDE)
    near, levels = labels[window][::step, ::step], luma[window][::step, ::step]
    mine = (near == part.labels[0]).astype(np.uint8)
    inner, outer = (np.ones((2 * (reach // step) + 1,) * 2, np.uint8) for reach in (gap, margin))
    rows, columns = np.nonzero((cv2.dilate(mine, outer) > 0) & (cv2.dilate(mine, inner) == 0) & (near == 0))
    if len(rows) < 8 or not mine.any():
        return True
    around = levels[rows, columns].astype(np.float32)
    ink = float(np.median(levels[mine > 0]))
    if (around < (ink + np.percentile(around, 90)) / 2).mean() > MAX_DARK_AROUND:
        return False
    difference = 0.0
    for is_before in (columns * step < (box.left + box.right) / 2 - left, rows * step < (box.top + box.bottom) / 2 - top):
        if 4 <= is_before.sum() <= len(rows) - 4:
            difference = max(difference, abs(float(around[is_before].mean() - around[~is_before].mean())))
    return difference < MAX_ASYMMETRY * max(float(around.mean()) - ink, 2.0)


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float = 0.5) -> float:
    """Return the value below which this share of the weights lies: by default, the weighted median."""
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(cumulated, share * cumulated[-1]))])


def _is_frame(part: Part, labels: np.ndarray) -> bool:
    """Return whether this is a rectangle of thin lines."""
    box = part.box
    if part.area > MAX_FRAME_INK * box.width * box.height or min(box.width, box.height) < 3 * part.width:
        return False
    inside = (labels[box.top : box.bottom, box.left : box.right] == part.labels[0]).astype(np.uint8)
    (outline, *_), _ = cv2.findContours(np.pad(inside, 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(outline)
    corners = cv2.approxPolyDP(hull, 0.03 * cv2.arcLength(hull, True), True)
    if len(corners) != 4 or cv2.contourArea(outline) < STRAIGHT_SIDES * cv2.contourArea(hull):
        return False
    if cv2.contourArea(corners) < STRAIGHT_SIDES * cv2.contourArea(hull):
        return False
    return part.width < MAX_FRAME_WIDTH * max(box.width, box.height)


def _encloses(part: Part, parts: list[Part]) -> bool:
    """Return whether other ink lies within this part's box: it is a frame, a cell's border or a ring around a digit."""
    box = part.box
    inside = sum(
        other.area
        for other in parts
        if other.box.left > box.left and other.box.right < box.right and other.box.top > box.top and other.box.bottom < box.bottom
    )
    return inside > MIN_ENCLOSED * part.area
