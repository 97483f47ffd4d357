"""Find the digits in a picture: in a photograph, a scan or a sheet with lines of numbers."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_fc.drawing.paper import find_ink, noise_threshold
from mnist_fc.drawing.pictures import DrawingError, on_transparent
from mnist_fc.drawing.ruling import remove_ruling

MAX_MARKS = 300
DRAWING_SIDE = 200
MIN_ENCLOSED = 0.2
MAX_IN_EDGES = 0.65
MAX_HUE = 0.12
RING_SIDE = 150
MAX_DARK_AROUND = 0.6
MAX_ASYMMETRY = 1.0
MIN_STRENGTH = 0.11
MIN_CLARITY = 1.8
MAX_STRAIGHT = 1.4


@dataclass(frozen=True)
class Box:
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


@dataclass(frozen=True)
class Mark:
    """Ink in a picture that may be a digit."""

    box: Box
    line: int
    """The number of the line that it stands in, counted from 0 at the top."""
    after_point: bool
    """Whether a decimal point or comma stands between it and the mark to its left."""
    drawing: np.ndarray
    """Its ink alone on transparent paper, uint8 (h, w, 4), cropped and possibly shrunk."""
    is_straight: bool
    """Whether it is hardly more than a straight line."""


@dataclass
class _Part:
    """Connected ink."""

    labels: list[int]
    box: Box
    area: int
    strength: float
    width: float
    """Of its strokes."""
    in_edges: float
    """The share of it that lies where the paper itself changes."""
    after_point: bool = False
    line: int = 0

    def merged(self, other: "_Part") -> "_Part":
        area = self.area + other.area
        return _Part(
            self.labels + other.labels,
            self.box.union(other.box),
            area,
            max(self.strength, other.strength),
            (self.width * self.area + other.width * other.area) / area,
            (self.in_edges * self.area + other.in_edges * other.area) / area,
        )


def find_marks(rgba: np.ndarray) -> list[Mark]:
    """Return what may be digits in a picture, uint8 (H, W, 4), line by line, and from left to right within a line.

    Raises DrawingError for any other array.
    """
    ink = find_ink(rgba)
    contrast = remove_ruling(ink.contrast, noise_threshold(ink.contrast, is_ruled=True), ink.edges)
    threshold = noise_threshold(contrast, is_ruled=False)
    parts, labels = _connected(contrast, threshold, ink.edges)
    parts = [part for part in parts if _is_clear(part, threshold) and _is_on_paper(part, labels, ink.luma)]
    parts = _as_strong_as_most(parts)
    parts = _on_sheet(_without_borders(parts, labels), ink.paper, labels.shape)
    marks = _in_lines(_grouped(parts, labels))
    if len(marks) > MAX_MARKS:
        raise DrawingError(f"the picture has {len(marks)} marks; at most {MAX_MARKS} can be read")
    return [
        Mark(
            Box(*(round(side * ink.scale) for side in (mark.box.left, mark.box.top, mark.box.right, mark.box.bottom))),
            mark.line,
            mark.after_point,
            _drawing(mark, contrast, labels),
            mark.area < MAX_STRAIGHT * mark.width * math.hypot(mark.box.width, mark.box.height),
        )
        for mark in marks
    ]


def _connected(contrast: np.ndarray, threshold: np.ndarray, edges: np.ndarray) -> tuple[list[_Part], np.ndarray]:
    """Return the connected parts of ink, and which of them each pixel belongs to, int32 (h, w)."""
    count, labels = cv2.connectedComponents((contrast > threshold).astype(np.uint8))
    inked = labels > 0
    strong = np.bincount(labels[inked & (cv2.blur(contrast, (3, 3)) > 1.6 * threshold)], minlength=count) >= 8
    levels = np.zeros(count, np.float32)
    is_strong = strong[labels] & inked
    at, values = labels[is_strong], contrast[is_strong]
    order = np.lexsort((values, at))
    at, values = at[order], values[order]
    numbers, starts = np.unique(at, return_index=True)
    ends = np.append(starts[1:], len(at))
    levels[numbers] = values[(starts + 0.85 * (ends - starts)).astype(int)]
    mask = is_strong & (contrast > 0.4 * levels[labels])
    count, again, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    strengths = np.zeros(count, np.float32)
    strengths[again[mask]] = levels[labels[mask]]
    in_edges = np.bincount(again[mask & (edges > 0)], minlength=count)
    parts = []
    for label in range(1, count):
        left, top, width, height, area = stats[label].tolist()
        if area < 8:
            continue
        inside = (again[top : top + height, left : left + width] == label).astype(np.uint8)
        distance = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)
        stroke = 4 * float(distance[distance > 0].mean()) - 1
        box = Box(left, top, left + width, top + height)
        parts.append(_Part([label], box, area, float(strengths[label]), max(stroke, 1), in_edges[label] / area))
    return parts, again


def _as_strong_as_most(parts: list[_Part]) -> list[_Part]:
    """Return the parts that are not much fainter than most ink, and no stripes along an edge of the paper."""
    by_strength = sorted((part for part in parts if part.in_edges <= MAX_IN_EDGES), key=lambda part: part.strength)
    if not by_strength:
        return []
    areas = np.cumsum([part.area for part in by_strength])
    typical = by_strength[int(np.searchsorted(areas, 0.75 * areas[-1]))].strength
    kept = []
    for part in parts:
        long, short = max(part.box.width, part.box.height), min(part.box.width, part.box.height)
        # Ink across the edge of a shadow is as strong as elsewhere, and no stripe.
        is_at_edge = part.in_edges > MAX_IN_EDGES
        if part.strength > (0.7 if is_at_edge else 0.4) * typical and not (is_at_edge and long > 3 * short):
            kept.append(part)
    return kept


def _without_borders(parts: list[_Part], labels: np.ndarray) -> list[_Part]:
    """Return the parts that are neither cut off by the picture's border nor frames."""
    height, width = labels.shape
    kept = []
    for part in parts:
        box = part.box
        touches = box.left <= 2 or box.top <= 2 or box.right >= width - 2 or box.bottom >= height - 2
        if touches:
            continue
        if _encloses(part, parts) or _is_frame(part, labels):
            continue
        kept.append(part)
    return kept


