"""Pictures, RGBA, uint8 (H, W, 4), and how much ink is where in them: drawings, scans and photographs of ink on paper."""

import math
import os
import struct
import warnings
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from mnist_fc.files import open_regular_file

# What a picture may take: some tens of megabytes of memory while it is read, and less than a second.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""Others that Pillow knows start programs, or are no pictures of ink."""
MAX_BYTES = 64_000_000
MAX_PIXELS = 10_000_000
MAX_WEBP_PIXELS = 4_000_000
"""Its decoder keeps the picture four times."""
MAX_JPEG_PIXELS = 50_000_000
"""A JPEG is made smaller while it is decoded; but one that comes in several passes is kept whole meanwhile."""
MAX_JPEG_WORK = 200_000_000
"""Pixels times passes over them."""

ORIENTATION = 0x0112
"""EXIF's number for how the camera was held."""

# What Pillow raises for wrong bytes.
MALFORMED = (
    *(
        OSError,
        SyntaxError,
        ValueError,
        NotImplementedError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
    ),
    *(EOFError, struct.error),
)

# Pixels of the longest side; a drawing needs no more, and a photograph has ten times as many.
MAX_SIDE = 1000

# A picture with less is opaque, but for its rounded corners.
MIN_TRANSPARENT = 0.05

# A photograph's brightness along the border differs by more than this; a drawing's and a scan's by less.
MAX_EVEN_LIGHT = 0.06
PAPER_SIZE = 128
"""Pixels of the longest side at which a photograph's paper is looked for; its light changes slowly."""
PAPER_WINDOW = 0.3
"""Of the shortest side: wider than any stroke, so that wherever it lies it holds some paper."""

# Of a photograph's longest side: a grain of its noise.
GRAIN = 400

# A photograph's paper is darker than it was taken for by less: at the edge of a shadow, in its grain.
FAINT = 0.1

# One thread: drawings are small, and helpers would take the cores of a training.
cv2.setNumThreads(1)


class DrawingError(ValueError):
    """What is no drawing, or a file that is no picture; the text says what is wrong with it."""


def ink(rgba: np.ndarray) -> np.ndarray:
    """How much ink each pixel holds: float32 (h, w), 0 paper to 1; a larger picture is made smaller to MAX_SIDE.

    Ink on transparent paper is what is opaque. Otherwise paper is what the border mostly is, and ink is darker or lighter,
    whichever more of the picture is; where the light along the border is uneven, as in a photograph, paper's brightness is
    estimated place by place.
    Raises DrawingError unless `rgba` is uint8 (H, W, 4) with at least one pixel.
    """
    if not isinstance(rgba, np.ndarray) or rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4 or not rgba.size:
        kind = f"{rgba.dtype} {rgba.shape}" if isinstance(rgba, np.ndarray) else type(rgba).__name__
        raise DrawingError(f"a drawing must be uint8 (height, width, 4); this is {kind}")
    rgba = _no_larger_than(rgba, MAX_SIDE)
    alpha = rgba[..., 3]
    if (alpha < 128).mean() > MIN_TRANSPARENT or _is_filled_canvas(rgba):
        return alpha / np.float32(255)
    # ITU-R BT.601 luma, as PIL's "L"
    gray = rgba[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    low, paper, high = np.percentile(border, [10, 50, 90])
    if high - low <= MAX_EVEN_LIGHT * 255:
        darker, lighter = (paper - gray) / max(paper, 1), (gray - paper) / max(255 - paper, 1)
        contrast = max(darker, lighter, key=lambda contrast: float(contrast.clip(0, 1).sum()))
    else:
        contrast = _photographed(gray, float(paper))
    held: np.ndarray = contrast.clip(0, 1).astype(np.float32)
    return held


def _no_larger_than(picture: np.ndarray, longest_side: int) -> np.ndarray:
    """The same picture or plane, made smaller where it must be: each pixel the mean of those that it covers."""
    height, width = picture.shape[:2]
    scale = min(1.0, longest_side / max(height, width))
    return cv2.resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)


def _is_filled_canvas(rgba: np.ndarray) -> bool:
    """Whether this is a canvas with little left clear of black ink, and no picture with its corners cut off."""
    inked = rgba[..., 3] >= 128
    return not inked.all() and not rgba[..., :3][inked].any()


