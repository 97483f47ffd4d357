"""Make light digits on dark labels, drums and keys dark, and what surrounds them light, so that they are read like any others.

paper.py calls this on the negative of a picture for dark digits on light labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_fc.drawing.parts import stroke_width

SHRINK = 2
"""Patches are looked for in a picture this many times smaller."""
LEVELS = range(190, 30, -30)
"""Each brightness, 0 to 255, below which areas are looked at: light and exposure differ."""

# In pixels of the smaller picture:
MIN_SIDE = 16
"""The shorter side of the smallest patch."""
BLUR = 3
"""The width of a blurred edge."""
REACH = 4 * BLUR
"""How far from a patch its surroundings are looked at, beyond a line that is drawn around it."""
MARGIN = REACH + 1
"""Around a patch."""

MIN_SOLID = 0.9
"""A patch with what is on it fills at least this share of its convex hull. A 0 and an 8 do so, too."""
MAX_LIGHT = 0.5
"""At most this share of a patch is light."""
MIN_STEP = 40
"""The digits on a patch are at least this much brighter than the patch, 0 to 255."""
MIN_EDGE, MIN_EDGED = 24, 0.9
"""The brightness changes by at least the first, 0 to 255, across at least the second share of a patch's outline. It changes
gradually at the edge of a shade on a board."""
MIN_SURROUNDED = 0.4
"""The share of its surroundings that is lighter than a patch by MIN_EDGE. The rest may be patches beside it. What a
light line encloses on a board is no patch."""
MIN_HEIGHT = 0.3
"""At least one digit is this high, as a share of the patch's shorter side."""
MAX_WIDTH, MAX_STROKE = 1.3, 0.3
"""A digit and its strokes are at most this wide, as shares of its height. The holes in a bold dark 0 or 8 are wider."""
MAX_LOOPS, MAX_FULL = 2, 0.75
"""A digit has one or two loops, or fills at most this share of its convex hull. A bar, or the slit in a bold 0, fills it."""
MAX_RATIO = 1.3
"""A patch with nothing but bars counts if another one with a digit is as high as it, up to this factor."""

Window = tuple[slice, slice]
"""Rows and columns of the smaller picture."""


