"""Training as a person watches it: the bar with the buttons and the status, and the live loss and accuracy curves."""

import html
import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
import streamlit as st

from mnist_fc.analysis.curves import epoch_curve, train_curve
from mnist_fc.analysis.diagnosis import Diagnosis, diagnose
from mnist_fc.analysis.results import test_curve, test_result
from mnist_fc.config import TrainConfig
from mnist_fc.runs.layout import RunsError
from mnist_fc.server.estimate import num_images_of_run
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.scheduler import JobRejected
from mnist_fc.server.status import READY, Status, status
from mnist_fc.views import controls
from mnist_fc.views.components.chart import HEIGHT, Axis, Series, heading, line_chart, powers_of_ten
from mnist_fc.views.state import formatting, networks, pace, session, shared

SERIES_COLORS = {"train": "#4f7df0", "validation": "#e07b1a", "test": "#1f9d6b"}
"""One colour a data set, the same everywhere and in both themes."""

LOWER_HEIGHT = 125
"""Of a chart, in pixels, where there are three of them."""

ROOM_SECONDS = 3.0
"""For so long is known what is in the store: to look costs as much as to read a drawing, where there are a hundred runs."""

NAMES = {"diverges": "Training diverged", "stalls": "Training stalled", "overfits": "The network overfits"}
"""What a diagnosis is called on the page."""

# How long a click waits for the training process to have done as it was told; it takes a step.
COMMAND_SECONDS = 0.4


def bar() -> None:
    """Draw the buttons, the status and the progress of the run, or what keeps it from being started."""
    snapshot = session.watched_snapshot()
    active = snapshot is not None and snapshot.is_active
    can_resume = snapshot is not None and (snapshot.state == "paused" or snapshot.is_resumable)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Train", key="train", type="primary", icon=":material/play_arrow:", disabled=active, on_click=_train)
        st.button(
            "Resume" if can_resume else "Pause",
            key="pause",
            icon=":material/resume:" if can_resume else ":material/pause:",
            disabled=not can_resume and (snapshot is None or snapshot.state not in ("starting", "running")),
            on_click=_resume if can_resume else _pause,
        )
        waits = snapshot is not None and snapshot.state == "waiting"
        st.button(
            "Leave queue" if waits else "Stop",
            key="stop",
            icon=":material/logout:" if waits else ":material/stop:",
            disabled=not active,
            on_click=_stop,
        )
        st.button("Close run", key="reset", icon=":material/close:", disabled=snapshot is None, on_click=_reset)
        with st.container(key="status", width="content"):
            of_run = html.escape(snapshot.id) if snapshot else ""
            now = _status(snapshot)
            st.html(f"<span role='status' data-run='{of_run}' data-state='{now.word}'>{html.escape(now.line)}</span>")
        with st.container(key="progress", width="stretch"):
            problem = _problem(snapshot)
            st.progress(_progress(snapshot), f":material/warning: {problem}" if problem else _progress_line(snapshot))


def _problem(snapshot: RunSnapshot | None) -> str:
    """Return why the last press of Train or Resume, or the address, led to no run; empty if it did."""
    active = snapshot is not None and snapshot.is_active
    if (problem := st.session_state.get("train_problem")) and not active and shared.scheduler().is_busy:
        return str(problem)
    of_run, problem = st.session_state.get("resume_problem", (None, ""))
    if snapshot and not active and of_run == snapshot.id:
        return str(problem)
    if snapshot is None and (missing := session.address().get("run")):
        if st.session_state.get("missing_run") != missing:
            session.refused(f"a run in the address that is not in the store: {missing[:120]}")
        st.session_state.missing_run = missing
        return f"There is no run {formatting.escape_markdown(missing[:120])} in the store; it may have been deleted."
    return ""


