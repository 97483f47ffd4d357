"""frames.py: digits that touch the lines of frames and cells are found whole, and the lines are taken away."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import Mark, find_marks
from mnist_fc.reading.photo_evaluation import overlap
from mnist_fc.reading.reader import Reader, number
from tests.support.handwriting import handwriting

CELL = np.array([90, 120])
"""Width and height in pixels."""
LINES, INK = (120, 90, 70), (60, 20, 20)
PEN = 6
"""Pixels."""


def form(
    rows: Sequence[str],
    turn: float = 0.0,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    line: int = 3,
    gap: float = 0.2,
    height: float = 0.85,
    pen: int = PEN,
) -> tuple[np.ndarray, list[Box]]:
    """Return a picture of rows of cells with a digit each, turned by degrees, uint8 (H, W, 4), and the boxes of the digits.

    A cell with a space is empty. `shift` moves the digits in their cells, and `gap` separates the rows, as shares of a cell; the
    digits fill the share `height` of it.
    """
    count, pitch = max(map(len, rows)), 1 + gap
    middle = np.array([count / 2, (len(rows) * pitch - gap) / 2]) * CELL
    side = int(2 * np.hypot(*middle)) + 100
    rgba = np.full((side, side, 4), 255, np.uint8)
    rgba[..., :3] = 225
    angle = np.radians(turn)
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def placed(points: np.ndarray) -> np.ndarray:
        return np.asarray((points * CELL - middle) @ turned + side / 2)

    def stroke(points: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
        cv2.polylines(rgba, [np.rint(placed(points) * 16).astype(np.int32)], False, (*colour, 255), width, cv2.LINE_AA, 4)

    boxes = []
    for row, text in enumerate(rows):
        top = row * pitch
        uprights = [[[place, top], [place, top + 1]] for place in range(len(text) + 1)]
        for ends in (*uprights, [[0, top], [len(text), top]], [[0, top + 1], [len(text), top + 1]]):
            if line:
                stroke(np.array(ends), LINES, line)
    for row, text in enumerate(rows):
        for place, strokes in enumerate(written(text)):
            if not strokes:
                continue
            points = np.concatenate(strokes)
            least, most = points.min(0), points.max(0)
            scale = (height * CELL / (most - least)).min() / CELL
            centre = np.array([place + 0.5 + shift[0], row * pitch + 0.5 + shift[1]])
            drawn = [(each - (least + most) / 2) * scale + centre for each in strokes]
            for each in drawn:
                stroke(each, INK, pen)
            seen = placed(np.concatenate(drawn))
            boxes.append(Box(*np.rint([*(seen.min(0) - pen / 2), *(seen.max(0) + pen / 2)]).astype(int).tolist()))
    return cv2.GaussianBlur(rgba, (0, 0), 1.0), boxes


def written(text: str) -> list[list[np.ndarray]]:
    """Return the strokes of digits as one person writes them; none for a space."""
    digits = handwriting(1)
    return [[] if label == " " else digits.strokes[int(np.flatnonzero(digits.labels == int(label))[0])] for label in text]


def are_exactly(marks: Sequence[Mark], boxes: Sequence[Box]) -> bool:
    """Return whether each box has one mark that covers it, and no mark is left."""
    return [[overlap(box, mark.box) > 0.7 for mark in marks] for box in boxes] == np.eye(len(boxes), dtype=bool).tolist()


def sorted_like(boxes: Sequence[Box], marks: Sequence[Mark]) -> list[Mark]:
    """Return the marks in the order of the boxes nearest to them: lines of a turned form overlap."""
    return sorted(marks, key=lambda mark: max(range(len(boxes)), key=lambda place: overlap(boxes[place], mark.box)))


@pytest.mark.parametrize("turn", [-6, -3, -1, 0, 2, 5])
@pytest.mark.parametrize("shift", [(0.12, 0.0), (0.0, 0.12)], ids=["across an upright", "across the foot"])
def test_digits_in_the_cells_of_a_turned_form_are_found_whole(turn: float, shift: tuple[float, float]) -> None:
    rgba, boxes = form(["2704953"], turn, shift=shift)
    assert are_exactly(find_marks(rgba), boxes)


@pytest.mark.parametrize("line", [2, 4, 6])
def test_digits_across_the_lines_of_cells_are_read(line: int) -> None:
    rgba, _ = form(["2704953"], 4, shift=(0.1, 0.05), line=line)
    assert number([each.reading for each in Reader.load().read_picture(rgba)]) == "2704953"


def test_rows_whose_boxes_overlap_do_not_disturb_each_other() -> None:
    rgba, boxes = form(["27049532", "49532704"], 6, shift=(0.0, 0.12))
    assert are_exactly(sorted_like(boxes, find_marks(rgba)), boxes)


def test_digits_in_a_grid_of_several_rows_are_found() -> None:
    rgba, boxes = form(["2704", "4953", "7243", "9502"], 2, shift=(0.0, 0.12), gap=0.0)
    assert are_exactly(sorted_like(boxes, find_marks(rgba)), boxes)


def test_digits_of_a_broad_pen_in_a_row_of_cells_are_found() -> None:
    rgba, boxes = form(["2704"], 2, shift=(0.0, 0.15), height=0.65, pen=18)
    assert are_exactly(find_marks(rgba), boxes)


@pytest.mark.parametrize("turn", [0, 3, 45, 90])
def test_empty_cells_have_no_digits(turn: float) -> None:
    rgba, _ = form([" " * 7], turn)
    assert [each for each in Reader.load().read_picture(rgba) if each.reading.digit is not None] == []


@pytest.mark.parametrize("width", [1, 2, 5])
def test_lone_diagonal_line_is_no_frame(width: int) -> None:
    rgba = np.full((900, 900, 4), 255, np.uint8)
    cv2.line(rgba, (100, 100), (800, 800), (0, 0, 0, 255), width)
    assert not any(mark.is_framed for mark in find_marks(cv2.GaussianBlur(rgba, (0, 0), 0.8)))


def test_only_marks_that_touched_lines_are_framed() -> None:
    rgba, _ = form(["27"], 3, shift=(0.12, 0.0))
    beside, _ = form(["4"], line=0)
    pad = rgba.shape[0] - beside.shape[0]
    both = np.hstack([rgba, cv2.copyMakeBorder(beside, pad, 0, 0, 0, cv2.BORDER_REPLICATE)])
    assert sorted((mark.box.left < rgba.shape[1], mark.is_framed) for mark in find_marks(both)) == [
        (False, False),
        (True, True),
        (True, True),
    ]
