"""The objects that all sessions share: the scheduler, the data and the built-in network, each made when it is first needed."""

import argparse
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import torch
from torch import Tensor

from mnist_fc.config import ConfigError
from mnist_fc.data.familiarity import hint
from mnist_fc.data.mnist import DataError, load_mnist, split_validation
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.server.limits import memory_gb
from mnist_fc.server.log import open_log
from mnist_fc.server.scheduler import Scheduler, num_slots
from mnist_fc.training.evaluation import evaluate
from mnist_fc.views.state.streamlit_patches import (
    follow_reconnections,
    limit_uploads,
    presence_check,
    skip_data_frames,
    spare_text_fields_a_copy,
)

T = TypeVar("T")


class Singleton(Generic[T]):
    """A value that is made on its first use, once for all sessions. If making it raises an error, the next use tries again.

    `st.cache_resource` does not serve here: any browser can clear that cache, and with it the training of all sessions.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._made: list[T] = []
        self.__doc__ = make.__doc__

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def clear(self) -> None:
        """Forget the value; the next use makes another."""
        self._made.clear()


@Singleton
def scheduler() -> Scheduler:
    """Return the scheduler of this server; the first page that opens starts it. Raises ConfigError for wrong options."""
    open_log()
    # Reading one image is too little work to share among cores, and idle helper threads would spin beside the training.
    torch.set_num_threads(1)
    memory_gb()  # the training process uses it; a wrong value is reported here
    made = Scheduler(slots=num_slots(_slots_option()), is_present=presence_check())
    skip_data_frames()
    spare_text_fields_a_copy()
    limit_uploads()
    follow_reconnections()
    return made


def _slots_option() -> str | None:
    """Return the value of --slots in `streamlit run app.py -- --slots 2`. Raises ConfigError if it has none."""
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False, add_help=False)
    parser.add_argument("--slots")
    try:
        slots: str | None = parser.parse_known_args(sys.argv[1:])[0].slots
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from None
    return slots


@dataclass(frozen=True)
class PageData:
    """What pages need of the data: all but the training images, which take 47 MB and which one tab shows."""

    train_labels: Tensor
    """int64 (N,)"""
    test_images: Tensor
    """uint8 (N, 784), 0 paper to 255 ink."""
    test_labels: Tensor
    """int64 (N,)"""
    hint: str
    """What to look at if the data looks unlike MNIST; empty if the built-in network reads it well."""


@Singleton
def mnist() -> PageData:
    """Return MNIST without its training images. Raises DataError until the file is right, CheckpointError and ConfigError."""
    data = load_mnist()
    return PageData(data.train_labels, data.test_images, data.test_labels, hint(data, shipped_reader().model))


@Singleton
def train_images() -> Tensor:
    """Return the training images, uint8 (N, 784). Raises DataError if the data is no longer that which `mnist` has read."""
    data = load_mnist()
    if not torch.equal(data.train_labels, mnist().train_labels):
        raise DataError("the data has changed since the server started; restart the server")
    return data.train_images


@Singleton
def shipped_reader() -> Reader:
    """Return the built-in network, which comes with the program."""
    return Reader.load()


@Singleton
def shipped_accuracy() -> float:
    """Return the accuracy of the built-in network on MNIST's test set, measured here."""
    return test_accuracy(shipped_reader().model)


def test_accuracy(model: MLP) -> float:
    """Return the accuracy of `model` on MNIST's test set."""
    images = mnist()
    return evaluate(model, images.test_images, images.test_labels)[1]


@lru_cache(maxsize=4)
def trained_on(num_validation: int, seed: int) -> Tensor:
    """Return the indices, int64 (n,), of the training images that a run with this split trains on."""
    return split_validation(mnist().train_labels, num_validation, seed)[0]


def warm_up() -> None:
    """Load what every page shows. What is wrong with it is reported by the page, which tries again."""
    torch.set_num_threads(1)  # as in `scheduler`
    with suppress(DataError, CheckpointError, ConfigError):
        mnist()
        shipped_accuracy()


def num_train_images() -> int:
    """Return the number of training images in the data, validation images included."""
    return len(mnist().train_labels)
