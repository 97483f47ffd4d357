"""What all sessions share: the scheduler, the data and the shipped network, each made when it is first needed."""

import argparse
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, TypeVar

import streamlit as st
import torch

from mnist_fc.config import ConfigError
from mnist_fc.data.mnist import Mnist, load_mnist, split_validation
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.server.limits import memory_gb
from mnist_fc.server.log import open_log
from mnist_fc.server.scheduler import Scheduler, num_slots
from mnist_fc.training.evaluation import evaluate
from mnist_fc.views.state.streamlit_patches import follow_reconnections, limit_uploads

T = TypeVar("T")


class Singleton(Generic[T]):
    """What is made when it is asked for first, once for all sessions. Raises what making it raises, each time anew.

    st.cache_resource is no place for it: any browser may have all of that cleared, and with it everybody's training.
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
        """Forget it; it will be made anew."""
        self._made.clear()


@Singleton
def scheduler() -> Scheduler:
    """The trainer of this server; the first page that opens starts its processes. Raises ConfigError for wrong options."""
    open_log()
    # Reading one image is too little to share among cores, and idle helper threads would spin where training runs.
    torch.set_num_threads(1)
    memory_gb()  # the training process takes it: what is wrong with it is said here
    made = Scheduler(slots=num_slots(_slots_option()), is_present=st.runtime.get_instance().is_active_session)
    limit_uploads()
    follow_reconnections()
    return made


def _slots_option() -> str | None:
    """What stands after --slots in `streamlit run app.py -- --slots 2`. Raises ConfigError where nothing does."""
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False, add_help=False)
    parser.add_argument("--slots")
    try:
        slots: str | None = parser.parse_known_args(sys.argv[1:])[0].slots
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from None
    return slots


@Singleton
def mnist() -> Mnist:
    """The data, once for all sessions. Raises DataError, each time anew until the file is right."""
    return load_mnist()


@Singleton
def shipped_reader() -> Reader:
    """The network that comes with the program."""
    return Reader.load()


@Singleton
def shipped_accuracy() -> float:
    """How much of MNIST's test set the shipped network reads right, measured here."""
    return test_accuracy(shipped_reader().model)


def test_accuracy(model: MLP) -> float:
    """How much of MNIST's test set `model` reads right."""
    images = mnist()
    return evaluate(model, images.test_images, images.test_labels)[1]


@lru_cache(maxsize=4)
def trained_on(num_validation: int, seed: int) -> torch.Tensor:
    """The indices of the training images that a run with such a split trains on."""
    return split_validation(mnist().train_labels, num_validation, seed)[0]


def num_train_images() -> int:
    """Training images in the data, validation images included."""
    return len(mnist().train_labels)
