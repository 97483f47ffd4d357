"""How much of the gradient reaches each layer over the steps, and how many neurons are dead."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from mnist_fc.analysis.curves import gradient_curves
from mnist_fc.analysis.diagnosis import gradient_flow, weakest_flow
from mnist_fc.config import TrainConfig
from mnist_fc.records import StepRecord
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views import charts
from mnist_fc.views.components.chart import COLORS, Axis, Series, heading, line_chart, powers_of_ten
from mnist_fc.views.components.numbers import format_ratio
from mnist_fc.views.controls import WORDS
from mnist_fc.views.state import networks, session, shared, throttle


def panel(network: networks.Network) -> None:
    """Draw the norms of the run that is shown, what they mean, and the dead neurons of the network that reads."""
    snapshot = session.watched_snapshot()
    if snapshot is None:
        st.info("Press Train to see how strongly the loss pulls at each layer, step by step.")
        return
    if snapshot.steps:
        if series := _series(snapshot):
            _chart(snapshot, series)
        with st.container(key="gradient_words"):
            steps = networks.at_moment(snapshot).steps
            st.markdown(_words(steps, snapshot.config) if steps else "No step has been taken yet.")
    _dead_units(network)
    st.caption(
        "The gradient says how strongly, and in which direction, each weight should change. The norm is the length of a layer's "
        "whole gradient, smoothed like the loss. The words are about the last steps before the moment shown. The gradient is "
        "computed backwards, from the output layer to the first. Each layer multiplies it by its weights and by the slope of its "
        "activation."
    )


def _series(snapshot: RunSnapshot) -> list[Series]:
    """Return the curve of each layer, without norms that are not finite."""
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
            Axis(charts.step_domain(snapshot), title="step"),
            Axis(powers_of_ten(value for one in series for value in one.y), log=True),
            label="gradient norm of each layer over training steps",
            mark=moment,
        )


def _name(index: int, num_hidden: int) -> str:
    return "output layer" if index == num_hidden else f"layer {index + 1}"


def _words(steps: Sequence[StepRecord], config: TrainConfig) -> str:
    """Return what the curves show, as two paragraphs of Markdown."""
    flow, weakest = gradient_flow(steps), weakest_flow(steps)
    if flow is None or weakest is None:
        return "**One layer has no gradient left**: it is zero or not finite.\n\nThe layers before it no longer learn."
    now, name = format_ratio(flow.ratio), WORDS[config.activation]
    passes_on = f"each {name} layer passes back only a part"
    passes_on += " (the slope of sigmoid is at most a quarter)" if config.activation == "sigmoid" else ""
    if flow.vanishes:
        return (
            f"**The gradients vanish.** That of layer 1 is now {now} that of the output layer: {passes_on}.\n\n"
            "The first layers hardly change. The later ones get nothing better to work with, and the loss stalls."
        )
    step, lowest = weakest
    if lowest.vanishes:
        return (
            f"**The gradients vanished** at first. Around step {step:,} that of layer 1 was {format_ratio(lowest.ratio)} that "
            f"of the output layer: {passes_on}.\n\nThe loss stalls while that lasts. By now the weights have grown, and the "
            f"gradient of layer 1 is {now} that of the output layer."
        )
    seen = f"The gradient of layer 1 is now {now} that of the output layer"
    if len(flow.norms) <= 2:
        return f"{seen}.\n\nWith one hidden layer, the network is too shallow for vanishing gradients."
    return f"{seen}: **it comes through all {len(flow.norms)} layers**.\n\n{_slope(config.activation)}"


def _slope(activation: str) -> str:
    match activation:
        case "relu" | "leaky_relu" | "gelu":
            return "The slope of an active neuron is about 1, so the gradient keeps its size on the way back."
        case "tanh":
            return "Near zero the slope of tanh is 1; only saturated neurons pass on less."
    return "The slope of sigmoid is at most a quarter: with few layers enough is left, with four it is not."


def _dead_units(network: networks.Network) -> None:
    surveyed, name = throttle.survey(network)
    if surveyed.reads_nothing:
        st.caption(f"The values of {name} overflowed, so its dead neurons cannot be counted.")
        return
    sizes = network.reader.model.hidden_sizes
    parts = [
        f"{dead:,} of {size:,} in layer {i}" for i, (dead, size) in enumerate(zip(surveyed.num_dead, sizes, strict=True), start=1)
    ]
    with st.container(key="dead_units"):
        st.markdown(f"**Dead neurons: {sum(surveyed.num_dead):,}** ({', '.join(parts)}; {name})")
    st.caption(
        f"A dead neuron never changes its output over all {len(shared.mnist().test_labels):,} test digits. It is a ReLU that is "
        "never on, or a sigmoid stuck at one end. No gradient passes through it."
    )
