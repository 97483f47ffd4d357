"""The canvas's messages become strokes or are rejected, and strokes are rendered with their place and width."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.strokes import (
    CANVAS_SIZE,
    MAX_POINTS,
    MAX_STROKES,
    MAX_WIDTH,
    Stroke,
    canvas_json,
    render,
    strokes_of_canvas,
)

coordinates = st.floats(-1e6, 1e6)
strokes = st.lists(
    st.builds(Stroke, st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=10).map(tuple), st.floats(0.5, 100)),
    max_size=5,
)


@given(strokes)
def test_strokes_survive_the_round_trip_through_the_canvas(drawn: list[Stroke]) -> None:
    assert strokes_of_canvas(canvas_json(drawn)) == drawn


def test_curve_becomes_points_along_it() -> None:
    path = [["M", 0, 0], ["Q", 100, 0, 100, 100], ["L", 100, 200]]
    (stroke,) = strokes_of_canvas({"objects": [{"path": path, "strokeWidth": 9}]})
    assert stroke.width == 9
    assert [stroke.points[0], *stroke.points[-2:]] == [(0, 0), (100, 100), (100, 200)]
    assert (75, 25) in stroke.points  # half way
    lengths = [math.dist(a, b) for a, b in zip(stroke.points[:-2], stroke.points[1:-1], strict=True)]
    assert max(lengths) < 30


numbers = st.integers() | st.floats() | st.sampled_from([math.nan, math.inf, 10**400, 1e308, "1", "nan", None, True])
commands = st.tuples(st.sampled_from(["M", "L", "Q", "Z", "", None, 3]), *[numbers] * 2).map(list) | st.lists(numbers, max_size=6)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
objects = st.fixed_dictionaries({"path": st.lists(commands, max_size=5) | anything, "strokeWidth": numbers | anything}) | anything


@given(anything | st.fixed_dictionaries({"objects": st.lists(objects, max_size=4) | anything}))
def test_any_message_is_drawable_strokes_or_a_drawing_error(sent: Any) -> None:
    try:
        drawn = strokes_of_canvas(sent)
    except DrawingError:
        return
    assert all(math.isfinite(v) for stroke in drawn for v in (stroke.width, *(c for point in stroke.points for c in point)))
    assert render(drawn, 40).shape == (40, 40, 4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400, "x", None])
@pytest.mark.parametrize("place", ["width", "point"])
def test_numbers_that_are_not_finite_are_rejected(bad: Any, place: str) -> None:
    path, width = [["M", 1, 2], ["L", bad if place == "point" else 3, 4]], bad if place == "width" else 5
    with pytest.raises(DrawingError, match=r"not finite|without a valid path"):
        strokes_of_canvas({"objects": [{"path": path, "strokeWidth": width}]})


def test_number_of_strokes_is_bounded() -> None:
    stroke = Stroke(((1.0, 1.0), (2.0, 2.0)), 5.0)
    assert len(strokes_of_canvas(canvas_json([stroke] * MAX_STROKES))) == MAX_STROKES
    with pytest.raises(DrawingError, match=f"has {MAX_STROKES + 1} strokes; at most {MAX_STROKES} can be read"):
        strokes_of_canvas(canvas_json([stroke] * (MAX_STROKES + 1)))


def test_number_of_points_is_bounded() -> None:
    half = Stroke(((1.0, 1.0),) * (MAX_POINTS // 2), 5.0)
    assert len(strokes_of_canvas(canvas_json([half] * 2))) == 2
    with pytest.raises(DrawingError, match="more than 30,000 points"):
        strokes_of_canvas(canvas_json([half, half, Stroke(((1.0, 1.0),), 5.0)]))


def test_empty_stroke_and_unknown_command_are_rejected() -> None:
    for path, reason in (([], "not finite"), ([["A", 1, 2]], "path command other"), ([["M", 1]], "without a valid path")):
        with pytest.raises(DrawingError, match=reason):
            strokes_of_canvas({"objects": [{"path": path, "strokeWidth": 5}]})


@pytest.mark.parametrize("width", [2, 6, 15, 20, 34])
def test_straight_line_has_its_place_and_width(width: int) -> None:
    rgba = render([Stroke(((40, 140), (240, 140)), width)])
    assert rgba.shape == (CANVAS_SIZE, CANVAS_SIZE, 4)
    assert rgba.dtype == np.uint8
    assert not rgba[..., :3].any()
    inked = rgba[..., 3] > 127
    rows, columns = np.nonzero(inked.any(1))[0], np.nonzero(inked.any(0))[0]
    assert len(rows) == pytest.approx(width, abs=1)
    assert (rows[0] + rows[-1] + 1) / 2 == pytest.approx(140, abs=1)
    assert columns[0] == pytest.approx(40 - width / 2, abs=1)
    assert columns[-1] + 1 == pytest.approx(240 + width / 2, abs=1)
    assert (rgba[140, 40:240, 3] == 255).all()


@pytest.mark.parametrize("width", [6, 20, 34])
def test_slanted_line_is_as_wide_as_a_straight_one(width: int) -> None:
    alpha = render([Stroke(((40, 60), (240, 200)), width)])[..., 3]
    assert alpha[140].sum() / 255 * 140 / math.hypot(200, 140) == pytest.approx(width, abs=1)


def test_dot_is_a_disc() -> None:
    alpha = render([Stroke(((100, 80),), 30)])[..., 3] / 255
    assert alpha.sum() == pytest.approx(math.pi * 15**2, rel=0.02)
    y, x = np.nonzero(alpha > 0.5)
    assert np.hypot(x + 0.5 - 100, y + 0.5 - 80).max() < 16


@pytest.mark.parametrize("value", [1e300, -1e300, 1e9])
def test_huge_coordinates_draw_only_the_visible_part(value: float) -> None:
    assert render([Stroke(((value, value), (value, -value)), 20)])[..., 3].sum() == 0
    assert render([Stroke(((-abs(value), 140), (abs(value), 140)), 20)])[140, :, 3].min() == 255
    assert (render([Stroke(((140, 140),), abs(value))]) == render([Stroke(((140, 140),), MAX_WIDTH)])).all()
