"""Epoch: what every program reports of one epoch, in this process or in one of its own."""

from collections.abc import Callable
from dataclasses import dataclass

from mnist_fc.config import PRESETS

NETS = {"784-500-10": PRESETS["blog-pytorch"], "784-500-500-10": PRESETS["blog-keras"]}
"""The blog's two networks, with its settings."""


@dataclass(frozen=True)
class Epoch:
    """An epoch of a program: its seconds without evaluation, and the mean training loss where the program knows it."""

    seconds: float
    train_loss: float | None = None


Program = Callable[[], Epoch]
"""Runs the next epoch."""
