"""The share of the gradient that reaches each layer over the steps, and the number of dead neurons."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from mnist_fc.analysis.curves import Curve, gradient_curves, train_curve
from mnist_fc.analysis.gradients import VANISHING_RATIO, gradient_flow, last_vanishing_step, lost_layers, weakest_flow
from mnist_fc.config import TrainConfig
from mnist_fc.records import StepRecord
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views import charts
from mnist_fc.views.components.chart import COLORS, Axis, Series, heading, line_chart, powers_of_ten
from mnist_fc.views.components.numbers import format_ratio
from mnist_fc.views.settings import WORDS
from mnist_fc.views.state import built_in, networks, shared, throttle

TINY_NORM = 1e-6
"""Norms below this are called tiny."""

SHORTEST_SPAN = 10
"""Steps from the first record for which the course of the loss is told: over fewer, it hardly changes in any network."""


def panel(network: networks.Network) -> None:
    """Draw the norms of the run that is shown, what they mean, and the dead neurons of the network that reads."""
    snapshot = networks.shown_run()
    with st.container():
        if snapshot.id == built_in.ID:
            st.caption("The curves are those of the built-in network's own training, until you train one.")
    if snapshot.steps:
        shown = networks.at_chosen_step(snapshot)
        curves = gradient_curves(snapshot.steps)
        shown_curves = curves if shown is snapshot else gradient_curves(shown.steps)
        if series := _series(curves, snapshot.config):
            _chart(snapshot, series, _series(shown_curves, snapshot.config))
        with st.container(key="gradient_words"):
            st.markdown(explain(shown.steps, shown_curves, snapshot.config) if shown.steps else "No step has been taken yet.")
    _dead_units(network)
    st.caption(
        "The gradient says how strongly, and in which direction, each weight should change. The norm is the length of a layer's "
        "whole gradient, smoothed like the loss. The words are about the last steps before the moment shown. The gradient is "
        "computed backwards, from the output layer to the first. Each layer multiplies it by its weights and by the slope of its "
        "activation."
    )


def _series(curves: Sequence[Curve], config: TrainConfig) -> list[Series]:
    """Return the curve of each layer, without norms that are not finite."""
    num_hidden = len(config.hidden_sizes)
    series = []
    for i, curve in enumerate(curves):
        drawn = curve.finite()
        if len(drawn.steps):
            name, color = _name(i, num_hidden), COLORS[i % len(COLORS)]
            series.append(Series(name, color, drawn.steps.tolist(), drawn.values.tolist()))
    return series


def _chart(snapshot: RunSnapshot, series: list[Series], shown: list[Series]) -> None:
    """Draw the curves of the whole run; the values beside their names are those of `shown`, which ends at the moment shown."""
    heading("Gradient norms", shown or [one.up_to(-1) for one in series], ".2g")
    with st.container(key="gradient_chart"):
        line_chart(
            "gradient_curves",
            series,
            Axis(charts.step_domain(snapshot), title="step"),
            Axis(powers_of_ten(value for one in series for value in one.y), log=True),
            label="gradient norm of each layer over training steps",
            mark=networks.chosen_step(snapshot),
        )


def _name(index: int, num_hidden: int) -> str:
    return "output layer" if index == num_hidden else f"layer {index + 1}"


def explain(steps: Sequence[StepRecord], curves: Sequence[Curve], config: TrainConfig) -> str:
    """Return what the curves show at their newest point, in two paragraphs."""
    flow, weakest = gradient_flow(curves), weakest_flow(curves)
    if lost := lost_layers(steps):
        return _explain_lost(lost, steps, curves)
    if flow is None or weakest is None:
        return "At no step is the gradient of every layer a finite number above zero, so the layers cannot be compared."
    now = format_ratio(flow.ratio)
    if flow.vanishes:
        return (
            f"**The gradients vanish.** That of layer 1 is now {now} that of the output layer: {_passes_on(config)}.\n\n"
            f"The first layers hardly change, so the later ones have little to work with. {_course_of_loss(steps)}".rstrip()
        )
    if weakest.vanishes:
        until = last_vanishing_step(curves)
        while_vanishing = [record for record in steps if until is not None and record.step <= until]
        return (
            f"**The gradients vanished** around step {weakest.step:,}: that of layer 1 was {format_ratio(weakest.ratio)} that "
            f"of the output layer, as {_passes_on(config)}.\n\n{_course_of_loss(while_vanishing)}Layer 1 now has {now} the "
            "gradient of the output layer."
        )
    seen = f"The gradient of layer 1 is now {now} that of the output layer"
    if max(flow.norms) < TINY_NORM:
        return f"{seen}.\n\n**All gradients are tiny**: the loss hardly pulls at any weight."
    if len(flow.norms) <= 2:
        why = " Most of its neurons may be saturated or dead." if flow.ratio < VANISHING_RATIO else ""
        return f"{seen}.\n\nOne hidden layer is too shallow for vanishing gradients.{why}"
    return f"{seen}: **it comes through all {len(flow.norms)} layers**.\n\n{_slope(config.activation)}"


def _explain_lost(layers: Sequence[int], steps: Sequence[StepRecord], curves: Sequence[Curve]) -> str:
    """Return what it means that the layers with these indices have no gradient."""
    names = [_name(i, len(curves) - 1).replace("output", "the output") for i in layers]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    norms = [steps[-1].gradient_norms[i] for i in layers]
    why = "it is " + " or ".join(["zero"] * (0 in norms) + ["not a finite number"] * any(norms))
    if any(np.isfinite(curves[i].values[-1]) and curves[i].values[-1] > 0 for i in layers):
        why += ". The chart shows means over recent steps, which fall to zero slowly"
    return f"**No gradient is left in {listed}**: {why}.\n\nA layer without a gradient does not learn any more."


def _passes_on(config: TrainConfig) -> str:
    words = f"each {WORDS[config.activation]} layer on the way back passes on only a part"
    return f"{words} (the slope of sigmoid is at most a quarter)" if config.activation == "sigmoid" else words


def _course_of_loss(steps: Sequence[StepRecord]) -> str:
    """Return a sentence on the training loss that the chart shows, up to the last of `steps`; empty for too few steps."""
    values = train_curve(steps, "train_loss").finite().values
    if not len(values):
        return "The loss has overflowed. "
    if steps[-1].step < SHORTEST_SPAN:
        return ""
    return f"Up to step {steps[-1].step:,} the loss went from {values[0]:.2f} to {values[-1]:.2f}. "


def _slope(activation: str) -> str:
    match activation:
        case "relu" | "leaky_relu" | "gelu":
            return "The slope of an active neuron is about 1, so the gradient keeps its size on the way back."
        case "tanh":
            return "Near zero the slope of tanh is 1; only saturated neurons pass on less."
    return "The slope of sigmoid is at most a quarter: with few layers enough is left, with four it is not."


def _dead_units(network: networks.Network) -> None:
    surveyed, name = throttle.survey(network)
    if surveyed.overflows:
        st.caption(f"The values of {name} overflowed, so its dead units cannot be counted.")
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
