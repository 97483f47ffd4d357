"""The flow of gradients is what the curves show, and vanishes in deep sigmoid networks alone."""

import dataclasses
import functools
import math
from collections.abc import Callable

import pytest

from mnist_fc.analysis.curves import gradient_curves
from mnist_fc.analysis.gradients import NEWEST_RECORDS, GradientFlow, gradient_flow, lost_layers, weakest_flow
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import StepRecord
from tests.support.training_runs import HEALTHY, OVERFITTING, STALLING, Runs, run_of

SIZES = {"shallow": (128,), "deep": (128,) * 4, "wide": (500,) * 4}

Beginnings = Callable[[str, str, str], list[StepRecord]]


@pytest.fixture(scope="module")
def beginnings(mnist: Mnist) -> Beginnings:
    """The first 30 steps on all of MNIST, by activation, initialization and a key of SIZES."""

    @functools.cache
    def begin(activation: str, initialization: str, sizes: str) -> list[StepRecord]:
        config = TrainConfig(hidden_sizes=SIZES[sizes], activation=activation, initialization=initialization, threads=1)  # type: ignore[arg-type]
        return run_of(config, mnist, lambda training: training.step < 30).steps

    return begin


def flow_of(steps: list[StepRecord]) -> GradientFlow:
    flow = gradient_flow(gradient_curves(steps))
    assert flow
    return flow


def weakest_of(steps: list[StepRecord]) -> GradientFlow:
    flow = weakest_flow(gradient_curves(steps))
    assert flow
    return flow


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("initialization", ["pytorch", "keras"])
@pytest.mark.parametrize("sizes", ["deep", "wide"])
def test_gradients_vanish_in_deep_sigmoid_networks_alone(beginnings: Beginnings, initialization: str, sizes: str) -> None:
    for activation in ("sigmoid", "relu", "leaky_relu", "gelu", "tanh"):
        steps = beginnings(activation, initialization, sizes)
        for num_steps in range(1, len(steps) + 1):
            assert flow_of(steps[:num_steps]).vanishes == (activation == "sigmoid"), (activation, num_steps)


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "leaky_relu", "gelu", "tanh"])
def test_gradients_do_not_vanish_in_one_hidden_layer(beginnings: Beginnings, activation: str) -> None:
    assert not weakest_of(beginnings(activation, "pytorch", "shallow")).vanishes


def test_gradients_vanish_for_as_long_as_a_deep_network_stalls(runs: Runs) -> None:
    steps = runs(STALLING["deep sigmoid"]).steps
    assert all(flow_of(steps[:num_steps]).vanishes for num_steps in range(1, len(steps) + 1))


@pytest.mark.integration
@pytest.mark.parametrize("name", [*HEALTHY, *OVERFITTING])
def test_gradients_of_a_run_that_learns_never_vanish(runs: Runs, name: str) -> None:
    assert not weakest_of(runs({**HEALTHY, **OVERFITTING}[name]).steps).vanishes


def test_weakest_flow_is_found_where_it_was(runs: Runs) -> None:
    first = runs(STALLING["deep sigmoid"]).steps[:NEWEST_RECORDS]
    healthy = [
        dataclasses.replace(first[-1], step=first[-1].step + i, gradient_norms=(0.1,) * len(first[0].gradient_norms))
        for i in range(1, 200)
    ]
    weakest = weakest_of([*first, *healthy])
    assert not flow_of([*first, *healthy]).vanishes
    assert weakest.vanishes
    assert weakest == min((flow_of(first[:count]) for count in range(1, len(first) + 1)), key=lambda flow: flow.ratio)


def test_flow_has_the_newest_values_of_the_curves(runs: Runs) -> None:
    """The newest records jump, so that a mean over another window would differ."""
    steps = runs(HEALTHY["tanh, cosine"]).steps
    jumping = [
        dataclasses.replace(record, gradient_norms=(0.01 * (i + 1), *record.gradient_norms[1:]))
        for i, record in enumerate(steps[-5:])
    ]
    curves = gradient_curves([*steps[:-5], *jumping])
    flow = gradient_flow(curves)
    assert flow
    assert flow.step == steps[-1].step
    assert flow.norms == tuple(curve.values[-1] for curve in curves)
    assert flow.ratio == curves[0].values[-1] / curves[-1].values[-1]


def test_flow_stops_where_a_curve_stops(runs: Runs) -> None:
    first, second, third = runs(HEALTHY["adam"]).steps[:3]
    broken = [first, dataclasses.replace(second, gradient_norms=(math.nan, 0.1)), third]
    assert flow_of(broken) == flow_of([first])
    assert gradient_flow(gradient_curves(broken[1:])) is None
    assert gradient_flow([]) is weakest_flow([]) is None


@pytest.mark.parametrize(
    ("norms", "layers"), [((0.0, 0.1), (0,)), ((math.nan, 0.1), (0,)), ((0.1, math.inf), (1,)), ((0.0, 0.0), (0, 1))]
)
def test_layers_are_lost_once_all_newest_records_lack_a_gradient(
    runs: Runs, norms: tuple[float, ...], layers: tuple[int, ...]
) -> None:
    healthy = runs(HEALTHY["adam"]).steps[: NEWEST_RECORDS + 1]
    lost = [dataclasses.replace(record, gradient_norms=norms) for record in healthy]
    assert lost_layers(lost[:1]) == layers
    assert lost_layers([healthy[0], *lost[1:]]) == layers
    assert lost_layers([*lost[2:], healthy[-1]]) == ()
    assert lost_layers([healthy[-1], *lost[2:]]) == ()
    assert lost_layers([]) == ()