def on_transparent(inked: np.ndarray) -> np.ndarray:
    """Ink, uint8 (H, W), 0 paper to 255, on transparent paper with a pixel of it around: uint8 (H + 2, W + 2, 4)."""
    rgba = np.zeros((inked.shape[0] + 2, inked.shape[1] + 2, 4), np.uint8)
    rgba[1:-1, 1:-1, 3] = inked
    return rgba


def _photographed(gray: np.ndarray, border: float) -> np.ndarray:
    """How much ink each pixel of a photograph holds, (H, W), when `border` is the usual brightness of its border."""
    height, width = gray.shape
    # Noise goes; a stroke, which is wider, stays.
    gray = cv2.GaussianBlur(gray, (0, 0), max(0.5, max(height, width) / GRAIN))
    small = _no_larger_than(gray, PAPER_SIZE)
    # The median of neighbours first: dilation would take the brightest grain of a photograph's noise for the paper.
    calm = cv2.medianBlur(small.astype(np.uint8), 3)
    window = max(3, round(PAPER_WINDOW * min(calm.shape)))
    # Paper in the shade is dark too: ink is light where what differs from its surroundings is lighter than they.
    differs = calm - cv2.medianBlur(calm, window | 1).astype(np.float32)
    is_light = border < 128 and float((differs**3).sum()) > 0
    if is_light:
        gray, calm = 255 - gray, 255 - calm
    closed = cv2.morphologyEx(calm, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (window, window)))
    # Closing keeps the edge of a shadow where it is; smoothing is for the steps between the few pixels alone.
    smooth = cv2.GaussianBlur(closed.astype(np.float32), (0, 0), 2)
    paper = np.maximum(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), 1)
    contrast = 1 - gray / paper
    return contrast if is_light else (contrast - FAINT) / (1 - FAINT)


def load_picture(path: str | Path) -> np.ndarray:
    """The picture in a file as uint8 (H, W, 4), a large one made smaller. Raises DrawingError for a file that is no picture of
    FORMATS, or too large a one.
    """
    try:
        with open_regular_file(path) as file, warnings.catch_warnings(action="ignore"):
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise DrawingError(f"the picture {path} is larger than {MAX_BYTES // 10**6} MB")
            with Image.open(file, formats=FORMATS) as picture:
                _refuse_too_large(picture, file, path)
                return _upright_rgba(picture)
    except FileNotFoundError:
        raise DrawingError(f"the picture {path} does not exist") from None
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise DrawingError(f"{path} is no picture that can be read") from None
    except DrawingError:
        raise
    except MALFORMED as error:
        raise DrawingError(f"the picture {path} cannot be read: {error}") from None


def _refuse_too_large(picture: ImageFile, file: IO[bytes], path: str | Path) -> None:
    """Look at what the header says, and have a JPEG decoded no larger than it is used."""
    width, height = picture.size
    most = MAX_PIXELS
    if isinstance(picture, JpegImageFile):
        scale = min(1.0, MAX_SIDE / max(width, height, 1))
        picture.draft(picture.mode, (math.ceil(width * scale), math.ceil(height * scale)))
        most = MAX_PIXELS if "progressive" in picture.info else MAX_JPEG_PIXELS
        most = min(most, MAX_JPEG_WORK // max(1, _num_passes(file)))
    elif picture.format == "WEBP":
        most = MAX_WEBP_PIXELS
    if width * height > most or picture.width * picture.height > MAX_PIXELS:
        raise DrawingError(
            f"{path} has {width} x {height} pixels; of such a picture {min(most, MAX_PIXELS):,} are read at the most"
        )


def _num_passes(file: IO[bytes]) -> int:
    """How many scans a JPEG's file begins, those of a small picture within it too."""
    start = file.tell()
    file.seek(0)
    num_passes = 0
    while part := file.read(2**20):
        num_passes += part.count(b"\xff\xda")
    file.seek(start)
    return num_passes


def _upright_rgba(picture: Image.Image) -> np.ndarray:
    """A picture as it is to be seen. What is larger than twice MAX_SIDE is made smaller at once, before it is copied."""
    orientation = picture.getexif().get(ORIENTATION, 1)
    if picture.mode.startswith("I"):  # 16 bits a pixel, which convert would clip instead of scale
        picture = Image.fromarray((np.asarray(picture) // 257).clip(0, 255).astype(np.uint8))
    elif picture.mode not in ("L", "RGB", "RGBA", "CMYK"):
        picture = picture.convert("RGBA")
    if (factor := max(picture.size) // (2 * MAX_SIDE)) > 1:
        picture = picture.reduce(factor)
    picture.getexif()[ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(picture).convert("RGBA"))
