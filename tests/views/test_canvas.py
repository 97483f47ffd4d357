"""components/canvas.py: which messages of the browser are rejected, and the canvas of another package in place of ours."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from mnist_fc.drawing.strokes import MAX_STROKES, Stroke, canvas_json
from tests.support.session import State

STROKES = [Stroke(((20.0 + 10 * i, 20.0), (200.0, 200.0)), 20.0) for i in range(4)]
OBJECTS: list[Any] = canvas_json(STROKES)["objects"]


def draw_canvas() -> None:
    """The script of a page with nothing but a canvas, on which the first stroke is drawn when the session begins."""
    import streamlit as st

    from mnist_fc.views.components.canvas import Canvas
    from tests.views.test_canvas import STROKES

    st.session_state.canvas = Canvas("one", sample=STROKES[:1])
    st.session_state.canvas.show()


@pytest.fixture
def page() -> AppTest:
    """The page, drawn once."""
    app = AppTest.from_function(draw_canvas, default_timeout=300).run()
    assert not app.exception
    return app


@pytest.fixture
def module(page: AppTest) -> ModuleType:
    """The module of the canvas, which a page must import first, because it has a component."""
    from mnist_fc.views.components import canvas

    return canvas


# Messages


@pytest.fixture
def send(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that sends a canvas a message, and returns the canvas."""

    def send_one(first: int, entries: list[Any]) -> Any:
        state = State()
        monkeypatch.setattr(st, "session_state", state)
        canvas = module.Canvas("one", sample=STROKES[:1])
        message = {"session": state["one_state"]["session"], "first": first, "raw": {"objects": entries}}
        state["one_component"] = {"drawing": message}
        canvas.receive()
        return canvas

    return send_one


def test_strokes_of_a_message_are_added(send: Callable[..., Any]) -> None:
    canvas = send(1, OBJECTS[1:3])
    assert (canvas.strokes, canvas.problem) == (STROKES[1:3], None), "the sample is gone"


def test_undo_brings_the_sample_back(send: Callable[..., Any]) -> None:
    canvas = send(1, OBJECTS[1:2])
    canvas.undo()
    assert (canvas.strokes, canvas.has_drawn) == (STROKES[:1], True)
    canvas._draw(STROKES[2:3])
    assert canvas.strokes == STROKES[2:3]


def test_too_many_changes_at_once_are_rejected(send: Callable[..., Any]) -> None:
    canvas = send(1, [OBJECTS[1]] * (MAX_STROKES + 1))
    assert canvas.problem == "The canvas sent 501 changes at once, but at most 500 are allowed"
    assert canvas.strokes == STROKES[:1]


def test_message_that_skips_changes_is_rejected(send: Callable[..., Any]) -> None:
    canvas = send(3, OBJECTS[1:3])
    assert canvas.problem == "The canvas sent something that is not a drawing"
    assert canvas.strokes == STROKES[:1]


# The canvas of the other package


@pytest.fixture
def drawn(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What the person has drawn on each of the other package's canvases, by key; shown instead of our own canvas."""
    drawn: dict[str, list[Any]] = {}

    def show(key: str, size: int, brush: int, objects: list[Any]) -> list[Any]:
        assert (size, brush) == (280, 20)
        return [*objects, *drawn.setdefault(key, [])]

    monkeypatch.setattr(module, "_FRONT_END", None)
    monkeypatch.setattr(module, "public_canvas", show)
    return drawn


def test_strokes_on_the_other_canvas_are_added_once(page: AppTest, drawn: dict[str, list[Any]]) -> None:
    page.run()
    ((key, on_it),) = drawn.items()
    for count in (2, 3, 3, 4):
        on_it[:] = OBJECTS[1:count]
        assert not page.run().exception
        assert page.session_state["canvas"].strokes == STROKES[1:count]
    assert list(drawn) == [key], "it is mounted again only to show another drawing"


def test_other_canvas_begins_anew_when_the_drawing_is_changed(page: AppTest, drawn: dict[str, list[Any]]) -> None:
    page.run()
    drawn[next(iter(drawn))] = OBJECTS[1:2]
    page.run()
    page.session_state["canvas"].clear()
    page.run()
    assert page.session_state["canvas"].strokes == []
    drawn[list(drawn)[-1]] = OBJECTS[3:4]
    page.run()
    assert (len(drawn), page.session_state["canvas"].strokes) == (2, STROKES[3:4])


def test_object_that_is_no_stroke_is_rejected_and_removed(page: AppTest, drawn: dict[str, list[Any]]) -> None:
    page.run()
    drawn[next(iter(drawn))] = [OBJECTS[1], {"type": "Rect"}]
    page.run()
    canvas = page.session_state["canvas"]
    assert canvas.strokes == STROKES[1:2]
    assert canvas.problem
    page.run()
    assert len(drawn) == 2
    assert canvas.strokes == STROKES[1:2]


def draw_public_canvas() -> None:
    """The script of a page with the other package's own canvas."""
    import streamlit as st

    from mnist_fc.views.components.drawable_canvas import public_canvas
    from tests.views.test_canvas import OBJECTS

    st.session_state.objects = public_canvas("public", 280, 20, OBJECTS[:2])


def test_other_canvas_has_its_first_drawing_before_the_browser_replies() -> None:
    app = AppTest.from_function(draw_public_canvas, default_timeout=300).run()
    assert not app.exception
    assert app.session_state["objects"] == OBJECTS[:2]
