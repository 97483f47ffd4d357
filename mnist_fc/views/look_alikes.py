"""Look-alikes: the training digits that the network represents most similarly to the drawing."""

import numpy as np
import streamlit as st

from mnist_fc.analysis.survey import nearest_neighbours
from mnist_fc.config import PRESETS
from mnist_fc.data.mnist import DataError
from mnist_fc.reading.reader import Reading
from mnist_fc.views import drawing
from mnist_fc.views.components.numbers import format_number
from mnist_fc.views.components.pixels import ink, pictures
from mnist_fc.views.state import formatting, networks, shared, throttle

NUM_NEAREST = 24

NUM_SEARCHED = 10_000
"""Training digits that are searched by default; all of them take half a second, or seconds in the largest networks."""


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw the training digits whose activations in the last hidden layer are nearest to the drawing's."""
    reading = drawing.to_explain(readings, "alike")
    if reading is None or reading.image is None:
        return
    image = reading.image
    cover = drawing.covered_by()
    what = cover.noun if cover else "your drawing"
    trained_on = shared.trained_on(*_split_of(network))
    search_all = st.toggle(
        f"Search all {len(trained_on):,} training digits",
        key="search_all",
        help="Takes half a second, or longer in a large network.",
    )
    searched = trained_on if search_all else trained_on[:NUM_SEARCHED]
    try:
        images, labels = shared.train_images(), shared.mnist().train_labels
    except DataError as error:
        st.error(f"The training digits cannot be shown: {formatting.escape_markdown(str(error))}.", icon=":material/error:")
        return

    def find() -> tuple[np.ndarray, np.ndarray]:
        indices, distances = nearest_neighbours(network.reader.model, image, images[searched], NUM_NEAREST)
        return searched.numpy()[indices], distances

    (indices, distances), by = throttle.throttled("nearest", (image.tobytes(), search_all), network, find)
    if not np.isfinite(distances).all():
        st.info(f"The network's values overflowed on the training digits, so they cannot be compared with {what}.")
        return
    st.caption(
        f"Of {len(searched):,} training digits, the ones that the last hidden layer of {by} represents most similarly to "
        f"{what}. Each shows its label and the Euclidean distance between the activations."
    )
    tiles = [
        ink(images[i].numpy(), f"{labels[i]}, distance {format_number(distance, 3)}", i)
        for i, distance in zip(indices.tolist(), distances.tolist(), strict=True)
    ]
    with st.container(key="nearest"):
        pictures("nearest_digits", tiles, label="the training digits nearest to the drawing", size=76)


def _split_of(network: networks.Network) -> tuple[int, int]:
    """Return the number of validation images and the seed of the split that `network` was trained with."""
    if network.file:
        return 0, 0  # unknown: all training images are searched
    config = network.run.config if network.run else PRESETS["best"]  # the preset of the built-in network
    if shared.num_train_images() <= config.num_validation:
        return 0, 0  # other data than the network was trained on
    return config.num_validation, config.seed
