"""Remove the lines of ruled and squared paper from a picture's ink, and leave the strokes that cross them."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

MAX_TURN = math.radians(18)
"""Lines of a sheet may be this far from upright or level."""
MAX_LINES = 250
"""In each direction: squared paper in a photograph has up to 100."""
MIN_DISTANCE = 4
"""Lines lie at least this many pixels apart."""
REACH = 5
"""Pixels on each side of a line at which its ink may be."""
BLOCK = 16
"""Pixels along a line of which the median is taken: strokes that cross it are narrower."""
MIN_COVERAGE = 0.7
"""As a share of a line's length: where it is to be seen."""
MIN_LENGTH = 0.3
"""As a share of the picture's side."""
MIN_LENGTH_OF_MANY = 0.7
"""The same for lines that are seen to end on the sheet."""
MANY = 3
"""At least this many of them are ruling; fewer may be drawn."""
MIN_BLOCKS = 4
"""A shorter line cannot be told from a stroke."""
MAX_UNEVENNESS = 1.5
"""A printed line is nowhere more than this many times as dark as along most of it: a stroke that lies on it is darker."""
MAX_INK = 0.85
"""The contrast up to which a line is divided out; the quotient would be all noise beyond."""
MIN_HOUGH_TURN = math.pi / 720
"""A quarter of a degree: over the width of a picture, half the reach."""


