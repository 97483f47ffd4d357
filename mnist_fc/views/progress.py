"""Training as a person watches it: the bar with the buttons and the status, and the live loss and accuracy curves."""

import html
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from mnist_fc.curves import Curve, epoch_curve, train_curve
from mnist_fc.trainer import RunSnapshot, TrainerBusy
from mnist_fc.views import controls, session

SERIES_COLORS = {"train": "#4f7df0", "validation": "#e07b1a", "test": "#1f9d6b"}
"""One colour a data set, the same everywhere and in both themes."""

COMMAND_SECONDS = 0.4


def bar() -> None:
    """The buttons, the status and the progress of the run."""
    st.fragment(_bar, run_every=session.tick_interval())(session.tick_interval() is not None)


def charts() -> None:
    """The loss and accuracy curves."""
    st.fragment(_charts, run_every=session.tick_interval())()


def _bar(ticking: bool) -> None:
    run = session.watched_run()
    snapshot = run.snapshot() if run else None
    active = snapshot is not None and snapshot.is_active
    if ticking and not active:
        st.rerun()  # the run has ended: draw the page once more, without ticks
    paused = snapshot is not None and snapshot.state == "paused"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Train", key="train", type="primary", icon=":material/play_arrow:", disabled=active, on_click=_train,
                  help="Train a new network with the settings of the side panel.")
        st.button("Resume" if paused else "Pause", key="pause", icon=":material/resume:" if paused else ":material/pause:",
                  disabled=not active, on_click=_pause_or_resume, help="Hold the run after the step it is in, or go on.")
        st.button("Stop", key="stop", icon=":material/stop:", disabled=not active, on_click=_stop,
                  help="End the run here and keep its network.")
        st.button("Reset", key="reset", icon=":material/restart_alt:", disabled=snapshot is None, on_click=_reset,
                  help="Put the run and its curves away, and read with the shipped network again.")
        with st.container(key="status", width="content"):
            st.html(f"<span role='status'>{html.escape(_status(snapshot))}</span>")
        with st.container(key="progress", width="stretch"):
            st.progress(_progress(snapshot), _progress_line(snapshot))
    if problem := st.session_state.pop("train_problem", None):
        st.warning(problem)
    if snapshot and snapshot.state == "failed":
        st.error(snapshot.message, icon=":material/error:")
    if snapshot and snapshot.storage_problem:
        st.warning(f"This run is not being saved: {snapshot.storage_problem}. It goes on all the same.")


def _train() -> None:
    try:
        session.watch(session.trainer().start(controls.config()))
    except TrainerBusy:
        st.session_state.train_problem = (
            "Somebody else's run goes on, and this machine trains one network at a time. Press Train again when it has ended."
        )
    else:
        st.session_state.network = "run"
        st.session_state.page_changed = True


def _pause_or_resume() -> None:
    if not (run := session.watched_run()):
        return
    if run.snapshot().state == "paused":
        session.trainer().resume(run)
        run.wait_until_state("running", timeout=COMMAND_SECONDS)
    else:
        session.trainer().pause(run)
        run.wait_until_state("paused", "done", "failed", timeout=COMMAND_SECONDS)


def _stop() -> None:
    if run := session.watched_run():
        session.trainer().stop(run)
        run.wait_for(lambda run: not run.is_active, COMMAND_SECONDS)


def _reset() -> None:
    _stop()
    session.watch(None)
    st.session_state.page_changed = True


def _status(snapshot: RunSnapshot | None) -> str:
    if snapshot is None:
        return "idle"
    epoch = f"epoch {max(1, snapshot.steps[-1].epoch) if snapshot.steps else 1} of {snapshot.config.num_epochs}"
    match snapshot.state:
        case "running":
            return epoch
        case "paused":
            return f"paused, {epoch}"
        case "stopped":
            return f"done, stopped in {epoch}"
    return snapshot.state


def _progress(snapshot: RunSnapshot | None) -> float:
    if not snapshot or not snapshot.steps:
        return 0.0
    if snapshot.state == "done":
        return 1.0
    return min(1.0, snapshot.steps[-1].images_seen / _total_images(snapshot))


def _total_images(snapshot: RunSnapshot) -> int:
    return (len(session.mnist().train_labels) - snapshot.config.num_validation) * snapshot.config.num_epochs


