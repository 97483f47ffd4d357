"""Take away the frames and cells that digits touch, so that the digits stay."""

import math

import cv2
import numpy as np

from mnist_fc.drawing.parts import INK_LEVEL, MAX_FRAME_INK, Part

MIN_SIDE = 60
"""Pixels of the shorter side of the smallest frame."""
MAX_WIDTH = 0.15
"""As a share of the shorter side: the lines of a frame and the digits in it are thinner, those of a square 8 may be thicker."""
BAND = 0.18
"""As a share of the shorter side: the lines of a frame run this close to its sides, even where it is tilted."""
UPRIGHT = 0.95
"""A frame that fills this share of its box is not turned, which would blur it."""
MIN_COVERED = 0.85
"""A frame's line is to be seen along this share of each side. It is about two thirds of a round 0."""
MIN_INNER = 0.98
"""The same for a line between cells, which also joins both sides."""
SLACK, RIM = 2, 2
"""Pixels: how far a line may wander, and how far its blurred rim reaches."""
MAX_RUN = 1.5
"""Ink across a line that is thicker than this many times the line is a stroke that touches it."""
MAX_DARK = 1.3
"""A line is nowhere darker than this many times its median, but where a stroke lies on it."""
MIN_TINT, MAX_TINT = 0.2, 0.7
"""A tinted area is at least the first share of a framed part, and its contrast at most the second share of that of the rest."""
TINT_WIDTH, MIN_WIDE = 0.06, 0.5
"""As a share of the frame's shorter side, the width of most of a tinted area: the blurred rims of strokes are narrower."""
SEGMENT_GAP = 0.03
"""As a share of the frame's shorter side: the gaps between the segments of a digit are smaller."""
FRAME_WIDTH = 0.06
"""The same for the lines of the frame: what may be left of them lies so close to its sides."""
MIN_LEFT = 0.3
"""What is left must be at least this high, as a share of the frame's shorter side: else the lines were those of a square 8."""


def without_frames(contrast: np.ndarray, parts: list[Part], labels: np.ndarray) -> np.ndarray | None:
    """Return the contrast without the lines of frames and cells that touch digits, float32 (h, w); None if there are none.

    The planes and parts are as for `parts.connected`.
    """
    result: np.ndarray | None = None
    for part in parts:
        box = part.box
        window = slice(box.top, box.bottom), slice(box.left, box.right)
        shorter = min(box.width, box.height)
        is_thin = part.area < MAX_FRAME_INK * box.width * box.height and part.width < MAX_WIDTH * shorter
        if shorter >= MIN_SIDE and is_thin:
            mine = (labels[window] == part.labels[0]).astype(np.uint8)
            left = _without_lines(contrast[window], mine, part.strength)
            if left is not None:
                result = contrast.copy() if result is None else result
                result[window] = left
    return result


