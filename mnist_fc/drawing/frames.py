"""Take away the lines of frames and cells that digits touch, so that the digits stay."""

import math

import cv2
import numpy as np

from mnist_fc.drawing.parts import INK_LEVEL, MAX_FRAME_INK, Part

MIN_SIDE = 60
"""Pixels of the shorter side of the smallest frame."""
MAX_WIDTH = 0.15
"""As a share of the shorter side: the lines of a frame and the digits in it are thinner, those of a square 8 may be thicker."""
MIN_ROW_ASPECT = 1.5
"""A part more than this many times as long as wide is a row of cells, not one digit; its strokes may be thicker."""
MAX_CELLS = 6
"""What has more rows and more columns of cells is squared paper, on which digits do not keep to the cells; see ruling.py."""
BAND = 0.18
"""As a share of the shorter side: the lines of a frame run this close to its sides, even where it is seen in perspective."""
UPRIGHT = 0.95
"""A frame whose smallest rectangle has this share of its box's area is upright already."""
MIN_COVERED = 0.85
"""A frame's line is to be seen along at least this share of each side. Along a round 0 it is about two thirds."""
MIN_INNER = 0.98
"""The same for a line between two cells."""
SLACK, RIM = 2, 2
"""Pixels: how far a line may wander, and how far its blurred rim reaches."""
MAX_RUN, BLUR = 1.5, 1
"""Ink across a line that is thicker than this many times the line, and this many pixels, is a stroke that touches it."""
MAX_DARK = 1.3
"""A line is nowhere darker than this many times its median, but where a stroke lies on it."""
MIN_TINT, MAX_TINT = 0.2, 0.7
"""A tinted area is at least the first share of a framed part, and its contrast at most the second share of that of the rest."""
TINT_WIDTH, MIN_WIDE = 0.06, 0.5
"""At least the second share of a tinted area is wider than the first share of the frame's shorter side: the blurred rims of
strokes are narrower."""
SEGMENT_GAP, FRAME_MARGIN = 0.03, 0.06
"""As shares of the frame's shorter side: the gaps between the segments of a digit are smaller than the first, and what is left of
the frame's lines lies closer to its sides than the second."""
MIN_LEFT, MIN_SLIM = 0.3, 0.2
"""What is left must be at least this high, as a share of a cell's height, else the lines were those of a square 8; and as wide as
the second share of its own height, else it is the rest of a line."""


