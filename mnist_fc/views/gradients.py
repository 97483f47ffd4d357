"""How much of the gradient reaches each layer, over the steps, and how many units do nothing."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from mnist_fc.analysis.curves import gradient_curves
from mnist_fc.analysis.diagnosis import gradient_flow, weakest_flow
from mnist_fc.config import TrainConfig
from mnist_fc.records import StepRecord
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views import progress
from mnist_fc.views.components.chart import COLORS, Axis, Series, heading, line_chart, powers_of_ten
from mnist_fc.views.components.numbers import format_ratio
from mnist_fc.views.controls import WORDS
from mnist_fc.views.state import networks, session, shared, throttle


def panel(network: networks.Network) -> None:
    """The norms of the run that is watched, what they mean, and the dead units of the network that reads."""
    snapshot = session.watched_snapshot()
    if snapshot is None:
        st.info("Press Train, and here is how strongly the loss pulls at each layer, step by step.")
        return
    if snapshot.steps:
        if series := _series(snapshot):
            _chart(snapshot, series)
        with st.container(key="gradient_words"):
            steps = networks.at_moment(snapshot).steps
            st.markdown(_words(steps, snapshot.config) if steps else "No step has been taken yet.")
    _dead_units(network)
    st.caption(
        "The gradient says in which direction, and how strongly, each weight should change; the norm is the length of all of a "
        "layer's gradient together, smoothed like the loss; the words are about the last steps before the moment shown. The "
        "gradient is computed from the outputs back to the first layer: each layer multiplies it by its weights and by the slope "
        "of its activation."
    )


def _series(snapshot: RunSnapshot) -> list[Series]:
    """The curve of each layer, as far as its norms are finite."""
    num_hidden = len(snapshot.config.hidden_sizes)
    series = []
    for i, curve in enumerate(gradient_curves(snapshot.steps)):
        finite = np.isfinite(curve.values)
        if finite.any():
            steps, values = curve.steps[finite].tolist(), curve.values[finite].tolist()
            series.append(Series(_name(i, num_hidden), COLORS[i % len(COLORS)], steps, values))
    return series


def _chart(snapshot: RunSnapshot, series: list[Series]) -> None:
    moment = networks.moment(snapshot)
    heading("Gradient norms", series if moment is None else [one.up_to(moment) for one in series], ".2g")
    with st.container(key="gradient_chart"):
        line_chart(
            "gradient_curves",
            series,
            Axis(progress.step_domain(snapshot), title="step"),
            Axis(powers_of_ten(value for one in series for value in one.y), log=True),
            label="gradient norm of each layer over training steps",
            mark=moment,
        )


def _name(index: int, num_hidden: int) -> str:
    return "output layer" if index == num_hidden else f"layer {index + 1}"


def _words(steps: Sequence[StepRecord], config: TrainConfig) -> str:
    """What one sees, in two lines."""
    flow, weakest = gradient_flow(steps), weakest_flow(steps)
    if flow is None or weakest is None:
        return "**In some layer no gradient is left**: it is zero or no finite number.\n\nNo layer before it learns any more."
    now, name = format_ratio(flow.ratio), WORDS[config.activation]
    passes_on = f"each {name} layer on the way back passes on only a part"
    passes_on += " (the slope of sigmoid is at most a quarter)" if config.activation == "sigmoid" else ""
    if flow.vanishes:
        return (
            f"**The gradients vanish.** That of layer 1 is now {now} that of the output layer: {passes_on}.\n\n"
            "The first layers hardly change, so the later ones have nothing better to work with, and the loss stands still."
        )
    step, lowest = weakest
    if lowest.vanishes:
        return (
            f"**The gradients vanished** at first: around step {step:,} that of layer 1 was {format_ratio(lowest.ratio)} that "
            f"of the output layer, as {passes_on}.\n\nWhile that lasts the loss stands still; by now the weights have grown, and "
            f"layer 1 has {now} it."
        )
    seen = f"The gradient of layer 1 is now {now} that of the output layer"
    if len(flow.norms) <= 2:
        return f"{seen}.\n\nWith one hidden layer there is no long way on which a gradient could vanish."
    return f"{seen}: **it comes through all {len(flow.norms)} layers**.\n\n{_slope(config.activation)}"


def _slope(activation: str) -> str:
    match activation:
        case "relu" | "leaky_relu" | "gelu":
            return "The slope of an active unit is about 1, so the way back takes nothing from the gradient."
        case "tanh":
            return "Near zero the slope of tanh is 1; only units that are far out pass on less."
    return "The slope of sigmoid is at most a quarter: with few layers enough is left, with four it is not."


def _dead_units(network: networks.Network) -> None:
    surveyed, name = throttle.survey(network)
    if surveyed.reads_nothing:
        st.caption(f"The values of {name} overflowed, so its dead units cannot be counted.")
        return
    sizes = network.reader.model.hidden_sizes
    parts = [
        f"{dead:,} of {size:,} in layer {i}" for i, (dead, size) in enumerate(zip(surveyed.num_dead, sizes, strict=True), start=1)
    ]
    with st.container(key="dead_units"):
        st.markdown(f"**Dead units: {sum(surveyed.num_dead):,}** ({', '.join(parts)}; {name})")
    st.caption(
        f"A unit is dead when it says the same of all {len(shared.mnist().test_labels):,} test digits: a ReLU never on, a "
        "sigmoid that is stuck at one end. No gradient passes through it."
    )