def _without_lines(contrast: np.ndarray, mine: np.ndarray, strength: float) -> np.ndarray | None:
    """Return the contrast, float32 (h, w), without the lines of the frame that is `mine`, uint8 (h, w).

    Returns None if it is no frame, or if nothing is left of it.
    """
    upright, size = _turned_upright(mine)
    straight = cv2.warpPerspective(mine, upright, size, flags=cv2.INTER_NEAREST)
    if not _is_framed(straight):
        return None
    upright = _squared(straight) @ upright
    whole = cv2.dilate(mine, np.ones((5, 5), np.uint8)) > 0
    inked = _without_tint(np.where(whole, contrast, 0).astype(np.float32), mine)
    ink = mine * (inked > INK_LEVEL * strength)
    straight = cv2.warpPerspective(ink, upright, size, flags=cv2.INTER_NEAREST)
    is_line = _lines(straight, cv2.warpPerspective(inked, upright, size))
    if not _has_digit((straight > 0) & ~is_line, MIN_LEFT * min(size)):
        return None
    turned_back = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    erased = cv2.warpPerspective(is_line.astype(np.uint8), upright, mine.shape[::-1], flags=turned_back)
    rim = cv2.dilate(erased, np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    left = np.where(np.where(ink > 0, erased, rim) > 0, 0, inked)
    return np.where(whole, left, contrast)


def _turned_upright(mine: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the transform that turns the smallest rectangle around ink, uint8 (h, w), upright, and its size (width, height)."""
    rectangle = cv2.minAreaRect(cv2.findNonZero(mine))
    if math.prod(rectangle[1]) > UPRIGHT * mine.size:
        return np.eye(3), mine.shape[::-1]
    corners = cv2.boxPoints(rectangle)
    order = np.argsort(corners.sum(1))[[0, -1]]
    top_left, bottom_right = corners[order]
    top_right, bottom_left = sorted(np.delete(corners, order, axis=0), key=lambda corner: corner[1] - corner[0])
    size = round(math.dist(top_left, top_right)) + 1, round(math.dist(top_left, bottom_left)) + 1
    right, bottom = size[0] - 1, size[1] - 1
    straight = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float32)
    return cv2.getPerspectiveTransform(np.array([top_left, top_right, bottom_right, bottom_left]), straight), size


def _squared(mine: np.ndarray) -> np.ndarray:
    """Return the transform that makes the four sides of a nearly upright frame, uint8 (h, w), a rectangle of that size."""
    height, width = mine.shape
    (top, slope), (bottom, rise) = _upper_side(mine), _upper_side(mine[::-1])
    (left, turn), (right, lean) = _upper_side(mine.T), _upper_side(mine.T[::-1])
    level = [(top, slope), (height - 1 - bottom, -rise)]
    steep = [(left, turn), (width - 1 - right, -lean)]
    corners = [_crossing(*row, *column) for row in level for column in steep]
    ends = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    return cv2.getPerspectiveTransform(np.array(corners, np.float32), np.array(ends, np.float32))


def _upper_side(mine: np.ndarray) -> tuple[float, float]:
    """Return the height and slope of the straight line along which the ink, uint8 (h, w), begins at the top."""
    band = max(1, round(BAND * min(mine.shape)))
    columns = np.flatnonzero(mine[:band].any(0))
    rows = mine[:band, columns].argmax(0)
    x, y, x0, y0 = cv2.fitLine(np.stack([columns, rows], 1).astype(np.float32), cv2.DIST_WELSCH, 0, 0.01, 0.01).ravel().tolist()
    return y0 - x0 * y / x, y / x


def _crossing(y0: float, slope: float, x0: float, turn: float) -> tuple[float, float]:
    """Return where the lines y = y0 + slope x and x = x0 + turn y cross."""
    x = (x0 + turn * y0) / (1 - turn * slope)
    return x, y0 + slope * x


def _lines(ink: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Return which ink, uint8 (h, w), of an upright frame belongs to its lines and to nothing that crosses them, bool (h, w)."""
    level, rows, thick = _level_lines(ink)
    steep, columns, wide = _level_lines(ink.T)
    is_line = level | steep.T
    # Where two lines cross, neither is thin.
    side = 2 * round(max(thick, wide)) + 1
    around = cv2.dilate(is_line.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    is_line |= around & rows[:, None] & columns & (ink > 0)
    if is_line.any():  # a stroke on a line is darker
        is_line &= contrast < MAX_DARK * np.median(contrast[is_line])
    # Strokes go on beside the lines.
    kept = (ink > 0) & ~is_line
    count, labels = cv2.connectedComponents(kept.astype(np.uint8))
    goes_on = np.zeros(count, bool)
    goes_on[labels[~(rows[:, None] | columns)]] = True
    return np.asarray(is_line | (kept & ~goes_on[labels]))


def _level_lines(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Find the level lines of an upright frame in its ink, uint8 (h, w).

    Returns the ink that belongs to them and to nothing that crosses them, bool (h, w), their rows, bool (h,), and their width.
    """
    runs = _runs(ink)
    sides = np.concatenate([runs[: SLACK + 1].max(0), runs[-SLACK - 1 :].max(0)])
    thick = float(np.median(sides[sides > 0])) if sides.any() else 1.0
    near = cv2.dilate(ink, np.ones((2 * SLACK + 1, 1), np.uint8))
    is_line = near.mean(1) >= MIN_INNER
    margin = SLACK + round(thick)
    is_line[:margin] = is_line[-margin:] = True
    reach = 2 * round(thick / 2) + 1
    rows = cv2.dilate(is_line.astype(np.uint8)[:, None], np.ones((reach, 1), np.uint8))[:, 0] > 0
    return rows[:, None] & (runs > 0) & (runs <= MAX_RUN * thick + 1), rows, thick


def _runs(ink: np.ndarray) -> np.ndarray:
    """Return the height of the unbroken column of ink, uint8 (h, w), in which each of its pixels lies, int (h, w)."""
    begins = np.diff(ink.astype(np.int8), axis=0, prepend=0) == 1
    numbers = np.where(ink.T > 0, begins.T.ravel().cumsum().reshape(ink.shape[::-1]), 0)
    lengths = np.bincount(numbers.ravel())
    lengths[0] = 0
    return np.asarray(lengths[numbers].T)


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
    shorter = min(inked.shape)
    margin, gap = max(1, round(FRAME_WIDTH * shorter)), max(1, round(SEGMENT_GAP * shorter))
    inside = inked[margin:-margin, margin:-margin].astype(np.uint8)
    joined = cv2.dilate(inside, np.ones((gap, gap), np.uint8))  # the segments of a display
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    return bool(((stats[1:, 3] > least) & (stats[1:, 2] > 0.2 * stats[1:, 3])).any())
