"""Make light digits on dark labels, drums and keys dark, and what surrounds them light, so that they are read like any others."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

SHRINK = 2
"""Patches are looked for in a picture so many times smaller."""
LEVELS = range(190, 30, -30)
"""The brightness, 0 to 255, below which a picture is looked at for patches, one after the other: light and exposure differ."""

# In pixels of the smaller picture:
MIN_SIDE = 16
"""The shorter side of the smallest patch."""
RIM = 3
"""The blur along an edge."""

MIN_SOLID = 0.9
"""The share of its hull that a patch fills with what is on it. A 0 and an 8 do so, too."""
MAX_LIGHT = 0.5
"""The share of a patch that is light at most."""
MIN_STEP = 40
"""The least difference in brightness between a patch and its digits, 0 to 255."""
MIN_HEIGHT = 0.3
"""As a share of the patch's shorter side: at least one of its digits is so high."""
MAX_WIDTH, MAX_LOOPS = 1.3, 2
"""As a share of its height, a digit is at most so wide; and it has at most two loops, as an 8 has."""
MAX_STROKE = 0.3
"""As a share of its height: its strokes are at most so wide. The loops of a 0 or an 8 are wider, or straight."""
MAX_FULL = 0.75
"""The share of its own hull that it fills at most, without a loop. Bars fill all of it, and so does the inside of a bold 0."""
MAX_RATIO = 1.3
"""A patch with straight digits alone counts beside another one of its height, up to this factor, that has others."""