def _on_sheet(parts: list[_Part], paper: np.ndarray, shape: tuple[int, ...]) -> list[_Part]:
    """Return the parts that lie on paper of the same hue as most ink does: not those on the table."""
    if not parts:
        return []
    scale = paper.shape[1] / shape[1]
    rows = np.array([(part.box.top + part.box.bottom) / 2 * scale for part in parts]).astype(int).clip(0, paper.shape[0] - 1)
    columns = np.array([(part.box.left + part.box.right) / 2 * scale for part in parts]).astype(int).clip(0, paper.shape[1] - 1)
    colours = np.log(paper[rows, columns].astype(np.float32) + 8)
    hues = colours[:, [0, 2]] - colours[:, [1]]
    weights = np.array([part.area * part.strength for part in parts])
    typical = [_weighted_median(hues[:, i], weights) for i in range(2)]
    return [part for part, hue in zip(parts, hues, strict=True) if np.abs(hue - typical).max() < MAX_HUE]


def _is_clear(part: _Part, threshold: np.ndarray) -> bool:
    """Return whether a part stands out so much that it is neither noise nor grain."""
    box = part.box
    noise = float(np.median(threshold[box.top : box.bottom, box.left : box.right]))
    return part.strength > max(MIN_STRENGTH, MIN_CLARITY * noise)


def _is_on_paper(part: _Part, labels: np.ndarray, luma: np.ndarray) -> bool:
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


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(cumulated, 0.5 * cumulated[-1]))])


