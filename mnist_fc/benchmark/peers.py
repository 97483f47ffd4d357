"""Other people's programs for the benchmark: `python -m mnist_fc.benchmark.peers` trains one of them, an epoch per command.

Their packages are optional. This module does not import PyTorch, so that a process loads only the libraries of its peer.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mnist_fc.benchmark.timing import NETS, Epoch
from mnist_fc.config import TrainConfig

PEERS = {
    "jax-scan": ("jax",),
    "keras-jax": ("keras", "jax"),
    "keras-tensorflow": ("keras", "tensorflow"),
    "keras-torch": ("keras", "torch"),
    "scikit-learn": ("sklearn",),
}
"""The packages that each program needs; for Keras the last is its back end."""

COMMAND = "epoch"
"""A line of standard input, for which a peer trains an epoch and writes it as a line of JSON."""


def jax_scan(config: TrainConfig, images: np.ndarray, labels: np.ndarray) -> Iterator[Epoch]:
    """Train pure JAX, one compiled call per epoch."""
    from mnist_fc.benchmark import jax_scan

    return jax_scan.epochs(config, images, labels)


def keras(config: TrainConfig, images: np.ndarray, labels: np.ndarray) -> Iterator[Epoch]:
    """Train the blog's Keras program without evaluation and TensorBoard."""
    import keras

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, *_: Any) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, _: int, logs: dict[str, Any]) -> None:
            self.epoch = Epoch(time.perf_counter() - self.started, float(logs["loss"]))

    pixels, clock = images.astype(np.float32) / 255, Clock()
    hidden = [keras.layers.Dense(size, activation="relu") for size in config.hidden_sizes]
    model = keras.Sequential([keras.Input((784,)), *hidden, keras.layers.Dense(10, activation="softmax")])
    model.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss="sparse_categorical_crossentropy")
    while True:
        model.fit(pixels, labels, batch_size=config.batch_size, epochs=1, verbose=0, callbacks=[clock])
        yield clock.epoch


def scikit_learn(config: TrainConfig, images: np.ndarray, labels: np.ndarray) -> Iterator[Epoch]:
    """Train scikit-learn's MLPClassifier."""
    from sklearn.neural_network import MLPClassifier

    pixels = images.astype(np.float32) / 255
    model = MLPClassifier(config.hidden_sizes, batch_size=config.batch_size, learning_rate_init=config.learning_rate)
    while True:
        started = time.perf_counter()
        model.partial_fit(pixels, labels, classes=range(10))  # one pass over the images
        yield Epoch(time.perf_counter() - started, float(model.loss_))


def main(arguments: Sequence[str]) -> None:
    """Train one peer: for each line of standard input an epoch, which is written to standard output as JSON."""
    name, net, threads, path = arguments
    if hasattr(os, "sched_setaffinity"):  # the only limit that all libraries obey, if it is set before they are imported
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    program: Callable[[TrainConfig, np.ndarray, np.ndarray], Iterator[Epoch]] = (
        jax_scan if name == "jax-scan" else scikit_learn if name == "scikit-learn" else keras
    )
    with np.load(path, allow_pickle=False) as arrays, os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)  # what libraries print must not come between the replies
        epochs = program(NETS[net], arrays["images"], arrays["labels"])
        for _ in sys.stdin:
            print(json.dumps(asdict(next(epochs))), file=replies, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