def without_frames(contrast: np.ndarray, parts: list[Part], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take away the lines of frames and cells that digits touch.

    Returns the contrast without them, float32 (h, w), and where they were, bool (h, w). The planes and parts are as for
    `parts.connected`.
    """
    result, is_erased = contrast.copy(), np.zeros(contrast.shape, bool)
    for part in parts:
        box = part.box
        if min(box.width, box.height) >= MIN_SIDE and part.area < MAX_FRAME_INK * box.width * box.height:
            window = slice(box.top, box.bottom), slice(box.left, box.right)
            found = _without_lines(result[window], part, labels[window])
            if found is not None:
                result[window] = found[0]
                is_erased[window] |= found[1]
    return result, is_erased


def _without_lines(contrast: np.ndarray, part: Part, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the contrast in the box of a part without its lines, float32 (h, w), and where they were, bool (h, w).

    Returns None if it is no frame, or if no ink as large as a digit is left.
    """
    mask = (labels == part.labels[0]).astype(np.uint8)
    upright, size = _upright_transform(mask)
    is_row = max(size) > MIN_ROW_ASPECT * min(size)
    if min(size) < MIN_SIDE or (part.width > MAX_WIDTH * min(size) and not is_row):
        return None
    upright_mask = cv2.warpPerspective(mask, upright, size, flags=cv2.INTER_NEAREST)
    if not _is_framed(upright_mask):
        return None
    upright = _squaring_transform(upright_mask) @ upright
    around = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
    is_own = (cv2.dilate(mask, around) > 0) & ((labels == 0) | (mask > 0))
    own = _without_tint(np.where(is_own, contrast, 0).astype(np.float32), mask)
    ink = mask * (own > INK_LEVEL * part.strength)
    upright_ink = cv2.warpPerspective(ink, upright, size, flags=cv2.INTER_NEAREST)
    is_line, (num_rows, num_columns) = _lines(upright_ink, cv2.warpPerspective(own, upright, size))
    if min(num_rows, num_columns) > MAX_CELLS or not _has_digit((upright_ink > 0) & ~is_line, MIN_LEFT * size[1] / num_rows):
        return None
    turned_back = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    erased = cv2.warpPerspective(is_line.astype(np.uint8), upright, mask.shape[::-1], flags=turned_back)
    is_erased = np.where(ink > 0, erased, cv2.dilate(erased, around)) > 0
    return np.where(is_own, np.where(is_erased, 0, own), contrast), is_erased


def _upright_transform(mask: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the transform that turns the smallest rectangle around ink, uint8 (h, w), upright, and its size (width, height)."""
    rectangle = cv2.minAreaRect(cv2.findNonZero(mask))
    if math.prod(rectangle[1]) > UPRIGHT * mask.size:
        return np.eye(3), mask.shape[::-1]
    corners = cv2.boxPoints(rectangle)  # clockwise
    corners = np.roll(corners, -int(corners.sum(1).argmin()), axis=0)
    size = round(math.dist(corners[0], corners[1])) + 1, round(math.dist(corners[0], corners[3])) + 1
    right, bottom = size[0] - 1, size[1] - 1
    targets = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float32)
    return cv2.getPerspectiveTransform(corners, targets), size


def _squaring_transform(mask: np.ndarray) -> np.ndarray:
    """Return the transform that moves the corners of a nearly upright frame, uint8 (h, w), into the corners of the array."""
    height, width = mask.shape
    (top, top_slope), (bottom, bottom_slope) = _upper_side(mask), _upper_side(mask[::-1])
    (left, left_slope), (right, right_slope) = _upper_side(mask.T), _upper_side(mask.T[::-1])
    level = [(top, top_slope), (height - 1 - bottom, -bottom_slope)]
    upright = [(left, left_slope), (width - 1 - right, -right_slope)]
    corners = [_crossing(*row, *column) for row in level for column in upright]
    targets = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    return cv2.getPerspectiveTransform(np.array(corners, np.float32), np.array(targets, np.float32))


def _upper_side(mask: np.ndarray) -> tuple[float, float]:
    """Return the straight line along which ink, uint8 (h, w), begins at the top: its row at column 0, and its slope."""
    top = mask[: _band(mask)]
    columns = np.flatnonzero(top.any(0))
    points = np.stack([columns, top[:, columns].argmax(0)], 1).astype(np.float32)
    x, y, x0, y0 = cv2.fitLine(points, cv2.DIST_WELSCH, 0, 0.01, 0.01).ravel().tolist()
    return y0 - x0 * y / x, y / x


def _crossing(row: float, slope: float, column: float, turn: float) -> tuple[float, float]:
    """Return where the lines y = row + slope x and x = column + turn y cross."""
    x = (column + turn * row) / (1 - turn * slope)
    return x, row + slope * x


def _lines(ink: np.ndarray, contrast: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Find the lines of an upright frame in its ink, uint8 (h, w), and its contrast, float32 (h, w).

    Returns the ink that belongs to them and not to a stroke that crosses them, bool (h, w), and the numbers of rows and of
    columns of cells.
    """
    level, rows, level_width = _level_lines(ink)
    upright, columns, upright_width = _level_lines(ink.T)
    is_line = level | upright.T
    # Where two lines cross, neither is thin.
    side = 2 * round(max(level_width, upright_width)) + 1
    around = cv2.dilate(is_line.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    is_line |= around & rows[:, None] & columns & (ink > 0)
    if is_line.any():  # a stroke on a line is darker
        is_line &= contrast < MAX_DARK * np.median(contrast[is_line])
    # A stroke continues beyond the lines; what does not is a remnant of a line.
    is_left = (ink > 0) & ~is_line
    count, labels = cv2.connectedComponents(is_left.astype(np.uint8))
    continues = np.zeros(count, bool)
    continues[labels[~(rows[:, None] | columns)]] = True
    return is_line | (is_left & ~continues[labels]), (_num_between(rows), _num_between(columns))


def _num_between(is_line: np.ndarray) -> int:
    """Return the number of cells between lines that take these rows or columns, bool (n,), at least 1."""
    return max(int(np.count_nonzero(np.diff(is_line.astype(np.int8), prepend=0) == 1)) - 1, 1)


def _level_lines(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Find the level lines of an upright frame in its ink, uint8 (h, w).

    Returns the ink that belongs to them and not to a stroke that crosses them, bool (h, w), their rows, bool (h,), and their
    width.
    """
    runs = _runs(ink)
    sides = np.concatenate([runs[: SLACK + 1].max(0), runs[-SLACK - 1 :].max(0)])
    width = float(np.median(sides[sides > 0])) if sides.any() else 1.0
    is_line = cv2.dilate(ink, np.ones((2 * SLACK + 1, 1), np.uint8)).mean(1) >= MIN_INNER
    margin = SLACK + round(width)
    is_line[:margin] = is_line[-margin:] = True
    reach = 2 * round(width / 2) + 1
    rows = cv2.dilate(is_line.astype(np.uint8)[:, None], np.ones((reach, 1), np.uint8))[:, 0] > 0
    return rows[:, None] & (runs > 0) & (runs <= MAX_RUN * width + BLUR), rows, width


def _runs(ink: np.ndarray) -> np.ndarray:
    """Return the length of the vertical run in which each pixel of ink, uint8 (h, w), lies, and 0 elsewhere, int (h, w)."""
    begins = np.diff(ink.astype(np.int8), axis=0, prepend=0) == 1
    numbers = np.where(ink.T > 0, begins.T.ravel().cumsum().reshape(ink.shape[::-1]), 0)
    lengths = np.bincount(numbers.ravel())
    lengths[0] = 0
    return np.asarray(lengths[numbers].T)


def _without_tint(contrast: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the contrast of a framed part without its tinted areas, float32 (h, w); as it is if there are none.

    A display that is darker than what surrounds it counts as ink in its corners, which join digits and frame.
    """
    levels = np.rint(contrast * (255 / contrast.max())).astype(np.uint8)
    level, _ = cv2.threshold(levels[mask > 0], 0, 255, cv2.THRESH_OTSU)
    is_tint = (mask > 0) & (levels <= level)
    is_strong = (mask > 0) & ~is_tint
    if not MIN_TINT < is_tint.sum() / mask.sum() < 1 - MIN_TINT:
        return contrast
    weak, strong = float(np.median(contrast[is_tint])), float(np.median(contrast[is_strong]))
    width = max(3, round(TINT_WIDTH * min(mask.shape)))
    wide = cv2.morphologyEx(is_tint.astype(np.uint8), cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    if weak > MAX_TINT * strong or wide.sum() < MIN_WIDE * is_tint.sum():
        return contrast
    return ((contrast - weak) * (strong / (strong - weak))).clip(0)


def _is_framed(mask: np.ndarray) -> bool:
    """Return whether ink, uint8 (h, w), runs along all four sides of its box."""
    band = _band(mask)
    sides = (mask[:band].any(0), mask[-band:].any(0), mask[:, :band].any(1), mask[:, -band:].any(1))
    return all(float(side.mean()) >= MIN_COVERED for side in sides)


def _band(mask: np.ndarray) -> int:
    return round(BAND * int(min(mask.shape)))


def _has_digit(mask: np.ndarray, least: float) -> bool:
    """Return whether there is connected ink, bool (h, w), of at least this height in pixels, that is not part of the frame."""
    shorter = min(mask.shape)
    margin, gap = round(FRAME_MARGIN * shorter), round(SEGMENT_GAP * shorter)
    inside = mask[margin:-margin, margin:-margin].astype(np.uint8)
    joined = cv2.dilate(inside, np.ones((gap, gap), np.uint8))  # the segments of a display
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    heights, widths = stats[1:, cv2.CC_STAT_HEIGHT], stats[1:, cv2.CC_STAT_WIDTH]
    return bool(((heights > least) & (widths > MIN_SLIM * heights)).any())
