"""The runs beside each other: the table to compare, name, pin and delete them, their curves overlaid, and the blog's programs."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import streamlit as st

from mnist_fc.analysis.curves import Curve, epoch_curve, train_curve
from mnist_fc.analysis.results import test_curve
from mnist_fc.runs.store import RunStore
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views import blog, charts, runs_table
from mnist_fc.views.components.chart import COLORS, DOT, Axis, Series, heading, line_chart
from mnist_fc.views.runs_table import ListedRun
from mnist_fc.views.state import formatting, session, shared

MAX_LISTED = 30
"""Runs in the table, before all are asked for."""

NEARLY_FULL = 0.8
"""Share of the store's limit from which on the runs that would go first are named."""

FIRST_COMPARED = 3
"""Curves that are shown before any are chosen."""

What = Literal["loss", "accuracy"]
Over = Literal["step", "seconds"]


def panel() -> None:
    """Draw the table, the curves of the ticked runs, and the blog's two programs.

    Messages stand below the table: one that came above it would move its rows under the pointer.
    """
    scheduler = shared.scheduler()
    runs = runs_table.listed_runs(scheduler)
    kept = [run for run in runs if run.stored and not run.is_deleted]
    st.caption(
        f"The folder `{scheduler.store.path}` holds {len(kept)} run{'s' * (len(kept) != 1)}, {_num_bytes(kept) / 1e9:.2f} of "
        f"{scheduler.store.limit / 1e9:g} GB. When there is no room for the next run, the oldest unpinned runs are removed; the "
        "page names them first. A run that you delete can be brought back until the next run begins. Runs with the same seed, "
        "layers and initialization start with the same weights. Click or tap a name to rename the run."
    )
    with st.container():
        if not runs:
            st.info("There are no runs yet. Press Train, and the run appears here.")
        else:
            colors = _colors(runs)
            with st.container(key="runs"):
                runs_table.show(runs if st.session_state.get("all_runs") else runs[:MAX_LISTED], colors)
            with st.container():
                if len(runs) > MAX_LISTED:
                    st.toggle(f"All {len(runs)} runs", key="all_runs")
                _messages(scheduler.store, kept)
            _curves([run for run in runs if run.id in colors], colors)
    st.divider()
    blog.panel(runs)


def _num_bytes(runs: Sequence[ListedRun]) -> int:
    return sum(run.stored.num_bytes for run in runs if run.stored)


def _messages(store: RunStore, kept: Sequence[ListedRun]) -> None:
    """Draw the errors of actions and of unreadable runs, and which runs would be removed first."""
    if problem := st.session_state.pop("runs_problem", ""):
        st.warning(problem)
    for problem in store.unreadable()[:3]:
        st.warning(formatting.escape_markdown(problem))
    if _num_bytes(kept) > NEARLY_FULL * store.limit:
        unpinned = [run for run in reversed(kept) if run.stored and not run.stored.metadata.is_pinned]
        oldest = ", ".join(formatting.escape_markdown(run.name) for run in unpinned[:3])
        st.caption(f"The store is nearly full. The first to be removed for room: {oldest or 'none, all are pinned'}.")


def _colors(runs: Sequence[ListedRun]) -> dict[str, str]:
    """Return the colours of the curves that are shown, by run; a run that was deleted keeps its own until it is gone for good."""
    state = st.session_state
    watched = session.watched_run()
    known = [run.id for run in runs if run.stored]
    if "compared" not in state:
        kept = [run.id for run in runs if run.stored and not run.is_deleted]
        first = [run_id for run_id in kept if watched and run_id == watched.id]
        state.compared = [*first, *(run_id for run_id in kept if run_id not in first)][:FIRST_COMPARED]
    if watched and watched.id in known and state.get("compared_newest") != watched.id:
        state.compared_newest = watched.id  # the run on the page is shown until it is unticked
        state.compared = [*(run_id for run_id in state.compared if run_id != watched.id), watched.id]
    state.compared = [run_id for run_id in state.compared if run_id in known][-len(COLORS) :]
    colors: dict[str, str] = state.setdefault("run_colors", {})
    for gone in colors.keys() - set(state.compared):
        del colors[gone]
    for run_id in state.compared:
        if run_id not in colors:  # a curve keeps its colour while others come and go
            colors[run_id] = next(color for color in COLORS if color not in colors.values())
    return colors


# Curves


def _curves(runs: Sequence[ListedRun], colors: dict[str, str]) -> None:
    """Draw the curves of several runs on one pair of axes, all smoothed alike.

    A run that was deleted has no curve, but keeps its place in the legend: a page that became shorter would move its rows.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="compare"):
        what: Any = _choose("What", ["loss", "accuracy"], "compare_what")
        of = _choose("Of which images", ["train", "validation", "test"], "compare_of")
        over: Any = _choose("Over", ["step", "seconds"], "compare_over")
        is_zoomed = what == "accuracy" and st.toggle("Zoom", key="compare_zoom")
    series, legend = [], []
    for run in runs:
        if run.is_deleted:
            legend.append(Series(f"{run.name} (deleted)", colors[run.id], [], []))
            continue
        here = shared.scheduler().run(run.id)
        curve = _curve(here.snapshot(), what, of, over) if here else Curve(np.empty(0), np.empty(0))
        finite = np.isfinite(curve.values)
        if finite.any():
            x, y = curve.steps[finite].tolist(), curve.values[finite].tolist()
            series.append(Series(run.name, colors[run.id], x, y, dots=DOT if of != "train" else 0))
            legend.append(series[-1])
    heading(f"{what.capitalize()}, {of}", legend, ".2%" if what == "accuracy" else ",.3f")
    with st.container(key="compare_chart"):  # the style sheet keeps its height when there is no curve
        if series:
            _chart(series, what, of, over, is_zoomed=is_zoomed)
        else:
            st.caption("None of these runs has such figures." if runs else "Tick runs in the table to see their curves here.")


def _chart(series: Sequence[Series], what: What, of: str, over: Over, *, is_zoomed: bool) -> None:
    is_accuracy = what == "accuracy"
    values = [value for one in series for value in one.y]
    domain = charts.accuracy_domain(is_zoomed=is_zoomed) if is_accuracy else charts.loss_domain(values, log_scale=False)
    line_chart(
        "compare_curves",
        series,
        Axis((0, 1.02 * max(one.x[-1] for one in series)), title=over),
        Axis(domain, percent=is_accuracy),
        label=f"{of} {what} over {over} of {len(series)} runs",
    )


def _choose(label: str, options: Sequence[str], key: str) -> str:
    chosen: str = st.segmented_control(label, options, default=options[0], required=True, key=key, label_visibility="collapsed")
    return chosen


def _curve(run: RunSnapshot, what: What, of: str, over: Over) -> Curve:
    """Return a run's loss or accuracy on one set of images, over steps or over seconds of training."""
    if of == "train":
        return train_curve(run.steps, f"train_{what}", over)
    curve = epoch_curve(run.epochs, f"val_{what}") if of == "validation" else test_curve(run.epochs, run.end, what)
    if over == "seconds":
        seconds = {record.step: record.seconds for record in run.steps}
        curve = Curve(np.array([seconds.get(step, np.nan) for step in curve.steps.tolist()]), curve.values)
    return curve
