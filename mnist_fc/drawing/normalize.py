"""Turn a drawing into the 28 x 28 image that a network reads, step by step, as MNIST's images were made.

The ink's bounding box is scaled into 20 x 20 pixels with its aspect ratio kept. Then it is shifted so that its centre of mass
lies at the centre of 28 x 28 (LeCun, Cortes & Burges, yann.lecun.com/exdb/mnist). In MNIST as distributed that is pixel
(14, 14), counted from 0. MNIST's writers all used the same kind of pen, but a drawing may come from any brush. So its strokes
are first brought to the width that is typical of MNIST.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from mnist_fc.drawing.parts import box_around
from mnist_fc.drawing.pictures import ink_coverage

DIGIT_BOX = 20
CENTER = 14

STROKE_WIDTH = 0.116
"""As a share of the ink's longest side: the median of MNIST's training images, measured with `stroke_width`."""

# As a share of the longest side. Anything thicker was not drawn with strokes, and thinning it would make another picture.
MAX_STROKE_WIDTH = 0.3

# Fainter pixels are not ink: the fringe of an antialiased edge, the noise of a scan.
MIN_INK = 0.15

# As a share of the largest part's area. A smaller part that stands apart is a speck or a slip of the pen.
MIN_PART = 0.03

# Two things are separate digits if they overlap from left to right by at most this share of the narrower one's width, and
# each is at least this share of the tallest one's height.
MAX_OVERLAP = 0.5
MIN_HEIGHT = 0.5

# A drawing with more connected parts is a texture, not digits side by side.
MAX_PARTS = 50

# Pixels of the longest side of the box in which the stroke width is changed.
WORK_SIZE = 100

# Pixels around that box, enough for what the thinnest stroke gains on either side.
WORK_MARGIN = 8


@dataclass(frozen=True)
class NormalizationSteps:
    """A drawing on its way to the image. Each plane is float32, from 0 (paper) to 1 (ink)."""

    drawn: np.ndarray
    """(H, W): the ink on the whole canvas."""
    size: int
    """The longest side of the ink on the canvas, in pixels."""
    cropped: np.ndarray
    """(h, w): the ink's bounding box, scaled to a longest side of WORK_SIZE pixels."""
    stroke: np.ndarray
    """(h, w): its lines as wide as in MNIST. Nearly as large as `cropped`."""
    scaled: np.ndarray
    """(h, w): its longest side has DIGIT_BOX pixels."""
    image: np.ndarray
    """(28, 28): what a network reads."""


def to_image(rgba: np.ndarray) -> np.ndarray | None:
    """Return a drawing normalized as MNIST's images were, float32 (28, 28) from 0 (paper) to 1 (ink).

    `rgba` is uint8 (H, W, 4): ink on transparent paper, dark ink on light paper, or light ink on dark paper. Returns None for
    an empty canvas. Raises DrawingError for any other array.
    """
    drawn = extract_ink(rgba)
    return None if drawn is None else normalize(drawn).image


def resize_canvas(rgba: np.ndarray) -> np.ndarray | None:
    """Return the whole canvas resized to 28 x 28, wherever the ink is. Types and errors are those of `to_image`."""
    drawn = extract_ink(rgba)
    return None if drawn is None else _resized(drawn, 28, 28)


