"""Curves for charts: the records of a run, smoothed, and thinned to what a screen can show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mnist_fc.records import EpochRecord, StepRecord

MAX_POINTS = 600

SMOOTHING_RECORDS = 6
"""Time constant of the moving average: after this many records, a record's weight has fallen to 1/e."""


@dataclass(frozen=True)
class Curve:
    """Values over training steps, or over the seconds spent in them. Both are float64 (N,)."""

    steps: np.ndarray
    values: np.ndarray

    def finite(self) -> "Curve":
        """Return the points whose values are finite, which are those that a chart can draw."""
        is_finite = np.isfinite(self.values)
        return Curve(self.steps[is_finite], self.values[is_finite])


def train_curve(records: Sequence[StepRecord], field: str, over: Literal["step", "seconds"] = "step") -> Curve:
    """Return `train_loss` or `train_accuracy` over steps, smoothed by `smooth` and thinned by `thin`."""
    steps = np.array([getattr(record, over) for record in records], np.float64)
    return thin(Curve(steps, smooth(np.array([getattr(record, field) for record in records], np.float64))))


def gradient_curves(records: Sequence[StepRecord]) -> list[Curve]:
    """Return the norm of each layer's gradient over steps, from the input to the output, smoothed and thinned in the same way."""
    steps = np.array([record.step for record in records], np.float64)
    norms = np.array([record.gradient_norms for record in records], np.float64)
    return [thin(Curve(steps, smooth(layer_norms))) for layer_norms in norms.T]


def epoch_curve(records: Sequence[EpochRecord], field: str) -> Curve:
    """Return a field of the epochs that measured it, over steps. The curve is empty if none did."""
    measured = [record for record in records if getattr(record, field) is not None]
    return Curve(
        np.array([record.step for record in measured], np.float64),
        np.array([getattr(record, field) for record in measured], np.float64),
    )


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the exponential moving average of `values`, float64 (N,).

    It is corrected for its bias towards zero at the start (Kingma & Ba 2015, section 3).
    """
    keep = np.exp(-1 / SMOOTHING_RECORDS)
    average, smoothed = 0.0, np.empty_like(values)
    for i, value in enumerate(values):
        average = keep * average + (1 - keep) * value
        smoothed[i] = average / (1 - keep ** (i + 1))
    return smoothed


def thin(curve: Curve) -> Curve:
    """Return at most MAX_POINTS points: the last of each of as many equal parts, so the end of the curve is exact."""
    if len(curve.steps) <= MAX_POINTS:
        return curve
    parts = np.array_split(np.arange(len(curve.steps)), MAX_POINTS)
    last_of_each = [part[-1] for part in parts]
    return Curve(curve.steps[last_of_each], curve.values[last_of_each])
