"""frames.py: digits that touch the lines of frames and cells are found whole, and the lines are taken away."""

import cv2
import numpy as np
import pytest

from mnist_fc.data.pen_digits import PenDigits
from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import find_marks
from mnist_fc.reading.photo_evaluation import overlap
from mnist_fc.reading.reader import Reader, number
from tests.support.handwriting import handwriting

CELL = np.array([90, 120])
"""Width and height in pixels."""
LINES, INK = (120, 90, 70), (60, 20, 20)


def form(
    digits: PenDigits, turn: float, *, shift: tuple[float, float] = (0.0, 0.0), line: int = 3
) -> tuple[np.ndarray, list[Box]]:
    """Return a picture of a row of cells with a digit each, turned by degrees, uint8 (H, W, 4), and the boxes of the digits.

    `shift` moves the digits in their cells, as shares of a cell.
    """
    count, corner = len(digits.labels), np.array([150, 250])
    rgba = np.full((620, 300 + 90 * count, 4), 255, np.uint8)
    rgba[..., :3] = 225
    turned = cv2.getRotationMatrix2D((rgba.shape[1] / 2, rgba.shape[0] / 2), turn, 1)

    def placed(points: np.ndarray) -> np.ndarray:
        moved: np.ndarray = np.asarray(points, float) @ turned[:, :2].T + turned[:, 2]
        return moved

    def stroke(points: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
        cv2.polylines(rgba, [np.rint(placed(points) * 16).astype(np.int32)], False, (*colour, 255), width, cv2.LINE_AA, 4)

    for place in range(count + 1):
        stroke(corner + CELL * [[place, 0], [place, 1]], LINES, line)
    for row in (0, 1):
        stroke(corner + CELL * [[0, row], [count, row]], LINES, line)
    boxes = []
    for place, strokes in enumerate(digits.strokes):
        if not strokes:
            continue
        points = np.concatenate(strokes)
        least, most = points.min(0), points.max(0)
        scale = (0.85 * CELL / (most - least)).min()
        middle = corner + CELL * [place + 0.5 + shift[0], 0.5 + shift[1]]
        drawn = [(each - (least + most) / 2) * scale + middle for each in strokes]
        for each in drawn:
            stroke(each, INK, 6)
        ends = placed(np.concatenate(drawn))
        boxes.append(Box(*np.rint([*(ends.min(0) - 3), *(ends.max(0) + 3)]).astype(int).tolist()))
    return cv2.GaussianBlur(rgba, (0, 0), 1.0), boxes


def chosen(labels: str) -> PenDigits:
    """Return one person's digits with these labels."""
    digits = handwriting(3)
    mine = digits.select(digits.writers == digits.writers[0])
    places = [int(np.flatnonzero(mine.labels == int(label))[0]) for label in labels]
    return PenDigits([mine.strokes[place] for place in places], mine.labels[places], mine.writers[places])


@pytest.mark.parametrize("turn", [-6, -3, -1, 0, 2, 5])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.12, 0.0), (0.0, 0.12)], ids=["inside", "across an upright", "across the foot"])
def test_digits_in_the_cells_of_a_turned_form_are_found_whole(turn: float, shift: tuple[float, float]) -> None:
    rgba, boxes = form(chosen("2704953"), turn, shift=shift)
    found = [mark.box for mark in find_marks(rgba)]
    assert [[round(overlap(box, other), 1) > 0.7 for other in found] for box in boxes] == np.eye(len(boxes), dtype=bool).tolist()


@pytest.mark.parametrize("line", [2, 4, 6])
def test_digits_across_the_lines_of_cells_are_read(line: int) -> None:
    rgba, _ = form(chosen("2704953"), 4, shift=(0.1, 0.05), line=line)
    assert number([each.reading for each in Reader.load().read_picture(rgba)]) == "2704953"


def test_empty_cells_of_a_turned_form_have_no_digits() -> None:
    empty = PenDigits([[] for _ in range(7)], np.zeros(7, np.int64), np.zeros(7, np.int64))
    rgba, _ = form(empty, 3)
    assert [each for each in Reader.load().read_picture(rgba) if each.reading.digit is not None] == []