@dataclass(frozen=True)
class _Patch:
    """A dark area with something light on it."""

    window: Window
    """The part of the picture that it is in, with a margin."""
    whole: np.ndarray
    """Where it is within the window, with what is on it: uint8 (h, w), 0 or 1."""
    dark: np.ndarray
    """Where it is dark: uint8 (h, w), 0 or 1."""
    has_digit: bool
    """Whether something on it has the shape of a digit and is more than a bar."""

    @property
    def height(self) -> int:
        return int(self.whole.any(1).sum())

    def contains(self, other: "_Patch") -> bool:
        """Return whether the middle of another patch is within this one."""
        row, column = ((its.start + its.stop) // 2 - own.start for own, its in zip(self.window, other.window, strict=True))
        rows, columns = self.whole.shape
        return 0 <= row < rows and 0 <= column < columns and bool(self.whole[row, column])


def with_dark_digits(rgb: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (h, w, 3), where light digits on dark patches are dark, and the patches as light as what is near.

    It is the same picture if it has no such patches.
    """
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    size = max(1, gray.shape[1] // SHRINK), max(1, gray.shape[0] // SHRINK)
    patches = _patches(cv2.resize(gray, size, interpolation=cv2.INTER_AREA))
    result = rgb.copy() if patches else rgb
    for patch in patches:
        rows, columns = (slice(SHRINK * side.start, SHRINK * side.stop) for side in patch.window)
        _invert(result[rows, columns], patch)
    return result


def _invert(rgb: np.ndarray, patch: _Patch) -> None:
    """Make a patch in its window, uint8 (h, w, 3), as light as its surroundings, and what is on it dark."""
    outer, inner = _grown(patch.whole, BLUR), _grown(patch.whole, -BLUR)
    near, small = _grown(outer, BLUR) & ~outer, rgb[::SHRINK, ::SHRINK]
    paper, ink = np.median(small[near > 0], axis=0), np.median(small[patch.dark > 0], axis=0)
    outer, inner = (cv2.resize(plane, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST) for plane in (outer, inner))
    shift = np.rint(paper + ink) - 255  # so that ~rgb + shift makes the ink's colour that of the paper
    up, down = (np.full_like(rgb, part.clip(0).astype(np.uint8)) for part in (shift, -shift))
    inverted = cv2.subtract(cv2.add(~rgb, up), down)
    cv2.copyTo(np.full_like(rgb, paper.astype(np.uint8)), outer, rgb)
    cv2.copyTo(inverted, inner, rgb)


def _patches(gray: np.ndarray) -> list[_Patch]:
    """Return the patches of a picture, uint8 (h, w), each at the highest level at which it is separate from the others."""
    is_taken = np.zeros(gray.shape, bool)
    sure: list[_Patch] = []
    with_bars: list[_Patch] = []
    for area, window in _dark_areas(gray):
        patch = None if is_taken[window][area > 0].any() else _patch(gray[window], area, window)
        if patch and patch.has_digit:
            is_taken[window] |= patch.whole > 0
            # A frame that is drawn on a patch may stand out before the patch itself does.
            sure = [other for other in sure if not patch.contains(other)] + [patch]
        elif patch:
            with_bars.append(patch)
    heights = [patch.height for patch in sure]
    for patch in with_bars:
        has_equal = any(1 / MAX_RATIO <= patch.height / height <= MAX_RATIO for height in heights)
        if has_equal and not is_taken[patch.window][patch.whole > 0].any():
            is_taken[patch.window] |= patch.whole > 0
            sure.append(patch)
    return sure


def _dark_areas(gray: np.ndarray) -> Iterator[tuple[np.ndarray, Window]]:
    """Yield connected dark areas of a picture, uint8 (h, w): each as uint8 (h', w'), 0 or 1, in a window with a margin.

    At each level the largest come first, since a frame that is drawn on a patch divides it. What the picture's border cuts off
    is left out.
    """
    height, width = gray.shape
    for level in LEVELS:
        _, labels, stats, _ = cv2.connectedComponentsWithStats((gray < level).astype(np.uint8))
        left, top, across, down, _ = stats.T
        is_large = np.minimum(across, down) >= MIN_SIDE
        is_whole = (left > 0) & (top > 0) & (left + across < width) & (top + down < height)
        places = np.flatnonzero(is_large & is_whole)
        for label in places[np.argsort(-across[places] * down[places], kind="stable")]:
            window = (
                slice(max(0, int(top[label]) - MARGIN), min(height, int(top[label] + down[label]) + MARGIN)),
                slice(max(0, int(left[label]) - MARGIN), min(width, int(left[label] + across[label]) + MARGIN)),
            )
            yield (labels[window] == label).astype(np.uint8), window


def _patch(gray: np.ndarray, area: np.ndarray, window: Window) -> _Patch | None:
    """Return the patch that a dark area, uint8 (h, w), 0 or 1, belongs to, or None if it is not one. `gray` is its window."""
    outlines, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea)
    if cv2.contourArea(outline) < MIN_SOLID * cv2.contourArea(cv2.convexHull(outline)):
        return None
    whole = cv2.drawContours(np.zeros_like(area), [outline], -1, 1, cv2.FILLED)
    inner = _grown(whole, -BLUR)
    values = gray[inner > 0]
    if not values.size:
        return None
    split, _ = cv2.threshold(values, 0, 255, cv2.THRESH_OTSU)
    light, dark = inner & (gray > split), inner & (gray <= split)
    if not MAX_LIGHT * inner.sum() > light.sum() > 0:
        return None
    low, high = float(np.median(gray[dark > 0])), float(np.median(gray[light > 0]))
    if high - low < MIN_STEP or not _has_edge(gray, outline):
        return None
    around = gray[(_grown(whole, REACH) & ~_grown(whole, REACH - BLUR)) > 0]
    if (around > low + MIN_EDGE).sum() < max(1, MIN_SURROUNDED * len(around)):
        return None
    side = min(int(whole.any(axis).sum()) for axis in (0, 1))
    return _Patch(window, whole, dark, _has_digit(light, inner & ~_grown(inner, -1), side))


def _has_edge(gray: np.ndarray, outline: np.ndarray) -> bool:
    """Return whether the brightness, uint8 (h, w), changes abruptly along an outline, int32 (n, 1, 2) of x and y."""
    element = np.ones((2 * BLUR + 1,) * 2, np.uint8)
    steps = cv2.subtract(cv2.dilate(gray, element), cv2.erode(gray, element))
    columns, rows = outline[:, 0].T
    return float((steps[rows, columns] >= MIN_EDGE).mean()) >= MIN_EDGED


def _has_digit(light: np.ndarray, border: np.ndarray, side: int) -> bool:
    """Return whether one of the connected light parts of a patch has the shape of a digit and is more than a bar.

    What reaches the patch's border is a gleam. The planes are uint8 (h, w), 0 or 1; `side` is the patch's shorter side in pixels.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(light)
    for label in set(range(1, count)) - {*np.unique(labels[border > 0]).tolist()}:
        left, top, width, height, area = stats[label].tolist()
        if height < MIN_HEIGHT * side or width > MAX_WIDTH * height:
            continue
        part = (labels[top : top + height, left : left + width] == label).astype(np.uint8)
        outlines, _ = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        has_loop = 1 <= len(outlines) - 1 <= MAX_LOOPS
        hull = cv2.convexHull(cv2.findNonZero(part))
        if stroke_width(part) < MAX_STROKE * height and (has_loop or area < MAX_FULL * cv2.contourArea(hull)):
            return True
    return False


def _grown(plane: np.ndarray, by: int) -> np.ndarray:
    """Return a plane, uint8 (h, w), 0 or 1, dilated by `by` pixels, or eroded if `by` is negative."""
    element = np.ones((2 * abs(by) + 1,) * 2, np.uint8)
    result: np.ndarray = cv2.dilate(plane, element) if by >= 0 else cv2.erode(plane, element)
    return result
