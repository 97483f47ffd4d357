"""Find the digits in a picture: in a photograph, a scan or a sheet with lines of numbers."""

from dataclasses import dataclass

import numpy as np

from mnist_fc.drawing.normalize import extract_ink, segment_digits
from mnist_fc.drawing.pictures import on_transparent


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of a picture. `right` and `bottom` are the first column and row beyond it."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Mark:
    """Ink in a picture that may be a digit."""

    box: Box
    line: int
    """The number of the line that it stands in, counted from 0 at the top."""
    after_point: bool
    """Whether a decimal point or comma stands between it and the mark to its left."""
    drawing: np.ndarray
    """Its ink alone on transparent paper, uint8 (h, w, 4), cropped and possibly shrunk."""


def find_marks(rgba: np.ndarray) -> list[Mark]:
    """Return what may be digits in a picture, uint8 (H, W, 4), line by line, and from left to right within a line.

    Raises DrawingError for any other array.
    """
    drawn = extract_ink(rgba)
    if drawn is None:
        return []
    scale = rgba.shape[0] / drawn.shape[0]
    marks = []
    for ink in segment_digits(drawn):
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        cropped = np.rint(ink[top:bottom, left:right] * 255).astype(np.uint8)
        box = Box(*(round(side * scale) for side in (left, top, right, bottom)))
        marks.append(Mark(box, 0, False, on_transparent(cropped)))
    return marks
