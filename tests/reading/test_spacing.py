"""spacing.py: where a line of digits has spaces, and where a mark between digits is a decimal point."""

import numpy as np
import pytest

from mnist_fc.drawing.parts import Box
from mnist_fc.reading.reader import FoundDigit, Reading, numbers
from mnist_fc.reading.spacing import spaces

PITCH = 60
"""Pixels from the middle of one digit to the next, for digits 100 high."""


def written(text: str, gap: int = 25, space: int = 50) -> list[Box]:
    """Return boxes of digits with this gap between them, and this much more for each space; a 1 is narrow."""
    boxes, x = [], 0
    for letter in text:
        if letter == " ":
            x += space
            continue
        width = 12 if letter == "1" else 50
        boxes.append(Box(x, 0, x + width, 100))
        x += width + gap
    return boxes


def printed(text: str) -> list[Box]:
    """Return boxes of digits in cells of equal width."""
    widths = [14 if letter == "1" else 48 for letter in text]
    return [Box(round(i * PITCH - w / 2), 0, round(i * PITCH + w / 2), 100) for i, w in enumerate(widths)]


def said(text: str, boxes: list[Box]) -> str:
    """Return the digits of a text with the spaces that are found between them."""
    found = zip(text.replace(" ", ""), spaces(boxes), strict=True)
    return "".join(" " * has_space + digit for digit, has_space in found)


@pytest.mark.parametrize("text", ["030 4478 2951", "0171 638 2054", "12 34 56", "2026", "11811", "1 234 567"])
@pytest.mark.parametrize("gap", [5, 15, 25])
def test_gap_of_half_a_digit_is_a_space(text: str, gap: int) -> None:
    assert said(text, written(text, gap)) == text


@pytest.mark.parametrize("text", ["111111", "8118", "2701", "1000", "12121", "9115"])
def test_ones_of_equal_pitch_have_no_spaces(text: str) -> None:
    assert said(text, printed(text)) == text


@pytest.mark.parametrize("text", ["20 5", "12", "7"])
def test_short_line_has_a_space_only_at_a_gap_that_no_number_has(text: str) -> None:
    assert said(text, written(text)) == text
    assert said(text, written(text, space=35)) == text.replace(" ", "")


@pytest.mark.parametrize("gap", [40, 60])
def test_widely_spaced_digits_are_one_number(gap: int) -> None:
    assert said("59026", written("59026", gap)) == "59026"


def line(text: str, boxes: list[Box], point_before: int) -> str:
    """Return what a line says whose digit at a place follows a point; "?" is no digit."""
    readings = [Reading(None if each == "?" else int(each), (0.1,) * 10, 0, np.zeros((28, 28), np.float32)) for each in text]
    found = [
        FoundDigit(box, 0, place == point_before, False, np.zeros((28, 28), np.float32), reading)
        for place, (box, reading) in enumerate(zip(boxes, readings, strict=True))
    ]
    return numbers(found, readings)[0]


def test_full_stop_of_a_word_is_not_a_decimal_point() -> None:
    assert line("????58", written("???? 58"), 4) == "???? 58"
    assert line("4?58", written("4?58"), 2) == "4?.58"
    assert line("4458", written("44 58"), 2) == "44.58"


def test_nothing_says_nothing() -> None:
    assert numbers([], []) == []
    assert spaces([]) == []
