"""What a run yields: records, small and frozen, which travel from the engine to the page, the command line and the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

NOT_FINITE = "stopped being a finite number"
"""What the message of a run that diverged says of its loss."""

Weights = dict[str, np.ndarray]
"""A state dict as float32 arrays, which travel between processes."""

KEPT_STEPS = frozenset({0, 5, 10, 20, 50, 100, 200, 400})
"""Steps after which the weights are worth keeping, besides epochs' ends: densely while the network learns most."""

MAX_KEPT = 40
"""A run yields at most so many weights to keep."""

NUM_NUMBERS = 10
"""In a state's `numbers`: the step, seconds, the epoch's beginning, the learning rate, and two means of three numbers."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The training since the record before; losses and accuracies are means over those images, as the network saw them."""

    step: int
    epoch: int
    images_seen: int
    seconds: float
    """Spent in training steps since the run began; evaluation and pauses do not count."""
    train_loss: float
    train_accuracy: float
    learning_rate: float
    gradient_norms: tuple[float, ...]
    """Of this step, layer by layer from the input."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """The end of an epoch. Validation is None in a run that trains on all images, and the test set is None in the others."""

    step: int
    epoch: int
    seconds: float
    """Of this epoch, training steps alone."""
    images_per_second: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """A whole copy of the weights after `step` steps."""

    step: int
    epoch: int
    weights: Weights
    is_kept: bool = False
    """Whether it is one of those that show how the run went; the others matter until the next comes."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the finite values of a tensor are spread: `counts`, (bins,) int64, over equal parts from `low` to `high`."""

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
    """All that `train` needs to go on from `step` as if nothing had happened; the names are Training's own."""

    step: int
    epoch: int
    state: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The last record of a run. A run that failed has no test result, and a message that says why and what helps."""

    step: int
    epoch: int
    outcome: Literal["done", "stopped", "failed"]
    message: str
    train_seconds: float
    test_loss: float | None
    test_accuracy: float | None


Record = StepRecord | EpochRecord | WeightsRecord | HistogramsRecord | StateRecord | EndRecord


def step_of(state: Mapping[str, np.ndarray]) -> int:
    """The step that a state was taken after."""
    return int(state["numbers"][0])


def learning_rate_of(state: Mapping[str, np.ndarray]) -> float:
    """The schedule's highest learning rate as it was when a state was taken."""
    return float(state["numbers"][3])
