"""Nothing that a person draws is lost without Undo: the canvas's history, the ten digits of the handwriting test, and pins."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import streamlit as st

from mnist_fc.drawing.strokes import Stroke
from mnist_fc.reading.reader import Reading
from tests.support.session import State, new_app

STROKES = [Stroke(((20.0 + 10 * i, 20.0), (200.0, 200.0)), 20) for i in range(12)]


@pytest.fixture(scope="module")
def views(own_store: None) -> SimpleNamespace:
    """What can be imported only after Streamlit has run the page, since the canvas is a component."""
    assert not new_app().run().exception
    from mnist_fc.views import handwriting_test, probes
    from mnist_fc.views.components.canvas import Canvas

    return SimpleNamespace(hand=handwriting_test, probes=probes, Canvas=Canvas)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> State:
    """The state of a session that has no page."""
    made = State()
    monkeypatch.setattr(st, "session_state", made)
    return made


@pytest.fixture
def hand(views: SimpleNamespace, state: State) -> Any:
    """The canvas of the handwriting test."""
    return views.hand._canvas()


# The canvas


def test_sample_is_nothing_to_undo(views: SimpleNamespace, state: State) -> None:
    canvas = views.Canvas("canvas", sample=STROKES[:1])
    assert not canvas.can_undo
    canvas.undo()
    assert canvas.strokes == STROKES[:1]
    canvas.clear()
    canvas.undo()
    assert (canvas.strokes, canvas.can_undo) == (STROKES[:1], False)


def test_each_test_digit_is_one_step_of_undo(views: SimpleNamespace, state: State) -> None:
    canvas = views.Canvas("canvas", sample=STROKES[:1])
    for digit in (5, 7):
        canvas.cover(digit)
    canvas.undo()
    assert (canvas.covered_by, canvas.can_undo) == (5, True)
    canvas.undo()
    assert (canvas.covered_by, canvas.can_undo) == (None, False)
    assert canvas.strokes == STROKES[:1]


# Ten digits


def draw_digits(views: SimpleNamespace, canvas: Any, count: int) -> None:
    for stroke in STROKES[:count]:
        canvas._draw([stroke])
        views.hand._next(canvas)


def test_unfinished_digit_is_there_again_after_back_and_next(views: SimpleNamespace, hand: Any) -> None:
    draw_digits(views, hand, 2)
    hand._draw(STROKES[5:6])
    views.hand._back()
    assert hand.strokes == STROKES[1:2]
    views.hand._back()
    assert hand.strokes == STROKES[:1]
    for expected in (STROKES[1:2], STROKES[5:6]):
        views.hand._next(hand)
        assert hand.strokes == expected


def test_cleared_digit_is_brought_back_by_undo(views: SimpleNamespace, hand: Any) -> None:
    draw_digits(views, hand, 1)
    hand._draw(STROKES[5:6])
    hand.clear()
    hand.undo()
    assert hand.strokes == STROKES[5:6]


def test_ten_digits_are_brought_back_after_start_again(views: SimpleNamespace, hand: Any) -> None:
    draw_digits(views, hand, 10)
    ten = views.hand._digits()
    assert ten.is_complete
    views.hand._again()
    assert (views.hand._digits().asked, hand.strokes) == (0, [])
    views.hand._restore()
    assert views.hand._digits() == ten
    assert views.hand._past() == []


def test_digits_drawn_after_start_again_survive_undo(views: SimpleNamespace, hand: Any) -> None:
    draw_digits(views, hand, 10)
    ten = views.hand._digits()
    views.hand._again()
    draw_digits(views, hand, 3)
    hand._draw(STROKES[9:10])
    views.hand._restore()
    assert views.hand._digits() == ten
    views.hand._restore()
    assert (views.hand._digits().asked, hand.strokes) == (3, STROKES[9:10])


def test_scores_are_there_again_after_back_and_next(views: SimpleNamespace, hand: Any, state: State) -> None:
    draw_digits(views, hand, 10)
    scores = {views.hand._digits().drawings: {"a run": "You 9 of 10"}}
    state["hand_scores"] = scores
    views.hand._back()
    views.hand._next(hand)
    assert views.hand._digits().drawings in scores


# Pins


def test_same_drawing_is_pinned_once(views: SimpleNamespace, state: State) -> None:
    images = [np.full((28, 28), value, np.float32) for value in (0.25, 0.5)]
    first, other = (Reading(3, (0.1,) * 10, 5, image) for image in images)
    for reading in (first, first, other):
        views.probes.pin([reading], None)
    assert [probe.image[0, 0] for probe in views.probes.pinned()] == [0.25, 0.5]
    assert views.probes.is_pinned(first)
