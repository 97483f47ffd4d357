"""Reader: a drawing becomes ten probabilities, the digit read and the runner-up, or "not a digit"; or a number of digits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mnist_fc.config import NUM_CLASSES, TrainConfig
from mnist_fc.drawing.normalize import extract_ink, normalize, segment_digits
from mnist_fc.network.checkpoint import SHIPPED
from mnist_fc.network.checkpoint import load as load_checkpoint
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.rejection import MIN_LOG_ODDS, log_odds
from mnist_fc.reading.rejection import network as rejection_network
from mnist_fc.records import Weights

CLOSE = 0.1
"""A runner-up with such a probability might as well be it."""

MIN_SIZE = 0.06
"""Of the canvas's shorter side; what is smaller is a dot, and enlarged it would look like anything."""

MAX_DIGITS = 12


@dataclass(frozen=True)
class Reading:
    """What a network makes of a drawing.

    What is not read has no digit. An empty canvas has no image either, and zeros for probabilities, as has what a network reads
    whose sums overflow, as a diverging run leaves it.
    """

    digit: int | None
    probabilities: tuple[float, ...]
    """Ten, of the digits 0 to 9, as if it were a digit."""
    runner_up: int | None
    """The digit with the second highest probability."""
    image: np.ndarray | None
    """What the network saw: float32 (28, 28), 0 paper to 1 ink."""
    problem: Literal["empty", "no digit", "overflow"] | None = None
    """Why no digit was read."""
    log_odds: float = -math.inf
    """How much rather a digit than none it is, whatever digit is read."""

    @property
    def is_close(self) -> bool:
        """Whether the runner-up might as well be it."""
        return self.runner_up is not None and self.probabilities[self.runner_up] >= CLOSE


NOTHING = (0.0,) * NUM_CLASSES
NOT_READ = Reading(digit=None, probabilities=NOTHING, runner_up=None, image=None, problem="empty")


class Reader:
    """Reads drawings with one set of weights, which nothing changes."""

    def __init__(self, model: MLP) -> None:
        self.model = model.eval()
        rejection_network()  # so that a missing one is said now and not at the first drawing

    @classmethod
    def load(cls, checkpoint: str | Path | None = None) -> "Reader":
        """The network of a checkpoint, the shipped one when None. Raises CheckpointError and ConfigError as `checkpoint.load`."""
        return cls(load_checkpoint(checkpoint or SHIPPED))

    @classmethod
    def from_weights(cls, weights: Weights, config: TrainConfig) -> "Reader":
        """The network that a run with `config` had when it sent `weights`, in their own memory: nobody may change them."""
        model = MLP(config.hidden_sizes, config.activation)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, assign=True)
        return cls(model)

    def read(self, rgba: np.ndarray) -> Reading:
        """Read a drawing, uint8 (H, W, 4), as one digit. Raises DrawingError."""
        drawn = extract_ink(rgba)
        return NOT_READ if drawn is None else self._read_ink([drawn])[0]

    def read_number(self, rgba: np.ndarray) -> list[Reading]:
        """Read a drawing, uint8 (H, W, 4), as the digits that stand in it side by side, from left to right, or as one digit.

        It is a number when each thing in it is rather a digit than the whole is, or when the whole is none and half of the
        things are. Raises DrawingError.
        """
        drawn = extract_ink(rgba)
        if drawn is None:
            return [NOT_READ]
        things = segment_digits(drawn)
        if not 2 <= len(things) <= MAX_DIGITS:
            return self._read_ink([drawn])
        whole, *readings = self._read_ink([drawn, *things])
        num_digits = sum(reading.digit is not None for reading in readings)
        is_number = min(reading.log_odds for reading in readings) > whole.log_odds
        if whole.problem == "no digit":
            is_number = num_digits * 2 >= len(readings)
        return readings if is_number else [whole]

    def _read_ink(self, drawn: list[np.ndarray]) -> list[Reading]:
        preparations = [normalize(ink) for ink in drawn]
        readings = self.read_images(np.stack([preparation.image for preparation in preparations]))
        return [
            replace(reading, digit=None, problem=reading.problem or "no digit")
            if preparation.size < MIN_SIZE * min(ink.shape)
            else reading
            for ink, preparation, reading in zip(drawn, preparations, readings, strict=True)
        ]

    def read_image(self, image: np.ndarray) -> Reading:
        """Read an image that is 28 x 28 already, float32, 0 paper to 1 ink."""
        return self.read_images(image[None])[0]

    @torch.inference_mode()
    def read_images(self, images: np.ndarray) -> list[Reading]:
        """Read images that are 28 x 28 already, float32 (N, 28, 28), 0 paper to 1 ink."""
        all_logits = self.model(torch.from_numpy(images.reshape(len(images), -1)))
        return [_reading(*one) for one in zip(images, all_logits, log_odds(images).tolist(), strict=True)]


def _reading(image: np.ndarray, logits: torch.Tensor, odds: float) -> Reading:
    if not logits.isfinite().all():
        return replace(NOT_READ, image=image, problem="overflow", log_odds=odds)
    runner_up, digit = logits.argsort()[-2:].tolist()
    reading = Reading(digit, tuple(logits.softmax(0).tolist()), runner_up, image, log_odds=odds)
    return reading if odds >= MIN_LOG_ODDS else replace(reading, digit=None, problem="no digit")


def number(readings: Sequence[Reading]) -> str:
    """The digits read, "?" for each that is none, and nothing for an empty canvas."""
    return "".join("" if r.problem == "empty" else "?" if r.digit is None else str(r.digit) for r in readings)


def percent(probability: float) -> str:
    """One decimal; what only rounding would make certain or impossible is not called so."""
    return "over 99.9%" if probability > 0.9995 else "under 0.1%" if probability < 0.0005 else f"{probability:.1%}"
