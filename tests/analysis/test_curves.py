"""Curves have few enough points for a screen, and no value that was not measured."""

from collections.abc import Sequence

import numpy as np
import pytest

from mnist_fc.analysis.curves import MAX_POINTS, Curve, epoch_curve, gradient_curves, smooth, thin, train_curve
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EpochRecord, Record, StepRecord
from mnist_fc.training.engine import train


@pytest.fixture(scope="module")
def records(small: Mnist) -> list[Record]:
    return list(train(TrainConfig(hidden_sizes=(16,), num_epochs=3, num_validation=500, threads=1), small))


def steps_of(records: Sequence[Record]) -> list[StepRecord]:
    return [record for record in records if isinstance(record, StepRecord)]


def epochs_of(records: Sequence[Record]) -> list[EpochRecord]:
    return [record for record in records if isinstance(record, EpochRecord)]


def long_curve(count: int) -> Curve:
    return Curve(np.arange(1.0, count + 1), np.random.default_rng(0).random(count))


@pytest.mark.parametrize("field", ["train_loss", "train_accuracy"])
def test_train_curve_begins_with_the_first_value(records: list[Record], field: str) -> None:
    curve = train_curve(steps_of(records), field)
    assert curve.steps.tolist() == [record.step for record in steps_of(records)]
    assert curve.values[0] == pytest.approx(getattr(steps_of(records)[0], field))


def test_smoothed_value_is_the_weighted_mean_up_to_it() -> None:
    values = np.random.default_rng(0).random(50)
    for i, smoothed in enumerate(smooth(values)):
        weights = np.exp(-np.arange(i, -1, -1) / 6)
        assert smoothed == pytest.approx(np.average(values[: i + 1], weights=weights))


def test_smoothing_keeps_a_constant_and_steadies_noise(records: list[Record]) -> None:
    assert smooth(np.full(100, 0.7)) == pytest.approx(np.full(100, 0.7))
    values = np.array([record.train_loss for record in steps_of(records)])
    assert np.abs(np.diff(smooth(values))).mean() < 0.6 * np.abs(np.diff(values)).mean()


@pytest.mark.parametrize("count", [0, 1, MAX_POINTS])
def test_short_curve_is_not_thinned(count: int) -> None:
    curve = long_curve(count)
    assert thin(curve) is curve


@pytest.mark.parametrize("count", [MAX_POINTS + 1, 2 * MAX_POINTS, 6007])
def test_long_curve_is_thinned_to_some_of_its_points(count: int) -> None:
    curve = long_curve(count)
    thinned = thin(curve)
    assert len(thinned.steps) == len(thinned.values) == MAX_POINTS
    assert thinned.steps[-1] == curve.steps[-1]
    assert (np.diff(thinned.steps) > 0).all()
    values = dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
    assert thinned.values.tolist() == [values[step] for step in thinned.steps.tolist()]


def test_epoch_curve_has_only_measured_values(records: list[Record]) -> None:
    curve = epoch_curve(epochs_of(records), "val_accuracy")
    assert curve.steps.tolist() == [15, 30, 45]
    assert curve.values.tolist() == [record.val_accuracy for record in epochs_of(records)]
    assert epoch_curve(epochs_of(records), "test_accuracy").steps.shape == (0,)


def test_run_without_records_has_empty_curves() -> None:
    assert train_curve([], "train_loss").values.shape == (0,)
    assert epoch_curve([], "val_loss").values.shape == (0,)


def test_gradient_curves_smooth_each_layer_on_its_own(records: list[Record]) -> None:
    steps = steps_of(records)
    curves = gradient_curves(steps)
    assert len(curves) == 2
    for layer, curve in enumerate(curves):
        assert curve.steps.tolist() == [record.step for record in steps]
        assert curve.values == pytest.approx(smooth(np.array([record.gradient_norms[layer] for record in steps])))
