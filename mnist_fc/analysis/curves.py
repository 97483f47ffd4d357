"""Curves for charts: the records of a run, smoothed and thinned to what a screen can show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mnist_fc.records import EpochRecord, StepRecord

MAX_POINTS = 600

# How many records back the smoothing forgets to a third.
SMOOTHING_RECORDS = 6


@dataclass(frozen=True)
class Curve:
    """Values over training steps, or over the seconds spent in them; both float64 (N,), N at most MAX_POINTS."""

    steps: np.ndarray
    values: np.ndarray


def train_curve(records: Sequence[StepRecord], field: str, over: Literal["step", "seconds"] = "step") -> Curve:
    """`train_loss` or `train_accuracy` per step: an exponential moving average, unbiased at the start, then thinned."""
    steps = np.array([getattr(record, over) for record in records], np.float64)
    return thin(Curve(steps, smooth(np.array([getattr(record, field) for record in records], np.float64))))


def gradient_curves(records: Sequence[StepRecord]) -> list[Curve]:
    """The norm of each layer's gradient per step, from the input to the output, smoothed and thinned as `train_curve`."""
    steps = np.array([record.step for record in records], np.float64)
    norms = np.array([record.gradient_norms for record in records], np.float64)
    return [thin(Curve(steps, smooth(of_layer))) for of_layer in norms.T]


def epoch_curve(records: Sequence[EpochRecord], field: str) -> Curve:
    """A figure that was measured at the end of each epoch, or an empty curve where it was not."""
    measured = [record for record in records if getattr(record, field) is not None]
    return Curve(
        np.array([record.step for record in measured], np.float64),
        np.array([getattr(record, field) for record in measured], np.float64),
    )


def smooth(values: np.ndarray) -> np.ndarray:
    """Exponential moving average of `values`, (N,), with the weight of the missing past taken out (Kingma & Ba 2015)."""
    keep = np.exp(-1 / SMOOTHING_RECORDS)
    average, smoothed = 0.0, np.empty_like(values)
    for i, value in enumerate(values):
        average = keep * average + (1 - keep) * value
        smoothed[i] = average / (1 - keep ** (i + 1))
    return smoothed


def thin(curve: Curve) -> Curve:
    """At most MAX_POINTS points, each the last of those it stands for, so that the curve's end is exact."""
    if len(curve.steps) <= MAX_POINTS:
        return curve
    parts = np.array_split(np.arange(len(curve.steps)), MAX_POINTS)
    return Curve(
        np.array([curve.steps[part[-1]] for part in parts]),
        np.array([curve.values[part[-1]] for part in parts]),
    )
