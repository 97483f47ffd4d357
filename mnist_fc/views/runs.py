"""The runs of the store beside each other: a table to compare, name, pin and delete them, their curves overlaid, and the blog's
two programs.
"""

import html
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import streamlit as st

from mnist_fc.analysis.curves import Curve, epoch_curve, train_curve
from mnist_fc.analysis.results import test_curve, test_result
from mnist_fc.config import FIELDS, PRESETS, TrainConfig, preset_of
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.reader import StoredRun
from mnist_fc.runs.store import RunStore
from mnist_fc.server.job import ACTIVE_STATES
from mnist_fc.server.run import RunSnapshot
from mnist_fc.server.scheduler import JobRejected
from mnist_fc.server.status import Word, stored_status_word
from mnist_fc.views import controls, handwriting_test, progress
from mnist_fc.views.components.chart import COLORS, Axis, Series, heading, line_chart
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.state import formatting, session, shared

MAX_LISTED = 30
"""Runs in the table, before all are asked for."""

NEARLY_FULL = 0.8
"""Of the bound: from there on the runs that would go first are named."""

FIRST_COMPARED = 3
"""Curves that are shown, before any are chosen."""

BLOG = {"blog-keras": ("Keras", "97.7%"), "blog-pytorch": ("PyTorch", "not published")}
"""The blog's two programs: what they are written in, and the test accuracy that the blog tells."""

What = Literal["loss", "accuracy"]
Over = Literal["step", "seconds"]

_table = Component("runs_table", "<div class='runs' role='region' aria-label='Table of runs' tabindex='0'></div>")


def panel() -> None:
    """The table, the curves of those that are ticked, and the blog's two programs."""
    store = shared.scheduler().store
    runs = store.runs()
    with st.container():  # what comes and goes in it moves nothing below: a table that is moved loses a click
        _top(store, runs)
    if not runs:
        st.info("No run is kept yet. Press Train, and it stands here.")
        _deleted(store)
    else:
        compared = _compared(runs)
        listed = runs if st.session_state.get("all_runs") else runs[:MAX_LISTED]
        with st.container(key="runs"):
            _show_table(listed, compared)
        if len(runs) > MAX_LISTED:
            st.toggle(f"All {len(runs)} runs", key="all_runs")
        _deleted(store)
        _curves([run for run in runs if run.id in compared], compared)
    st.divider()
    _blog(runs)


def _top(store: RunStore, runs: Sequence[StoredRun]) -> None:
    used = sum(run.num_bytes for run in runs)
    st.caption(
        f"{len(runs)} run{'s' * (len(runs) != 1)} in `{store.path}`, {used / 1e9:.2f} of {store.limit / 1e9:g} GB. When there is "
        "no room for the next, the oldest that are not pinned go, and the page says which before. Runs with the same seed and "
        "layers begin with the same weights, so what differs is what the settings do. Click or tap a name to rename it."
    )
    if problem := st.session_state.pop("runs_problem", ""):
        st.warning(problem)
    for problem in store.unreadable()[:3]:
        st.warning(formatting.escape_markdown(problem))
    if used > NEARLY_FULL * store.limit:
        oldest = [
            formatting.escape_markdown(run.metadata.name or run.id) for run in reversed(runs) if not run.metadata.is_pinned
        ][:3]
        st.caption(
            f"The store is nearly full. The first to go when room is needed: {', '.join(oldest) or 'none, all are pinned'}."
        )


def _deleted(store: RunStore) -> None:
    """What was deleted last, and the way back; below the table, whose rows would move away under the pointer."""
    if deleted := store.deleted():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f"{formatting.escape_markdown(deleted)} is deleted; Undo until the next run begins or is deleted.",
                width="content",
            )
            st.button("Undo", key="undo_delete", icon=":material/undo:", on_click=_undo_delete)


def _compared(runs: Sequence[StoredRun]) -> dict[str, str]:
    """The runs whose curves are shown, by id, each with its colour."""
    state = st.session_state
    watched = session.watched_run()
    if "compared" not in state:
        first = [run.id for run in runs if watched and run.id == watched.id]
        state.compared = [*first, *(run.id for run in runs if run.id not in first)][:FIRST_COMPARED]
    known = {run.id for run in runs}
    if watched and watched.id in known and state.get("compared_newest") != watched.id:
        state.compared_newest = watched.id  # the run on the page is shown, until it is ticked off
        state.compared = [*(run_id for run_id in state.compared if run_id != watched.id), watched.id]
    state.compared = [run_id for run_id in state.compared if run_id in known][-len(COLORS) :]
    colors: dict[str, str] = state.setdefault("run_colors", {})
    for gone in colors.keys() - set(state.compared):
        del colors[gone]
    for run_id in state.compared:
        if run_id not in colors:  # a curve keeps its colour while others come and go
            colors[run_id] = next(color for color in COLORS if color not in colors.values())
    return colors


