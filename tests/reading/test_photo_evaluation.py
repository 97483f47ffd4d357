"""photo_evaluation.py: what is found in photographs is matched, counted and tabulated by condition."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_fc.data.mnist import DataError
from mnist_fc.data.photographs import CONDITIONS, Photograph, TrueDigit
from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.strokes import Stroke, render
from mnist_fc.reading.photo_evaluation import (
    PhotographScores,
    evaluate_photographs,
    match,
    overlap,
    read_pictures,
    share_interval,
)
from mnist_fc.reading.reader import EMPTY_READING, FoundDigit, Reader, Reading

BLANK = np.zeros((2, 2, 4), np.uint8)


def square(left: int, top: int = 0) -> Box:
    return Box(left, top, left + 10, top + 10)


def true(label: int, left: int, writer: int = 1) -> TrueDigit:
    return TrueDigit(label, writer, square(left))


def found(digit: int | None, box: Box) -> FoundDigit:
    reading = EMPTY_READING if digit is None else Reading(digit, (0.1,) * 10, (digit + 1) % 10, None)
    return FoundDigit(box, 0, False, False, BLANK, reading)


def test_overlap_is_the_intersection_over_the_union() -> None:
    assert overlap(square(0), square(0)) == 1
    assert overlap(square(0), square(5)) == pytest.approx(50 / 150)
    assert overlap(square(0), Box(2, 2, 7, 7)) == pytest.approx(0.25)
    assert overlap(square(0), square(10)) == overlap(square(0), square(0, top=30)) == 0


def test_each_digit_is_right_unsure_wrong_or_missed() -> None:
    read = [found(3, square(1)), found(None, square(20)), found(8, square(41))]
    outcome = match([true(3, 0), true(4, 20), true(5, 40), true(6, 60)], read)
    assert outcome.outcomes == ("right", "unsure", "wrong", "missed")
    assert (outcome.false_digits, outcome.is_right) == (0, False)


def test_only_confident_digits_without_a_digit_beneath_are_false() -> None:
    assert match([], [found(1, square(0)), found(None, square(30))]).false_digits == 1
    assert match([], [found(None, square(30))]).is_right
    assert not match([true(3, 0)], [found(3, square(0)), found(1, square(50))]).is_right


def test_box_matches_one_digit_that_it_overlaps_most() -> None:
    outcome = match([true(3, 0), true(3, 6)], [found(3, square(1))])
    assert outcome.outcomes == ("right", "missed")
    twice = match([true(3, 0)], [found(1, Box(0, 0, 10, 5)), found(3, Box(0, 0, 10, 9))])
    assert (twice.outcomes, twice.false_digits) == (("right",), 1)


def test_photograph_in_another_reading_order_is_not_right() -> None:
    digits, read = [true(3, 0), true(4, 20)], [found(3, square(0)), found(4, square(20))]
    assert match(digits, read).is_right
    assert match(digits, read[::-1]).outcomes == ("right", "right")
    assert not match(digits, read[::-1]).is_right


class Prepared(Reader):
    """A reader that finds in each photograph what the test says."""

    def __init__(self, answers: list[list[FoundDigit]]) -> None:
        self.answers = iter(answers)

    def read_picture(self, rgba: np.ndarray) -> list[FoundDigit]:
        return next(self.answers)


def photo(digits: list[TrueDigit], **changed: str) -> Photograph:
    conditions = {name: next(iter(values)) for name, values in CONDITIONS.items()}
    return Photograph(BLANK, tuple(digits), conditions | changed, num_lines=10)


def test_scores_are_shares_of_digits_by_condition() -> None:
    photos = [
        photo([true(3, 0, writer=1), true(4, 20, writer=1)], paper="plain"),
        photo([true(5, 0, writer=2)], paper="squared"),
        photo([], paper="squared", content="nothing", writing="none"),
        photo([true(7, 0, writer=-1)], paper="squared", writing="printed"),
    ]
    reader = Prepared([[found(3, square(0)), found(9, square(20))], [found(5, square(0))], [found(1, square(0))], []])
    scores = {(row.name, row.value): row for row in evaluate_photographs(reader, photos)}
    pen = PhotographScores(
        "writing", "pen", 2, 3, right=2 / 3, right_interval=(0.0, 1.0), unsure=0, wrong=1 / 3, missed=0, pictures_right=0.5,
        false_digits=0, num_lines=20,
    )  # fmt: skip
    assert scores["writing", "pen"] == pen
    assert scores["writing", "printed"].missed == 1
    squared = scores["paper", "squared"]
    assert (squared.num_pictures, squared.num_digits, squared.right, squared.false_digits) == (2, 1, 1.0, 0.5)
    assert scores["content", "nothing"].right is None
    assert scores["content", "nothing"].false_digits == 1
    assert ("paper", "ruled") not in scores


def test_folder_of_pictures_is_read_by_the_digit_in_their_names(tmp_path: Path, seven: list[Stroke]) -> None:
    for name in ("b_7.png", "a_1.png"):
        Image.fromarray(render(seven)).save(tmp_path / name)
    Image.fromarray(np.full((90, 90), 255, np.uint8)).save(tmp_path / "c_0.jpg")
    readings = read_pictures(Reader.load(), tmp_path)
    assert [(r.name, r.digit, r.read, r.outcome) for r in readings] == [
        ("a_1.png", 1, "7", "wrong"),
        ("b_7.png", 7, "7", "right"),
        ("c_0.jpg", 0, "", "missed"),
    ]


def test_pictures_without_a_digit_in_their_name_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no pictures"):
        read_pictures(Reader.load(), tmp_path)
    (tmp_path / "seven.png").touch()
    with pytest.raises(DataError, match=r"seven\.png must end in the digit that it shows"):
        read_pictures(Reader.load(), tmp_path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_pictures(Reader.load(), tmp_path / "none")


def test_interval_of_pictures_is_wilsons() -> None:
    """The examples of Newcombe (1998)."""
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert share_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
    assert share_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