def extract_ink(rgba: np.ndarray) -> np.ndarray | None:
    """Return the ink at full strength and without specks, float32 (H, W) from 0 to 1, or None for an empty canvas.

    A large picture comes out smaller, as in `ink_coverage`. `rgba` and errors are those of `to_image`.
    """
    drawn = ink_coverage(rgba)
    # Average neighbours, so that a single grain of noise does not count as ink.
    strongest = float(cv2.blur(drawn, (3, 3)).max() if min(drawn.shape) > 3 else drawn.max())
    if strongest <= MIN_INK:
        return None
    drawn = (drawn / strongest).clip(0, 1)
    _, parts, stats, _ = cv2.connectedComponentsWithStats((drawn > 0.5).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the paper
    kept = areas >= max(1, MIN_PART * areas.max())
    with_fringe = cv2.dilate(kept[parts].astype(np.uint8), np.ones((3, 3), np.uint8))
    return drawn * with_fringe


def normalize_all(drawings: Iterable[np.ndarray]) -> np.ndarray:
    """Return `to_image` of each drawing, float32 (N, 28, 28). An empty drawing becomes a blank image."""
    images = map(to_image, drawings)
    return np.stack([np.zeros((28, 28), np.float32) if image is None else image for image in images])


def normalize(drawn: np.ndarray) -> NormalizationSteps:
    """Return the steps from ink, float32 (H, W) as `extract_ink` returns it, to the image. Some of it must be above 0.5."""
    box = _cropped(drawn)
    size = max(box.shape)
    shrinks_by = size / WORK_SIZE
    # A line thinner than one pixel of the smaller picture would fade, so thicken it. Its width is changed later anyway.
    if shrinks_by > 1 and stroke_width(box) < 2 * shrinks_by:
        reach = math.ceil(shrinks_by)
        box = cv2.dilate(np.pad(box, reach), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    cropped = _scaled(box, WORK_SIZE)
    cropped /= cropped.max()  # keeps some of it above 0.5, however small the ink was
    stroke = _cropped(_with_standard_stroke(cropped))
    scaled = _scaled(stroke, DIGIT_BOX)
    return NormalizationSteps(drawn, size, cropped, stroke, scaled, _centered(scaled))


def segment_digits(drawn: np.ndarray) -> list[np.ndarray]:
    """Return the ink of each digit that stands apart from its neighbours, from left to right.

    `drawn` and each result are float32 (H, W), as for `normalize`. Ink mostly above or below other ink belongs to it, and so
    does ink much lower than the tallest: the bar of a 5, the second stroke of a 4.
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats((drawn > 0.5).astype(np.uint8))
    left, top, width, height = (stats[1:, i] for i in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    if len(left) > MAX_PARTS:
        return [drawn]
    groups = [_Group([i + 1], left[i], left[i] + width[i], top[i], top[i] + height[i]) for i in np.argsort(left)]
    has_merged = True
    while has_merged:
        has_merged = False
        tallest = max(group.bottom - group.top for group in groups)
        for one, other in pairwise(groups):
            if _belong_together(one, other, tallest):
                groups[groups.index(one)] = one.merged(other)
                groups.remove(other)
                has_merged = True
                break
    return [drawn * cv2.dilate(np.isin(parts, group.parts).astype(np.uint8), np.ones((3, 3), np.uint8)) for group in groups]


@dataclass(frozen=True)
class _Group:
    """Connected parts of a drawing that belong together, and the box around them, in pixels."""

    parts: list[int]
    left: int
    right: int
    top: int
    bottom: int

    def merged(self, other: "_Group") -> "_Group":
        return _Group(
            self.parts + other.parts,
            min(self.left, other.left),
            max(self.right, other.right),
            min(self.top, other.top),
            max(self.bottom, other.bottom),
        )


def _belong_together(one: _Group, other: _Group, tallest: int) -> bool:
    """Return whether two neighbours are parts of one digit, `tallest` being the greatest height of any group."""
    overlap = min(one.right, other.right) - other.left
    narrower = min(one.right - one.left, other.right - other.left)
    lower = min(one.bottom - one.top, other.bottom - other.top)
    return overlap > MAX_OVERLAP * narrower or lower < MIN_HEIGHT * tallest


def stroke_width(drawn: np.ndarray) -> float:
    """Return the mean width of the lines in ink, float32 (H, W), in pixels: twice their area over the length of their edges."""
    framed = np.pad(drawn, 1)
    down, right = np.diff(framed, axis=0), np.diff(framed, axis=1)
    # Average two neighbouring differences each, so that both are of the same place and a slanted edge has its true length.
    edges = float(np.hypot(down[:, :-1] + down[:, 1:], right[:-1] + right[1:]).sum()) / 2
    return 2 * float(drawn.sum()) / edges


def _with_standard_stroke(cropped: np.ndarray) -> np.ndarray:
    """Return the same lines drawn with a pen that is STROKE_WIDTH of the longest side of the result."""
    distance = _distance_outside(np.pad(cropped, WORK_MARGIN))
    longest = max(cropped.shape)
    width = stroke_width(_coverage(distance))
    if width > MAX_STROKE_WIDTH * longest:
        return cropped
    # The middle of the lines stays. It spans longest - width, and the result spans that and the new width.
    new_width = (longest - width) * STROKE_WIDTH / (1 - STROKE_WIDTH)
    wider_each_side = (new_width - width) / 2
    innermost = float(distance.min())
    return _coverage(distance - max(wider_each_side, innermost + 1.5))


def _distance_outside(drawn: np.ndarray) -> np.ndarray:
    """Return how far each pixel's centre is from the ink's edge, float32 (H, W), in pixels. It is negative inside the ink."""
    inside = (drawn > 0.5).astype(np.uint8)
    distances = [cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (inside, 1 - inside)]
    # OpenCV's square roots differ in their last bit from call to call, but their squares are integers.
    to_paper, to_ink = (np.sqrt(np.rint(np.square(distance))) for distance in distances)
    return np.where(inside, 0.5 - to_paper, to_ink - 0.5)


def _coverage(distance: np.ndarray) -> np.ndarray:
    """Return how much of each pixel is ink, float32 (H, W) from 0 to 1, given its centre's distance outside the ink."""
    return (0.5 - distance).clip(0, 1).astype(np.float32)


def _cropped(drawn: np.ndarray) -> np.ndarray:
    """Return the smallest box that holds all the ink."""
    box = box_around(drawn > MIN_INK)
    return drawn[box.top : box.bottom, box.left : box.right]


def _scaled(plane: np.ndarray, longest_side: int) -> np.ndarray:
    height, width = plane.shape
    scale = longest_side / max(height, width)
    return _resized(plane, max(1, round(height * scale)), max(1, round(width * scale)))


def _resized(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize by averaging the pixels that each new one covers, or by interpolating between neighbours to enlarge."""
    shrinks = height * width < plane.size
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR).clip(0, 1)


def _centered(scaled: np.ndarray) -> np.ndarray:
    """Place a digit in 28 x 28 with its centre of mass at CENTER. A lopsided digit stays inside, as MNIST's own do."""
    height, width = scaled.shape
    total = float(scaled.sum())
    top = CENTER - round(float(scaled.sum(1) @ np.arange(height)) / total)
    left = CENTER - round(float(scaled.sum(0) @ np.arange(width)) / total)
    top, left = min(max(top, 0), 28 - height), min(max(left, 0), 28 - width)
    image = np.zeros((28, 28), np.float32)
    image[top : top + height, left : left + width] = scaled
    return image
