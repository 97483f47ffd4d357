"""Bring the values of any picture to 8 bits, and pictures with transparent parts onto paper."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

MAX_VALUE = 1e30
"""Programs mark missing values by larger ones, or by NaN."""

FAINTEST = 15
"""Values that stay below this share of their range do not use it: 0 to 16 of 255."""
TINY_SIDE = 64
"""A larger picture as dark as that is a dark photograph, unless it has only two values or had more than 8 bits."""

SAMPLE_SIDE = 256
"""Pixels of the longest side at which the transparent parts are judged."""
MAX_INK_SPREAD = 40
"""The colours of one pen differ by less."""
MAX_STROKE = 0.2
"""Half the width of the widest stroke, as a share of the longest side of the ink. Sheets of paper are wider."""


@dataclass(frozen=True)
class Scale:
    """The range of a picture's values."""

    low: float
    high: float
    missing: float
    """What takes the place of missing values: what most of the picture is."""

    def to_8_bits(self, values: np.ndarray) -> np.ndarray:
        """Return values of any type as uint8 of the same shape, 0 at `low` and 255 at `high`."""
        known = values.astype(np.float64)
        known[~_is_known(known)] = self.missing
        scaled: np.ndarray = ((known - self.low) * (255 / (self.high - self.low))).round().clip(0, 255).astype(np.uint8)
        return scaled


def _is_known(values: np.ndarray) -> np.ndarray:
    known: np.ndarray = np.isfinite(values) & (np.abs(values) < MAX_VALUE)
    return known


def scale_of(parts: Iterable[np.ndarray], is_float: bool) -> Scale:
    """Return the range that a picture's values use: 0 to 1, or 0 to what 8, 10, 12, 14, 16 or more bits hold.

    Values that use little of it, and negative ones, get their own range. `parts` are the picture in pieces.
    """
    lowest, highest, medians = np.inf, -np.inf, []
    for part in parts:
        values = part.astype(np.float64)
        values = values[_is_known(values)]
        if values.size:
            lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
            medians.append(float(np.median(values)))
    if not medians or lowest == highest <= 0:
        return Scale(0, 1, 0)
    bits = 8 if highest < 2**8 else 2 * int(np.ceil(np.log2(highest + 1) / 2))
    full = 1.0 if is_float and highest <= 1 else 2.0**bits - 1
    is_own = lowest < 0 or highest <= full / FAINTEST
    return Scale(min(0.0, lowest), highest if is_own else full, float(np.median(medians)))


def stretched(rgba: np.ndarray, was_deep: bool) -> np.ndarray:
    """Return an opaque picture, uint8 (H, W, 4), with values from 0 to 16 stretched to 255: scikit-learn's digits, or masks.

    `was_deep` says whether its file had more than 8 bits per channel.
    """
    rgb = rgba[..., :3]
    highest = int(rgb.max())
    if not 0 < highest <= 255 // FAINTEST or rgba[..., 3].min() < 255:
        return rgba
    if not was_deep and max(rgb.shape[:2]) > TINY_SIDE and len(np.unique(rgb)) > 2:
        return rgba
    result = np.full_like(rgba, 255)
    result[..., :3] = (rgb.astype(np.uint16) * 255 // highest).astype(np.uint8)
    return result


def on_paper(rgba: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (H, W, 4), without transparent parts.

    A sheet with a transparent margin gets the median colour of its opaque parts around it, and strokes with an outline, as of a
    sticker, get its colour. Ink alone is one colour, or strokes; it gets white or black paper, whichever differs more.
    """
    if rgba[..., 3].min() == 255:
        return rgba
    paper = Image.new("RGBA", rgba.shape[1::-1], _paper_colour(rgba))
    paper.alpha_composite(Image.fromarray(rgba))
    return np.asarray(paper)


def _paper_colour(rgba: np.ndarray) -> tuple[int, int, int, int]:
    step = max(1, max(rgba.shape[:2]) // SAMPLE_SIDE)
    sample = rgba[::step, ::step]
    alpha = sample[..., 3]
    opaque = alpha >= max(1, int(alpha.max()) // 2)
    colours = sample[opaque][:, :3]
    if not colours.size:
        return 255, 255, 255, 255
    red, green, blue = (int(value) for value in np.median(colours, axis=0))
    low, high = np.percentile(colours, [2, 98], axis=0)
    if (high - low).max() > MAX_INK_SPREAD:
        paper = _outline_colour(sample, opaque) if _is_strokes(opaque) else (red, green, blue)
        if paper:
            return *paper, 255
    is_dark = 299 * red + 587 * green + 114 * blue < 128_000  # ITU-R BT.601 luma
    return (255, 255, 255, 255) if is_dark else (0, 0, 0, 255)


def _outline_colour(rgba: np.ndarray, opaque: np.ndarray) -> tuple[int, int, int] | None:
    """Return the colour along the rim of the opaque parts, bool (h, w), if it is the same everywhere; None otherwise."""
    inside = cv2.erode(np.pad(opaque.astype(np.uint8), 1), np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
    rim = rgba[opaque & ~inside][:, :3]
    low, high = np.percentile(rim, [2, 98], axis=0)
    if (high - low).max() > MAX_INK_SPREAD:
        return None
    red, green, blue = (int(value) for value in np.median(rim, axis=0))
    return red, green, blue


def _is_strokes(opaque: np.ndarray) -> bool:
    """Return whether the opaque parts, bool (h, w), are narrow everywhere."""
    _, _, width, height = cv2.boundingRect(opaque.astype(np.uint8))
    inside = np.pad(opaque.astype(np.uint8), 1)
    return float(cv2.distanceTransform(inside, cv2.DIST_L2, 3).max()) < MAX_STROKE * max(width, height)