def notices() -> None:
    """Draw what is wrong with the run or the store; otherwise explain the curves.

    The style sheet gives all of this one space of fixed height, so nothing moves when a notice appears.
    """
    snapshot = session.watched_snapshot()
    with st.container(key="notices", gap="small"):
        diagnosis()
        if problem := networks.moment_problem(snapshot):
            st.warning(problem)
        if snapshot and snapshot.storage_problem:
            st.warning(
                f"This run is not kept on disk: {formatting.escape_markdown(snapshot.storage_problem)}. "
                "The page has it all the same."
            )
        if not (snapshot and snapshot.is_active) and (removed := removed_by(controls.config())):
            st.caption(f"{removed} Pin what is to stay, under Runs.")
        with st.container(key="explanation"):
            st.caption(_explanation(snapshot, [one.name for one in _series(snapshot, "accuracy")]))


def diagnosis() -> None:
    """What goes wrong with the run, or why it failed, and a button for the setting that helps."""
    snapshot = session.watched_snapshot()
    with st.container(key="diagnosis", horizontal=True, vertical_alignment="center", gap="small"):
        if snapshot is None:
            return
        # A failure is shown whatever moment is looked back at, so its remedy stays too.
        shown = snapshot if snapshot.state == "failed" else networks.at_moment(snapshot)
        found = diagnose(shown.config, shown.learning_rate, shown.steps, shown.epochs, shown.end)
        if snapshot.state == "failed":
            st.error(formatting.escape_markdown(snapshot.message), icon=":material/error:", width="stretch")
        elif snapshot.state == "stopped" and snapshot.message:
            way_on = "Resume continues it" if snapshot.is_resumable else "Train starts anew"
            st.info(f"{formatting.escape_markdown(snapshot.message)} {way_on}.", icon=":material/info:", width="stretch")
            return  # a setting without its reason would be a riddle
        elif found:
            st.warning(f"**{NAMES[found.name]}.** {found.symptom} {found.cause}", icon=":material/troubleshoot:", width="stretch")
        if found:
            _cure(found, snapshot)


def _cure(found: Diagnosis, snapshot: RunSnapshot) -> None:
    """The button that sets the one setting, as by hand; once it is set, the button that trains with it."""
    ((field, value),) = found.change.items()
    if getattr(controls.config(), field) != value:
        st.button(f"Set {controls.in_words(field, value)}", key="cure", on_click=controls.set_one, args=(field, value))
    else:
        label = "Stop and retrain" if snapshot.is_active else "Retrain"
        st.button(label, key="retrain", type="primary", on_click=_retrain, args=(snapshot.id,))


def _retrain(run_id: str) -> None:
    """Stop the run that was shown, unless it has ended, and begin another; a second click finds the other and does nothing."""
    if (run := session.watched_run()) and run.id == run_id:
        shared.scheduler().stop_in_turn(run)
        start()


def _train() -> None:
    """Begin a run, unless this page has begun one since it was drawn: a double click."""
    if not ((run := session.watched_run()) and run.is_active):
        start()


def start() -> None:
    """Begin a run with the settings of the side panel, and watch it."""
    st.session_state.train_problem = None
    try:
        run = shared.scheduler().start(controls.config(), session.session_id())
    except JobRejected as busy:
        st.session_state.train_problem = f"{busy}. Press Train again when one of them has ended."
    else:
        session.watch(run)
        _has_begun(run)


def _has_begun(run: Run) -> None:
    """Show what `run` learns, if its turn comes at once from its first steps on."""
    run.detached = session.is_detached()
    session.choose_source("run")
    run.wait_until_state("running", "done", "failed", "waiting", timeout=COMMAND_SECONDS)


def removed_by(*configs: TrainConfig) -> str:
    """Which runs go when runs with such settings begin, said before they do; empty while there is room."""
    return _removed_by(int(time.monotonic() / ROOM_SECONDS), *configs)