def remove_ruling(contrast: np.ndarray, threshold: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the contrast without the lines of the paper, float32 (h, w). All planes are as in `paper.Ink`.

    A line of the paper runs from one end of the sheet to the other, or is one of many.
    """
    turned = np.ascontiguousarray(_without_level_lines(contrast, threshold, edges).T)
    turned = _without_level_lines(turned, *(np.ascontiguousarray(plane.T) for plane in (threshold, edges)))
    return np.ascontiguousarray(turned.T)


def _without_level_lines(contrast: np.ndarray, threshold: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the contrast without lines that are nearly level."""
    if contrast.shape[1] < MIN_BLOCKS * BLOCK:
        return contrast.copy()
    found = [line for y in _level_lines(contrast, threshold) if (line := _traced(contrast, threshold, edges, y))]
    width = contrast.shape[1]
    longest = [line for line in found if line.length > MIN_LENGTH_OF_MANY * width]
    result = contrast.copy()
    erased = np.zeros(contrast.shape, bool)
    for line in found:
        if line.reaches_ends or (line in longest and len(longest) >= MANY):
            _erase(result, contrast, line, erased)
    # A stroke is there on both sides of a line that it crosses.
    bridged = cv2.morphologyEx(result, cv2.MORPH_CLOSE, np.ones((2 * REACH + 3, 1), np.uint8))
    result[erased] = np.minimum(bridged[erased], contrast[erased])
    return result


def _level_lines(contrast: np.ndarray, threshold: np.ndarray) -> list[np.ndarray]:
    """Return the height of each straight line that is nearly level, at each column, float64 (w,)."""
    height, width = contrast.shape
    is_dark = contrast - cv2.erode(contrast, np.ones((9, 1), np.uint8)) > threshold
    thin = cv2.morphologyEx(is_dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, 5), np.uint8))
    half = cv2.resize(thin, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    votes, upright = round(MIN_LENGTH * half.shape[1]), math.pi / 2
    found = cv2.HoughLines(half, 1, MIN_HOUGH_TURN, votes, min_theta=upright - MAX_TURN, max_theta=upright + MAX_TURN)
    kept = np.empty((0, 3))
    for rho, theta in found[: 8 * MAX_LINES, 0] if found is not None else ():
        ends = 2 * (rho - np.array([0, width / 4, width / 2]) * math.cos(theta)) / math.sin(theta)
        distances = np.abs(kept - ends)
        if not (distances.min(1, initial=height) < MIN_DISTANCE).any():
            kept = np.vstack([kept, ends])
        if len(kept) == MAX_LINES:
            break
    return [np.linspace(left, right, width) for left, _, right in kept]


@dataclass(frozen=True, eq=False)
class _Line:
    """A nearly level line."""

    rows: np.ndarray
    """The row of its middle at each column, int (w,)."""
    length: int
    """In pixels."""
    reaches_ends: bool
    """Whether it ends at the edge of the sheet or picture on both sides."""


def _traced(contrast: np.ndarray, threshold: np.ndarray, edges: np.ndarray, y: np.ndarray) -> _Line | None:
    """Follow a line where it is not quite straight. Returns None if there is none."""
    height, width = contrast.shape
    x, offsets = np.arange(width), np.arange(-REACH, REACH + 1)
    rows = np.rint(y).astype(int)
    profile = _typical(contrast[(rows + offsets[:, None]).clip(0, height - 1), x], 4)
    middles = (np.arange(profile.shape[1]) * BLOCK + BLOCK // 2).clip(0, width - 1)
    at = rows[middles]
    inside = (at >= 0) & (at < height)
    at = at.clip(0, height - 1)
    clear = np.flatnonzero((profile.max(0) > threshold[at, middles]) & inside)
    if len(clear) < MIN_BLOCKS:
        return None
    first, last = clear[0], clear[-1]
    length = (last - first + 1) * BLOCK
    if len(clear) < MIN_COVERAGE * (last - first + 1) or length < MIN_LENGTH * width:
        return None
    ends = np.flatnonzero(inside)[[0, -1]]
    is_edge = edges[at, middles] > 0
    margin = max(2, round(0.03 * len(at)))
    at_left = first - ends[0] <= margin or is_edge[max(first - margin, 0) : first + margin].any()
    at_right = ends[1] - last <= margin or is_edge[max(last - margin, 0) : last + margin].any()
    fit = np.polyfit(middles[clear], offsets[profile[:, clear].argmax(0)], 2)
    return _Line(np.rint(y + np.polyval(fit, x)).astype(int), length, bool(at_left and at_right))


def _typical(strip: np.ndarray, reach: int) -> np.ndarray:
    """Return the median of each block along a strip, (n, w), and its neighbours: what runs along it, and nothing that crosses."""
    blocks = strip.shape[1] // BLOCK
    profile = _medians(strip[:, : blocks * BLOCK].reshape(len(strip), blocks, BLOCK))
    padded = np.pad(profile, ((0, 0), (reach, reach)), mode="edge")
    return _medians(sliding_window_view(padded, 2 * reach + 1, axis=1))


def _medians(values: np.ndarray) -> np.ndarray:
    """Return the medians over the last axis in half the time of `np.median`, which also looks for NaNs."""
    ordered = np.sort(values, axis=-1)
    count = values.shape[-1]
    result: np.ndarray = (ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2
    return result


def _erase(result: np.ndarray, contrast: np.ndarray, line: _Line, erased: np.ndarray) -> None:
    """Divide a line out of the ink, in place: what was written over it stays."""
    height, width = contrast.shape
    x, offsets = np.arange(width), np.arange(-REACH, REACH + 1)
    places = line.rows + offsets[:, None]
    inside = (places >= 0) & (places < height)
    places = places.clip(0, height - 1)
    typical = _typical(contrast[places, x], 6)
    typical = np.minimum(typical, MAX_UNEVENNESS * _medians(typical)[:, None])
    profile = cv2.dilate(typical, np.ones((3, 3), np.uint8))
    share = cv2.resize(profile, (width, len(offsets)), interpolation=cv2.INTER_LINEAR).clip(0, MAX_INK)
    before = result[places, x]
    after = (1 - (1 - before) / (1 - share) - 0.3 * share).clip(0, 1)
    result[places, x] = np.where(inside, np.minimum(before, after), before)
    erased[places, x] |= inside & (share > 0.02)
