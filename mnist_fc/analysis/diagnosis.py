"""Name what goes wrong in a run, from its records while it trains, with the one setting that helps most.

The sentences quote the figures of the curves that the page draws, so that both agree. The thresholds and the figures
beside them were measured on all of MNIST: some 300 runs with every activation, 1 to 4 layers of 8 to 2048 units, every
optimizer at rates from 1e-5 to 1, and batches of 8 to 4096.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mnist_fc.analysis.curves import Curve, epoch_curve, train_curve
from mnist_fc.analysis.results import test_curve
from mnist_fc.config import FIELDS, NUM_CLASSES, Range, TrainConfig
from mnist_fc.percentages import in_percent
from mnist_fc.records import NOT_FINITE, EndRecord, EpochRecord, StepRecord, reports_overflow

GUESSING_LOSS = math.log(NUM_CLASSES)

TYPICAL_RATES = {"adam": 1e-3, "adamw": 1e-3, "sgd": 0.1}
"""Learning rates at which ReLU networks of 1 to 4 layers all learn."""

# The loss and accuracy are judged by their means over a window of the newest records with at least this many of both.
WINDOW_RECORDS, WINDOW_IMAGES = 5, 1000

# Losses are capped at this in a mean, so that one record of 1e31 does not outweigh all others.
LOSS_CAP = 30.0

# Runs that learned stayed below 3.4, except for one that passed 8.5 and took 40 steps to recover (Adam at 0.1, one layer).
FAR_LOSS = 2 * GUESSING_LOSS

# A broken network that gets below this learns again. One whose units are dead stays at 2.3.
RECOVERED_LOSS = 1.5

# A loss that climbs this far above its lowest and does not come back this far has diverged. In runs that learned it climbed
# by at most 0.12, with Adam at 0.03 by 0.32, at 0.1 by 0.42. With a momentum of 0.999 it climbed by 0.90, which counts as
# a divergence for 100 steps.
CLIMB, CLIMB_LEFT = 0.5, 0.3

# Guessing is right on 10% of the images, and answering 1 always on 11.2%.
STALLED_ACCURACY = 0.2

# Steps at the full learning rate, and images, after which no run that learns well is below STALLED_ACCURACY. The slowest, two
# sigmoid layers with SGD at 0.01, is at 13% after 300 steps and at 38% after 500. Batches of 8 take more steps.
PATIENCE_STEPS, PATIENCE_IMAGES = 500, 30_000

# A run with fewer steps is too short to judge. A longer one that has ended is judged without further patience.
SHORTEST_RUN = 50

# A rate below a 30th of the typical one, or above three times it, explains a stall better than the activation does.
FAR_TOO_LOW, TOO_HIGH = 1 / 30, 3.0

# With SGD or Adam, 0.1 keeps four layers at guessing, and with 0.01 they learn. AdamW learns with 1.
STRONG_DECAY = 0.1

LARGE_BATCH = 100

# How far above its lowest the held-out loss must be for two epochs in a row, and must still be. In healthy runs noise takes
# one epoch to 1.34 (shift augmentation) and two to 1.14 (one-cycle over 20 epochs, at its highest rate).
OVERFIT_RISE, STILL_RISEN = 1.15, 1.05

# Training loss as a share of the held-out one: 0.1 to 0.4 in runs that overfit, above 0.6 with augmentation.
OVERFIT_SHARE = 0.5

MOST_DROPOUT = 0.5


@dataclass(frozen=True)
class Diagnosis:
    """One thing that is wrong with a run. The texts are whole sentences for the page."""

    name: Literal["diverges", "stalls", "overfits"]
    symptom: str
    """The visible symptom, with the figures of this run."""
    cause: str
    """The likely cause."""
    change: dict[str, Any]
    """The one setting that helps most in a new run: a field of TrainConfig and its value."""


def diagnose(
    config: TrainConfig,
    learning_rate: float,
    steps: Sequence[StepRecord],
    epochs: Sequence[EpochRecord],
    end: EndRecord | None,
) -> Diagnosis | None:
    """Return what is wrong with a run as its records show it, or None.

    Pass the records up to some step to diagnose the run as it was then. `learning_rate` is the schedule's peak as last set:
    advice about the rate starts from it.
    """
    return (
        _divergence(config, learning_rate, steps, end)
        or _stall(config, learning_rate, steps, end)
        or _overfitting(config, epochs, end)
    )


def has_diverged(steps: Sequence[StepRecord], end: EndRecord | None) -> bool:
    """Return whether a run ended by diverging: its loss overflowed, or was still far too high after the last step.

    A run that was stopped, or whose process died, did not end by diverging.
    """
    if end is None or end.outcome == "stopped":
        return False
    if end.outcome == "failed":
        return reports_overflow(end.message)
    return _symptom_of_divergence(steps, end) is not None


def outcome_word(steps: Sequence[StepRecord], end: EndRecord) -> Literal["done", "stopped", "failed", "diverged"]:
    """Return the word for how a run ended, the same wherever people read it: its outcome, or "diverged"."""
    return "diverged" if has_diverged(steps, end) else end.outcome


def _divergence(
    config: TrainConfig, learning_rate: float, steps: Sequence[StepRecord], end: EndRecord | None
) -> Diagnosis | None:
    symptom = _symptom_of_divergence(steps, end)
    if symptom is None:
        return None
    rate = max(learning_rate, max((record.learning_rate for record in steps), default=learning_rate))
    advised = _lower_rate(config, rate)
    cause = f"The learning rate {rate:g} is too high: each step overshoots the minimum."
    if learning_rate < rate and not math.isclose(learning_rate, rate):
        advised = min(advised, learning_rate)
        cause = (
            f"The learning rate {rate:g} ruined this network, and the new rate {learning_rate:g} cannot repair it. "
            "Training must start over."
        )
    return Diagnosis("diverges", symptom, cause, {"learning_rate": advised})


def _symptom_of_divergence(steps: Sequence[StepRecord], end: EndRecord | None) -> str | None:
    """Return what can be seen of a loss that overflowed, or that climbed and stayed there. None for any other loss."""
    losses = np.array([record.train_loss for record in steps], np.float64)
    if not np.isfinite(losses).all() or (end and end.outcome == "failed" and reports_overflow(end.message)):
        last_step = end.step if end else steps[-1].step
        drawn = train_curve(steps, "train_loss").finite().values
        highest = f"; the highest before that was {_format_loss(drawn.max())}" if len(drawn) else ""
        return f"The loss {NOT_FINITE} after step {last_step:,}{highest}."
    means = _window_means(steps, np.minimum(losses, LOSS_CAP))
    if not len(means):
        return None
    recent, lowest, peak = means[-1], means.min(), int(means.argmax())
    climb = means[means.argmin() :].max() - lowest
    if means[peak] > FAR_LOSS and means[peak:].min() > RECOVERED_LOSS:
        drawn = train_curve(steps, "train_loss").finite().values
        highest, newest = _format_loss(drawn.max()), _format_loss(drawn[-1])
        now = f" It is {newest} {_when(steps, end)}." if newest != highest else ""
        return f"The loss climbed to {highest}, while guessing gives {GUESSING_LOSS:.2f}.{now}"
    if climb > CLIMB and recent > lowest + CLIMB_LEFT:
        drawn = train_curve(steps, "train_loss").finite().values
        lowest_drawn, newest = _format_loss(drawn.min()), _format_loss(drawn[-1])
        return f"The loss came down to {lowest_drawn}, then climbed. It is {newest} {_when(steps, end)}."
    return None


def _when(steps: Sequence[StepRecord], end: EndRecord | None) -> str:
    return "at the end" if end else f"after step {steps[-1].step:,}"


def _stall(config: TrainConfig, learning_rate: float, steps: Sequence[StepRecord], end: EndRecord | None) -> Diagnosis | None:
    if not steps or steps[-1].step < SHORTEST_RUN:
        return None
    accuracies = _window_means(steps, np.array([record.train_accuracy for record in steps], np.float64))
    if not len(accuracies) or accuracies[-1] >= STALLED_ACCURACY:
        return None
    is_done = end is not None and end.outcome == "done"
    if not is_done and not _had_enough_steps(learning_rate, steps):
        return None
    accuracy, loss = (train_curve(steps, field).values[-1] for field in ("train_accuracy", "train_loss"))
    symptom = (
        f"After {steps[-1].step:,} steps it is right on {in_percent(accuracy, 0)} of its images, and guessing would be on 10%; "
        f"the loss is {_format_loss(loss)}."
    )
    return Diagnosis("stalls", symptom, *_cause_of_stall(config, learning_rate))


def _had_enough_steps(learning_rate: float, steps: Sequence[StepRecord]) -> bool:
    """Return whether the run had its chance. A step at a tenth of the peak rate, as in a warm-up, counts as a tenth of one."""
    steps_between = np.diff([0, *(record.step for record in steps)])
    rates = np.array([record.learning_rate for record in steps], np.float64)
    return steps[-1].images_seen >= PATIENCE_IMAGES and float(steps_between @ rates) >= PATIENCE_STEPS * learning_rate


def _cause_of_stall(config: TrainConfig, learning_rate: float) -> tuple[str, dict[str, Any]]:
    """Return the likely cause of a stall, and the change that helps."""
    typical = TYPICAL_RATES[config.optimizer]
    depth = len(config.hidden_sizes)
    # The rate that the run began with comes first: one set later has not had its time.
    for rate in (config.learning_rate, learning_rate):
        if rate > TOO_HIGH * typical:
            why = "large steps pushed the units to where their gradient is zero."
            return f"The learning rate {rate:g} is too high: {why}", {"learning_rate": _lower_rate(config, rate)}
        if rate < FAR_TOO_LOW * typical:
            return f"The learning rate {rate:g} is too low: the weights have hardly moved.", {"learning_rate": typical}
    if config.weight_decay >= STRONG_DECAY and config.optimizer != "adamw":
        cause = f"The weight decay {config.weight_decay:g} pulls the weights to zero faster than they learn."
        return cause, {"weight_decay": 0.0}
    if depth > 1 and config.activation in ("sigmoid", "tanh"):
        cause = f"Each of the {depth} {config.activation} layers shrinks the gradient, so almost none reaches the first."
        return cause, {"activation": "relu"}
    if learning_rate < typical:
        return f"The learning rate {learning_rate:g} is low: the weights have hardly moved.", {"learning_rate": typical}
    if config.dropout:
        return f"Dropout leaves out {config.dropout:.0%} of the units, so too few are left to learn.", {"dropout": 0.0}
    if config.batch_size > LARGE_BATCH:
        cause = f"With batches of {config.batch_size:,} images, an epoch has too few steps."
        return cause, {"batch_size": LARGE_BATCH}
    cause = f"The learning rate {learning_rate:g} is too high for this network."
    return cause, {"learning_rate": _lower_rate(config, learning_rate)}


def _overfitting(config: TrainConfig, epochs: Sequence[EpochRecord], end: EndRecord | None) -> Diagnosis | None:
    """Return a diagnosis if the loss on images that are not trained on rose and stayed up while the training loss fell.

    The rise must last for two epochs. The figure measured at a stop within an epoch counts for the rest.
    """
    name = "validation" if config.num_validation else "test"
    measured = _held_out_curve(config, epochs, end)
    losses = measured.values
    if len(epochs) < 3 or measured.steps.tolist()[: len(epochs)] != [record.step for record in epochs]:
        return None
    if not np.isfinite(losses).all():
        return None
    lowest = int(losses.argmin())
    after = losses[lowest + 1 : len(epochs)]
    pairs = np.minimum(after[:-1], after[1:])
    if (
        not len(pairs)
        or pairs.max() < OVERFIT_RISE * losses[lowest]
        or losses[-2:].mean() < STILL_RISEN * losses[lowest]
        or epochs[-1].train_loss > OVERFIT_SHARE * losses[-1]
        or epochs[-1].train_loss > epochs[lowest].train_loss
    ):
        return None
    best, last = epochs[lowest], epochs[-1]
    by_when = "the end" if end and end.step == measured.steps[-1] else f"epoch {last.epoch}"
    symptom = (
        f"The {name} loss was lowest after epoch {best.epoch}, at {losses[lowest]:.3f}, "
        f"and rose to {losses[-1]:.3f} by {by_when}. "
        f"Meanwhile the training loss per epoch went from {best.train_loss:.3f} to {last.train_loss:.3f}."
    )
    cause = "The network learns its training images by heart, instead of what they share with other images."
    return Diagnosis("overfits", symptom, cause, _remedy_for_overfitting(config, best.epoch))


def _held_out_curve(config: TrainConfig, epochs: Sequence[EpochRecord], end: EndRecord | None) -> Curve:
    """Return the loss on images that the run does not train on: the validation images, or the test set if there are none."""
    return epoch_curve(epochs, "val_loss") if config.num_validation else test_curve(epochs, end, "loss")


def _remedy_for_overfitting(config: TrainConfig, best_epoch: int) -> dict[str, Any]:
    """Return the change that lowers the held-out loss most.

    Measured on 784-500-10, lowest validation loss of 12 epochs: 0.073 as it is, 0.072 with dropout 0.2, 0.049 with affine.
    """
    if config.augmentation in ("none", "shift"):
        return {"augmentation": "affine"}
    if config.dropout < MOST_DROPOUT:
        return {"dropout": min(MOST_DROPOUT, max(0.2, round(config.dropout + 0.1, 2)))}
    return {"num_epochs": best_epoch}


def _lower_rate(config: TrainConfig, rate: float) -> float:
    """Return the typical learning rate, or a tenth of `rate` if that is not above the typical one."""
    typical = TYPICAL_RATES[config.optimizer]
    limit = FIELDS["learning_rate"]
    assert isinstance(limit, Range)
    return typical if rate > typical else max(limit.low, rate / 10)


def _format_loss(loss: float) -> str:
    return f"{loss:.2f}" if loss < 100 else f"{loss:,.0f}" if loss < 1e6 else "over a million"


def _window_means(steps: Sequence[StepRecord], values: np.ndarray) -> np.ndarray:
    """Return the mean of `values`, (N,), over the images of each window.

    A window ends at each record, from the first that has WINDOW_RECORDS records and WINDOW_IMAGES images up to it.
    """
    seen = np.array([0, *(record.images_seen for record in steps)], np.float64)
    total = np.concatenate([[0.0], np.cumsum(values * np.diff(seen))])
    ends = np.arange(WINDOW_RECORDS, len(seen))
    ends = ends[seen[ends] >= WINDOW_IMAGES]
    starts = np.minimum(ends - WINDOW_RECORDS, np.searchsorted(seen, seen[ends] - WINDOW_IMAGES, side="right") - 1)
    means: np.ndarray = (total[ends] - total[starts]) / (seen[ends] - seen[starts])
    return means