def _progress_line(snapshot: RunSnapshot | None) -> str:
    if not snapshot:
        return "Press Train to watch a network learn from 60,000 handwritten digits."
    if not snapshot.steps:
        return "Getting ready."
    last = snapshot.steps[-1]
    if snapshot.end and snapshot.end.test_accuracy is not None:
        return (
            f"Test accuracy **{snapshot.end.test_accuracy:.2%}** after {last.step:,} steps, "
            f"{snapshot.end.train_seconds:.1f} s of training"
        )
    recent = snapshot.steps[max(0, len(snapshot.steps) - 30)]
    if last.seconds == recent.seconds:
        recent_rate = last.images_seen / max(last.seconds, 1e-9)
    else:
        recent_rate = (last.images_seen - recent.images_seen) / (last.seconds - recent.seconds)
    seconds_left = (_total_images(snapshot) - last.images_seen) / recent_rate
    return f"Step {last.step:,} · {recent_rate:,.0f} images/s · {_duration(seconds_left)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _charts() -> None:
    run = session.watched_run()
    snapshot = run.snapshot() if run else None
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        _heading("Loss", snapshot, "loss", lambda value: f"{value:.4f}")
        log_scale = st.toggle("Log scale", key="log_scale", help="Each line of the grid ten times the one below.")
    with st.container(key="loss_chart"):
        _chart(snapshot, "loss", "log" if log_scale else "linear", ".4f")
    _heading("Accuracy", snapshot, "accuracy", lambda value: f"{value:.2%}")
    with st.container(key="accuracy_chart"):
        _chart(snapshot, "accuracy", "linear", ".2%")
    st.caption(_explanation(snapshot))


def _explanation(snapshot: RunSnapshot | None) -> str:
    if snapshot and not snapshot.config.num_validation:
        return (
            "Train: the images of each step, smoothed. Test: all 10,000 test images after each epoch, as the blog did. "
            "This run trains on all 60,000 images, so it has no validation images."
        )
    return (
        "Train: the images of each step, smoothed. Validation: training images held back, measured after each epoch. "
        "Test: 10,000 images that the run never saw, measured once, at the end."
    )


def _curves(snapshot: RunSnapshot | None, what: str) -> dict[str, Curve]:
    """The curves that have points: train, validation, test."""
    if not snapshot:
        return {}
    curves = {
        "train": train_curve(snapshot.steps, f"train_{what}"),
        "validation": epoch_curve(snapshot.epochs, f"val_{what}"),
        "test": epoch_curve(snapshot.epochs, f"test_{what}"),
    }
    end_value = getattr(snapshot.end, f"test_{what}") if snapshot.end else None
    if end_value is not None and not len(curves["test"].steps) and snapshot.end:
        curves["test"] = Curve(np.array([float(snapshot.end.step)]), np.array([end_value]))
    return {name: curve for name, curve in curves.items() if len(curve.steps)}


def _heading(title: str, snapshot: RunSnapshot | None, what: str, shown: Any) -> None:
    """The chart's title and legend in one line: each series in its colour with its newest value."""
    latest = " ".join(
        f"<span class='series'><i style='background:{SERIES_COLORS[name]}'></i>{name} <b>{shown(curve.values[-1])}</b></span>"
        for name, curve in _curves(snapshot, what).items()
    )
    st.html(f"<div class='chart-heading'><h3>{title}</h3>{latest}</div>", width="content")


def _chart(snapshot: RunSnapshot | None, what: str, scale: str, tooltip_format: str) -> None:
    curves = _curves(snapshot, what)
    if not curves:
        st.html(f"<div class='chart-empty'>The {what} appears here, live, when you press Train.</div>")
        return
    frame = pd.concat(
        pd.DataFrame({"step": curve.steps, what: curve.values, "series": name}) for name, curve in curves.items()
    )
    st.vega_lite_chart(frame, _spec(what, scale, tooltip_format), key=f"{what}_{scale}", height=210, theme="streamlit")


def _spec(what: str, scale: str, tooltip_format: str) -> dict[str, Any]:
    """A line a series, a dot for each figure measured at an epoch's end, and exact values at the nearest point."""
    percent = {"axis": {"format": ".0%" if what == "accuracy" else "~g", "tickCount": 5, "title": None}}
    color = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": list(SERIES_COLORS), "range": list(SERIES_COLORS.values())},
        "legend": None,
    }
    x = {"field": "step", "type": "quantitative", "axis": {"title": "step", "format": "~s", "tickCount": 6}}
    y = {"field": what, "type": "quantitative", "scale": {"type": scale, "zero": False, "nice": scale == "linear"}, **percent}
    tooltip = [
        {"field": "series", "type": "nominal"},
        {"field": "step", "type": "quantitative", "format": ",.0f"},
        {"field": what, "type": "quantitative", "format": tooltip_format},
    ]
    return {
        "encoding": {"x": x, "y": y, "color": color},
        "config": {"animation": False},
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2, "clip": True}},
            {
                "mark": {"type": "point", "filled": True, "size": 45},
                "transform": [{"filter": "datum.series != 'train'"}],
            },
            {
                "params": [
                    {"name": "hovered", "select": {"type": "point", "on": "pointerover", "clear": "pointerout", "nearest": True}}
                ],
                "mark": {"type": "point", "filled": True, "size": 70},
                "encoding": {"opacity": {"condition": {"param": "hovered", "empty": False, "value": 1}, "value": 0}, "tooltip": tooltip},
            },
        ],
    }
