"""Find the digits in a picture: in a photograph, a scan or a sheet with lines of numbers."""

import math
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import cv2
import numpy as np

from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.frames import MIN_SIDE as MIN_FRAME_SIDE
from mnist_fc.drawing.frames import without_frames
from mnist_fc.drawing.paper import find_ink, noise_threshold
from mnist_fc.drawing.parts import (
    MIN_SURE,
    Box,
    Part,
    as_strong_as_most,
    connected,
    digit_like,
    is_clear,
    is_on_paper,
    suspect_elsewhere,
    weighted_quantile,
    without_borders,
)
from mnist_fc.drawing.pictures import check_rgba, on_transparent
from mnist_fc.drawing.ruling import remove_ruling

MAX_MARKS = 300
"""A full page has fewer digits; more marks are a texture."""
DRAWING_SIDE = 200
"""Pixels of the longest side of a mark's drawing, ten times those of the image that a network reads."""
MAX_STRAIGHT = 1.4
"""A mark whose ink is less than this many times its length times its width is straight. It is 1 for a bar, about 1.6 for a 7."""

# Heights and distances are shares of the height of most digits unless they say otherwise.
POINT = 0.35
"""A mark narrower than this and lower than COMMA may be a point or comma."""
MIN_POINT = 0.4
"""As a share of the stroke width of the digit to its left; anything smaller is a speck."""
COMMA = 0.5
"""A comma is lower than this. It begins near the feet of the digits and may reach below them."""
MAX_POINT_GAP = 0.8
"""The middle of a point or comma is at most this far from the digits on both sides."""
MAX_POINT_RISE = 0.35
"""A point or comma begins at most this far above or below the feet of these digits."""
MIN_HEIGHT = 0.4
"""Digits of one picture differ in height by less than this; what is lower is a dash."""
MIN_PIXELS = 8
"""The height in pixels of the smallest digit that can be read."""
RULE_LENGTH = 1.4
"""A straight line longer than this is a side of a frame or the rest of a ruled line."""
RULE_INK = 1.5
"""Such a line has at most this many times the ink of a bar, since it is ragged where ruling has been removed."""
OUTLINE = 0.012
"""What is drawn with lines thinner than this share of its longer side is a frame or the edge of a sheet, not a pen's work."""
THIN = 0.2
"""What is narrower than this share of its length is a line."""
JOINED_GAP = 0.17
"""As a share of the stroke's width, on each side: the gaps between the segments of a display are smaller."""
TALL = 0.85
"""Parts of a display's digit are lower than this share of it, but for straight lines."""
MAX_DIGIT = 1.3
"""A digit of several strokes is at most this high or wide."""
MAX_FOUR_GAP = 0.12
"""The upright of a 4 is at most this far to the right of its open part."""
MIN_FOUR_FOOT = 0.15
"""It reaches at least this far below it."""
MIN_SIGN, SIGN_PLACE = 0.2, (0.25, 0.75)
"""A dash between two digits is at least the first share wide, and its middle lies between these shares of their heights."""
MAX_POINTS = 3
"""A line of digits has at most this many points: more are the rests of the walls between cells."""
SPECK = 0.15
"""What is smaller joins no digit."""
PIECE = 0.5
"""A stroke of a digit, such as the bar of a 5, is lower than this."""


@dataclass(frozen=True)
class Mark:
    """Ink in a picture that may be a digit."""

    box: Box
    line: int
    """The number of the line that it stands in, counted from 0 at the top."""
    after_point: bool
    """Whether a decimal point or comma stands between it and the mark to its left."""
    after_sign: bool
    """Whether a dash or an equals sign does."""
    drawing: np.ndarray
    """Its ink alone on transparent paper, uint8 (h, w, 4), cropped and possibly shrunk."""
    is_straight: bool
    """Whether it is hardly more than a straight line."""
    bend: float
    """The distance of the closest parallels between which it lies, as a multiple of the width of its strokes."""
    is_suspect: bool
    """Whether it may belong to a table or an edge rather than to the writing."""
    is_framed: bool
    """Whether it touched lines of a frame that were erased. A stroke along a line may be lost with it."""
    thickness: float
    """The mean width of its strokes as a share of the diagonal of its box."""