@lru_cache(maxsize=64)
def _removed_by(_when: int, *configs: TrainConfig) -> str:
    try:
        to_remove = shared.scheduler().store.plan_eviction(*configs).to_remove
    except RunsError as error:
        return f"The next run will not be kept on disk: {formatting.escape_markdown(str(error))}."
    names = ", ".join(f"**{formatting.escape_markdown(run.metadata.name or run.id)}**" for run in to_remove[:3])
    more = f" and {len(to_remove) - 3} more" if len(to_remove) > 3 else ""
    return f"The store is full: the next run will remove the oldest, {names}{more}." if names else ""


def _pause() -> None:
    if (run := session.watched_run()) and run.is_active:
        shared.scheduler().pause(run)
        run.wait_until_state("paused", "done", "stopped", "failed", timeout=COMMAND_SECONDS)


def _resume() -> None:
    """Let the run go on, unless somebody has done so since this page was drawn."""
    if not (run := session.watched_run()):
        return
    snapshot = run.snapshot()
    if snapshot.is_resumable:
        _go_on(run)
    elif snapshot.state == "paused":
        shared.scheduler().resume(run)
        run.wait_until_state("running", "waiting", timeout=COMMAND_SECONDS)


def _go_on(run: Run) -> None:
    """Let a run that was cut off or stopped go on from its last state."""
    st.session_state.train_problem = None
    try:
        shared.scheduler().resume_stored(run, session.session_id())
    except JobRejected as busy:
        st.session_state.train_problem = f"{busy}. Press Resume again when one of them has ended."
    except RunsError as error:
        session.refused(f"a run that is to go on: {error}")
        st.session_state.resume_problem = run.id, f"This run cannot go on: {formatting.escape_markdown(str(error))}."
    else:
        _has_begun(run)


def _stop() -> None:
    """End the run, and those that were to begin after it; if it has just ended, the one that has begun in its place."""
    session.follow_on()
    if run := session.watched_run():
        shared.scheduler().stop_in_turn(run)
        run.wait_for(lambda run: not run.is_active, COMMAND_SECONDS)


def _reset() -> None:
    _stop()
    session.watch(None)


def _status(snapshot: RunSnapshot | None) -> Status:
    """Return what the run is at; without one, what the person's sweep is at."""
    if snapshot:
        return status(snapshot)
    if (sweep := session.own_sweep()) and sweep.is_active:
        return Status("waiting", "waiting") if sweep.is_waiting else Status("running", "running a sweep")
    return READY


def tick_seconds() -> float | None:
    """How often the page is drawn anew while it tells of the person's sweep; None while it does not."""
    tells = session.watched_run() is None and (sweep := session.own_sweep()) and sweep.is_active
    return pace.scale_by_sessions(pace.TICK_SECONDS_ALL_CORES_TRAIN) if tells else None


def _progress(snapshot: RunSnapshot | None) -> float:
    if not snapshot:
        return 0.0
    if (step := networks.moment(snapshot)) is not None:
        return step / _num_steps(snapshot)
    if snapshot.state == "done":
        return 1.0
    return min(1.0, snapshot.steps[-1].images_seen / _total_images(snapshot)) if snapshot.steps else 0.0


def _total_images(snapshot: RunSnapshot) -> int:
    return num_images_of_run(snapshot.config, shared.num_train_images())


def _num_steps(snapshot: RunSnapshot) -> int:
    return snapshot.config.steps_per_epoch(shared.num_train_images()) * snapshot.config.num_epochs


