"""parts.py: what most writing lies on decides which ink may belong to a table."""

import numpy as np

from mnist_fc.drawing.parts import Box, Part, as_strong_as_most, digit_like, suspect_elsewhere

SHAPE = (400, 600)
WHITE, RED = (240, 240, 235), (200, 40, 40)


def part(
    left: int, top: int, width: int, height: int, *, area: int, stroke: float, strength: float = 0.6, is_suspect: bool = False
) -> Part:
    return Part([1], Box(left, top, left + width, top + height), area, strength, stroke, 0.0, is_suspect)


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


def test_faint_grain_with_more_area_than_the_digits_is_left_out() -> None:
    digits = [part(60 * place, 200, 30, 50, area=500, stroke=6) for place in range(4)]
    grain = [part(20 * place, 20, 15, 15, area=160, stroke=8, strength=0.12) for place in range(40)]
    assert as_strong_as_most([*digits, *grain]) == digits


def test_line_that_all_but_touches_a_drawn_part_belongs_to_it() -> None:
    corner = part(100, 100, 40, 60, area=900, stroke=9, is_suspect=True)
    segment, elsewhere = (part(left, 163, 36, 9, area=300, stroke=9, is_suspect=True) for left in (100, 300))
    thin = part(100, 95, 40, 2, area=80, stroke=2, is_suspect=True)
    assert digit_like([corner, segment, elsewhere, thin]) == [corner, segment]