def _show_table(runs: Sequence[StoredRun], compared: dict[str, str]) -> None:
    differing = [field for field in FIELDS if len({getattr(run.config, field) for run in runs}) > 1]
    hands = {run.id: handwriting_test.num_right(run.id) for run in runs}
    has_hands = any(right is not None for right in hands.values())
    watched = session.watched_run()
    rows = []
    for run in runs:
        word = _word(run)
        right = hands[run.id]
        rows.append(
            {
                "id": run.id,
                "name": run.metadata.name or run.id,
                "isPinned": run.metadata.is_pinned,
                "state": word,
                "isActive": word in (*ACTIVE_STATES, "running elsewhere"),
                "isWatched": watched is not None and watched.id == run.id,
                "color": compared.get(run.id),
                "cells": [
                    *_figures(run, word),
                    *([f"{right} of 10" if right is not None else ""] if has_hands else []),
                    *(controls.value_in_words(getattr(run.config, field)) for field in differing),
                ],
            }
        )
    columns = ["state", "validation", "test", "time", "images/s", *(["your hand"] if has_hands else [])]
    columns += [controls.field_in_words(field) for field in differing]
    _table.show("runs_table", {"columns": columns, "rows": rows}, on_act_change=_act)


def _word(run: StoredRun) -> Word:
    return stored_status_word(run, shared.scheduler().active_run(run.id))


def _figures(run: StoredRun, word: Word) -> list[str]:
    """State, validation and test accuracy, seconds of training, and images per second."""
    result = test_result(run.epochs, run.end)
    accuracies = (run.epochs[-1].val_accuracy if run.epochs else None, result.accuracy if result else None)
    rates = [epoch.images_per_second for epoch in run.epochs]
    seconds = run.end.train_seconds if run.end else sum(epoch.seconds for epoch in run.epochs)
    num_done, num_epochs = len(run.epochs), run.config.num_epochs
    return [
        word if num_done == num_epochs else f"{word}, {num_done} of {num_epochs} epochs done",
        *("" if accuracy is None else f"{accuracy:.2%}" for accuracy in accuracies),
        f"{seconds:.1f} s",
        f"{sum(rates) / len(rates):,.0f}" if rates else "",
    ]


def _act() -> None:
    """Do what was pressed in the table. What a browser sends is not trusted: the store knows which runs there are."""
    state, scheduler = st.session_state, shared.scheduler()
    match browser_value("runs_table", "act"):
        case {"what": str(what), "run": str(run_id), "value": value}:
            pass
        case _:
            return
    try:
        stored = scheduler.store.run(run_id)
        match what:
            case "show":
                compared: list[str] = state.compared
                state.compared = [one for one in compared if one != run_id] if run_id in compared else [*compared, run_id]
            case "pin":
                scheduler.store.pin(run_id, not stored.metadata.is_pinned)
            case "rename" if isinstance(value, str):
                scheduler.store.rename(run_id, "" if value == run_id else value)
            case "delete":
                if scheduler.active_run(run_id):  # perhaps without its folder, when that could not be written any more
                    raise RunsError(f"the run {run_id} is running or waiting; stop it first")
                scheduler.store.delete(run_id)
                scheduler.evict(run_id)
                if session.address().get("run") == run_id:
                    state.deleted_watched = run_id
                    session.watch(None)
            case "open":
                session.watch(scheduler.run(run_id))
                session.choose_source("run")
            case "use":
                controls.set_all(stored.config)
            case "again":
                controls.set_all(stored.config)
                progress.start()
    except RunsError as error:
        _refuse(error)


def _undo_delete() -> None:
    store = shared.scheduler().store
    run_id = store.deleted()
    try:
        store.restore()
        if run_id == st.session_state.get("deleted_watched") and session.watched_run() is None:
            session.watch(shared.scheduler().run(run_id))
    except RunsError as error:
        _refuse(error)


def _refuse(error: RunsError) -> None:
    session.refused(f"what was to be done with a run: {error}")
    st.session_state.runs_problem = formatting.sentence(str(error))


# Curves


