"""Marks in a photograph that are read as digits but are likelier letters, lines, edges or noise."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import Mark
from mnist_fc.reading.doubt import doubtful, is_too_unsure, is_writing

SIDE = 1000
"""Pixels of the longer side of the picture."""


def mark(
    width: int, height: int, *, left: int = 0, top: int = 0, is_straight: bool = False, bend: float = 1.0, thickness: float = 0.1
) -> Mark:
    box = Box(left, top, left + width, top + height)
    return Mark(box, 0, False, False, np.zeros((height, width, 4), np.uint8), is_straight, bend, False, False, thickness)


BAR = mark(20, 200, is_straight=True)
"""A straight 1, as long and thick as a person may write it."""
DIGIT = mark(120, 200)


def doubts(marks: list[Mark], digits: Sequence[int | None], side: int, unsure: Sequence[int] = ()) -> list[bool]:
    """Return which digits are doubtful. All are surely digits, or surely none, except for those at the places in `unsure`."""
    sure = [8.0 if digit is not None else -8.0 for digit in digits]
    return doubtful(marks, digits, [1.0 if place in unsure else odds for place, odds in enumerate(sure)], side)


def text(*words: str, space: int = 100) -> tuple[list[Mark], list[int | None]]:
    """Return the marks of a line of text and what is read. Small letters are low; "x" and "X" are not read as digits."""
    marks, digits, left = [], [], 0
    for word in words:
        for letter in word:
            height = 110 if letter in "xosz" else 200
            marks.append(mark(100, height, left=left))
            digits.append({"o": 0, "s": 5, "z": 2, "B": 8}.get(letter, int(letter) if letter.isdigit() else None))
            left += 120
        left += space
    return marks, digits


def test_straight_one_beside_other_digits_is_a_digit() -> None:
    assert doubts([DIGIT, BAR, DIGIT], [7, 1, 4], SIDE) == [False] * 3


def test_lone_straight_ones_are_digits() -> None:
    assert doubts([BAR, BAR], [1, 1], SIDE) == [False] * 2


def test_segments_of_a_display_are_not_ones() -> None:
    assert doubts([*[BAR] * 8, DIGIT], [*[1] * 8, 7], SIDE) == [*[True] * 8, False]


def test_side_of_a_frame_is_taller_than_the_digits() -> None:
    side = mark(20, 300, is_straight=True)
    assert doubts([DIGIT, side], [7, 1], SIDE) == [False, True]


def test_tick_of_a_clock_is_shorter_than_the_digits() -> None:
    tick = mark(20, 110, is_straight=True)
    assert doubts([DIGIT, tick], [7, 1], SIDE) == [False, True]


def test_thin_lone_line_is_not_a_one() -> None:
    assert doubts([mark(4, 200, is_straight=True, thickness=0.02)], [1], SIDE) == [True]


def test_picture_of_noise_has_no_digits() -> None:
    assert doubts([DIGIT] * 5, [7, None, None, None, 3], SIDE) == [True] * 5


def test_line_thinner_than_the_pen_is_not_a_one() -> None:
    side = mark(8, 200, is_straight=True, thickness=0.04)
    assert doubts([DIGIT, side, DIGIT], [7, 1, 4], SIDE) == [False, True, False]


def test_lone_one_with_a_flag_is_a_digit() -> None:
    assert doubts([mark(70, 200, is_straight=True, bend=4, thickness=0.04)], [1], SIDE) == [False]


def test_letters_of_a_word_that_look_like_digits_are_doubtful() -> None:
    word = [mark(120, 200, left=150 * place) for place in range(5)]
    price = [mark(120, 200, left=1500 + 150 * place) for place in range(3)]
    assert doubts([*word, *price], [5, None, 0, None, None, 2, 7, 4], 3000) == [*[True] * 5, *[False] * 3]


def test_number_beside_a_word_is_read() -> None:
    marks, digits = text("4", "soxxx")
    assert doubts(marks, digits, 3000) == [False, *[True] * 5]
    marks, digits = text("12", "xxX", "34", "XXxx", "5")
    assert doubts(marks, digits, 3000) == [False, False, *[True] * 3, False, False, *[True] * 4, False]


def test_small_letters_that_look_like_digits_are_doubtful() -> None:
    marks, digits = text("so", "Xxxx", "o", "B0")
    assert doubts(marks, digits, 3000) == [*[True] * 7, False, False]


def test_single_mark_between_close_words_is_a_letter() -> None:
    marks, digits = text("XX", "8", "XX")
    close, _ = text("XX", "8", "XX", space=55)
    assert doubts(close, digits, 3000) == [True] * 5
    assert doubts(marks, digits, 3000) == [True, True, False, True, True]


def test_word_in_one_stroke_does_not_make_digits_low() -> None:
    marks, digits = text("XXX", "12")
    word = mark(700, 400, left=2000)
    assert doubts([*marks, word], [*digits, None], 3000) == [True] * 3 + [False, False, True]


def test_digits_among_words_must_be_sure() -> None:
    marks, digits = text("4", "XxxX", "7")
    assert doubts(marks, digits, 3000, unsure=[0]) == [*[True] * 5, False]


def test_bar_among_words_is_no_sure_one() -> None:
    marks, digits = text("14", "XXX")
    bar, flagged = replace(marks[0], is_straight=True, bend=1.0), replace(marks[0], is_straight=True, bend=4.0)
    assert doubts([bar, *marks[1:]], digits, 3000) == [True, False, True, True, True]
    assert doubts([flagged, *marks[1:]], digits, 3000) == [False, False, True, True, True]
    assert doubts([bar, marks[1]], digits[:2], 3000) == [False, False]


def test_unclear_digits_are_not_letters() -> None:
    marks, digits = text("12X", "8X4", "5X6")
    unclear = [place for place, digit in enumerate(digits) if digit is None]
    assert doubts(marks, digits, 3000, unsure=unclear) == [False] * 9


def test_bar_that_stands_alone_among_ticks_is_a_tick() -> None:
    ticks = [mark(20, 110, left=2000 + 400 * place, is_straight=True) for place in range(3)]
    alone, beside = mark(20, 200, left=4000, is_straight=True), mark(20, 200, left=150, is_straight=True)
    marks = [DIGIT, beside, *ticks, alone]
    assert doubts(marks, [7, 1, 1, 1, 1, 1], SIDE) == [False, False, True, True, True, True]
    assert not doubts([DIGIT, beside, *ticks[:2], alone], [7, 1, 1, 1, 1], SIDE)[-1]


def test_corner_among_the_joints_of_a_wall_is_no_seven() -> None:
    corner = mark(90, 120, left=900, is_straight=True)
    joints = [mark(14, 60, left=100 * place, is_straight=True) for place in range(7)]
    assert doubts([*joints, corner], [None, *[1] * 6, 7], side=1600) == [True] * 8
    # Beside digits that are no bars, a straight 7 is one.
    others = [mark(90, 120, left=1000 + 100 * place) for place in range(6)]
    assert doubts([*joints[:2], corner, *others], [1, 1, 7, 2, 3, 4, 5, 6, 8], side=1600)[2:] == [False] * 7


def test_keys_that_look_like_digits_are_doubtful() -> None:
    keys = [mark(120, 200, left=400 * place) for place in range(5)]
    number = [replace(mark(120, 200, left=150 * place), line=1) for place in range(4)]
    assert doubts([*keys, *number], [None, 0, 1, None, None, 1, 9, 8, 4], 3000) == [*[True] * 5, *[False] * 4]


def test_small_or_only_digit_must_be_surer() -> None:
    small, large = mark(5, 10), mark(70, 200)
    assert [is_too_unsure(small, odds, SIDE, is_alone=False) for odds in (1.9, 2.1)] == [True, False]
    assert [is_too_unsure(large, odds, SIDE, is_alone=True) for odds in (0.9, 1.1)] == [True, False]
    assert not is_too_unsure(large, 0.1, SIDE, is_alone=False)
    assert [is_too_unsure(BAR, odds, SIDE, is_alone=True) for odds in (3.9, 4.1)] == [True, False]
    assert not is_too_unsure(BAR, 0.1, SIDE, is_alone=False)


def test_letter_that_hangs_below_its_number_is_doubtful() -> None:
    number = [mark(120, 200, left=150 * place) for place in range(3)]
    letter, raised = mark(120, 200, left=450, top=80), mark(70, 100, left=450, top=-60)
    assert doubts([*number, letter], [2, 5, 0, 9], SIDE) == [False, False, False, True]
    assert doubts([*number, replace(letter, line=1)], [2, 5, 0, 9], SIDE) == [False] * 4
    assert doubts([*number, raised], [2, 5, 0, 2], SIDE) == [False] * 4


def test_leaning_bar_that_reaches_beyond_both_digits_is_a_slash() -> None:
    day, month = mark(120, 200), mark(120, 200, left=280)
    slash = mark(90, 240, left=155, top=-20, is_straight=True)
    upright, short = mark(30, 240, left=155, top=-20, is_straight=True), mark(90, 220, left=155, top=0, is_straight=True)
    assert doubts([day, slash, month], [8, 1, 4], SIDE) == [False, True, False]
    assert doubts([day, slash], [8, 1], SIDE) == [False, False]
    assert [doubts([day, one, month], [8, 1, 4], SIDE) for one in (upright, short)] == [[False] * 3] * 2


def in_a_row(count: int, *, is_suspect: bool = False) -> list[Mark]:
    return [replace(mark(120, 200, left=140 * place), is_suspect=is_suspect) for place in range(count)]


def test_suspect_mark_is_writing_only_if_surely_a_digit() -> None:
    marks = [replace(mark(120, 200, left=600 * place), is_suspect=True) for place in range(3)]
    assert is_writing(marks, [7, 7, None], [7.0, 5.0, -3.0]) == [True, False, False]


def test_suspect_digit_beside_another_digit_is_kept_as_unsure() -> None:
    """A number must not lose a digit without a word."""
    marks = in_a_row(4, is_suspect=True)
    assert is_writing(marks, [1, 4, 3, None], [8.0, 2.0, 8.0, -1.0]) == [True, True, True, False]
    assert doubtful(marks[:3], [1, 4, 3], [8.0, 2.0, 8.0], SIDE) == [False, True, False]


def test_objects_are_doubtful_although_something_suspect_reads_as_digits() -> None:
    suspect = [replace(each, is_suspect=True) for each in in_a_row(3)]
    objects = [mark(120, 200, left=600 * place + 1000) for place in range(3)]
    assert doubts([*suspect, *objects], [7, 4, 2, 0, None, None], SIDE) == [False] * 3 + [True] * 3


def test_shadow_far_taller_than_its_line_is_no_letter() -> None:
    words, digits = text("xEx", "XAX", "HAH", "2704")
    shadow = mark(900, 1000, left=words[-1].box.right + 10)
    assert doubts([*words, shadow], [*digits, None], SIDE)[9:13] == [False] * 4


@pytest.mark.parametrize(
    ("height", "thickness"),
    [(80, 0.25), (400, 0.05), (200, 0.22), (200, 0.04)],
    ids=["lower", "taller", "thicker", "thinner"],
)
def test_ring_apart_from_the_digits_and_unlike_them_is_no_zero(height: int, thickness: float) -> None:
    ring = mark(height * 3 // 5, height, left=2000, thickness=thickness)
    assert doubts([*in_a_row(3), ring], [2, 7, 4, 0], SIDE) == [False, False, False, True]


def test_zero_like_the_other_digits_is_kept() -> None:
    assert doubts([*in_a_row(3), mark(130, 190, left=2000)], [2, 7, 4, 0], SIDE) == [False] * 4


def test_small_zero_beside_digits_is_kept() -> None:
    assert doubts([*in_a_row(3), mark(50, 80, left=430)], [2, 7, 4, 0], SIDE) == [False] * 4


def test_zeros_are_not_compared_with_a_single_digit() -> None:
    zeros = [mark(100, 160, left=600 * place) for place in range(1, 4)]
    assert doubts([mark(120, 300), *zeros], [7, 0, 0, 0], SIDE) == [False] * 4


def test_digit_from_a_frame_must_be_surer_than_others() -> None:
    framed = replace(DIGIT, is_framed=True)
    unsure = [(each, odds) for each in (framed, DIGIT) for odds in (2.0, 5.0) if is_too_unsure(each, odds, SIDE, is_alone=False)]
    assert unsure == [(framed, 2.0)]