def find_marks(rgba: np.ndarray) -> list[Mark]:
    """Return what may be digits in a picture, uint8 (H, W, 4), line by line, and from left to right within a line.

    Raises DrawingError for any other array, and for a picture with more than MAX_MARKS marks.
    """
    check_rgba(rgba)
    ink = find_ink(rgba)
    threshold = noise_threshold(ink.contrast, is_ruled=True)
    contrast, erased = without_frames(ink.contrast, *connected(ink.contrast, threshold, ink.edges, min_side=MIN_FRAME_SIDE))
    contrast = remove_ruling(contrast, threshold, ink.edges)
    threshold = noise_threshold(contrast, is_ruled=False)
    parts, labels = connected(contrast, threshold, ink.edges)
    parts = [part for part in parts if is_clear(part, threshold)]
    framed = set(labels[cv2.dilate(erased.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0].tolist())
    for part in parts:
        part.is_framed = part.labels[0] in framed
        part.is_suspect = part.strength < MIN_SURE or not is_on_paper(part, labels, ink.luma)
    parts = without_borders(as_strong_as_most(digit_like(parts)), labels)
    suspect_elsewhere(parts, ink.paper, labels.shape)
    marks = _in_lines(_grouped(digit_like(parts), labels))
    if len(marks) > MAX_MARKS:
        raise DrawingError(f"the picture has {len(marks)} marks; at most {MAX_MARKS} can be read")
    return [
        Mark(
            mark.box.scaled(ink.scale),
            mark.line,
            mark.after_point,
            mark.after_sign,
            _drawing(mark, contrast, labels),
            _is_bar(mark),
            _breadth(mark, labels) / mark.width,
            mark.is_suspect,
            mark.is_framed,
            mark.width / math.hypot(mark.box.width, mark.box.height),
        )
        for mark in marks
    ]


def _grouped(parts: list[Part], labels: np.ndarray) -> list[Part]:
    """Return parts that may be digits, each of one or several connected parts."""
    parts = _without_rules(parts)
    if not parts:
        return []
    groups = _joined_if_close(parts, labels)
    typical = _middle_height(groups)
    groups = _merged(groups, typical)
    digits = [
        group for group in groups if group.box.height >= max(MIN_HEIGHT * typical, MIN_PIXELS) and not _is_rule(group, typical)
    ]
    _mark_signs(digits, [group for group in groups if _may_be_sign(group, typical)])
    return _mark_points(digits, [group for group in groups if _may_be_point(group, typical)], typical)


def _typical_height(parts: list[Part]) -> float:
    """Return the height of the part in which the middle of all ink lies, by height; lines and outlines do not count."""
    compact = [part for part in parts if min(part.box.width, part.box.height) > THIN * _side(part) and not _is_outline(part)]
    counted = compact or parts
    return _middle_height(counted)


def _middle_height(parts: list[Part]) -> float:
    return weighted_quantile(np.array([part.box.height for part in parts]), np.array([part.area for part in parts]))


def _without_rules(parts: list[Part]) -> list[Part]:
    """Return the parts that are not straight lines much longer than the others are high: sides of frames, rests of ruling."""
    if not parts:
        return []
    typical = _typical_height(parts)
    return [part for part in parts if not _is_rule(part, typical)]


def _is_rule(group: Part, typical: float) -> bool:
    """Return whether this is a straight line, or an outline, much longer than the digits are high."""
    box = group.box
    length = math.hypot(box.width, box.height)
    is_straight = group.area < RULE_INK * group.width * length and min(box.width, box.height) < THIN * length
    return length > RULE_LENGTH * typical and (is_straight or _is_outline(group))


def _is_outline(part: Part) -> bool:
    return part.width < OUTLINE * _side(part)


def _side(part: Part) -> int:
    return max(part.box.width, part.box.height)


def _joined_if_close(parts: list[Part], labels: np.ndarray) -> list[Part]:
    """Join parts whose gap is much smaller than their strokes are wide, as the segments of a display."""
    known = np.zeros(int(labels.max()) + 1, bool)
    known[[part.labels[0] for part in parts]] = True
    areas = np.array([part.area for part in parts])
    stroke = float(np.average([part.width for part in parts], weights=areas))
    reach = max(1, round(JOINED_GAP * stroke))
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    _, joined = cv2.connectedComponents(cv2.dilate(known[labels].astype(np.uint8), element))
    groups: dict[int, list[Part]] = {}
    for part in parts:
        box, (label,) = part.box, part.labels
        here = labels[box.top : box.bottom, box.left : box.right] == label
        groups.setdefault(int(joined[box.top : box.bottom, box.left : box.right][here][0]), []).append(part)
    return [part for group in groups.values() for part in (group if _are_neighbours(group) else [reduce(Part.merged, group)])]


def _are_neighbours(parts: list[Part]) -> bool:
    """Return whether parts that all but touch are digits beside each other: each is as high as all, and not all are bars."""
    height = max(part.box.bottom for part in parts) - min(part.box.top for part in parts)
    return all(part.box.height > TALL * height for part in parts) and not all(map(_is_bar, parts))


def _merged(groups: list[Part], typical: float) -> list[Part]:
    """Merge what belongs to one digit: a stroke over or beside another."""
    groups = sorted(groups, key=lambda group: -group.area)
    while pair := next((pair for pair in combinations(groups, 2) if _belong_together(*pair, typical)), None):
        one, other = pair
        groups[groups.index(one)] = one.merged(other)
        groups.remove(other)
    return groups


def _belong_together(one: Part, other: Part, typical: float) -> bool:
    """Return whether `other`, the smaller, is a part of the same digit as `one`."""
    a, b = one.box, other.box
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    both = a.union(b)
    if both.height > MAX_DIGIT * max(typical, a.height) or both.width > MAX_DIGIT * max(
        typical, min(a.width, MAX_DIGIT * a.height)
    ):
        return False
    narrower, lower = min(a.width, b.width), min(a.height, b.height)
    if across > 0.5 * narrower and down > 0.5 * lower:
        return True
    if max(b.width, b.height) < SPECK * typical:
        return False
    left, right = sorted((one, other), key=lambda part: part.box.left)
    if _is_open_four(left, right, typical):
        return True
    is_piece = lower < PIECE * typical
    if is_piece and across > 0.4 * narrower and down > -0.2 * typical:
        return True
    return (
        is_piece
        and across > -0.1 * typical
        and down > -0.05 * typical
        and min(across, down) > -0.1 * typical
        and (b.top < a.top + 0.3 * a.height)
    )


def _is_open_four(left: Part, right: Part, typical: float) -> bool:
    """Return whether these are the two strokes of a 4: an open one, and an upright at its right that reaches further down."""
    a, b = left.box, right.box
    return (
        _is_bar(right)
        and b.left - a.right < MAX_FOUR_GAP * typical
        and b.bottom - a.bottom > MIN_FOUR_FOOT * typical
        and min(a.bottom, b.bottom) - max(a.top, b.top) > 0.5 * min(a.height, b.height)
        and min(a.height, b.height) > PIECE * typical
    )


def _is_bar(part: Part) -> bool:
    """Return whether a part has hardly more ink than a straight line."""
    return part.area < MAX_STRAIGHT * part.width * math.hypot(part.box.width, part.box.height)


def _breadth(mark: Part, labels: np.ndarray) -> float:
    """Return how far apart the closest parallels are between which a mark lies, in pixels."""
    box = mark.box
    mine = np.isin(labels[box.top : box.bottom, box.left : box.right], mark.labels)
    _, sides, _ = cv2.minAreaRect(cv2.findNonZero(mine.astype(np.uint8)))
    return float(min(sides)) + 1


def _may_be_point(group: Part, typical: float) -> bool:
    """Return whether this is as small as a point or a comma, of which the highest might be small digits.

    What touched the line of a frame is a remnant of it.
    """
    return group.box.width < POINT * typical and group.box.height < COMMA * typical and not group.is_framed


def _mark_points(digits: list[Part], points: list[Part], typical: float) -> list[Part]:
    """Mark each digit that follows a decimal point or comma; return the digits without commas.

    `points` are the candidates, and may include small digits. Several marks between the same two digits are not points but the
    ticks of a ruler, or a dotted line.
    """
    others = [digit for digit in digits if digit not in points]
    following = [_digit_after(point, others, typical) for point in points]
    for digit in others:
        digit.after_point = sum(each is digit for each in following) == 1
    commas = [point for point, digit in zip(points, following, strict=True) if digit is not None and digit.after_point]
    return [digit for digit in digits if digit not in commas]


def _digit_after(point: Part, digits: list[Part], typical: float) -> Part | None:
    """Return the digit to the right of what may be a decimal point or comma.

    Returns None unless it stands between two digits and is not a speck.
    """
    x, y = (point.box.left + point.box.right) / 2, point.box.top
    near = [d for d in digits if abs(d.box.bottom - y) < MAX_POINT_RISE * typical and d.box.top < y - 0.5 * typical]
    left = [d for d in near if -0.1 * typical <= x - d.box.right < MAX_POINT_GAP * typical]
    right = [d for d in near if -0.1 * typical <= d.box.left - x < MAX_POINT_GAP * typical]
    if not left or not right or _side(point) < MIN_POINT * max(left, key=lambda d: d.box.right).width:
        return None
    return min(right, key=lambda d: d.box.left)


def _may_be_sign(group: Part, typical: float) -> bool:
    """Return whether this is as low and wide as a dash or a part of an equals sign."""
    return group.box.height < min(MIN_HEIGHT * typical, group.box.width) and group.box.width > MIN_SIGN * typical


def _mark_signs(digits: list[Part], signs: list[Part]) -> None:
    """Mark each digit that follows a dash or an equals sign between two digits."""
    for sign in signs:
        x, y = (sign.box.left + sign.box.right) / 2, (sign.box.top + sign.box.bottom) / 2
        low, high = SIGN_PLACE
        near = [d for d in digits if low * d.box.height < y - d.box.top < high * d.box.height]
        right = [d for d in near if d.box.left >= x]
        if right and any(d.box.right <= x for d in near):
            min(right, key=lambda d: d.box.left).after_sign = True


def _in_lines(groups: list[Part]) -> list[Part]:
    """Return the groups in reading order, with the number of their line."""
    groups = sorted(groups, key=lambda group: group.box.left)
    lines: list[list[Part]] = []
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
        has_points = sum(group.after_point for group in line) <= MAX_POINTS
        for group in line:
            group.line = number
            group.after_point &= has_points
    return [group for line in lines for group in line]


def _drawing(group: Part, contrast: np.ndarray, labels: np.ndarray) -> np.ndarray:
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