def _curves(runs: Sequence[StoredRun], colors: dict[str, str]) -> None:
    """The curves of several runs on one pair of axes, all smoothed alike."""
    with st.container(horizontal=True, vertical_alignment="center", key="compare"):
        what: Any = _choose("What", ["loss", "accuracy"], "compare_what")
        of = _choose("Of which images", ["train", "validation", "test"], "compare_of")
        over: Any = _choose("Over", ["step", "seconds"], "compare_over")
        is_zoomed = what == "accuracy" and st.toggle("Zoom", key="compare_zoom")
    series = []
    for run in runs:
        here = shared.scheduler().run(run.id)
        curve = _curve(here.snapshot(), what, of, over) if here else Curve(np.empty(0), np.empty(0))
        finite = np.isfinite(curve.values)
        if finite.any():
            x, y = curve.steps[finite].tolist(), curve.values[finite].tolist()
            series.append(Series(run.metadata.name or run.id, colors[run.id], x, y, dots=of != "train"))
    heading(f"{what.capitalize()}, {of}", series, ".2%" if what == "accuracy" else ",.3f")
    if not series:
        none = "None of these runs has such figures." if runs else "Tick runs in the table to see their curves here."
        st.caption(none)
        return
    values = [value for one in series for value in one.y]
    is_accuracy = what == "accuracy"
    domain = progress.accuracy_domain(is_zoomed=is_zoomed) if is_accuracy else progress.loss_domain(values, log_scale=False)
    with st.container(key="compare_chart"):
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
    """A run's loss or accuracy on its training, validation or test images, over steps or over seconds of training."""
    if of == "train":
        return train_curve(run.steps, f"train_{what}", over)
    curve = epoch_curve(run.epochs, f"val_{what}") if of == "validation" else test_curve(run.epochs, run.end, what)
    if over == "seconds":
        seconds = {record.step: record.seconds for record in run.steps}
        curve = Curve(np.array([seconds.get(step, np.nan) for step in curve.steps.tolist()]), curve.values)
    return curve


# The blog's two programs


def _blog(runs: Sequence[StoredRun]) -> None:
    """Both presets trained one after the other, and the blog's own table filled with what came of it."""
    st.markdown("#### The blog's two programs")
    st.caption(
        "This page grew out of a blog post with two programs. Here both are trained on this machine, each in its turn: all "
        "60,000 training images, Adam at 0.001, batches of 100, ten epochs. The accuracy is that of the test set after the last "
        "epoch, and moves by some tenths of a percent from seed to seed; the time is that of the training."
    )
    st.button("Train both", key="train_blog", icon=":material/play_arrow:", on_click=_train_blog)
    if problem := st.session_state.pop("blog_problem", ""):
        st.warning(problem)
    if removed := progress.removed_by(*(PRESETS[name] for name in BLOG)):
        st.caption(removed)
    rows = "".join(_blog_row(name, runs) for name in BLOG)
    head = "".join(
        f"<th>{text}</th>" for text in ("program", "network", "the blog's accuracy", "here", "time of ten epochs", "an epoch")
    )
    with st.container(key="blog_table"):
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        st.html(f"<div class='runs' role='region' aria-label='The two programs of the blog' tabindex='0'>{table}</div>")


def _blog_row(name: str, runs: Sequence[StoredRun]) -> str:
    program, published = BLOG[name]
    network = "-".join(map(str, PRESETS[name].layer_sizes))
    newest = next((run for run in runs if preset_of(run.config) == name), None)
    done = next((run for run in runs if preset_of(run.config) == name and run.end and run.end.outcome == "done"), None)
    shown = done
    if newest and newest.end is None and _word(newest) in ACTIVE_STATES:
        shown = newest
    cells = [program, network, published, "not trained yet", "", ""]
    if shown and shown.end and shown.epochs and (result := test_result(shown.epochs, shown.end)):
        seconds = shown.end.train_seconds
        cells[3:] = [f"{result.accuracy:.2%}", f"{seconds:.1f} s", f"{seconds / len(shown.epochs):.2f} s"]
    elif shown:
        cells[3] = _figures(shown, _word(shown))[0]
    return f"<tr data-program='{name}'>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _train_blog() -> None:
    chosen = controls.config()
    try:
        runs = shared.scheduler().start_in_turn(
            *(_as_chosen(PRESETS[name], chosen) for name in BLOG), session_id=session.session_id()
        )
    except JobRejected as busy:
        st.session_state.blog_problem = f"{busy}. Press Train both again when they have ended."
    else:
        for run in runs:
            run.detached = session.is_detached()
        session.follow(runs)


def _as_chosen(preset: TrainConfig, chosen: TrainConfig) -> TrainConfig:
    """A preset with the seed and the threads of the side panel."""
    return preset.replace(seed=chosen.seed, threads=chosen.threads)
