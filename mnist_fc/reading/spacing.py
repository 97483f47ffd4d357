"""Where a line of digits has spaces."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from mnist_fc.drawing.parts import Box
from mnist_fc.reading.doubt import is_near

MIN_SPACE = 0.35
"""As a share of the height: the least gap of a space. A narrow 1 in print, between digits of equal pitch, leaves up to 0.3."""
MIN_JUMP = 1.4
"""From middle to middle, the digits on both sides of a space are at least this many times as far apart as most neighbours."""
MIN_DIGITS = 4
"""In a line with fewer digits no distance is usual; there only a gap that no number has is a space."""


def spaces(boxes: Sequence[Box]) -> list[bool]:
    """Return for each digit of a line, from left to right, whether there is a space before it; False for the first."""
    pairs = list(pairwise(boxes))
    jumps = [_jump(left, right) for left, right in pairs]
    usual = median(jumps) if len(boxes) >= MIN_DIGITS else math.inf
    after_first = [
        not is_near(left, right) or (not is_near(left, right, MIN_SPACE) and jump > MIN_JUMP * usual)
        for (left, right), jump in zip(pairs, jumps, strict=True)
    ]
    return [False, *after_first] if boxes else []


def _jump(left: Box, right: Box) -> float:
    """Return the distance between the middles of two neighbours, as a multiple of the higher one's height."""
    return (right.left + right.right - left.left - left.right) / 2 / max(left.height, right.height)
