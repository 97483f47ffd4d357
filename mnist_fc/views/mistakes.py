"""Mistakes: the confusion matrix of the test set, and the digits that are misread."""

import streamlit as st
import torch

from mnist_fc.analysis.survey import Survey, confusion, misclassified, most_confident_first
from mnist_fc.config import NUM_CLASSES
from mnist_fc.percentages import in_percent
from mnist_fc.reading.reader import percent
from mnist_fc.views import drawing
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.components.pixels import ink, pictures
from mnist_fc.views.covers import TestDigit
from mnist_fc.views.state import networks, shared, throttle

NUM_SHOWN, MAX_SHOWN = 24, 192
"""Digits in the gallery, at first and at most."""

_matrix = Component("confusion", "<div class='confusion'></div>")


def panel(network: networks.Network) -> None:
    """Draw the confusion matrix, and the digits of the chosen cell or all misread ones."""
    surveyed, by = throttle.survey(network)
    if surveyed.overflows:
        st.info(f"The values of {by} overflowed, so it cannot read digits. Look back at an earlier step.")
        return
    labels = shared.mnist().test_labels
    left, right = st.columns(2, gap="large")
    with left:
        num_wrong = int((surveyed.digits != labels.numpy()).sum())
        st.markdown(f"#### {num_wrong:,} of {len(labels):,} test digits are misread")
        st.caption(
            f"By {by}, which must answer 0 to 9. A row is what people wrote, a column is what the network read. "
            "**Press a cell** to see its digits; press it again to see all mistakes."
        )
        with st.container(key="confusion"):
            _confusion(labels, surveyed)
    with right, st.container(key="gallery"):
        _gallery(labels, surveyed)


def _confusion(labels: torch.Tensor, surveyed: Survey) -> None:
    state, counts = st.session_state, confusion(labels, surveyed.digits)
    cell = state.setdefault("confusion_cell", None)
    if cell and not counts[*cell]:
        state.confusion_cell = None  # this network has no digits there
    data = {
        "counts": counts.tolist(),
        "accuracies": [in_percent(row[label] / row.sum()) if row.any() else "none" for label, row in enumerate(counts)],
        "chosen": state.confusion_cell,
    }
    _matrix.show("confusion_matrix", data, on_cell_change=_choose)


def _choose() -> None:
    """Choose a cell, or none if it was chosen before. What a browser sends is not trusted."""
    state = st.session_state
    match browser_value("confusion_matrix", "cell"):
        case [int(label), int(digit)] if 0 <= label < NUM_CLASSES and 0 <= digit < NUM_CLASSES:
            state.confusion_cell = None if state.get("confusion_cell") == [label, digit] else [label, digit]
            state.mistakes_shown = NUM_SHOWN


def _gallery(labels: torch.Tensor, surveyed: Survey) -> None:
    """Draw the digits of the chosen cell, else all mistakes, most confident first; a click reads one above."""
    state, what = st.session_state, "mistakes"
    if cell := state.confusion_cell:
        label, digit = cell
        indices = most_confident_first(surveyed, (labels.numpy() == label) & (surveyed.digits == digit))
        if label == digit:
            what = "readings"
        st.markdown(f"#### {len(indices):,} labelled {label}, read {'correctly' if label == digit else f'as {digit}'}")
    else:
        indices = misclassified(labels, surveyed)
        st.markdown("#### All mistakes")
    st.caption(
        f"Most confident {what} first: the label, the reading, and its probability. "
        "**Click or tap one** to read it above, as if you had drawn it."
    )
    shown, chosen = indices[: state.setdefault("mistakes_shown", NUM_SHOWN)], drawing.covered_by()
    tiles = [
        ink(
            shared.mnist().test_images[i].numpy(),
            f"{labels[i]} read as {surveyed.digits[i]}, {percent(float(surveyed.confidences[i]))}",
            i,
            is_chosen=TestDigit(i) == chosen,
        )
        for i in shown.tolist()
    ]
    with st.container(key="misread"):
        pictures(
            "misread_digits",
            tiles,
            label=f"{'misread' if what == 'mistakes' else 'correctly read'} test digits",
            size=62,
            on_click=lambda index, _: drawing.cover(TestDigit(index)),
        )
    if len(shown) < min(len(indices), MAX_SHOWN):
        st.button(f"Show more of {len(indices):,}", key="more_mistakes", on_click=_show_more)


def _show_more() -> None:
    st.session_state.mistakes_shown = min(2 * st.session_state.mistakes_shown, MAX_SHOWN)
