"""Drawings as pictures and as images, and how much images differ."""

import numpy as np

from mnist_fc.drawing.normalize import to_image
from mnist_fc.drawing.strokes import Stroke, render


def image_of(strokes: list[Stroke]) -> np.ndarray:
    """Return the image of strokes that are not empty, float32 (28, 28)."""
    image = to_image(render(strokes))
    assert image is not None
    return image


def opaque(gray: np.ndarray) -> np.ndarray:
    """Return a gray picture, uint8 (H, W), as RGBA."""
    return np.dstack([gray, gray, gray, np.full_like(gray, 255)])


def painted(strokes: list[Stroke], paper: int, ink: int) -> np.ndarray:
    """Return the strokes in gray `ink` on opaque `paper`, RGBA."""
    share = render(strokes)[..., 3] / 255
    return opaque((paper + (ink - paper) * share).round().astype(np.uint8))


def ink_difference(image: np.ndarray, other: np.ndarray) -> float:
    """Return how much two images differ, as a share of the other's ink. A shift by one pixel does not count."""
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return float(min(np.abs(np.roll(image, shift, (0, 1)) - other).sum() for shift in shifts) / other.sum())
