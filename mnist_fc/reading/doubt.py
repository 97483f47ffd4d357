"""Doubt what is read in a photograph where it is likelier a line, an edge or noise."""

from collections.abc import Sequence
from statistics import median

from mnist_fc.drawing.photographs import Mark

MIN_SHARE = 0.5
"""Of the marks in a picture, this share must read as digits: in noise, grain and lines a few do by chance."""
MAX_TALLER = 1.25
"""A straight 1 is at most this many times as tall as the other digits: the side of a cell or frame is taller."""
ALONE = (0.1, 0.5)
"""Where all digits are straight 1s, each is so long, as a share of the picture's longer side; rests of lines may not be."""
MIN_THICKNESS = 0.07
"""The same for how thick it is. The lines of frames and of squared paper are thinner, as shares of their length."""

MANY_BARS, BARS_PER_DIGIT = 6, 2
"""So many straight 1s, and more than this for each other digit, are the segments of a display or a grid."""


def doubtful(marks: Sequence[Mark], digits: Sequence[int | None], longest_side: int) -> list[bool]:
    """Return which of a picture's marks are too doubtful to be the digits as which they are read, None for "not a digit"."""
    if sum(digit is not None for digit in digits) < MIN_SHARE * len(marks):
        return [True] * len(marks)
    is_bar = [digit == 1 and mark.is_straight for mark, digit in zip(marks, digits, strict=True)]
    num_bars, num_others = sum(is_bar), sum(digit is not None for digit in digits) - sum(is_bar)
    if num_bars >= MANY_BARS and num_bars > BARS_PER_DIGIT * num_others:
        return is_bar
    heights = [mark.box.height for mark, digit, bar in zip(marks, digits, is_bar, strict=True) if digit is not None and not bar]
    least, most = (0.0, MAX_TALLER * median(heights)) if heights else (share * longest_side for share in ALONE)
    min_thickness = 0.0 if heights else MIN_THICKNESS
    return [
        bar and not (least <= max(mark.box.width, mark.box.height) <= most and mark.thickness >= min_thickness)
        for mark, bar in zip(marks, is_bar, strict=True)
    ]
