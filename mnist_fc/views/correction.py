"""The row of buttons under the bars that says what a drawing is. A drawing with a label joins My digits."""

from typing import Literal

import numpy as np
import streamlit as st

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.errors import DataError
from mnist_fc.data.my_digits import MyDigit
from mnist_fc.reading.reader import Reading, number
from mnist_fc.views import drawing, tabs, teaching
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.covers import TestDigit
from mnist_fc.views.state import networks, session, sync
from mnist_fc.views.state.tray import tray

ASK, ASK_EACH, DRAW = "What is it? Press it to teach it.", "What is each digit?", "Draw a digit to teach it."

SURELY_A_DIGIT = 4.0
"""Log odds of being a digit. What is surer and labelled "none" is asked about: every drawing like it would be rejected."""

_row = Component("correction", "<div class='correction' role='group'></div>")


def panel(readings: list[Reading]) -> None:
    """Draw the row, and below it the button that teaches, or a question about the last press."""
    with st.container(key="correction", gap="small"):
        data = {
            "parts": [{"read": number([reading]), "label": tray().label_of(reading.pixels)} for reading in readings],
            "isEnabled": _can_be_labelled(readings),
            "words": _words(readings),
        }
        _row.show("correction_row", data, on_label_change=_press)
        with st.container(key="after_correction", horizontal=True, gap="small"):
            if _doubted(readings):
                st.button("Add it anyway", key="add_anyway", on_click=_add_anyway)
                st.button("Cancel", key="add_not", on_click=_forget_doubted)
            else:
                look: Literal["primary", "secondary"] = "primary" if teaching.is_next() else "secondary"
                teaching.button("teach_here", look, lambda: tabs.open_tab(tabs.TEACH))


def _words(readings: list[Reading]) -> str:
    """Return what the row says: what to press, or what the last press did."""
    problem, of = st.session_state.get("correction_problem", ("", None))
    if problem and of == drawing.canvas().strokes:
        return f"{problem[0].upper()}{problem[1:]}."
    if doubted := _doubted(readings):
        return "This looks like a digit." if doubted.label is None else "This does not look like a digit."
    if isinstance(drawing.covered_by(), TestDigit):
        return "A test digit cannot be taught."
    labels = [label for reading in readings if (label := tray().label_of(reading.pixels)) is not None]
    if not labels:
        question = ASK if len(readings) == 1 else ASK_EACH  # beside a button for each digit, there is less room
        return question if _can_be_labelled(readings) else DRAW
    said = ", ".join("not a digit" if label == "none" else str(label) for label in labels)
    return f"Added to My digits: {said}."


def _can_be_labelled(readings: list[Reading]) -> bool:
    return any(reading.image is not None for reading in readings) and drawing.can_be_taught()


def _press() -> None:
    """Give a label to what is drawn. The browser is not trusted."""
    match browser_value("correction_row", "label"):
        case [int(part), None | int() as label] if label is None or 0 <= label < NUM_CLASSES:
            pass
        case _:
            return
    sync.receive()
    canvas = drawing.canvas()
    canvas.receive()  # the strokes that the press is about
    _report("")
    st.session_state.doubted_digit = None
    if not drawing.can_be_taught():
        return
    readings = drawing.read(networks.network())
    if not 0 <= part < len(readings) or (image := readings[part].pixels) is None:
        _report("draw a digit first")
        return
    is_whole = len(readings) == 1 and canvas.covered_by is None
    try:
        digit = MyDigit(label, image, tuple(canvas.strokes) if is_whole else ())
    except DataError as error:
        _report(str(error))
        return
    if _is_doubtful(label, readings[part]):
        st.session_state.doubted_digit = digit
    else:
        _add(digit)


def _is_doubtful(label: int | None, reading: Reading) -> bool:
    """Return whether the label contradicts what the rejection rule says of the drawing."""
    if label is None:
        return reading.digit is not None and reading.log_odds > SURELY_A_DIGIT
    return reading.problem in ("no digit", "too many digits")


def _add(digit: MyDigit) -> None:
    """Add what is drawn to My digits, so that the next stroke begins a new drawing, or note why that is not possible."""
    try:
        tray().add(digit)
    except DataError as error:
        _report(str(error))
        session.log_rejected(f"a digit: {error}")
    else:
        drawing.canvas().finish()


def _report(problem: str) -> None:
    """Say what is wrong with the last press, for as long as the drawing stays as it is."""
    st.session_state.correction_problem = problem, drawing.canvas().strokes


def _doubted(readings: list[Reading]) -> MyDigit | None:
    """Return the digit whose label waits for a second press since it seems wrong; None once something else is drawn."""
    digit: MyDigit | None = st.session_state.get("doubted_digit")
    images = [reading.pixels for reading in readings]
    return digit if digit and any(image is not None and np.array_equal(image, digit.image) for image in images) else None


def _add_anyway() -> None:
    if digit := st.session_state.get("doubted_digit"):
        _add(digit)
    _forget_doubted()


def _forget_doubted() -> None:
    st.session_state.doubted_digit = None
