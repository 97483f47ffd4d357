"""parts.py: what most writing lies on decides which ink may belong to a table."""

import numpy as np

from mnist_fc.drawing.parts import Box, Part, suspect_elsewhere

SHAPE = (400, 600)
WHITE, RED = (240, 240, 235), (200, 40, 40)


def part(left: int, top: int, width: int, height: int, *, area: int, stroke: float) -> Part:
    return Part([1], Box(left, top, left + width, top + height), area, 0.6, stroke, 0.0)


def paper_with_a_red_bar() -> np.ndarray:
    paper = np.full((40, 60, 3), WHITE, np.uint8)
    paper[:10] = RED
    return paper


def test_coloured_bar_with_more_ink_than_the_digits_hides_none() -> None:
    digits = [part(60 * place, 200, 30, 50, area=400, stroke=6) for place in range(6)]
    bar = part(20, 20, 560, 60, area=33_000, stroke=60)
    suspect_elsewhere([*digits, bar], paper_with_a_red_bar(), SHAPE)
    assert [each.is_suspect for each in (*digits, bar)] == [*[False] * 6, True]


def test_ink_on_another_colour_than_most_writing_is_suspect() -> None:
    on_paper = [part(60 * place, 200, 30, 50, area=400, stroke=6) for place in range(4)]
    on_red = part(60, 20, 30, 50, area=400, stroke=6)
    suspect_elsewhere([*on_paper, on_red], paper_with_a_red_bar(), SHAPE)
    assert [each.is_suspect for each in (*on_paper, on_red)] == [*[False] * 4, True]
