"""Doubt what is read in a photograph where it is likelier a line, an edge or noise."""

import math
from collections.abc import Sequence
from statistics import median

from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import Mark

MIN_SHARE = 0.5
"""Of the marks in a picture, this share must read as digits: in noise, grain and lines a few do by chance."""
SHORTEST, TALLEST = 0.6, 1.25
"""How tall a straight 1 is, as a share of the other digits: the ticks of a clock are shorter, the sides of a cell are taller."""
ALONE = (0.1, 0.5)
"""Where all digits are straight 1s, each is so long, as a share of the picture's longer side; rests of lines may not be."""
MIN_THICKNESS = 0.07
"""The same for how thick it is. The lines of frames and of squared paper are thinner, as shares of their length."""
MAX_BEND = 2.2
"""How bent a line is at most; see `Mark.bend`. A 1 with a flag is more."""
MIN_PEN = 0.6
"""A straight 1 is at least this share as thick as the other digits of a picture: a frame may be drawn with a thinner pen."""
MAX_GAP = 0.7
"""As a share of the height: digits of one number are closer to each other."""
MIN_SHARE_IN_WORD = 0.65
"""The same share for marks that are one word or number. Some letters look like digits."""
MIN_KEYS = 4
"""At least this many marks that stand alone in a line are judged like a word."""

MANY_BARS, BARS_PER_DIGIT = 6, 2
"""So many straight 1s, and more than this for each other digit, are the segments of a display or a grid."""

MIN_LONE_LOG_ODDS = 1.0
"""The least log odds of the only digit in a picture. Of what lines and tables leave in pictures without digits a third has less,
of digits alone in a photograph 1%."""
SMALL, MIN_SMALL_LOG_ODDS = 0.012, 2.0
"""A mark lower than this share of the picture's longer side may be a piece of a grid or grain, so its digit must be surer."""


def doubtful(marks: Sequence[Mark], digits: Sequence[int | None], longest_side: int) -> list[bool]:
    """Return which of a picture's marks are too doubtful to be the digits as which they are read, None for "not a digit"."""
    if sum(digit is not None for digit in digits) < MIN_SHARE * len(marks):
        return [True] * len(marks)
    in_text = _in_text(marks, digits)
    kept = [None if doubt else digit for digit, doubt in zip(digits, in_text, strict=True)]
    return [one or other for one, other in zip(in_text, _doubtful_bars(marks, kept, longest_side), strict=True)]


def is_too_unsure(mark: Mark, log_odds: float, longest_side: int, *, is_alone: bool) -> bool:
    """Return whether these log odds of being a digit are too low for a small mark, or for the only digit in a picture."""
    is_small = mark.box.height < SMALL * longest_side
    return (is_small and log_odds < MIN_SMALL_LOG_ODDS) or (is_alone and log_odds < MIN_LONE_LOG_ODDS)


def _in_text(marks: Sequence[Mark], digits: Sequence[int | None]) -> list[bool]:
    """Return which marks stand among letters: in a word, or a row of single marks, of which few read as digits."""
    result = [False] * len(marks)
    for word in _words(marks):
        if sum(digits[place] is not None for place in word) < MIN_SHARE_IN_WORD * len(word):
            for place in word:
                result[place] = True
    return result


def is_near(left: Box, right: Box) -> bool:
    """Return whether two neighbours in a line belong to one number or word."""
    return right.left - left.right < MAX_GAP * max(left.height, right.height)


def _words(marks: Sequence[Mark]) -> list[list[int]]:
    """Return the places of the marks of each word, and of each row of MIN_KEYS or more single marks, as on a keyboard."""
    words: list[list[int]] = []
    for place, mark in enumerate(marks):
        before = marks[place - 1]
        if place and before.line == mark.line and is_near(before.box, mark.box):
            words[-1].append(place)
        else:
            words.append([place])
    rows: dict[int, list[int]] = {}
    for word in words:
        if len(word) == 1:
            rows.setdefault(marks[word[0]].line, []).extend(word)
    return [*(word for word in words if len(word) > 1), *(row for row in rows.values() if len(row) >= MIN_KEYS)]


def _doubtful_bars(marks: Sequence[Mark], digits: Sequence[int | None], longest_side: int) -> list[bool]:
    """Return which marks are likelier a line than the straight 1 as which they are read."""
    is_bar = [digit == 1 and mark.is_straight for mark, digit in zip(marks, digits, strict=True)]
    if sum(digit is not None for digit in digits) == 1:  # a lone 1 with a flag is not the side of a frame
        is_bar = [bar and mark.bend < MAX_BEND for mark, bar in zip(marks, is_bar, strict=True)]
    num_bars, num_others = sum(is_bar), sum(digit is not None for digit in digits) - sum(is_bar)
    if num_bars >= MANY_BARS and num_bars > BARS_PER_DIGIT * num_others:
        return is_bar
    others = [mark for mark, digit, bar in zip(marks, digits, is_bar, strict=True) if digit is not None and not bar]
    heights = [mark.box.height for mark in others]
    unit, (least, most) = (median(heights), (SHORTEST, TALLEST)) if heights else (longest_side, ALONE)
    min_thickness = 0.0 if heights else MIN_THICKNESS
    min_pen = MIN_PEN * median([_pen(mark) for mark in others]) if others else 0.0
    return [
        bar
        and not (
            least <= max(mark.box.width, mark.box.height) / unit <= most
            and mark.thickness >= min_thickness
            and _pen(mark) >= min_pen
        )
        for mark, bar in zip(marks, is_bar, strict=True)
    ]


def _pen(mark: Mark) -> float:
    """Return how thick a mark's strokes are, in pixels."""
    return mark.thickness * math.hypot(mark.box.width, mark.box.height)
