"""A drawing becomes the 28 x 28 image that a network reads, step by step, as MNIST's images were made.

The ink's bounding box is scaled into 20 x 20 pixels with its aspect ratio kept, then moved so that its centre of mass comes to
the centre of 28 x 28 (LeCun, Cortes & Burges, yann.lecun.com/exdb/mnist); in MNIST as distributed that is pixel (14, 14),
counted from 0. MNIST's writers all had the same kind of pen, and who draws here may have any brush: so the stroke is first
brought to the width that is usual in MNIST.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from mnist_fc.drawing.pictures import ink

DIGIT_BOX = 20
CENTER = 14

STROKE_WIDTH = 0.116
"""Of the longest side: the median of MNIST's training images, measured by `stroke_width`."""

# Of the longest side; what is thicker was not drawn with strokes, and thinned out would be some other picture.
MAX_STROKE_WIDTH = 0.3

# Fainter is no ink: the fringe of an antialiased edge, the noise of a scan.
MIN_INK = 0.15

# Of the largest part's ink; what is smaller and stands apart is a speck or a slip of the pen.
MIN_PART = 0.03

# Two things overlap from left to right by less, of the narrower's width, and each is higher, of the tallest's height.
MAX_OVERLAP = 0.5
MIN_HEIGHT = 0.5

# More are a texture, and no digits side by side.
MAX_PARTS = 50

# Pixels of the longest side of the box in which the stroke's width is changed.
WORK_SIZE = 100

# Pixels around that box, enough for what the thinnest stroke gains on either side.
WORK_MARGIN = 8


@dataclass(frozen=True)
class NormalizationSteps:
    """A drawing on its way to the image; each plane float32, 0 paper to 1 ink."""

    drawn: np.ndarray
    """(H, W), the ink on the whole canvas."""
    size: int
    """Pixels of the longest side that the ink has on the canvas."""
    cropped: np.ndarray
    """(h, w), the ink's bounding box; its longest side has WORK_SIZE pixels."""
    stroke: np.ndarray
    """(h, w), its lines as wide as in MNIST; nearly as large as `cropped`."""
    scaled: np.ndarray
    """(h, w), its longest side DIGIT_BOX pixels."""
    image: np.ndarray
    """(28, 28), what a network reads."""


def to_image(rgba: np.ndarray) -> np.ndarray | None:
    """The drawing normalised as MNIST's images were: float32 (28, 28), 0 paper to 1 ink; None for an empty canvas.

    `rgba` is uint8 (H, W, 4): ink on transparent paper, dark ink on light paper, or light ink on dark.
    Raises DrawingError for an array of another kind.
    """
    drawn = extract_ink(rgba)
    return None if drawn is None else normalize(drawn).image


def plain_resize(rgba: np.ndarray) -> np.ndarray | None:
    """The whole canvas resized to 28 x 28, wherever the ink is; types and errors as `to_image`."""
    drawn = extract_ink(rgba)
    return None if drawn is None else _resized(drawn, 28, 28)


def extract_ink(rgba: np.ndarray) -> np.ndarray | None:
    """The ink at full strength and without specks: float32 (H, W), 0 to 1; None for an empty canvas.

    A large picture comes out smaller, as from `ink`. `rgba` and errors as `to_image`.
    """
    drawn = ink(rgba)
    # The mean of neighbours: one grain of noise is no ink.
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
    """`to_image` of each drawing, float32 (N, 28, 28); an empty one is blank."""
    images = map(to_image, drawings)
    return np.stack([np.zeros((28, 28), np.float32) if image is None else image for image in images])


