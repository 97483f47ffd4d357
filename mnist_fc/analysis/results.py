"""The results of a run: its one test figure and its one speed. All code that shows them takes them from here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mnist_fc.analysis.curves import Curve, epoch_curve
from mnist_fc.records import EndRecord, EpochRecord, StepRecord


@dataclass(frozen=True)
class TestResult:
    """Mean cross-entropy and accuracy (0 to 1) on all test images, and the step and epoch after which they were measured."""

    step: int
    epoch: int
    loss: float
    accuracy: float


def test_result(epochs: Sequence[EpochRecord], end: EndRecord | None) -> TestResult | None:
    """Return a run's newest test result, or None if there is none.

    A run that was stopped within an epoch was measured at the stop, so its end comes before its last whole epoch.
    """
    if end and end.test_loss is not None and end.test_accuracy is not None:
        return TestResult(end.step, end.epoch, end.test_loss, end.test_accuracy)
    for record in reversed(epochs):
        if record.test_loss is not None and record.test_accuracy is not None:
            return TestResult(record.step, record.epoch, record.test_loss, record.test_accuracy)
    return None


@dataclass(frozen=True)
class TrainingTime:
    """The time that a run has trained, and the number of images seen in that time; evaluation and pauses do not count."""

    seconds: float
    num_images: int

    @property
    def images_per_second(self) -> float | None:
        """Images over seconds; None before the first step."""
        return self.num_images / self.seconds if self.seconds > 0 else None


def training_time(batch_size: int, steps: Sequence[StepRecord], end: EndRecord | None) -> TrainingTime:
    """Return the time of a run with batches of `batch_size`, at its end or by the last of its `steps`."""
    last = steps[-1] if steps else None
    step, num_images, seconds = (last.step, last.images_seen, last.seconds) if last else (0, 0, 0.0)
    if end is None:
        return TrainingTime(seconds, num_images)
    # The last step of an epoch, whose batch may be smaller, has a record.
    return TrainingTime(end.train_seconds, num_images + batch_size * (end.step - step))


def test_curve(epochs: Sequence[EpochRecord], end: EndRecord | None, what: Literal["loss", "accuracy"]) -> Curve:
    """Return the test loss or accuracy over steps. The last point is `test_result`."""
    curve, newest = epoch_curve(epochs, f"test_{what}"), test_result(epochs, end)
    if newest is None or (len(curve.steps) and curve.steps[-1] == newest.step):
        return curve
    return Curve(np.append(curve.steps, newest.step), np.append(curve.values, getattr(newest, what)))
