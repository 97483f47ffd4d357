"""Part two digits that touch: a mark that is not a digit may be two."""

import math
from dataclasses import replace
from itertools import product

import numpy as np

from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import Mark

MIN_WIDTH = 0.85
"""As a share of the height: two digits are at least this wide."""
MAX_WIDTH = 2.4
"""As a share of the height: they are at most this wide."""
SLANTS = (-0.3, 0.0, 0.3)
"""Columns per row of a cut."""
PLACES = np.linspace(0.28, 0.72, 12)
"""Where a cut crosses the middle row, as shares of the width."""
NUM_CUTS = 4
"""The number of cuts that are tried: those that cross the least ink."""
MIN_LOG_ODDS = 4.0
"""The least log odds of each half. The halves of letters and lines rarely are."""


def may_be_two(mark: Mark) -> bool:
    """Return whether a mark is as wide as two digits."""
    return MIN_WIDTH * mark.box.height < mark.box.width < MAX_WIDTH * mark.box.height


def halves(mark: Mark) -> list[tuple[Mark, Mark]]:
    """Return ways to cut a mark into a left and a right half, those that cross the least ink first."""
    ink = mark.drawing[..., 3]
    rows, columns = np.indices(ink.shape)
    cuts = []
    for slant, place in product(SLANTS, PLACES):
        at = place * ink.shape[1] + slant * (rows - ink.shape[0] / 2)
        cuts.append((float(ink[np.abs(columns - at) < 1].sum()), columns < at))
    cuts.sort(key=lambda cut: cut[0])
    pairs = [[_half(mark, is_kept) for is_kept in (is_left, ~is_left)] for _, is_left in cuts[:NUM_CUTS]]
    return [(left, right) for left, right in pairs if left and right]


def _half(mark: Mark, is_kept: np.ndarray) -> Mark | None:
    """Return the part of a mark that is kept, or None if it is empty."""
    drawing = mark.drawing.copy()
    drawing[..., 3] *= is_kept
    inked = drawing[..., 3] > 127
    if not inked.any():
        return None
    (top, bottom), (left, right) = (np.flatnonzero(inked.any(axis))[[0, -1]] for axis in (1, 0))
    across, down = mark.box.width / inked.shape[1], mark.box.height / inked.shape[0]
    start, end = mark.box.left + round(left * across), mark.box.left + round((right + 1) * across)
    first, last = mark.box.top + round(top * down), mark.box.top + round((bottom + 1) * down)
    box = Box(start, first, max(end, start + 1), max(last, first + 1))
    thickness = mark.thickness * math.hypot(mark.box.width, mark.box.height) / math.hypot(box.width, box.height)
    cropped = drawing[max(top - 2, 0) : bottom + 3, max(left - 2, 0) : right + 3]
    return replace(mark, box=box, drawing=np.ascontiguousarray(cropped), thickness=thickness)
