"""The loss and accuracy curves of the run that is shown, and the axes that other curves over steps share."""

import math
from typing import Literal

import numpy as np
import streamlit as st
import torch

from mnist_fc.analysis.curves import epoch_curve, train_curve
from mnist_fc.analysis.results import test_curve
from mnist_fc.network.mlp import with_weights
from mnist_fc.percentages import in_percent
from mnist_fc.server.run import RunSnapshot
from mnist_fc.training.evaluation import evaluate
from mnist_fc.views.components.chart import DOT, Axis, Series, heading, line_chart, powers_of_ten
from mnist_fc.views.state import built_in, networks, shared, throttle

MINE = "your digits"
"""The series of the digits that are taught, in a lesson."""

DOTS = {"train": 0.0, "validation": DOT, "test": 0.7 * DOT}
"""The dots of each curve. The test's may lie on those of the validation, which stay visible."""
SERIES_COLORS = {"train": "#4f7df0", "validation": "#e07b1a", "test": "#1f9d6b"}
"""One colour for each data set, the same everywhere and in both themes."""

HEIGHT = 112
"""The height in pixels of each chart of the run that is shown. They share the axis of steps."""


def panel() -> None:
    """Draw the loss and accuracy curves."""
    snapshot = networks.shown_run()
    losses, accuracies = series_of(snapshot, "loss"), series_of(snapshot, "accuracy")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        heading("Loss", at_chosen_step(snapshot, losses), ",.3f")
        log_scale = st.toggle("Log scale", key="log_scale")
    with st.container(key="loss_chart"):
        _chart(snapshot, losses, "loss", log_scale=log_scale)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        heading("Accuracy", at_chosen_step(snapshot, accuracies), ".2%")
        is_zoomed = st.toggle("Zoom", key="accuracy_zoom")
    with st.container(key="accuracy_chart"):
        _chart(snapshot, accuracies, "accuracy", is_zoomed=is_zoomed)


def explanation(snapshot: RunSnapshot, drawn: list[str]) -> str:
    """Return what each curve that is drawn is measured on."""
    num_test = len(shared.mnist().test_labels)
    tests_each_epoch = not snapshot.config.num_validation
    said = {
        "train": "**Train**: average of recent batches.",
        "validation": "**Validation**: training images held back, measured after each epoch.",
        "test": f"**Test**: all {num_test:,} test images, after each epoch as the blog did."
        if tests_each_epoch
        else f"**Test**: {num_test:,} images that the run never saw, measured once, at the end.",
    }
    if snapshot.lesson:
        said[MINE] = "**Your digits**: those that it is taught, as you drew them."
        said["test"] = f"**Test**: MNIST's {num_test:,} test images, after each epoch."
    lines = [said[name] for name in drawn]
    if not drawn:
        return "The curves appear when the training begins."
    if snapshot.lesson:
        return " ".join(lines)
    if snapshot.id == built_in.ID:
        lines.insert(0, "These are the curves of the built-in network's own training, until you train one.")
    if tests_each_epoch:
        lines.append(f"This run trains on all {shared.num_train_images():,} images, so it has no validation images.")
    return " ".join(lines)


def series_of(snapshot: RunSnapshot, what: Literal["loss", "accuracy"]) -> list[Series]:
    """Return the curves that have points: train, validation, test."""
    version = len(snapshot.steps), snapshot.steps[-1:], snapshot.epochs[-1:], snapshot.end
    return throttle.curves.get((snapshot.id, what), version, lambda: _series_of(snapshot, what)).value


