"""The words about gradients quote the figures of the charts beside them."""

import math
import re
from dataclasses import replace

import pytest

from mnist_fc.analysis.curves import gradient_curves, train_curve
from mnist_fc.config import TrainConfig
from mnist_fc.records import StepRecord
from mnist_fc.views.components.numbers import format_ratio
from mnist_fc.views.gradients import explain

CONFIG = TrainConfig(hidden_sizes=(8, 8, 8), activation="sigmoid", threads=1)


def step_record(step: int, ratio: float, loss: float) -> StepRecord:
    return StepRecord(step, 1, 100 * step, float(step), loss, 0.5, 0.001, (0.1 * ratio, 0.1, 0.1, 0.1))


def words(steps: list[StepRecord]) -> str:
    return explain(steps, gradient_curves(steps), CONFIG)


def legend_ratio(steps: list[StepRecord]) -> str:
    """The first layer's newest value on the chart by the output layer's."""
    first, *_, output = gradient_curves(steps)
    return format_ratio(first.values[-1] / output.values[-1])


@pytest.mark.parametrize("ratios", [(0.9, 0.3), (0.3, 0.9), (0.001, 0.5), (0.02, 0.005)])
def test_ratio_is_that_of_the_legend(ratios: tuple[float, float]) -> None:
    """The ratio changes within the newest records, where means over different windows differ."""
    steps = [step_record(step, ratios[step > 15], 2.3) for step in range(1, 21)]
    assert legend_ratio(steps) in words(steps)


def test_loss_beside_vanishing_gradients_is_that_of_the_chart() -> None:
    steps = [step_record(step, 0.001, 2.31 - 0.03 * step) for step in range(1, 21)]
    drawn = train_curve(steps, "train_loss").values
    assert f"Up to step 20 the loss went from {drawn[0]:.2f} to {drawn[-1]:.2f}." in words(steps)
    assert "stands still" not in words(steps)


def test_loss_that_overflowed_is_called_so() -> None:
    assert "The loss has overflowed." in words([step_record(step, 0.001, math.nan) for step in range(1, 21)])


def test_earlier_vanishing_is_quoted_at_its_lowest_point() -> None:
    falling = [step_record(step, 0.5 / 2**step, 2.3) for step in range(1, 11)]
    recovered = [step_record(step, 0.8, 1.8) for step in range(11, 40)]
    text = words([*falling, *recovered])
    assert f"around step 10: that of layer 1 was {legend_ratio(falling)}" in text
    assert re.search(r"Up to step 10 the loss went from 2\.30 to 2\.30\. Layer 1 now has", text)
    assert legend_ratio([*falling, *recovered]) in text


def test_loss_is_told_over_all_steps_without_gradient() -> None:
    """The ratio is lowest at the first step; the loss is that up to the last step at which the gradients vanish."""
    stalled = [step_record(step, 0.0001 * step, 2.36 - 0.01 * (step > 60)) for step in range(1, 101)]
    recovered = [step_record(step, 0.8, 1.8) for step in range(101, 200)]
    text = words([*stalled, *recovered])
    assert "around step 1:" in text
    assert "Up to step 100 the loss went from 2.36 to 2.35. Layer 1 now has" in text


def test_loss_over_a_few_steps_is_not_told() -> None:
    vanished = [step_record(step, 0.001, 2.36) for step in range(1, 5)]
    assert "Up to step" not in words(vanished)
    assert "Up to step" not in words([*vanished, *(step_record(step, 0.8, 1.8) for step in range(5, 40))])


@pytest.mark.parametrize(
    ("norms", "listed", "why"),
    [
        ((0.0, 0.1), "layer 1", "it is zero"),
        ((0.0, 0.0, 0.1), "layer 1 and layer 2", "it is zero"),
        ((0.0, 0.0, 0.0, 0.0), "layer 1, layer 2, layer 3 and the output layer", "it is zero"),
        ((0.1, math.inf), "the output layer", "it is not a finite number"),
        ((0.0, math.nan), "layer 1 and the output layer", "it is zero or not a finite number"),
    ],
)
def test_layers_without_a_gradient_are_named(norms: tuple[float, ...], listed: str, why: str) -> None:
    dead = [replace(step_record(step, 0.8, 2.3), gradient_norms=norms) for step in range(1, 30)]
    assert f"**No gradient is left in {listed}**: {why}.\n\nA layer without a gradient" in words(dead)


def test_gradient_that_became_zero_explains_the_falling_curve() -> None:
    steps = [step_record(step, 0.8, 2.3) for step in range(1, 30)]
    assert "comes through all 4 layers" in words(steps)
    dead = [replace(record, gradient_norms=(0.0, 0.0, 0.0, 0.1)) for record in steps[5:]]
    assert gradient_curves([*steps[:5], *dead])[0].values[-1] > 0
    assert "it is zero. The chart shows means over recent steps, which fall to zero slowly." in words([*steps[:5], *dead])


@pytest.mark.parametrize(
    ("norms", "explained"),
    [
        ((0.1, 0.1), "One hidden layer is too shallow for vanishing gradients."),
        ((1e-5, 0.1), "vanishing gradients. Most of its neurons may be saturated or dead."),
        ((5e-15, 6.3e-14), "**All gradients are tiny**"),
        ((0.1, 0.1, 0.1), "it comes through all 3 layers"),
        ((5e-14, 5e-14, 6.3e-14), "**All gradients are tiny**"),
        ((1e-4, 0.01, 0.1), "**The gradients vanish.**"),
    ],
)
def test_words_are_true_for_few_layers_and_tiny_values(norms: tuple[float, ...], explained: str) -> None:
    steps = [replace(step_record(step, 0.8, 2.3), gradient_norms=norms) for step in range(1, 30)]
    assert explained in words(steps)
    assert "gradient is left" not in words(steps)
