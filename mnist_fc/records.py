"""The records that a run yields: small and frozen, on their way from the engine to the page, the command line and the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Outcome = Literal["done", "stopped", "failed"]

NOT_FINITE = "stopped being a finite number"
"""Part of the message of every run whose loss overflowed."""

Weights = dict[str, np.ndarray]
"""A state dict as float32 arrays, which can be sent to other processes."""

KEPT_STEPS = frozenset({0, 5, 10, 20, 50, 100, 200, 400})
"""Steps after which the weights are kept, besides the ends of epochs: densely while the network learns most."""

MAX_KEPT = 40
"""A run yields at most this many weights to keep."""

NUM_NUMBERS = 10
"""Length of a state's `numbers`: step, seconds, start of the epoch, learning rate, and two means of three numbers."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The training since the previous record.

    `train_loss` and `train_accuracy` are means over the images since then, distorted and with units dropped out as the settings
    say, each image measured just before the step that learns from it. The loss is the plain cross-entropy, as the validation
    loss is: label smoothing changes the gradients alone.
    """

    step: int
    epoch: int
    images_seen: int
    seconds: float
    """Spent in training steps since the run began, without evaluation and pauses."""
    train_loss: float
    train_accuracy: float
    learning_rate: float
    gradient_norms: tuple[float, ...]
    """Euclidean norm of each layer's gradient in this step, from the input on; inf once the gradient overflows."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """The end of an epoch. A run that trains on all images has no validation results, and the others have no test results.

    `train_loss` and `train_accuracy` are means over the epoch, as in StepRecord; all losses are plain cross-entropies.
    """

    step: int
    epoch: int
    seconds: float
    """Spent in the training steps of this epoch."""
    images_per_second: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """A copy of the weights after `step` steps."""

    step: int
    epoch: int
    weights: Weights
    is_kept: bool = False
    """Whether to keep it to show the course of the run; the others matter only until the next comes."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """The distribution of a tensor's finite values: `counts`, (bins,) int64, in bins of equal width from `low` to `high`."""

    low: float
    high: float
    counts: np.ndarray
    sum: float
    sum_of_squares: float


@dataclass(frozen=True, slots=True)
class HistogramsRecord:
    """The weights at the end of an epoch, and the gradients of its last step, by their names in the state dict."""

    step: int
    epoch: int
    weights: dict[str, Histogram]
    gradients: dict[str, Histogram]


@dataclass(frozen=True, slots=True)
class StateRecord:
    """All that `train` needs to resume from `step` to the same losses; TrainState defines the names."""

    step: int
    epoch: int
    state: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The last record of a run. A failed run has no test result, but a message that says why it failed and what helps."""

    step: int
    epoch: int
    outcome: Outcome
    message: str
    train_seconds: float
    test_loss: float | None
    test_accuracy: float | None


@dataclass(frozen=True, slots=True)
class HeldOutRecord:
    """The answer for each digit of a lesson by a network that was taught only the others."""

    step: int
    epoch: int
    digits: tuple[int, ...]
    """0 to 9, in the order of the lesson."""


Record = StepRecord | EpochRecord | WeightsRecord | HistogramsRecord | StateRecord | HeldOutRecord | EndRecord


def reports_overflow(message: str) -> bool:
    """Return whether the message of a failed run or trial says that its loss overflowed."""
    return NOT_FINITE in message


def step_of(state: Mapping[str, np.ndarray]) -> int:
    """Return the step that `state` was taken after."""
    return int(state["numbers"][0])


def learning_rate_of(state: Mapping[str, np.ndarray]) -> float:
    """Return the schedule's highest learning rate at the time of `state`."""
    return float(state["numbers"][3])
