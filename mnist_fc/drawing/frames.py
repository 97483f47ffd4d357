"""Take away the frames and cells that digits touch, so that the digits stay."""

import cv2
import numpy as np

from mnist_fc.drawing.parts import MAX_FRAME_INK, Part
from mnist_fc.drawing.ruling import remove_ruling

MIN_SIDE = 60
"""Pixels of the shorter side of the smallest frame."""
BAND = 0.18
"""As a share of the shorter side: the lines of a frame run this close to its sides, even where it is tilted."""
MIN_COVERED = 0.85
"""A frame's line is to be seen along this share of each side. It is about two thirds of a round 0."""
MIN_TINT, MAX_TINT = 0.2, 0.7
"""A tinted area is at least the first share of a framed part, and its contrast at most the second share of that of the rest."""
TINT_WIDTH, MIN_WIDE = 0.06, 0.5
"""As a share of the frame's shorter side, the width of most of a tinted area: the blurred rims of strokes are narrower."""
SEGMENT_GAP = 0.03
"""As a share of the frame's shorter side: the gaps between the segments of a digit are smaller."""
MIN_LEFT = 0.3
"""What is left must be at least this high, as a share of the frame's shorter side: else the lines were those of a square 8."""


def without_frames(contrast: np.ndarray, threshold: np.ndarray, parts: list[Part], labels: np.ndarray) -> np.ndarray | None:
    """Return the contrast without the lines of frames that touch digits, float32 (h, w); None if there are none.

    The planes and parts are as for `parts.connected`.
    """
    result: np.ndarray | None = None
    for part in parts:
        box = part.box
        if min(box.width, box.height) < MIN_SIDE or part.area > MAX_FRAME_INK * box.width * box.height:
            continue
        window = slice(box.top, box.bottom), slice(box.left, box.right)
        mine = (labels[window] == part.labels[0]).astype(np.uint8)
        if not _is_framed(mine):
            continue
        whole = cv2.dilate(mine, np.ones((5, 5), np.uint8)) > 0
        inked = _without_tint(np.where(whole, contrast[window], 0).astype(np.float32), mine)
        left = remove_ruling(inked, threshold[window], np.zeros_like(mine))
        if _has_digit(left > threshold[window], MIN_LEFT * min(box.width, box.height)):
            result = contrast.copy() if result is None else result
            result[window] = np.where(whole, left, result[window])
    return result


def _without_tint(inked: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Return the contrast of a framed part without its tinted areas, float32 (h, w); as it is if there are none.

    A display that is darker than what surrounds it counts as ink in its corners, which join digits and frame.
    """
    levels = np.rint(inked * (255 / inked.max())).astype(np.uint8)
    level, _ = cv2.threshold(levels[mine > 0], 0, 255, cv2.THRESH_OTSU)
    is_tint = (mine > 0) & (levels <= level)
    is_strong = (mine > 0) & ~is_tint
    if not MIN_TINT < is_tint.sum() / mine.sum() < 1 - MIN_TINT:
        return inked
    weak, strong = float(np.median(inked[is_tint])), float(np.median(inked[is_strong]))
    width = max(3, round(TINT_WIDTH * min(mine.shape)))
    wide = cv2.morphologyEx(is_tint.astype(np.uint8), cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    if weak > MAX_TINT * strong or wide.sum() < MIN_WIDE * is_tint.sum():
        return inked
    return ((inked - weak) * (strong / (strong - weak))).clip(0)


def _is_framed(mine: np.ndarray) -> bool:
    """Return whether ink, uint8 (h, w), runs along all four sides of its box."""
    band = max(1, round(BAND * min(mine.shape)))
    sides = (mine[:band].any(0), mine[-band:].any(0), mine[:, :band].any(1), mine[:, -band:].any(1))
    return all(float(side.mean()) >= MIN_COVERED for side in sides)


def _has_digit(inked: np.ndarray, least: float) -> bool:
    """Return whether there is connected ink, bool (h, w), of at least this height in pixels, that is not part of the frame."""
    height, width = inked.shape
    gap = max(1, round(SEGMENT_GAP * min(height, width)))
    joined = cv2.dilate(inked.astype(np.uint8), np.ones((gap, gap), np.uint8))  # the segments of a display
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    left, top, right, down = stats[1:, 0], stats[1:, 1], stats[1:, 0] + stats[1:, 2], stats[1:, 1] + stats[1:, 3]
    is_inside = (left > 0.02 * width) & (top > 0.02 * height) & (right < 0.98 * width) & (down < 0.98 * height)
    return bool((is_inside & (stats[1:, 3] > least) & (stats[1:, 2] > 0.2 * stats[1:, 3])).any())