def _progress_line(snapshot: RunSnapshot | None) -> str:
    if not snapshot and (sweep := session.own_sweep()) and sweep.is_active:
        return f"Your sweep is {'waiting' if sweep.is_waiting else 'running'}: see the tab **Sweep**."
    if not snapshot:
        return f"Press Train to watch a network learn from {shared.num_train_images():,} handwritten digits."
    if (step := networks.moment(snapshot)) is not None:
        return _line_of_moment(snapshot, step)
    if (run := session.watched_run()) and (place := session.place_of(run)):
        return f"{place[0].upper()}{place[1:]}."
    if not snapshot.is_active:
        return f"{_stopped_together(snapshot)}{_line_of_end(snapshot)}"
    if not snapshot.steps:
        return "Getting ready."
    last = snapshot.steps[-1]
    line = f"Step {last.step:,} of {_num_steps(snapshot):,}"
    if not (rate := snapshot.images_per_second):
        return line
    return f"{line} · {rate:,.0f} images/s · {formatting.duration((_total_images(snapshot) - last.images_seen) / rate)} left"


def _line_of_moment(snapshot: RunSnapshot, step: int) -> str:
    """The step that is looked back at, with the values that the curves have there."""
    line = f"Step {step:,} of {_num_steps(snapshot):,}"
    accuracy, loss = (_at_moment(snapshot, _series(snapshot, "accuracy")), _at_moment(snapshot, _series(snapshot, "loss")))
    for series, words in ((accuracy, "train accuracy {:.2%}"), (loss, "loss {:,.3f}")):
        line += "".join(f" · {words.format(one.y[-1])}" for one in series if one.name == "train" and one.y)
    return line


def _line_of_end(snapshot: RunSnapshot) -> str:
    """The last figures of a run that has ended, or is not trained here."""
    if not snapshot.steps:
        return "You left the queue." if _has_left_queue(snapshot) else "It ended before its first step."
    line = f"Step {snapshot.last_step:,} of {_num_steps(snapshot):,}"
    if snapshot.state == "interrupted":
        return f"{line}. The program ended in the middle of it; Resume continues from its last state, some moments back."
    if snapshot.end is None or (result := test_result(snapshot.epochs, snapshot.end)) is None:
        return line
    accuracy = f"est accuracy **{result.accuracy:.2%}** after {result.step:,} steps"
    if result.step < snapshot.end.step:
        return f"{line} · t{accuracy}"
    return f"T{accuracy}, {snapshot.end.train_seconds:.1f} s of training"


def _has_left_queue(snapshot: RunSnapshot) -> bool:
    """Return whether somebody gave up the run's place before its turn; the engine measures even a run of no step at its end."""
    return snapshot.state == "stopped" and not snapshot.message and test_result((), snapshot.end) is None


def _stopped_together(snapshot: RunSnapshot) -> str:
    """What was stopped with the run, said before its figures: "Stopped both. "."""
    num_others = session.num_stopped_with(snapshot.id)
    return {0: "", 1: "Stopped both. "}.get(num_others, f"Stopped all {num_others + 1}. ")


def charts(between: Callable[[RunSnapshot | None, int], bool] | None) -> bool:
    """The loss and accuracy curves, and `between` them what else is followed over the steps, so high; False if that is not
    all drawn yet.
    """
    snapshot = session.watched_snapshot()
    height = LOWER_HEIGHT if between else HEIGHT
    losses, accuracies = _series(snapshot, "loss"), _series(snapshot, "accuracy")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        heading("Loss", _at_moment(snapshot, losses), ",.3f")
        log_scale = st.toggle("Log scale", key="log_scale")
    with st.container(key="loss_chart"):
        _chart(snapshot, losses, "loss", height, log_scale=log_scale)
    is_complete = between(snapshot, height) if between else True
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        heading("Accuracy", _at_moment(snapshot, accuracies), ".2%")
        is_zoomed = st.toggle("Zoom", key="accuracy_zoom")
    with st.container(key="accuracy_chart"):
        _chart(snapshot, accuracies, "accuracy", height, is_zoomed=is_zoomed)
    return is_complete


