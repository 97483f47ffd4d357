"""Other people's programs, timed for the benchmark: `python -m mnist_fc.benchmark.peers` trains one in a process of its own.

Their packages are nobody's requirement: what is not installed is left out. PyTorch is not imported here unless it is the
peer's own.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.files import ROOT

NETS = {"784-500-10": PRESETS["blog-pytorch"], "784-500-500-10": PRESETS["blog-keras"]}
"""The blog's two nets, with its settings."""

PEERS = {
    "keras-tensorflow": ("keras", "tensorflow"),
    "keras-jax": ("keras", "jax"),
    "keras-torch": ("keras", "torch"),
    "scikit-learn": ("sklearn",),
}
"""Programs by name, with the packages that each needs; Keras's back end comes last."""


def environment(name: str, threads: int) -> dict[str, str]:
    """The variables of a peer's process: its back end, and as many threads for each library that counts them itself."""
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "KERAS_BACKEND": PEERS[name][-1],  # nothing to scikit-learn
        **dict.fromkeys(counts, str(threads)),
    }


def keras_epochs(config: TrainConfig, images: np.ndarray, labels: np.ndarray, num_epochs: int) -> list[float]:
    """Seconds of each epoch of the blog's Keras program, without its evaluation and its TensorBoard."""
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
    """Seconds of each epoch of scikit-learn's MLPClassifier."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(config.hidden_sizes, batch_size=config.batch_size, learning_rate_init=config.learning_rate)
    seconds = []
    for _ in range(num_epochs):
        started = time.perf_counter()
        model.partial_fit(images, labels, classes=range(10))  # one pass over the images
        seconds.append(time.perf_counter() - started)
    return seconds


def main(arguments: Sequence[str]) -> None:
    """Train one peer, and print the seconds of each epoch but the first, which warms up, as a JSON list."""
    name, net, threads, num_epochs, path = arguments
    if hasattr(os, "sched_setaffinity"):  # the one limit that every library keeps to, when it is set before the import
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    with np.load(path, allow_pickle=False) as arrays:
        images = arrays["x_train"].reshape(-1, 784).astype(np.float32) / 255
        labels = arrays["y_train"].astype(np.int64)
    epochs = scikit_learn_epochs if name == "scikit-learn" else keras_epochs
    print(json.dumps(epochs(NETS[net], images, labels, int(num_epochs) + 1)[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
