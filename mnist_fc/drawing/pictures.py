"""Find the ink in pictures: drawings, scans and photographs of ink on paper, as RGBA, uint8 (H, W, 4)."""

import cv2
import numpy as np

from mnist_fc.drawing.errors import DrawingError

# Pixels of the longest side. A drawing needs no more, and a photograph has several times as many.
MAX_SIDE = 1000

# A picture with a smaller share of transparent pixels is opaque, except for its rounded corners.
MIN_TRANSPARENT = 0.05

# The brightness along the border of a photograph varies by more than this, and that of a drawing or a scan by less.
MAX_EVEN_LIGHT = 0.06
PAPER_SIZE = 128
"""Pixels of the longest side at which the paper's brightness is estimated, which changes slowly across a photograph."""
PAPER_WINDOW = 0.3
"""As a share of the shortest side: wider than any stroke, so that the window holds some paper wherever it lies."""

# The longest side of a photograph is this many grains of its noise.
GRAINS_PER_SIDE = 400

# Paper may be darker than estimated by this much without being ink: at the edge of a shadow, or in its grain.
FAINT = 0.1

# Drawings are small, and more threads would take the cores of a training process.
cv2.setNumThreads(1)


def check_rgba(rgba: object) -> None:
    """Raise DrawingError unless this is an array, uint8 (H, W, 4), with at least one pixel."""
    if not isinstance(rgba, np.ndarray) or rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4 or not rgba.size:
        kind = f"{rgba.dtype} {rgba.shape}" if isinstance(rgba, np.ndarray) else type(rgba).__name__
        raise DrawingError(f"a picture must be uint8 (height, width, 4); this is {kind}")


def ink_coverage(rgba: np.ndarray) -> np.ndarray:
    """Return how much ink each pixel holds, float32 (h, w) from 0 (paper) to 1. Pictures are shrunk to MAX_SIDE.

    On transparent paper, ink is what is opaque. Otherwise the median of the border is paper, and ink is either darker or
    lighter, whichever there is more of. If the light along the border is uneven, as in a photograph, the paper's brightness
    is estimated place by place. Raises DrawingError unless `rgba` is uint8 (H, W, 4) with at least one pixel.
    """
    check_rgba(rgba)
    rgba = no_larger_than(rgba, MAX_SIDE)
    alpha = rgba[..., 3]
    if (alpha < 128).mean() > MIN_TRANSPARENT or _is_filled_canvas(rgba):
        return alpha / np.float32(255)
    gray = _luma(rgba)
    low, paper, high = _light_along_border(gray)
    if high - low <= MAX_EVEN_LIGHT * 255:
        darker, lighter = (paper - gray) / max(paper, 1), (gray - paper) / max(255 - paper, 1)
        contrast = max(darker, lighter, key=lambda contrast: float(contrast.clip(0, 1).sum()))
    else:
        contrast = _contrast_in_photograph(gray, float(paper))
    coverage: np.ndarray = contrast.clip(0, 1).astype(np.float32)
    return coverage


def has_even_light(rgba: np.ndarray) -> bool:
    """Return whether the border of a picture, uint8 (H, W, 4), is as even as that of a drawing or a scan."""
    low, _, high = _light_along_border(_luma(no_larger_than(rgba, MAX_SIDE)))
    return high - low <= MAX_EVEN_LIGHT * 255


def _luma(rgba: np.ndarray) -> np.ndarray:
    """Return the brightness of a picture as ITU-R BT.601 luma, as PIL's "L", float32 (H, W)."""
    luma: np.ndarray = rgba[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma


def _light_along_border(gray: np.ndarray) -> tuple[float, float, float]:
    """Return the lower decile, the median and the upper decile of the brightness along a picture's border."""
    low, paper, high = np.percentile(np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]]), [10, 50, 90])
    return float(low), float(paper), float(high)


def no_larger_than(picture: np.ndarray, longest_side: int) -> np.ndarray:
    """Return a picture or plane, shrunk by averaging if its longest side is longer."""
    height, width = picture.shape[:2]
    scale = min(1.0, longest_side / max(height, width))
    return cv2.resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)


def _is_filled_canvas(rgba: np.ndarray) -> bool:
    """Return whether this is a canvas nearly full of black ink, rather than a picture with rounded corners."""
    inked = rgba[..., 3] >= 128
    return not inked.all() and not rgba[..., :3][inked].any()


def on_transparent(inked: np.ndarray) -> np.ndarray:
    """Return ink, uint8 (H, W) from 0 (paper) to 255, on transparent paper one pixel larger on each side.

    The result is RGBA, uint8 (H + 2, W + 2, 4).
    """
    rgba = np.zeros((inked.shape[0] + 2, inked.shape[1] + 2, 4), np.uint8)
    rgba[1:-1, 1:-1, 3] = inked
    return rgba


def _contrast_in_photograph(gray: np.ndarray, border: float) -> np.ndarray:
    """Return how much ink each pixel of a photograph holds, (H, W), not yet clipped to 0 to 1.

    `gray` is float32 (H, W) from 0 to 255, and `border` the median brightness of its border.
    """
    height, width = gray.shape
    # This removes noise and keeps strokes, which are wider.
    gray = cv2.GaussianBlur(gray, (0, 0), max(0.5, max(height, width) / GRAINS_PER_SIDE))
    small = no_larger_than(gray, PAPER_SIZE)
    # Take the median first: dilation would take the brightest grain of noise for the paper.
    denoised = cv2.medianBlur(small.astype(np.uint8), 3)
    window = max(3, round(PAPER_WINDOW * min(denoised.shape)))
    # Paper in the shade is dark too. The ink is light if what stands out from its surroundings is lighter than they are.
    deviation = denoised - cv2.medianBlur(denoised, window | 1).astype(np.float32)
    is_light = border < 128 and float((deviation**3).sum()) > 0
    if is_light:
        gray, denoised = 255 - gray, 255 - denoised
    closed = cv2.morphologyEx(denoised, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (window, window)))
    # Closing keeps the edge of a shadow in place. Smoothing only removes the steps between these few pixels.
    smooth = cv2.GaussianBlur(closed.astype(np.float32), (0, 0), 2)
    paper = np.maximum(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), 1)
    contrast = 1 - gray / paper
    return contrast if is_light else (contrast - FAINT) / (1 - FAINT)
