"""The canvas, and how what is drawn on it is read."""

from typing import Any

import numpy as np
import streamlit as st

from mnist_fc.drawing.strokes import strokes_of_canvas
from mnist_fc.reading.reader import Reading, number
from mnist_fc.views import export
from mnist_fc.views.components.canvas import BRUSH, BRUSHES, Canvas, Press
from mnist_fc.views.components.labels import distinct_digits
from mnist_fc.views.covers import Cover, TestDigit
from mnist_fc.views.state import formatting, networks, session, shared, sync

FIRST_DRAWING: dict[str, Any] = {
    "objects": [
        {
            "path": [
                ["M", 92, 92],
                ["Q", 100, 62, 138, 60],
                ["Q", 186, 60, 184, 98],
                ["Q", 182, 130, 134, 136],
                ["Q", 196, 138, 196, 182],
                ["Q", 194, 226, 142, 228],
                ["Q", 100, 228, 84, 200],
            ],
            "strokeWidth": 20,
        }
    ]
}
"""A 3, there when the page opens."""
FIRST_STROKES = strokes_of_canvas(FIRST_DRAWING)

SOURCES = {"run": "This run's network", "shipped": "Built-in network", "file": "Loaded file"}
"""The source of the network that reads, in words."""


def pad() -> None:
    """Draw the canvas with its tools."""
    page_canvas = canvas()
    with st.container(key="drawing"):
        page_canvas.show(st.session_state.get("brush", BRUSH), is_kept=True, invitation="Draw your own digit here")
        _tools(page_canvas)


def read(network: networks.Network) -> list[Reading]:
    """Return how `network` reads what covers the drawing, otherwise the drawing."""
    cover = covered_by()
    return [cover.read(network.reader)] if cover else network.reader.read_number(canvas().drawing)


def can_be_explained(reading: Reading) -> bool:
    """Return whether the network has an answer, if only one that the page shows as "?"."""
    return reading.problem not in ("empty", "overflow")


def to_explain(readings: list[Reading], key: str) -> Reading | None:
    """Return the reading that a tab explains; of several digits, the one picked there. Draw the reason if there is none."""
    reading, chooser = readings[0], st.container()
    if len(readings) > 1:
        places = list(range(len(readings)))
        labels = distinct_digits([number([reading]) for reading in readings])
        place = chooser.segmented_control(
            "Which digit",
            places,
            default=0,
            required=True,
            key=f"{key}_place",
            format_func=labels.__getitem__,
            label_visibility="collapsed",
        )
        reading = readings[place if place in places else 0]
    if reading.problem == "empty":
        st.info("Draw a digit to see it explained.")
        return None
    if reading.problem == "overflow":
        st.info("The network's values overflowed, so there is nothing to explain. Look back at an earlier step.")
        return None
    return reading


def canvas() -> Canvas:
    """Return the page's canvas, with the buttons that change its drawing."""
    presses = {
        "undo": Press("undo", Canvas.undo),
        "clear": Press("clear", Canvas.clear),
        "test_digit_button": Press("cover", _load_test_digit),
    }
    return Canvas("canvas", presses, FIRST_STROKES, session.log_rejected)


def _tools(canvas: Canvas) -> None:
    with st.container(horizontal=True, gap="small", key="tools"):
        canvas.button("Undo", "undo", icon=":material/undo:", disabled=not canvas.can_undo)
        canvas.button("Clear", "clear", icon=":material/delete:")
        canvas.button("Test digit", "test_digit_button")
    st.select_slider(
        "Brush width",
        BRUSHES,
        value=BRUSH,
        key="brush",
        help="In pixels of the canvas, which has 280.",
        label_visibility="collapsed",
        format_func=lambda width: f"brush {width} px",
    )


def _load_test_digit(canvas: Canvas) -> None:
    canvas.cover(TestDigit(int(np.random.default_rng().integers(len(shared.mnist().test_labels)))))


def covered_by() -> Cover | None:
    """Return what is read in the drawing's place; None if the drawing is."""
    cover: Cover | None = canvas().covered_by
    return cover


def can_be_taught() -> bool:
    """Return whether what is read is the person's: neither the sample nor an image of the test set, which measures networks."""
    return not (canvas().is_sample or isinstance(covered_by(), TestDigit))


def cover(digit: Cover) -> None:
    """Read `digit` instead of the drawing; Undo brings the drawing back."""
    page_canvas = canvas()
    page_canvas.receive()
    page_canvas.cover(digit)


def choice(network: networks.Network) -> None:
    """Draw the choice of the network that reads, and the layers of the one that does."""
    sources = networks.sources()
    widgets = sync.widgets("network", ["network_choice"], _choose)
    row = st.container(key="network", horizontal=True, vertical_alignment="center", gap="small")
    with row, widgets.drawn({"network_choice": networks.source()}):
        offered = sources if len(sources) > 1 else ["run", "shipped"]
        widgets.offer("network_choice", offered, SOURCES.__getitem__)
        st.segmented_control(
            "Read with",
            offered,
            key="network_choice",
            required=True,
            disabled=len(sources) == 1,
            format_func=SOURCES.__getitem__,
            label_visibility="collapsed",
        )
    trained = ", trained" if networks.source() == "shipped" else ""
    row.html(f"<div class='of-network'>{network.layers}{trained}</div>")
    with st.container(key="loaded_file", horizontal=True, vertical_alignment="center", gap="small"):
        if file := networks.loaded_file():
            st.caption(f"Loaded file: **{formatting.escape_markdown(file.name)}**", width="content")
            st.button("Remove", key="remove_file", icon=":material/close:", on_click=export.remove_file)


def _choose(_key: str, source: session.Source) -> None:
    st.session_state.network = source