def _series_of(snapshot: RunSnapshot, what: Literal["loss", "accuracy"]) -> list[Series]:
    curves = {
        "train": train_curve(snapshot.steps, f"train_{what}"),
        MINE if snapshot.lesson else "validation": epoch_curve(snapshot.epochs, f"val_{what}"),
        "test": test_curve(snapshot.epochs, snapshot.end, what),
    }
    series = []
    at_start = _at_start(snapshot) if what == "accuracy" else {}
    for name, curve in curves.items():
        finite = np.isfinite(curve.values)
        if finite.any() or name in at_start:
            steps, values = curve.steps[finite].tolist(), curve.values[finite].tolist()
            if name in at_start:
                steps, values = [0, *steps], [at_start[name], *values]
            colour = SERIES_COLORS["validation" if name == MINE else name]
            series.append(Series(name, colour, steps, values, dots=DOTS["validation" if name == MINE else name]))
    return series


def _at_start(snapshot: RunSnapshot) -> dict[str, float]:
    """Return the accuracies before a lesson, by the names of their curves; none of another run."""
    lesson = snapshot.lesson
    if lesson is None or lesson.start is None:
        return {}
    before = with_weights(lesson.start, snapshot.config)

    def compute() -> dict[str, float]:
        own = evaluate(before, torch.from_numpy(lesson.images), torch.from_numpy(lesson.labels))[1]
        return {MINE: own, "test": shared.test_accuracy(before)}

    return throttle.results.get(("before lesson", snapshot.id), 0, compute).value


def at_chosen_step(snapshot: RunSnapshot, series: list[Series]) -> list[Series]:
    """Return the curves up to the moment that is looked at; some may have no points by then.

    A test result belongs to one network: another moment has none.
    """
    if (step := networks.chosen_step(snapshot)) is None:
        return series
    return [one.up_to(step if one.name != "test" or step in one.x else -1) for one in series]


def _chart(
    snapshot: RunSnapshot,
    series: list[Series],
    what: Literal["loss", "accuracy"],
    *,
    log_scale: bool = False,
    is_zoomed: bool = False,
) -> None:
    if what == "accuracy":
        domain = accuracy_domain(is_zoomed=is_zoomed)
    else:
        domain = loss_domain([value for one in series for value in one.y], log_scale)
    shown = [one for one in at_chosen_step(snapshot, series) if one.y]
    newest = (
        ", ".join(f"{one.name} {in_percent(one.y[-1], 2) if what == 'accuracy' else format(one.y[-1], '.4g')}" for one in shown)
        or "nothing yet"
    )
    line_chart(
        f"{what}_curves",
        series,
        Axis(step_domain(snapshot), title="step"),
        Axis(domain, log=log_scale, percent=what == "accuracy"),
        label=f"{what} over training steps: {newest}",
        height=HEIGHT,
        mark=networks.chosen_step(snapshot),
    )


# Axes change rarely and in large steps, so that a growing chart does not flicker.


def step_domain(snapshot: RunSnapshot) -> tuple[float, float]:
    """Return the axis of steps: from 0 to one epoch, then to two, four, eight, ... and at most to the end of the run."""
    steps_per_epoch = snapshot.config.steps_per_epoch(snapshot.num_train_images(shared.num_train_images()))
    epochs = 1
    while epochs * steps_per_epoch < snapshot.last_step:
        epochs *= 2
    end = steps_per_epoch * min(epochs, snapshot.config.num_epochs)
    return 0, 1.02 * max(end, snapshot.last_step)  # a run with added data has more steps; there is room for the last dot


def loss_domain(values: list[float], log_scale: bool) -> tuple[float, float]:
    """Return the axis of losses: from 0, or a power of ten, to hold all values and the loss of guessing."""
    highest = max(2.5, max(values, default=0.0) * 1.02)
    if not log_scale:
        return 0, highest if highest == 2.5 else 2.0 ** math.ceil(math.log2(highest))
    return powers_of_ten([*values, 0.1, highest])


def accuracy_domain(*, is_zoomed: bool) -> tuple[float, float]:
    """Return the axis of accuracies: 0 to 100%, or on request its upper part, where good networks differ."""
    return (0.9 if is_zoomed else 0.0), 1.0
