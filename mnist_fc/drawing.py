"""Drawings and pictures become the 28 x 28 image that a network reads, and pen strokes become drawings.

A drawing is RGBA, uint8 (H, W, 4). `to_image` normalises it as MNIST's images were (LeCun, Cortes & Burges,
yann.lecun.com/exdb/mnist): the ink's bounding box scaled into 20 x 20 pixels with its aspect ratio kept, then moved so that
its centre of mass comes to the centre of 28 x 28. In MNIST as distributed that centre is pixel (14, 14), counted from 0.

Not covered: uneven light in photographs, and the width of the stroke.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

CANVAS_SIZE = 280
DIGIT_BOX = 20
CENTER = 14

# Fainter is no ink: the fringe of an antialiased edge, the noise of a scan.
MIN_INK = 0.15

# A whole page of handwriting is a tenth of this; what is larger was not drawn by hand.
MAX_STROKES = 500
MAX_WIDTH = 64.0
MAX_POINTS = 30_000

CURVE_LINES = 8

# A picture with less is opaque, but for its rounded corners.
MIN_TRANSPARENT = 0.05

MAX_PICTURE_PIXELS = 50_000_000

# The canvas antialiases its edges; drawing at four times the size and averaging comes to the same.
SUPERSAMPLING = 4


class DrawingError(ValueError):
    """A message that is no drawing; the text says what is wrong with it."""


@dataclass(frozen=True)
class Stroke:
    """One line of a round brush: its points (x to the right, y down) and its width, in pixels of the canvas."""

    points: tuple[tuple[float, float], ...]
    width: float


def to_image(rgba: np.ndarray) -> np.ndarray | None:
    """The drawing normalised as MNIST's images were: float32 (28, 28), 0 paper to 1 ink; None for an empty canvas.

    `rgba` is uint8 (H, W, 4): ink on transparent paper, dark ink on light paper, or light ink on dark.
    Raises DrawingError for an array of another kind.
    """
    box = _cropped(ink(rgba))
    if box is None:
        return None
    height, width = box.shape
    scale = DIGIT_BOX / max(height, width)
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    digit = transforms.resize(box.unsqueeze(0), size, antialias=True)[0].clamp_(0, 1)
    total = float(digit.sum())
    rows, columns = torch.arange(size[0]), torch.arange(size[1])
    top = CENTER - round(float(digit.sum(1) @ rows.float()) / total)
    left = CENTER - round(float(digit.sum(0) @ columns.float()) / total)
    # A lopsided digit's far end may come to lie outside; MNIST's own images were kept inside.
    top, left = min(max(top, 0), 28 - size[0]), min(max(left, 0), 28 - size[1])
    image = torch.zeros(28, 28)
    image[top : top + size[0], left : left + size[1]] = digit
    return image.numpy()


def plain_resize(rgba: np.ndarray) -> np.ndarray | None:
    """The whole canvas resized to 28 x 28, wherever the ink is; types and errors as `to_image`."""
    drawn = ink(rgba)
    if _cropped(drawn) is None:
        return None
    return transforms.resize(drawn.unsqueeze(0), [28, 28], antialias=True)[0].clamp_(0, 1).numpy()


def ink(rgba: np.ndarray) -> Tensor:
    """How much ink each pixel holds: float32 (H, W), 0 paper to 1. Paper is what the picture's border mostly is.

    Raises DrawingError unless `rgba` is uint8 (H, W, 4) with at least one pixel.
    """
    if not isinstance(rgba, np.ndarray) or rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4 or not rgba.size:
        kind = f"{rgba.dtype} {rgba.shape}" if isinstance(rgba, np.ndarray) else type(rgba).__name__
        raise DrawingError(f"a drawing must be uint8 (height, width, 4); this is {kind}")
    alpha = rgba[..., 3]
    if (alpha < 128).mean() > MIN_TRANSPARENT:
        return torch.from_numpy(alpha / np.float32(255))
    # ITU-R BT.601 luma, as PIL's "L"
    gray = rgba[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    paper = float(np.median(_border(gray)))
    contrast = (paper - gray) / paper if paper >= 128 else (gray - paper) / (255 - paper)
    return torch.from_numpy(contrast.clip(0, 1))


def load_picture(path: str | Path) -> np.ndarray:
    """The picture in a file as uint8 (H, W, 4). Raises DrawingError for a file that is no picture, or too large a one."""
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning), Image.open(path) as picture:
            width, height = picture.size
            if width * height > MAX_PICTURE_PIXELS:
                raise DrawingError(f"{path} has {width} x {height} pixels; {MAX_PICTURE_PIXELS:,} are read at the most")
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I"):  # 16 bits a pixel, which convert would clip instead of scale
                upright = Image.fromarray((np.asarray(upright) // 257).clip(0, 255).astype(np.uint8))
            return np.asarray(upright.convert("RGBA"))
    except FileNotFoundError:
        raise DrawingError(f"the picture {path} does not exist") from None
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise DrawingError(f"{path} is no picture that can be read") from None
    except (OSError, SyntaxError, ValueError, NotImplementedError) as error:
        if isinstance(error, DrawingError):
            raise
        raise DrawingError(f"the picture {path} cannot be read: {error}") from None


def strokes_of_canvas(json_data: Any) -> list[Stroke]:
    """The strokes in what the canvas component sends: Fabric.js objects of type path.

    Raises DrawingError for anything else, for numbers that are not finite, and for more than a hand draws.
    """
    objects = json_data.get("objects") if isinstance(json_data, dict) else None
    if not isinstance(objects, list):
        raise DrawingError("the canvas sent something that is no drawing")
    if len(objects) > MAX_STROKES:
        raise DrawingError(f"the drawing has {len(objects)} strokes; {MAX_STROKES} are read at the most")
    strokes, num_points = [], 0
    for item in objects:
        try:
            commands, width = item["path"], float(item["strokeWidth"])
            points = tuple(islice(_flattened(commands), MAX_POINTS + 1))
            num_points += len(points)
            if num_points > MAX_POINTS:
                raise DrawingError(f"the drawing is longer than {MAX_POINTS:,} points")
        except (TypeError, KeyError, ValueError, IndexError, AttributeError, OverflowError) as error:
            if isinstance(error, DrawingError):
                raise
            raise DrawingError("the canvas sent a stroke that is no path") from None
        if not (points and all(map(math.isfinite, (width, *(v for point in points for v in point))))):
            raise DrawingError("the canvas sent a stroke whose numbers are not finite")
        strokes.append(Stroke(points, width))
    return strokes


def render(strokes: Sequence[Stroke], size: int = CANVAS_SIZE) -> np.ndarray:
    """Draw strokes as the canvas does, with a round antialiased brush: black on transparent, uint8 (size, size, 4)."""
    large = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING), 0)
    pen = ImageDraw.Draw(large)
    limit = 4.0 * size  # a point further out draws nothing that is seen
    for stroke in strokes:
        width = min(max(stroke.width, 1.0), MAX_WIDTH) * SUPERSAMPLING
        points = [
            (min(max(x, -limit), limit) * SUPERSAMPLING, min(max(y, -limit), limit) * SUPERSAMPLING) for x, y in stroke.points
        ]
        pen.line(points, fill=255, width=round(width))
        for x, y in points:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2 - 1, y + width / 2 - 1), fill=255)
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[..., 3] = np.asarray(large.reduce(SUPERSAMPLING))
    return rgba


def canvas_json(strokes: Sequence[Stroke]) -> dict[str, Any]:
    """The strokes as the canvas component takes them: Fabric.js path objects; the inverse of `strokes_of_canvas`."""
    return {
        "objects": [
            {
                "type": "Path",
                "path": [["M", *stroke.points[0]], *(["L", x, y] for x, y in stroke.points[1:])],
                "strokeWidth": stroke.width,
                "stroke": "#000000",
                "fill": None,
                "strokeLineCap": "round",
                "strokeLineJoin": "round",
            }
            for stroke in strokes
        ]
    }


def _cropped(drawn: Tensor) -> Tensor | None:
    """The smallest box that holds all the ink, or None where there is none."""
    inked = drawn > MIN_INK
    rows, columns = inked.any(1).nonzero(), inked.any(0).nonzero()
    if not len(rows):
        return None
    return drawn[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]


def _border(plane: np.ndarray) -> np.ndarray:
    return np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])


def _flattened(commands: list[Any]) -> Iterator[tuple[float, float]]:
    """Points along an SVG path of absolute M, L and Q commands; a quadratic curve becomes CURVE_LINES lines."""
    x = y = 0.0
    for name, *numbers in commands:
        values = [float(number) for number in numbers]
        if name == "Q":
            control_x, control_y, end_x, end_y = values
            for t in (i / CURVE_LINES for i in range(1, CURVE_LINES)):
                yield (
                    (1 - t) ** 2 * x + 2 * t * (1 - t) * control_x + t**2 * end_x,
                    (1 - t) ** 2 * y + 2 * t * (1 - t) * control_y + t**2 * end_y,
                )
            x, y = end_x, end_y
        elif name in ("M", "L"):
            x, y = values
        else:
            raise DrawingError(f"the canvas sent a path command {name!r}")
        yield x, y
