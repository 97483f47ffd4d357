"""What goes wrong in a run, named from its records while it happens, with the one setting that helps most.

The figures beside the thresholds were measured on all of MNIST: some 300 runs with every activation, 1 to 4 layers of 8
to 2048 units, every optimizer at rates from 1e-5 to 1, and batches of 8 to 4096.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mnist_fc.config import FIELDS, NUM_CLASSES, Range, TrainConfig
from mnist_fc.records import NOT_FINITE, EndRecord, EpochRecord, StepRecord

GUESSING_LOSS = math.log(NUM_CLASSES)

ORDINARY_RATES = {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.1}
"""Learning rates at which ReLU networks of 1 to 4 layers all learn."""

# A loss is judged by its mean over the newest records that hold so many of both.
WINDOW_RECORDS, WINDOW_IMAGES = 5, 1000

# A loss beyond counts as so much in a mean, so that one record of 1e31 does not outlive all others.
HIGHEST_LOSS = 30.0

# Runs that learned stayed below 3.4, but for one that passed 8.5 and took 40 steps to recover (Adam at 0.1, one layer).
FAR_LOSS = 2 * GUESSING_LOSS

# Below this a network that had broken learns again; one whose units are dead stays at 2.3.
RECOVERED_LOSS = 1.5

# How far the loss may climb above its lowest, and how far it must come back. In runs that learned it climbed by 0.12 at the
# most, with Adam at 0.03 by 0.32, at 0.1 by 0.42; with a momentum of 0.999 by 0.90, and is called a divergence for 100 steps.
CLIMB, CLIMB_LEFT = 0.5, 0.3

# Guessing is right on 10 %, and saying 1 of every image on 11.2 %.
STALLED_ACCURACY = 0.2

# Steps at the full learning rate, and images, after which no run that learns well is below STALLED_ACCURACY: the slowest, two
# sigmoid layers with SGD at 0.01, is at 13 % after 300 steps and at 38 % after 500. Batches of 8 take more steps to it.
PATIENCE_STEPS, PATIENCE_IMAGES = 500, 30_000

# A run that is over is not waited for, if it had a chance.
SHORTEST_RUN = 50

# A rate below a 30th, or above three times, of the ordinary one explains more than the activation does.
FAR_TOO_LOW, TOO_HIGH = 1 / 30, 3.0

# With SGD or Adam, 0.1 keeps four layers at guessing; with 0.01 they learn. AdamW learns with 1.
STRONG_DECAY = 0.1

LARGE_BATCH = 100

# How far above its lowest the held-out loss must stay for two epochs, and be still. Where the training goes on well, noise
# takes one epoch to 1.34 (augmented by shift) and two to 1.14 (one-cycle over 20 epochs, at its highest rate).
OVERFIT_RISE, STILL_RISEN = 1.15, 1.05

# Training loss as a share of the held-out one: 0.1 to 0.4 in runs that overfit, above 0.6 with augmentation.
OVERFIT_SHARE = 0.5

MOST_DROPOUT = 0.5

GRADIENT_RECORDS = 20

# The first layer's gradient by the output layer's. Four sigmoid layers of one size have 0.0003 to 0.02 in the first 100
# steps of 100 images, and 0.001 to 0.005 as long as they stall; the lowest of another activation that learns is 0.07 (GELU,
# 1024-256-64-16, at the first step). Two sigmoid layers of one size have 0.02 to 0.2. Once they have learned, all have 0.07
# and more.
VANISHING_RATIO = 0.03


@dataclass(frozen=True)
class Diagnosis:
    """One thing that is wrong with a run."""

    name: Literal["diverges", "stalls", "overfits"]
    sign: str
    """What one sees, with the numbers of this run."""
    cause: str
    """The likely one."""
    change: dict[str, Any]
    """The one setting that helps most in a new run: a field of TrainConfig and its value."""


@dataclass(frozen=True)
class GradientFlow:
    """How much of the gradient reaches each layer."""

    norms: tuple[float, ...]
    """Geometric means over the newest records, layer by layer from the input."""
    ratio: float
    """The first layer's by the output layer's."""
    vanishes: bool
    """Whether too little for learning comes through the hidden layers, of which there must be several."""


def diagnose(
    config: TrainConfig,
    learning_rate: float,
    steps: Sequence[StepRecord],
    epochs: Sequence[EpochRecord],
    end: EndRecord | None,
) -> Diagnosis | None:
    """What is wrong with a run so far, or None.

    `learning_rate` is the schedule's highest as last set, which the advice about rates starts from.
    """
    diverging = _divergence(config, learning_rate, steps, end)
    return diverging or _stall(config, learning_rate, steps, end) or _overfitting(config, epochs)


def has_diverged(steps: Sequence[StepRecord], end: EndRecord | None) -> bool:
    """Return whether a run ended by diverging: its loss overflowed, or was still far too high after the last step.

    A run that somebody stopped, or whose process died, ended for that reason.
    """
    if end is None or end.outcome == "stopped":
        return False
    if end.outcome == "failed":
        return NOT_FINITE in end.message
    return _sign_of_divergence(steps, end) is not None


def gradient_flow(steps: Sequence[StepRecord]) -> GradientFlow | None:
    """Of the newest records; None where no record has a finite gradient above zero in every layer."""
    _, logs = _log_norms(steps[-GRADIENT_RECORDS:])
    return _flow(logs.mean(axis=0)) if len(logs) else None


def weakest_flow(steps: Sequence[StepRecord]) -> tuple[int, GradientFlow] | None:
    """Of the run's records so far, those in a row in which least reached the first layer, and the step in their middle."""
    at, logs = _log_norms(steps)
    if not len(logs):
        return None
    width = min(GRADIENT_RECORDS, len(logs))
    means = np.lib.stride_tricks.sliding_window_view(logs, width, axis=0).mean(axis=-1)
    weakest = int((means[:, 0] - means[:, -1]).argmin())
    return int(at[weakest + width // 2]), _flow(means[weakest])


def _log_norms(steps: Sequence[StepRecord]) -> tuple[np.ndarray, np.ndarray]:
    """Steps, (N,), and the logarithms of the gradient norms, (N, layers), of the records that have them for every layer."""
    if not steps:
        return np.empty(0, np.int64), np.empty((0, 0))
    norms = np.array([record.gradient_norms for record in steps], np.float64)
    usable = (np.isfinite(norms) & (norms > 0)).all(axis=1)
    return np.array([record.step for record in steps], np.int64)[usable], np.log(norms[usable])


def _flow(log_norms: np.ndarray) -> GradientFlow:
    norms = tuple(np.exp(log_norms).tolist())
    ratio = norms[0] / norms[-1]
    return GradientFlow(norms, ratio, vanishes=len(norms) > 2 and ratio < VANISHING_RATIO)


def _divergence(
    config: TrainConfig, learning_rate: float, steps: Sequence[StepRecord], end: EndRecord | None
) -> Diagnosis | None:
    sign = _sign_of_divergence(steps, end)
    if sign is None:
        return None
    rate = max(learning_rate, max((record.learning_rate for record in steps), default=learning_rate))
    return Diagnosis(
        "diverges",
        sign,
        f"The learning rate {rate:g} is too high: each step overshoots the minimum.",
        {"learning_rate": _lower(config, rate)},
    )


def _sign_of_divergence(steps: Sequence[StepRecord], end: EndRecord | None) -> str | None:
    """Return what one sees of a loss that overflowed or climbed and stayed there; None for any other."""
    losses = np.array([record.train_loss for record in steps], np.float64)
    finite = losses[np.isfinite(losses)]
    if len(finite) < len(losses) or (end and end.outcome == "failed" and NOT_FINITE in end.message):
        last = end.step if end else steps[-1].step
        highest_before = f"; the highest before that was {_in_words(finite.max())}" if len(finite) else ""
        return f"The loss {NOT_FINITE} after step {last:,}{highest_before}."
    means = _window_means(steps, np.minimum(losses, HIGHEST_LOSS))
    if not len(means):
        return None
    recent, lowest, peak = means[-1], means.min(), int(means.argmax())
    climb = means[means.argmin() :].max() - lowest
    if means[peak] > FAR_LOSS and means[peak:].min() > RECOVERED_LOSS:
        highest, last_one = _in_words(finite.max()), _in_words(losses[-1])
        now = f" and is {last_one} now" if last_one != highest else ""
        return f"The loss climbed to {highest}{now}; guessing gives {GUESSING_LOSS:.2f}."
    if climb > CLIMB and recent > lowest + CLIMB_LEFT:
        return f"The loss had come down to {lowest:.2f} and has climbed to {recent:.2f} since."
    return None


def _stall(config: TrainConfig, learning_rate: float, steps: Sequence[StepRecord], end: EndRecord | None) -> Diagnosis | None:
    if not steps or steps[-1].step < SHORTEST_RUN:
        return None
    accuracies = _window_means(steps, np.array([record.train_accuracy for record in steps], np.float64))
    if not len(accuracies) or accuracies[-1] >= STALLED_ACCURACY:
        return None
    is_over = end is not None and end.outcome == "done"
    if not is_over and not _has_had_its_time(learning_rate, steps):
        return None
    sign = (
        f"After {steps[-1].step:,} steps it is right on {accuracies[-1]:.0%} of its images, and guessing would be on 10%; "
        f"the loss is {steps[-1].train_loss:.2f}."
    )
    return Diagnosis("stalls", sign, *_why_it_stalls(config, learning_rate))


def _has_had_its_time(learning_rate: float, steps: Sequence[StepRecord]) -> bool:
    """Whether it has taken enough steps; one at a tenth of the highest learning rate, as in a warm-up, is a tenth of one."""
    taken = np.diff([0, *(record.step for record in steps)])
    rates = np.array([record.learning_rate for record in steps], np.float64)
    return steps[-1].images_seen >= PATIENCE_IMAGES and float(taken @ rates) >= PATIENCE_STEPS * learning_rate


def _why_it_stalls(config: TrainConfig, learning_rate: float) -> tuple[str, dict[str, Any]]:
    """The likely cause, and the change that helps."""
    ordinary = ORDINARY_RATES[config.optimizer]
    depth = len(config.hidden_sizes)
    rate = f"The learning rate {learning_rate:g}"
    # The rate that the run began with, too: one that has been changed meanwhile has not had its time.
    for used in (config.learning_rate, learning_rate):
        if used > TOO_HIGH * ordinary:
            why = "large steps have driven the units to where they pass on no gradient."
            return f"The learning rate {used:g} is too high: {why}", {"learning_rate": _lower(config, used)}
        if used < FAR_TOO_LOW * ordinary:
            return f"The learning rate {used:g} is too low: the weights have hardly moved.", {"learning_rate": ordinary}
    if config.weight_decay >= STRONG_DECAY and config.optimizer != "adamw":
        return f"The weight decay {config.weight_decay:g} pulls the weights to zero faster than they learn.", {
            "weight_decay": 0.0
        }
    if depth > 1 and config.activation in ("sigmoid", "tanh"):
        cause = f"Each of {depth} {config.activation} layers shrinks the gradient, and next to none reaches the first."
        return cause, {"activation": "relu"}
    if learning_rate < ordinary:
        return f"{rate} is low: the weights have hardly moved.", {"learning_rate": ordinary}
    if config.dropout:
        return f"Dropout leaves out {config.dropout:.0%} of the units, and too little is left.", {"dropout": 0.0}
    if config.batch_size > LARGE_BATCH:
        return f"Batches of {config.batch_size:,} images make too few steps of an epoch.", {"batch_size": LARGE_BATCH}
    return f"{rate} is too high for this network.", {"learning_rate": _lower(config, learning_rate)}


def _overfitting(config: TrainConfig, epochs: Sequence[EpochRecord]) -> Diagnosis | None:
    name = "validation" if config.num_validation else "test"
    measured = [record.val_loss if config.num_validation else record.test_loss for record in epochs]
    losses = np.array([math.nan if loss is None else loss for loss in measured], np.float64)
    if len(losses) < 3 or not np.isfinite(losses).all():
        return None
    lowest = int(losses.argmin())
    pairs = np.minimum(losses[lowest + 1 : -1], losses[lowest + 2 :])
    first, last = epochs[lowest], epochs[-1]
    if (
        not len(pairs)
        or pairs.max() < OVERFIT_RISE * losses[lowest]
        or losses[-2:].mean() < STILL_RISEN * losses[lowest]
        or last.train_loss > OVERFIT_SHARE * losses[-1]
        or last.train_loss > first.train_loss
    ):
        return None
    sign = (
        f"The {name} loss was lowest after epoch {first.epoch}, at {losses[lowest]:.3f}, and is {losses[-1]:.3f} now, "
        f"while the training loss went from {first.train_loss:.3f} to {last.train_loss:.3f}."
    )
    cause = "The network learns its training images by heart, and less and less of what other images have in common with them."
    return Diagnosis("overfits", sign, cause, _against_overfitting(config, first.epoch))


def _against_overfitting(config: TrainConfig, best_epoch: int) -> dict[str, Any]:
    """Measured on 784-500-10, lowest validation loss of 12 epochs: 0.073 as it is, 0.072 with dropout 0.2, 0.049 with affine."""
    if config.augmentation in ("none", "shift"):
        return {"augmentation": "affine"}
    if config.dropout < MOST_DROPOUT:
        return {"dropout": min(MOST_DROPOUT, max(0.2, round(config.dropout + 0.1, 2)))}
    return {"num_epochs": best_epoch}


def _lower(config: TrainConfig, rate: float) -> float:
    """The ordinary learning rate, or a tenth of one that is not above it."""
    ordinary = ORDINARY_RATES[config.optimizer]
    limit = FIELDS["learning_rate"]
    assert isinstance(limit, Range)
    return ordinary if rate > ordinary else max(limit.low, rate / 10)


def _in_words(loss: float) -> str:
    return f"{loss:.2f}" if loss < 100 else f"{loss:,.0f}" if loss < 1e6 else "over a million"


def _window_means(steps: Sequence[StepRecord], values: np.ndarray) -> np.ndarray:
    """Means of `values`, (N,), over the images of the window that ends at each record, from the first that a window fits."""
    seen = np.array([0, *(record.images_seen for record in steps)], np.float64)
    total = np.concatenate([[0.0], np.cumsum(values * np.diff(seen))])
    ends = np.arange(WINDOW_RECORDS, len(seen))
    ends = ends[seen[ends] >= WINDOW_IMAGES]
    starts = np.minimum(ends - WINDOW_RECORDS, np.searchsorted(seen, seen[ends] - WINDOW_IMAGES, side="right") - 1)
    means: np.ndarray = (total[ends] - total[starts]) / (seen[ends] - seen[starts])
    return means