def _is_frame(part: _Part, labels: np.ndarray) -> bool:
    """Return whether this is a rectangle of thin lines."""
    box = part.box
    if part.area > 0.5 * box.width * box.height or min(box.width, box.height) < 3 * part.width:
        return False
    inside = (labels[box.top : box.bottom, box.left : box.right] == part.labels[0]).astype(np.uint8)
    (outline, *_), _ = cv2.findContours(np.pad(inside, 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(outline)
    corners = cv2.approxPolyDP(hull, 0.03 * cv2.arcLength(hull, True), True)
    if len(corners) != 4 or cv2.contourArea(outline) < 0.93 * cv2.contourArea(hull):
        return False
    if cv2.contourArea(corners) < 0.93 * cv2.contourArea(hull):
        return False
    return part.width < 0.07 * max(box.width, box.height)


def _encloses(part: _Part, parts: list[_Part]) -> bool:
    """Return whether other ink lies within this part's box: it is a frame, a cell's border or a ring around a digit."""
    box = part.box
    inside = sum(
        other.area
        for other in parts
        if other.box.left > box.left and other.box.right < box.right and other.box.top > box.top and other.box.bottom < box.bottom
    )
    return inside > MIN_ENCLOSED * part.area


def _grouped(parts: list[_Part], labels: np.ndarray) -> list[_Part]:
    """Return parts that may be digits, each of one or several connected parts."""
    parts = _without_rules(parts)
    if not parts:
        return []
    groups = _joined_if_close(parts, labels)
    by_height = sorted(groups, key=lambda group: group.box.height)
    areas = np.cumsum([group.area for group in by_height])
    typical = by_height[int(np.searchsorted(areas, 0.5 * areas[-1]))].box.height
    groups = _merged(groups, typical)
    digits, points = [], []
    for group in groups:
        box = group.box
        if max(box.width, box.height) < 0.3 * typical:
            points.append(group)
        elif box.height >= 0.4 * typical and box.height >= 8 and not _is_rule(group, typical):
            digits.append(group)
    for point in points:
        _mark_point(point, digits, typical)
    return digits


def _typical_height(parts: list[_Part]) -> float:
    """Return the height of the part in which the middle of all ink lies, by height; straight lines do not count."""
    compact = [part for part in parts if min(part.box.width, part.box.height) > 0.2 * max(part.box.width, part.box.height)]
    counted = compact or parts
    return _weighted_median(np.array([part.box.height for part in counted]), np.array([part.area for part in counted]))


def _without_rules(parts: list[_Part]) -> list[_Part]:
    """Return the parts that are not straight lines much longer than the others are high: sides of frames, rests of ruling."""
    if not parts:
        return []
    typical = _typical_height(parts)
    return [part for part in parts if not _is_rule(part, typical)]


def _is_rule(group: _Part, typical: float) -> bool:
    """Return whether this is a straight line much longer than the digits are high."""
    box = group.box
    length = math.hypot(box.width, box.height)
    return length > 1.4 * typical and group.area < 1.5 * group.width * length and min(box.width, box.height) < 0.2 * length


def _joined_if_close(parts: list[_Part], labels: np.ndarray) -> list[_Part]:
    """Join parts whose gap is much smaller than their strokes are wide, as the segments of a display."""
    known = np.zeros(int(labels.max()) + 1, bool)
    known[[part.labels[0] for part in parts]] = True
    areas = np.array([part.area for part in parts])
    stroke = float(np.average([part.width for part in parts], weights=areas))
    reach = max(1, round(0.17 * stroke))
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    _, joined = cv2.connectedComponents(cv2.dilate(known[labels].astype(np.uint8), element))
    groups: dict[int, _Part] = {}
    for part in parts:
        box, (label,) = part.box, part.labels
        here = labels[box.top : box.bottom, box.left : box.right] == label
        group = int(joined[box.top : box.bottom, box.left : box.right][here][0])
        groups[group] = groups[group].merged(part) if group in groups else part
    return list(groups.values())


def _merged(groups: list[_Part], typical: float) -> list[_Part]:
    """Merge what belongs to one digit: a stroke over or beside another."""
    groups = sorted(groups, key=lambda group: -group.area)
    has_merged = True
    while has_merged:
        has_merged = False
        for i, one in enumerate(groups):
            for other in groups[i + 1 :]:
                if _belong_together(one, other, typical):
                    groups[i] = one.merged(other)
                    groups.remove(other)
                    has_merged = True
                    break
            if has_merged:
                break
    return groups


def _belong_together(one: _Part, other: _Part, typical: float) -> bool:
    """Return whether `other`, the smaller, is a part of the same digit as `one`."""
    a, b = one.box, other.box
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    both = a.union(b)
    if both.height > 1.3 * max(typical, a.height) or both.width > 1.3 * max(typical, min(a.width, 1.3 * a.height)):
        return False
    narrower, lower = min(a.width, b.width), min(a.height, b.height)
    if across > 0.5 * narrower and down > 0.5 * lower:
        return True
    if max(b.width, b.height) < 0.15 * typical:
        return False
    is_piece = lower < 0.5 * typical
    if is_piece and across > 0.4 * narrower and down > -0.2 * typical:
        return True
    return (
        is_piece
        and across > -0.1 * typical
        and down > -0.05 * typical
        and min(across, down) > -0.1 * typical
        and (b.top < a.top + 0.3 * a.height)
    )


def _mark_point(point: _Part, digits: list[_Part], typical: float) -> None:
    """Note the digit to the right of a decimal point or comma."""
    x, y = (point.box.left + point.box.right) / 2, point.box.top
    near = [d for d in digits if abs(d.box.bottom - y) < 0.35 * typical and d.box.top < y - 0.5 * typical]
    left = [d for d in near if d.box.right - 0.1 * typical <= x and x - d.box.right < 0.6 * typical]
    right = [d for d in near if d.box.left + 0.1 * typical >= x and d.box.left - x < 0.6 * typical]
    if left and right and max(point.box.width, point.box.height) > 0.5 * point.width:
        min(right, key=lambda d: d.box.left).after_point = True


def _in_lines(groups: list[_Part]) -> list[_Part]:
    """Return the groups in reading order, with the number of their line."""
    groups = sorted(groups, key=lambda group: group.box.left)
    lines: list[list[_Part]] = []
    for group in groups:
        best, best_gap = None, math.inf
        for line in lines:
            last = line[-1].box
            overlap = min(last.bottom, group.box.bottom) - max(last.top, group.box.top)
            gap = group.box.left - last.right
            if overlap > 0.4 * min(last.height, group.box.height) and gap < best_gap:
                best, best_gap = line, gap
        if best is None:
            lines.append([group])
        else:
            best.append(group)
    lines.sort(key=lambda line: float(np.mean([group.box.top + group.box.bottom for group in line])))
    for number, line in enumerate(lines):
        for group in line:
            group.line = number
    return [group for line in lines for group in line]


def _drawing(group: _Part, contrast: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a group's ink on transparent paper."""
    box = group.box
    top, left, bottom, right = max(box.top - 1, 0), max(box.left - 1, 0), box.bottom + 1, box.right + 1
    mine = np.isin(labels[top:bottom, left:right], group.labels).astype(np.uint8)
    plane = contrast[top:bottom, left:right] / group.strength * cv2.dilate(mine, np.ones((3, 3), np.uint8))
    inked = np.rint(plane.clip(0, 1) * 255).astype(np.uint8)
    scale = DRAWING_SIDE / max(inked.shape)
    if scale < 1:
        size = max(1, round(inked.shape[1] * scale)), max(1, round(inked.shape[0] * scale))
        inked = cv2.resize(inked, size, interpolation=cv2.INTER_AREA)
    return on_transparent(inked)
