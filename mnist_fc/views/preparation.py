"""How the drawing is prepared: each step from the canvas to what the network sees, beside a plain resize."""

import numpy as np
import streamlit as st

from mnist_fc.drawing.normalize import NormalizationSteps, extract_ink, normalize, resize_canvas, segment_digits
from mnist_fc.reading.reader import Reading, number, percent
from mnist_fc.views import drawing
from mnist_fc.views.components.images import figure
from mnist_fc.views.covers import TestDigit
from mnist_fc.views.state import networks


def switch() -> None:
    """Draw the switch that shows how the drawing is prepared."""
    st.toggle(
        "How the drawing is prepared",
        key="show_steps",
        help="Step by step from your drawing to what the network sees, and how it reads a plain resize instead.",
    )


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw how the drawing became what the network sees, if the switch is on, or say why there is nothing to show."""
    with st.container():  # always there, so that what follows keeps its place in the page
        if not st.session_state.get("show_steps"):
            return
        if isinstance(drawing.covered_by(), TestDigit):
            st.caption("A test digit needs no preparation: the network sees it as it is.")
        elif readings[0].image is None:
            st.caption("Draw a digit to see how it is prepared.")
        else:
            _steps(drawing.canvas().drawing, readings, network)


def _steps(drawn_on: np.ndarray, readings: list[Reading], network: networks.Network) -> None:
    """Draw the steps of the preparation as pictures, and the result beside a plain resize."""
    drawn, resized = extract_ink(drawn_on), resize_canvas(drawn_on)
    if drawn is None or resized is None:
        return
    several = len(readings) > 1
    steps = normalize(segment_digits(drawn)[0] if several else drawn)
    st.html(f"<div class='steps'>{''.join(figure(*step) for step in _pictures_of(steps))}</div>")
    if several:
        st.caption("The steps of the first digit, and its picture below. Each digit is prepared in this way.")
    compared = (("Normalised", readings), ("Plain resize", [network.reader.read_image(resized)]))
    st.html(f"<div class='comparison'>{''.join(_compared(name, which) for name, which in compared)}</div>")
    st.caption(
        "MNIST's digits were cropped, scaled to 20 pixels and centred by weight, and all were written with a similar pen. A "
        "network that learned from them hardly knows any other place, size or stroke width."
    )


def _compared(name: str, readings: list[Reading]) -> str:
    sure = min(max(reading.probabilities) for reading in readings)
    what = f"{name}: read as <b>{number(readings)}</b>"
    rejected = any(reading.digit is None for reading in readings)
    return figure(readings[0].image, what if rejected else f"{what}, {percent(sure)} sure", name)


def _pictures_of(steps: NormalizationSteps) -> list[tuple[np.ndarray, str, str]]:
    captions = {
        "drawn": "drawn",
        "cropped": "cropped",
        "stroke": "stroke as in MNIST",
        "scaled": "scaled to 20 px",
        "image": "centred by weight",
    }
    return [(getattr(steps, name), caption, caption) for name, caption in captions.items()]
