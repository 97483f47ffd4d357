"""Marks in a photograph that are read as digits but are likelier lines, edges or noise."""

import numpy as np

from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import Mark
from mnist_fc.reading.doubt import doubtful

SIDE = 1000
"""Pixels of the longer side of the picture."""


def mark(width: int, height: int, *, is_straight: bool = False, thickness: float = 0.1) -> Mark:
    return Mark(Box(0, 0, width, height), 0, False, np.zeros((height, width, 4), np.uint8), is_straight, 1.0, False, thickness)


BAR = mark(20, 200, is_straight=True)
"""A straight 1, as long and thick as a person may write it."""
DIGIT = mark(120, 200)


def test_straight_one_beside_other_digits_is_a_digit() -> None:
    assert doubtful([DIGIT, BAR, DIGIT], [7, 1, 4], SIDE) == [False] * 3


def test_lone_straight_ones_are_digits() -> None:
    assert doubtful([BAR, BAR], [1, 1], SIDE) == [False] * 2


def test_segments_of_a_display_are_not_ones() -> None:
    assert doubtful([*[BAR] * 8, DIGIT], [*[1] * 8, 7], SIDE) == [*[True] * 8, False]


def test_side_of_a_frame_is_taller_than_the_digits() -> None:
    side = mark(20, 300, is_straight=True)
    assert doubtful([DIGIT, side], [7, 1], SIDE) == [False, True]


def test_thin_lone_line_is_not_a_one() -> None:
    assert doubtful([mark(4, 200, is_straight=True, thickness=0.02)], [1], SIDE) == [True]


def test_picture_of_noise_has_no_digits() -> None:
    assert doubtful([DIGIT] * 5, [7, None, None, None, 3], SIDE) == [True] * 5