def _explanation(snapshot: RunSnapshot | None, drawn: list[str]) -> str:
    """What each curve that is drawn is measured on."""
    if snapshot is None:
        return "The curves of a run appear here while it trains."
    num_test = len(shared.mnist().test_labels)
    tests_each_epoch = not snapshot.config.num_validation
    said = {
        "train": "**Train**: average of recent batches.",
        "validation": "**Validation**: training images held back, measured after each epoch.",
        "test": f"**Test**: all {num_test:,} test images, after each epoch as the blog did."
        if tests_each_epoch
        else f"**Test**: {num_test:,} images that the run never saw, measured once, at the end.",
    }
    lines = [said[name] for name in drawn]
    if tests_each_epoch:
        lines.append(f"This run trains on all {shared.num_train_images():,} images, so it has no validation images.")
    return " ".join(lines)


def _series(snapshot: RunSnapshot | None, what: Literal["loss", "accuracy"]) -> list[Series]:
    """The curves that have points: train, validation, test."""
    if not snapshot:
        return []
    curves = {
        "train": train_curve(snapshot.steps, f"train_{what}"),
        "validation": epoch_curve(snapshot.epochs, f"val_{what}"),
        "test": test_curve(snapshot.epochs, snapshot.end, what),
    }
    series = []
    for name, curve in curves.items():
        finite = np.isfinite(curve.values)
        if finite.any():
            steps, values = curve.steps[finite].tolist(), curve.values[finite].tolist()
            series.append(Series(name, SERIES_COLORS[name], steps, values, dots=name != "train"))
    return series


def _at_moment(snapshot: RunSnapshot | None, series: list[Series]) -> list[Series]:
    """The curves up to the moment that is looked at, for the values beside their names; some may have no points by then.

    A test result is of one network: another moment has none.
    """
    if snapshot is None or (step := networks.moment(snapshot)) is None:
        return series
    return [one.up_to(step if one.name != "test" or step in one.x else -1) for one in series]


def _chart(
    snapshot: RunSnapshot | None,
    series: list[Series],
    what: Literal["loss", "accuracy"],
    height: int,
    *,
    log_scale: bool = False,
    is_zoomed: bool = False,
) -> None:
    if what == "accuracy":
        domain = accuracy_domain(is_zoomed=is_zoomed)
    else:
        domain = loss_domain([value for one in series for value in one.y], log_scale)
    number_format = ".2%" if what == "accuracy" else ".4g"
    shown = [one for one in _at_moment(snapshot, series) if one.y]
    newest = ", ".join(f"{one.name} {one.y[-1]:{number_format}}" for one in shown) or "nothing yet"
    line_chart(
        f"{what}_curves",
        series,
        Axis(step_domain(snapshot), title="step"),
        Axis(domain, log=log_scale, percent=what == "accuracy"),
        label=f"{what} over training steps: {newest}",
        height=height,
        mark=networks.moment(snapshot) if snapshot else None,
    )


# Axes move in leaps, rarely: a chart whose axes stand still grows without flicker.


def step_domain(snapshot: RunSnapshot | None) -> tuple[float, float]:
    """From 0 to one epoch, then to two, four, eight, ... at the most to the end of the run."""
    if not snapshot:
        return 0, 1000
    steps_per_epoch = snapshot.config.steps_per_epoch(shared.num_train_images())
    epochs = 1
    while epochs * steps_per_epoch < snapshot.last_step:
        epochs *= 2
    return 0, 1.02 * steps_per_epoch * min(epochs, snapshot.config.num_epochs)  # room for the last dot


def loss_domain(values: list[float], log_scale: bool) -> tuple[float, float]:
    """From 0, or from a power of ten, to what holds all values; at least to the loss of guessing."""
    highest = max(2.5, max(values, default=0.0) * 1.02)
    if not log_scale:
        return 0, highest if highest == 2.5 else 2.0 ** math.ceil(math.log2(highest))
    return powers_of_ten([*values, 0.1, highest])


def accuracy_domain(*, is_zoomed: bool) -> tuple[float, float]:
    """0 to 100 %, or its upper part, where good networks differ; it changes only when somebody asks for it."""
    return (0.9 if is_zoomed else 0.0), 1.0