@dataclass(frozen=True)
class _Patch:
    """A dark area with something light on it."""

    window: tuple[slice, slice]
    """Its rows and columns in the smaller picture, with a rim."""
    inside: np.ndarray
    """Where it is within the window, and what is on it: uint8 (h, w), 0 or 1."""
    dark: np.ndarray
    """Where it is dark: uint8 (h, w), 0 or 1."""
    has_curve: bool
    """Whether something on it may be a digit and is no straight bar."""

    def contains(self, other: "_Patch") -> bool:
        """Return whether the middle of another patch is within this one."""
        row, column = ((its.start + its.stop) // 2 - own.start for own, its in zip(self.window, other.window, strict=True))
        rows, columns = self.inside.shape
        return 0 <= row < rows and 0 <= column < columns and bool(self.inside[row, column])


def with_dark_digits(rgb: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (h, w, 3), where light digits on dark patches are dark, and the patches as light as what is near.

    It is the same picture if it has no such patches.
    """
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    size = max(1, gray.shape[1] // SHRINK), max(1, gray.shape[0] // SHRINK)
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    patches = _patches(small)
    result = rgb.copy() if patches else rgb
    for patch in patches:
        rows, columns = (slice(SHRINK * side.start, SHRINK * side.stop) for side in patch.window)
        result[rows, columns] = _inverted(result[rows, columns], patch)
    return result


def _inverted(rgb: np.ndarray, patch: _Patch) -> np.ndarray:
    """Return a patch and its rim, uint8 (h, w, 3), where the patch is as light as what surrounds it, and its digits are dark."""
    outer = _grown(patch.inside, RIM)
    planes = (outer, _grown(patch.inside, -RIM), _grown(outer, RIM) & ~outer, patch.dark)
    size = rgb.shape[1::-1]
    outer, inner, near, dark = (cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST)[..., None] > 0 for plane in planes)
    paper, ink = (np.median(rgb[place[..., 0]], axis=0) for place in (near, dark))
    inverted: np.ndarray = np.where(inner, paper + ink - rgb, np.where(outer, paper, rgb))
    return inverted.clip(0, 255).astype(np.uint8)


def _patches(gray: np.ndarray) -> list[_Patch]:
    """Return the patches of a picture, uint8 (h, w), each at the highest brightness at which it is apart from the others.

    One that has straight digits alone counts beside another one of its height.
    """
    is_taken = np.zeros(gray.shape, bool)
    sure: list[_Patch] = []
    unsure: list[_Patch] = []
    for mine, window in _dark_areas(gray):
        patch = None if is_taken[window][mine > 0].any() else _patch(gray[window], mine, window)
        if patch and patch.has_curve:
            is_taken[window] |= patch.inside > 0
            # A frame that is drawn on a patch may stand out before the patch itself does.
            sure = [other for other in sure if not patch.contains(other)] + [patch]
        elif patch:
            unsure.append(patch)
    heights = [len(patch.inside) for patch in sure]
    for patch in unsure:
        has_equal = any(1 / MAX_RATIO <= len(patch.inside) / height <= MAX_RATIO for height in heights)
        if has_equal and not is_taken[patch.window][patch.inside > 0].any():
            is_taken[patch.window] |= patch.inside > 0
            sure.append(patch)
    return sure


def _dark_areas(gray: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[slice, slice]]]:
    """Yield connected dark areas of a picture, uint8 (h, w), 0 or 1, with a rim of 0, and where they are.

    The largest of a brightness come first, since a frame that is drawn on a patch divides it.
    """
    height, width = gray.shape
    margin = 2 * RIM + 1
    for level in LEVELS:
        _, labels, stats, _ = cv2.connectedComponentsWithStats((gray < level).astype(np.uint8))
        left, top, across, down, _ = stats.T
        is_large = np.minimum(across, down) >= MIN_SIDE
        is_within = (left > margin) & (top > margin) & (left + across < width - margin) & (top + down < height - margin)
        areas = np.flatnonzero(is_large & is_within)
        for label in areas[np.argsort(-across[areas] * down[areas], kind="stable")]:
            window = (
                slice(int(top[label]) - margin, int(top[label] + down[label]) + margin),
                slice(int(left[label]) - margin, int(left[label] + across[label]) + margin),
            )
            yield (labels[window] == label).astype(np.uint8), window


def _patch(gray: np.ndarray, mine: np.ndarray, window: tuple[slice, slice]) -> _Patch | None:
    """Return the patch that a dark area, uint8 (h, w), 0 or 1, belongs to; None if it is none. `gray` is the same window."""
    outlines, _ = cv2.findContours(mine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea)
    if cv2.contourArea(outline) < MIN_SOLID * cv2.contourArea(cv2.convexHull(outline)):
        return None
    inside = cv2.drawContours(np.zeros_like(mine), [outline], -1, 1, cv2.FILLED)
    inner = _grown(inside, -RIM)
    values = gray[inner > 0]
    if not values.size:
        return None
    split, _ = cv2.threshold(values, 0, 255, cv2.THRESH_OTSU)
    light, dark = inner & (gray > split), inner & (gray <= split)
    if not MAX_LIGHT * inner.sum() > light.sum() > 0:
        return None
    if float(np.median(gray[light > 0])) - float(np.median(gray[dark > 0])) < MIN_STEP:
        return None
    side = min(int(inside.any(axis).sum()) for axis in (0, 1))
    return _Patch(window, inside, dark, _has_curve(light, inner & ~_grown(inner, -1), side))


def _has_curve(light: np.ndarray, rim: np.ndarray, side: int) -> bool:
    """Return whether one of the connected light parts of a patch may be a digit and is no straight bar.

    It must not reach the patch's rim, as a gleam does. The planes are uint8 (h, w), 0 or 1.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(light)
    for label in set(range(1, count)) - {*np.unique(labels[rim > 0]).tolist()}:
        left, top, width, height, area = stats[label].tolist()
        if height < MIN_HEIGHT * side or width > MAX_WIDTH * height:
            continue
        part = (labels[top : top + height, left : left + width] == label).astype(np.uint8)
        distance = cv2.distanceTransform(np.pad(part, 1), cv2.DIST_L2, 3)
        stroke = 4 * float(distance[distance > 0].mean()) - 1
        outlines, _ = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        has_loop = 0 < len(outlines) - 1 <= MAX_LOOPS
        hull = cv2.convexHull(cv2.findNonZero(part))
        if stroke < MAX_STROKE * height and (has_loop or area < MAX_FULL * cv2.contourArea(hull)):
            return True
    return False


def _grown(plane: np.ndarray, by: int) -> np.ndarray:
    """Return a plane, uint8 (h, w), 0 or 1, that reaches so many pixels further; less far if that is negative."""
    element = np.ones((2 * abs(by) + 1,) * 2, np.uint8)
    result: np.ndarray = cv2.dilate(plane, element) if by >= 0 else cv2.erode(plane, element)
    return result
