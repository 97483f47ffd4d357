"""Programs that stand in for the optional libraries of the benchmark, which are no requirement of the tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_fc.benchmark.peers import PEERS

Install = Callable[[str, str], None]
"""install(module, text) makes a module for this process and its children, before any of the same name."""

BROKEN_KERAS = """
import os
print("noise of a library")
raise RuntimeError(f"{os.environ['KERAS_BACKEND']} has {os.environ['OMP_NUM_THREADS']} thread")
"""
"""Importing it fails."""

KERAS = """
import types

class Callback:
    pass

class Sequential:
    def __init__(self, layers):
        print("noise of a library with the layers", layers)
        assert layers[0] == (784,) and layers[-1] == (10, "softmax")
        assert set(layers[1:-1]) == {(500, "relu")}

    def compile(self, optimizer, loss):
        assert (optimizer, loss) == (0.001, "sparse_categorical_crossentropy")

    def fit(self, images, labels, batch_size, epochs, verbose, callbacks):
        assert (images.shape[1:], str(images.dtype), len(labels)) == ((784,), "float32", len(images))
        assert (images.min(), images.max()) == (0, 1)
        assert (batch_size, epochs, verbose) == (100, 1, 0)
        for callback in callbacks:
            callback.on_epoch_begin(0, {})
            callback.on_epoch_end(0, {"loss": 5.5})

Input = tuple
callbacks = types.SimpleNamespace(Callback=Callback)
layers = types.SimpleNamespace(Dense=lambda units, activation: (units, activation))
optimizers = types.SimpleNamespace(Adam=lambda learning_rate: learning_rate)
"""
"""It checks its arguments, those of the blog's Keras program, and learns nothing."""

SCIKIT_LEARN = """
import os, pathlib

class MLPClassifier:
    loss_ = 5.5

    def __init__(self, hidden_layer_sizes, batch_size, learning_rate_init):
        assert (batch_size, learning_rate_init) == (100, 0.001)
        print("noise of a library with the layers", hidden_layer_sizes)
        self.epochs = 0

    def partial_fit(self, images, labels, classes):
        assert (images.shape[1:], str(images.dtype), len(labels)) == ((784,), "float32", len(images))
        assert (images.min(), images.max()) == (0, 1)
        assert list(classes) == list(range(10))
        self.epochs += 1
        if self.epochs == int(os.environ.get("PEER_DIES_IN_EPOCH", "0")):
            raise MemoryError("no memory for epoch 3")
        if path := os.environ.get("PEER_PID_FILE"):
            pathlib.Path(path).write_text(str(os.getpid()))
"""
"""It checks its arguments and learns nothing; the environment may ask it to fail, or to write down its process id."""


def keep_only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Remove all other peers."""
    for name in set(PEERS) - set(names):
        monkeypatch.delitem(PEERS, name)


def installer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs modules in `folder`."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def install(module: str, text: str) -> None:
        path = folder.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        if path.parent != folder:
            (path.parent / "__init__.py").touch()
        path.write_text(text)

    return install
