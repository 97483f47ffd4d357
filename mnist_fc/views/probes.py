"""Pinned drawings: the probability of the right digit while a network learns, for each run."""

import time

import numpy as np
import streamlit as st

from mnist_fc.analysis.probes import MAX_PROBES, History, Probe
from mnist_fc.config import NUM_CLASSES, ConfigError
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.reading.reader import Reading, percent
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views import charts
from mnist_fc.views.components.chart import DOT, Axis, Series, line_chart
from mnist_fc.views.components.images import picture
from mnist_fc.views.state import networks

COLORS = ("#d946ef", "#8a6d1f", "#9333ea", "#dc2626", "#b0509a")
"""Colours of up to MAX_PROBES curves: none is that of a data set, and all are legible in both themes."""

SECONDS_A_DRAW = 0.12
"""Time for reading the moments that have not been read; the rest are read after the page has been drawn."""


def pinned() -> list[Probe]:
    """Return the pinned drawings, which last as long as the session."""
    probes: list[Probe] = st.session_state.setdefault("probes", [])
    return probes


def is_pinned(reading: Reading) -> bool:
    """Return whether what was read is pinned already."""
    return reading.image is not None and any(np.array_equal(probe.image, reading.image) for probe in pinned())


def pin(readings: list[Reading], label: int | None) -> None:
    """Pin the digits that were read and are not pinned yet, as many as there is room for.

    `label` is what each is meant to be; None for what it is read as. What is not a digit has no right answer to follow.
    """
    for reading in readings:
        if reading.digit is None or reading.image is None or is_pinned(reading) or len(pinned()) == MAX_PROBES:
            continue
        st.session_state.num_pinned = st.session_state.get("num_pinned", 0) + 1
        pinned().append(Probe(st.session_state.num_pinned, reading.image, reading.digit if label is None else label))


def panel() -> bool:
    """Draw the chart of the pinned drawings, if there are any. Return False if moments of the run are left to read."""
    if not pinned():
        return True
    snapshot = networks.shown_run()
    history, is_complete = _history(snapshot)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html("<div class='chart-heading'><h3>Your drawings</h3>probability of the right digit</div>", width="content")
        with st.popover("Edit pins", key="probes_change"):
            _change()
    with st.container(key="probe_chart"):
        _chart(snapshot, history)
    moment = networks.chosen_step(snapshot)
    with st.container(key="probes"):
        st.html(f"<div class='probes'>{''.join(_tile(history, i, moment) for i in range(len(pinned())))}</div>")
    return is_complete


def _history(snapshot: RunSnapshot) -> tuple[History, bool]:
    """Return how the run's kept weights read the pinned drawings, and whether all of them have."""
    state = st.session_state
    if state.get("probe_history_of") != snapshot.id:
        state.probe_history_of, state.probe_history = snapshot.id, History()
    history: History = state.probe_history
    started = time.monotonic()
    if snapshot.weights and history.needs(snapshot.weights.step, pinned()):
        history.add(snapshot.weights.step, networks.newest_reader(snapshot).model, pinned())
    for step in snapshot.kept:
        if not history.needs(step, pinned()):
            continue
        if time.monotonic() > started + SECONDS_A_DRAW:
            return history, False
        try:
            history.add(step, networks.kept_model(snapshot, step), pinned())
        except (CheckpointError, ConfigError):
            history.skip(step, pinned())  # the slider says why when it is moved there
    return history, True


def _chart(snapshot: RunSnapshot, history: History) -> None:
    series = []
    for i, probe in enumerate(pinned()):
        curve = history.curve(probe)
        if len(curve.steps):
            steps, values = curve.steps.tolist(), curve.values.tolist()
            series.append(Series(_name(i), COLORS[i], steps, values, dots=DOT if len(steps) <= 60 else 0))
    line_chart(
        "probe_curves",
        series,
        Axis(charts.step_domain(snapshot), title="step"),
        Axis((0, 1), percent=True),
        label="probability of the right digit for each pinned drawing over training steps",
        height=charts.HEIGHT,
        mark=networks.chosen_step(snapshot),
    )


def _name(index: int) -> str:
    return f"drawing {index + 1}, a {pinned()[index].digit}"


def _tile(history: History, index: int, moment: int | None) -> str:
    """Return one drawing as HTML: its picture, its probability at that moment, and since when it has been read correctly."""
    probe = pinned()[index]
    read = history.reading_at(probe, moment)
    probability, words = "", ""
    if history.is_unread(probe):
        words = "tracked once you train"
    elif read is None:
        words = "values overflowed"
    else:
        digit, probability = read[0], percent(read[1])
        words = f"{'' if digit == probe.digit else f'read as {digit}, '}{_when_right(history, probe, moment)}"
    return (
        f"<div>{picture(probe.image, _name(index))}<span><i style='background:{COLORS[index]}'></i><b>{probe.digit}</b> "
        f"{probability}</span><small>{words}</small></div>"
    )


def _when_right(history: History, probe: Probe, moment: int | None) -> str:
    first, since = history.first_correct(probe, moment), history.correct_since(probe, moment)
    if first is None:
        return "not yet correct"
    if since is None:
        return f"first correct at step {first:,}"
    return f"correct since step {since:,}" if since == first else f"steadily since step {since:,}"


def _change() -> None:
    """Draw a choice of the digit that each drawing is meant to be, and a button that unpins it."""
    st.caption("What is each drawing meant to be?")
    for i, probe in enumerate(pinned()):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(f"<div class='probes'><div>{picture(probe.image, _name(i))}</div></div>", width="content")
            key = f"probe_digit_{probe.id}"
            st.selectbox(
                _name(i),
                range(NUM_CLASSES),
                index=probe.digit,
                key=key,
                label_visibility="collapsed",
                width=90,
                on_change=_set_digit,
                args=(probe, key),
            )
            st.button("Unpin", key=f"unpin_{probe.id}", on_click=_unpin, args=(probe,))


def _set_digit(probe: Probe, key: str) -> None:
    st.session_state.probes = [Probe(one.id, one.image, st.session_state[key]) if one.id == probe.id else one for one in pinned()]


def _unpin(probe: Probe) -> None:
    st.session_state.probes = [one for one in pinned() if one.id != probe.id]
