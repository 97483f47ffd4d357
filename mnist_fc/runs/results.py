"""The test result of a run: every place that shows it takes it from here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mnist_fc.analysis.curves import Curve, epoch_curve
from mnist_fc.records import EndRecord, EpochRecord


@dataclass(frozen=True)
class TestResult:
    """Mean loss and accuracy on all test images, and when they were measured."""

    step: int
    epoch: int
    loss: float
    accuracy: float


def test_result(epochs: Sequence[EpochRecord], end: EndRecord | None) -> TestResult | None:
    """Return a run's newest test result: of its end, else of the last epoch that has one; None where there is none.

    A run that was stopped in the middle of an epoch was measured there, after the result of its last whole epoch.
    """
    if end and end.test_loss is not None and end.test_accuracy is not None:
        return TestResult(end.step, end.epoch, end.test_loss, end.test_accuracy)
    for record in reversed(epochs):
        if record.test_loss is not None and record.test_accuracy is not None:
            return TestResult(record.step, record.epoch, record.test_loss, record.test_accuracy)
    return None


def test_curve(epochs: Sequence[EpochRecord], end: EndRecord | None, what: Literal["loss", "accuracy"]) -> Curve:
    """Return the test loss or accuracy over steps; the last point is `test_result`."""
    curve, newest = epoch_curve(epochs, f"test_{what}"), test_result(epochs, end)
    if newest is None or (len(curve.steps) and curve.steps[-1] == newest.step):
        return curve
    return Curve(np.append(curve.steps, newest.step), np.append(curve.values, getattr(newest, what)))
