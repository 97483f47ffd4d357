"""Marks in a photograph that are read as digits but are likelier lines, edges or noise."""

from dataclasses import replace

import numpy as np

from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import Mark
from mnist_fc.reading.doubt import doubtful, is_too_unsure

SIDE = 1000
"""Pixels of the longer side of the picture."""


def mark(width: int, height: int, *, left: int = 0, is_straight: bool = False, bend: float = 1.0, thickness: float = 0.1) -> Mark:
    box = Box(left, 0, left + width, height)
    return Mark(box, 0, False, np.zeros((height, width, 4), np.uint8), is_straight, bend, False, thickness)


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


def test_tick_of_a_clock_is_shorter_than_the_digits() -> None:
    tick = mark(20, 110, is_straight=True)
    assert doubtful([DIGIT, tick], [7, 1], SIDE) == [False, True]


def test_thin_lone_line_is_not_a_one() -> None:
    assert doubtful([mark(4, 200, is_straight=True, thickness=0.02)], [1], SIDE) == [True]


def test_picture_of_noise_has_no_digits() -> None:
    assert doubtful([DIGIT] * 5, [7, None, None, None, 3], SIDE) == [True] * 5


def test_line_thinner_than_the_pen_is_not_a_one() -> None:
    side = mark(8, 200, is_straight=True, thickness=0.04)
    assert doubtful([DIGIT, side, DIGIT], [7, 1, 4], SIDE) == [False, True, False]


def test_lone_one_with_a_flag_is_a_digit() -> None:
    assert doubtful([mark(70, 200, is_straight=True, bend=4, thickness=0.04)], [1], SIDE) == [False]


def test_letters_of_a_word_that_look_like_digits_are_doubtful() -> None:
    word = [mark(120, 200, left=150 * place) for place in range(5)]
    price = [mark(120, 200, left=1500 + 150 * place) for place in range(3)]
    assert doubtful([*word, *price], [5, None, 0, None, None, 2, 7, 4], 3000) == [*[True] * 5, *[False] * 3]


def test_keys_that_look_like_digits_are_doubtful() -> None:
    keys = [mark(120, 200, left=400 * place) for place in range(5)]
    number = [replace(mark(120, 200, left=150 * place), line=1) for place in range(4)]
    assert doubtful([*keys, *number], [None, 0, 1, None, None, 1, 9, 8, 4], 3000) == [*[True] * 5, *[False] * 4]


def test_small_or_only_digit_must_be_surer() -> None:
    small, large = mark(5, 10), mark(70, 200)
    assert [is_too_unsure(small, odds, SIDE, is_alone=False) for odds in (1.9, 2.1)] == [True, False]
    assert [is_too_unsure(large, odds, SIDE, is_alone=True) for odds in (0.9, 1.1)] == [True, False]
    assert not is_too_unsure(large, 0.1, SIDE, is_alone=False)
