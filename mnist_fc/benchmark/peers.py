"""Time other people's programs for the benchmark: `python -m mnist_fc.benchmark.peers` trains one of them.

Their packages are optional. This module does not import PyTorch, so that a process loads only the libraries of its peer.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnist_fc.config import PRESETS, TrainConfig

NETS = {"784-500-10": PRESETS["blog-pytorch"], "784-500-500-10": PRESETS["blog-keras"]}
"""The blog's two networks, with its settings."""

PEERS = {
    "keras-tensorflow": ("keras", "tensorflow"),
    "keras-jax": ("keras", "jax"),
    "keras-torch": ("keras", "torch"),
    "scikit-learn": ("sklearn",),
}
"""The packages that each program needs; the last is the back end of Keras."""


def environment(name: str, threads: int) -> dict[str, str]:
    """Return the environment of a peer's process: the back end of Keras, and `threads` for every library that has a variable."""
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {
        **os.environ,
        "KERAS_BACKEND": PEERS[name][-1],  # scikit-learn ignores it
        **dict.fromkeys(counts, str(threads)),
    }


def keras_epochs(config: TrainConfig, images: np.ndarray, labels: np.ndarray, num_epochs: int) -> list[float]:
    """Train the blog's Keras program without evaluation and TensorBoard; return the seconds of each epoch."""
    import keras

    seconds: list[float] = []

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, *_: Any) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, *_: Any) -> None:
            seconds.append(time.perf_counter() - self.started)

    hidden = [keras.layers.Dense(size, activation="relu") for size in config.hidden_sizes]
    model = keras.Sequential([keras.Input((784,)), *hidden, keras.layers.Dense(10, activation="softmax")])
    model.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss="sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=config.batch_size, epochs=num_epochs, verbose=0, callbacks=[Clock()])
    return seconds


def scikit_learn_epochs(config: TrainConfig, images: np.ndarray, labels: np.ndarray, num_epochs: int) -> list[float]:
    """Train scikit-learn's MLPClassifier; return the seconds of each epoch."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(config.hidden_sizes, batch_size=config.batch_size, learning_rate_init=config.learning_rate)
    seconds = []
    for _ in range(num_epochs):
        started = time.perf_counter()
        model.partial_fit(images, labels, classes=range(10))  # one pass over the images
        seconds.append(time.perf_counter() - started)
    return seconds


def main(arguments: Sequence[str]) -> None:
    """Train one peer; print the seconds of each epoch as a JSON list, without the first, which warms up."""
    name, net, threads, num_epochs, path = arguments
    if hasattr(os, "sched_setaffinity"):  # the only limit that all libraries obey, if it is set before they are imported
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    with np.load(path, allow_pickle=False) as arrays:
        images = arrays["x_train"].reshape(-1, 784).astype(np.float32) / 255
        labels = arrays["y_train"].astype(np.int64)
    epochs = scikit_learn_epochs if name == "scikit-learn" else keras_epochs
    print(json.dumps(epochs(NETS[net], images, labels, int(num_epochs) + 1)[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