def normalize(drawn: np.ndarray) -> NormalizationSteps:
    """The steps from ink, float32 (H, W), some of it above 0.5 as `extract_ink` gives it, to the image."""
    box = _cropped(drawn)
    size = max(box.shape)
    shrinks_by = size / WORK_SIZE
    # A line thinner than a pixel of the smaller picture would fade; thickened, it stays, and its width is changed anyway.
    if shrinks_by > 1 and stroke_width(box) < 2 * shrinks_by:
        reach = math.ceil(shrinks_by)
        box = cv2.dilate(np.pad(box, reach), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    cropped = _scaled(box, WORK_SIZE)
    cropped /= cropped.max()  # some of it stays above 0.5, however small the ink was
    stroke = _cropped(_with_usual_stroke(cropped))
    scaled = _scaled(stroke, DIGIT_BOX)
    return NormalizationSteps(drawn, size, cropped, stroke, scaled, _centered(scaled))


def segment_digits(drawn: np.ndarray) -> list[np.ndarray]:
    """The ink of each thing that stands apart from its neighbours, from left to right; `drawn` as for `prepare`.

    What lies mostly above or below something else belongs to it, and so does what is much lower than the tallest: the bar
    of a 5, the second stroke of a 4.
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats((drawn > 0.5).astype(np.uint8))
    left, top, width, height = (stats[1:, i] for i in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    if len(left) > MAX_PARTS:
        return [drawn]
    groups = [_Group([i + 1], left[i], left[i] + width[i], top[i], top[i] + height[i]) for i in np.argsort(left)]
    merged = True
    while merged:
        merged = False
        tallest = max(group.bottom - group.top for group in groups)
        for one, other in pairwise(groups):
            overlap = min(one.right, other.right) - other.left
            narrower = min(one.right - one.left, other.right - other.left)
            lower = min(one.bottom - one.top, other.bottom - other.top)
            if overlap > MAX_OVERLAP * narrower or lower < MIN_HEIGHT * tallest:
                groups[groups.index(one)] = one.with_(other)
                groups.remove(other)
                merged = True
                break
    return [drawn * cv2.dilate(np.isin(parts, group.parts).astype(np.uint8), np.ones((3, 3), np.uint8)) for group in groups]


@dataclass(frozen=True)
class _Group:
    """Connected parts of a drawing that belong together, and the box around them."""

    parts: list[int]
    left: int
    right: int
    top: int
    bottom: int

    def with_(self, other: "_Group") -> "_Group":
        return _Group(
            self.parts + other.parts,
            min(self.left, other.left),
            max(self.right, other.right),
            min(self.top, other.top),
            max(self.bottom, other.bottom),
        )


def stroke_width(drawn: np.ndarray) -> float:
    """The mean width, in pixels, of the lines in ink, float32 (H, W): twice their area over the length of their edges."""
    framed = np.pad(drawn, 1)
    down, right = np.diff(framed, axis=0), np.diff(framed, axis=1)
    # Each the mean of two neighbours, so that both are of the same place: a slanted edge is as long as it is, either way.
    edges = float(np.hypot(down[:, :-1] + down[:, 1:], right[:-1] + right[1:]).sum()) / 2
    return 2 * float(drawn.sum()) / edges


def _with_usual_stroke(cropped: np.ndarray) -> np.ndarray:
    """The same lines, drawn with a pen that is STROKE_WIDTH of the longest side that the picture then has."""
    distance = _distance_outside(np.pad(cropped, WORK_MARGIN))
    longest = max(cropped.shape)
    width = stroke_width(_covered(distance))
    if width > MAX_STROKE_WIDTH * longest:
        return cropped
    # The middle of the lines stays: it spans longest - width, and what comes out spans that and the new width.
    new_width = (longest - width) * STROKE_WIDTH / (1 - STROKE_WIDTH)
    wider_each_side = (new_width - width) / 2
    innermost = float(distance.min())
    return _covered(distance - max(wider_each_side, innermost + 1.5))


def _distance_outside(drawn: np.ndarray) -> np.ndarray:
    """How far each pixel's centre is from the ink's edge: float32 (H, W), in pixels, negative inside the ink."""
    inside = (drawn > 0.5).astype(np.uint8)
    distances = [cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (inside, 1 - inside)]
    # OpenCV's roots differ in their last bit from call to call; what they are the roots of are whole numbers.
    to_paper, to_ink = (np.sqrt(np.rint(np.square(distance))) for distance in distances)
    return np.where(inside, 0.5 - to_paper, to_ink - 0.5)


def _covered(distance: np.ndarray) -> np.ndarray:
    """How much of each pixel is ink when its centre is so far outside."""
    return (0.5 - distance).clip(0, 1).astype(np.float32)


def _cropped(drawn: np.ndarray) -> np.ndarray:
    """The smallest box that holds all the ink."""
    inked = drawn > MIN_INK
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    return drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(plane: np.ndarray, longest_side: int) -> np.ndarray:
    height, width = plane.shape
    scale = longest_side / max(height, width)
    return _resized(plane, max(1, round(height * scale)), max(1, round(width * scale)))


def _resized(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each pixel the mean of those that it covers, or a mixture of its neighbours where there were fewer."""
    shrinks = height * width < plane.size
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR).clip(0, 1)


def _centered(scaled: np.ndarray) -> np.ndarray:
    """In 28 x 28, the centre of mass at CENTER; a lopsided digit is kept inside, as MNIST's own were."""
    height, width = scaled.shape
    total = float(scaled.sum())
    top = CENTER - round(float(scaled.sum(1) @ np.arange(height)) / total)
    left = CENTER - round(float(scaled.sum(0) @ np.arange(width)) / total)
    top, left = min(max(top, 0), 28 - height), min(max(left, 0), 28 - width)
    image = np.zeros((28, 28), np.float32)
    image[top : top + height, left : left + width] = scaled
    return image
