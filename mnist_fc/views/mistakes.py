"""What the network gets wrong: the test set by label and reading, what is misread, and the training digits like the drawing."""

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
import torch

from mnist_fc.config import NUM_CLASSES, PRESETS
from mnist_fc.reading import Reading, percent
from mnist_fc.survey import Survey, confusion, misread, nearest
from mnist_fc.views import draw, session
from mnist_fc.views.pixels import ink, pictures

NUM_SHOWN = 24
NUM_NEAREST = 12

NUM_SEARCHED = 10_000
"""Training digits that are searched at once; all of them take half a second."""

_matrix = st.components.v2.component(
    "mnist_fc_confusion",
    html="<div class='confusion'></div>",
    js=Path(__file__).with_name("confusion.js").read_text("utf-8"),
    isolate_styles=False,
)


def panel(readings: list[Reading]) -> None:
    """The confusion matrix, the digits of the cell that is pressed or all misread ones, and the nearest training digits."""
    network = session.network()
    surveyed, of = session.survey(network)
    labels = session.mnist().test_labels
    left, right = st.columns(2, gap="large")
    with left:
        num_wrong = int((surveyed.digits != labels.numpy()).sum())
        st.markdown(f"#### {num_wrong:,} of {len(labels):,} test digits are misread")
        st.caption(
            f"By {of.name}, which must answer 0 to 9. A row is what people wrote, a column what the network read. "
            "**Press a cell** for its digits, again for all that are misread."
        )
        with st.container(key="confusion"):
            _confusion(labels, surveyed)
    with right:
        _gallery(labels, surveyed)
    st.markdown("#### The training digits most like your drawing")
    _nearest(draw.to_explain(readings, "nearest"), network)


def _confusion(labels: torch.Tensor, surveyed: Survey) -> None:
    counts = confusion(labels, surveyed.digits)
    totals = np.maximum(counts.sum(1), 1)
    _matrix(
        key="confusion_matrix",
        data={
            "counts": counts.tolist(),
            "accuracies": [f"{share:.1%}" for share in counts.diagonal() / totals],
            "chosen": st.session_state.get("confusion_cell"),
        },
        on_cell_change=_press,
    )


def _press() -> None:
    """Show the digits of a cell, or of none when it was pressed before. What a browser sends is not trusted."""
    state = st.session_state
    pressed: Any = state.confusion_matrix.get("cell")
    match pressed:
        case [int(label), int(digit)] if 0 <= label < NUM_CLASSES and 0 <= digit < NUM_CLASSES:
            state.confusion_cell = None if state.get("confusion_cell") == [label, digit] else [label, digit]
            state.mistakes_shown = NUM_SHOWN


def _gallery(labels: torch.Tensor, surveyed: Survey) -> None:
    """The digits of the cell that is pressed, else all that are misread, the surest first; a click opens one above."""
    state = st.session_state
    if cell := state.get("confusion_cell"):
        label, digit = cell
        indices = np.flatnonzero((labels.numpy() == label) & (surveyed.digits == digit))
        indices = indices[np.argsort(-surveyed.confidences[indices], kind="stable")]
        st.markdown(f"#### {len(indices):,} labelled {label}, read as {digit}")
    else:
        indices = misread(labels, surveyed)
        st.markdown("#### All that are misread")
    st.caption(
        "The surest first: the label, what was read, and how sure it was. **Click one** to have it read above, as if drawn."
    )
    shown = indices[: state.setdefault("mistakes_shown", NUM_SHOWN)]
    tiles = [
        ink(
            session.mnist().test_images[i].numpy(),
            f"{labels[i]}, read {surveyed.digits[i]}, {percent(float(surveyed.confidences[i]))}",
            is_chosen=state.test_digit == i,
        )
        for i in shown
    ]
    with st.container(key="misread"):
        pictures(
            "misread_digits",
            tiles,
            label="misread test digits",
            size=62,
            on_click=lambda tile, _: draw.show_test_digit(int(shown[tile])),
        )
    if len(shown) < len(indices):
        st.button(f"Show more of {len(indices):,}", key="more_mistakes", on_click=_show_more)


def _show_more() -> None:
    st.session_state.mistakes_shown *= 2


def _nearest(reading: Reading | None, network: session.Network) -> None:
    """Training digits whose picture in the last hidden layer is the drawing's neighbour."""
    if reading is None or reading.image is None:
        return
    image = reading.image
    trained_on = session.trained_on(*_split_of(network))
    search_all = st.toggle(
        f"Search all {len(trained_on):,} training digits", key="search_all", help="Takes half a second or more."
    )
    searched = trained_on if search_all else trained_on[:NUM_SEARCHED]
    train = session.mnist()

    def find() -> tuple[np.ndarray, np.ndarray]:
        indices, distances = nearest(network.reader.model, image, train.train_images[searched], NUM_NEAREST)
        return searched.numpy()[indices], distances

    (indices, distances), of = session.at_leisure("nearest", (image.tobytes(), search_all), network, find)
    tiles = [
        ink(train.train_images[i].numpy(), f"{train.train_labels[i]}, at {distance:.3g}")
        for i, distance in zip(indices, distances, strict=True)
    ]
    with st.container(key="nearest"):
        pictures("nearest_digits", tiles, label="the training digits nearest to the drawing", size=76)
    st.caption(
        f"Of {len(searched):,} training digits, those that the last hidden layer of {of.name} describes most nearly as it "
        "describes your drawing: the label, and the Euclidean distance between the two descriptions."
    )


def _split_of(network: session.Network) -> tuple[int, int]:
    config = network.run.config if network.run else PRESETS["best"]  # which the shipped network was trained with
    return config.num_validation, config.seed
