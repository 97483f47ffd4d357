"""Parse, place and render strokes of a round brush, as the page's canvas sends, takes and draws them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np

from mnist_fc.drawing.errors import DrawingError

CANVAS_SIZE = 280

# A full page of handwriting has a tenth of this. Anything larger was not drawn by hand.
MAX_STROKES = 500
MAX_WIDTH = 64.0
MAX_POINTS = 30_000

CURVE_LINES = 8

# The canvas antialiases its edges. Drawing at four times the size and averaging does the same.
SUPERSAMPLING = 4

FRACTION_BITS = 4
"""OpenCV takes points as fixed-point numbers; 4 bits are 16ths of a pixel."""


@dataclass(frozen=True)
class Stroke:
    """One line of a round brush: its points (x to the right, y down) and its width, in pixels of the canvas."""

    points: tuple[tuple[float, float], ...]
    width: float


def strokes_of_canvas(json_data: Any) -> list[Stroke]:
    """Return the strokes in what the canvas component sends: Fabric.js objects of type path.

    Raises DrawingError for anything else, for numbers that are not finite, and for more than a hand draws.
    """
    objects = json_data.get("objects") if isinstance(json_data, dict) else None
    if not isinstance(objects, list):
        raise DrawingError("the canvas sent something that is not a drawing")
    _check_count(len(objects))
    strokes: list[Stroke] = []
    for item in objects:
        try:
            commands, width = item["path"], float(item["strokeWidth"])
            points = tuple(islice(_flattened(commands), MAX_POINTS + 1))
        except (TypeError, KeyError, ValueError, IndexError, AttributeError, OverflowError) as error:
            if isinstance(error, DrawingError):
                raise
            raise DrawingError("the canvas sent a stroke without a valid path or width") from None
        if not (points and all(map(math.isfinite, (width, *(v for point in points for v in point))))):
            raise DrawingError("the canvas sent a stroke whose numbers are not finite")
        strokes.append(Stroke(points, width))
        check_size(strokes)
    return strokes


def check_size(strokes: Sequence[Stroke]) -> None:
    """Raise DrawingError if these strokes are more than a hand draws."""
    _check_count(len(strokes))
    if sum(len(stroke.points) for stroke in strokes) > MAX_POINTS:
        raise DrawingError(f"the drawing has more than {MAX_POINTS:,} points")


def _check_count(num_strokes: int) -> None:
    if num_strokes > MAX_STROKES:
        raise DrawingError(f"the drawing has {num_strokes} strokes; at most {MAX_STROKES} can be read")


def rotation(degrees: float) -> np.ndarray:
    """Return the matrix, float64 (2, 2), that rotates points (N, 2) when they are multiplied by it from the right."""
    angle = math.radians(degrees)
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def place(strokes: Sequence[np.ndarray], size: float, width: float, share: Sequence[float] | np.ndarray) -> list[Stroke]:
    """Return strokes in any unit, each (points, 2), scaled onto the canvas for a brush `width` pixels wide.

    Their longest side becomes `size` pixels. Of the space left on the canvas, `share` (across, down), each from 0 to 1, lies
    to the left of them and above them.
    """
    low = np.min([stroke.min(0) for stroke in strokes], axis=0)
    extent = np.max([stroke.max(0) for stroke in strokes], axis=0) - low
    scale = size / max(float(extent.max()), 1e-6)
    start = np.maximum(CANVAS_SIZE - extent * scale - width, 0) * share + width / 2
    return [Stroke(tuple(map(tuple, (stroke - low) * scale + start)), width) for stroke in strokes]


def render(strokes: Sequence[Stroke], size: int = CANVAS_SIZE) -> np.ndarray:
    """Return strokes drawn as the canvas draws them, black on transparent, uint8 (size, size, 4)."""
    large = np.zeros((size * SUPERSAMPLING, size * SUPERSAMPLING), np.uint8)
    limit = 4.0 * size  # points further out draw nothing visible
    for stroke in strokes:
        width = min(max(stroke.width, 1.0), MAX_WIDTH) * SUPERSAMPLING
        # OpenCV's (0, 0) is the middle of the first pixel, and the canvas's is its corner.
        # Repeating the last point turns a single point into a line from itself to itself.
        points = np.clip(np.array([*stroke.points, stroke.points[-1]]), -limit, limit) * SUPERSAMPLING - 0.5
        cv2.polylines(large, [fixed_points(points)], isClosed=False, color=255, thickness=round(width), shift=FRACTION_BITS)
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[..., 3] = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
    return rgba


def fixed_points(points: np.ndarray) -> np.ndarray:
    """Return points (N, 2) as OpenCV's fixed-point numbers with FRACTION_BITS bits, int32 (N, 1, 2)."""
    fixed: np.ndarray = np.round(points * 2**FRACTION_BITS).astype(np.int32).reshape(-1, 1, 2)
    return fixed


def canvas_json(strokes: Sequence[Stroke]) -> dict[str, Any]:
    """Return strokes as the canvas component takes them: Fabric.js path objects. The inverse of `strokes_of_canvas`."""
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


def _flattened(commands: list[Any]) -> Iterator[tuple[float, float]]:
    """Yield points along an SVG path of absolute M, L and Q commands. A quadratic curve becomes CURVE_LINES lines."""
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
            raise DrawingError("the canvas sent a path command other than M, L and Q")
        yield x, y
