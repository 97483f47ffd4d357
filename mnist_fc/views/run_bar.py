"""The bar that stays in view: the buttons, the status and the progress of the run that is shown."""

import html
import re
from typing import Literal

import streamlit as st

from mnist_fc.analysis.diagnosis import Diagnosis
from mnist_fc.analysis.results import test_result
from mnist_fc.percentages import in_percent
from mnist_fc.server.estimate import num_images_of_run
from mnist_fc.server.run import RunSnapshot
from mnist_fc.server.status import READY, Status, status
from mnist_fc.views import charts, commands, notices, teaching
from mnist_fc.views.state import built_in, formatting, networks, pace, session, shared


def panel(found: Diagnosis | None) -> None:
    """Draw the buttons, the status, and the progress of the run, what is wrong with it, or what prevented it."""
    snapshot = session.watched_snapshot()
    active = snapshot is not None and snapshot.is_active
    meanings = commands.meanings(snapshot)
    can_resume = meanings.get("pause", "").startswith("resume ")
    can_leave = meanings.get("stop", "").startswith("leave ")
    # One primary action at a time: while digits wait to be taught, that is the button under the drawing.
    look: Literal["primary", "secondary"] = "secondary" if teaching.is_next() else "primary"
    st.button("Train", key="train", type=look, icon=":material/play_arrow:", disabled=active, on_click=commands.train)
    st.button(
        "Resume" if can_resume else "Pause",
        key="pause",
        icon=":material/resume:" if can_resume else ":material/pause:",
        disabled=not can_resume and (snapshot is None or snapshot.state not in ("starting", "running")),
        on_click=commands.pause_or_resume,
    )
    st.button(
        "Leave queue" if can_leave else "Stop",
        key="stop",
        icon=":material/logout:" if can_leave else ":material/stop:",
        disabled=not active,
        on_click=commands.stop_or_leave,
    )
    st.button("Close run", key="reset", icon=":material/close:", disabled=snapshot is None, on_click=commands.close)
    commands.buttons().show(**meanings)
    with st.container(key="status", width="content"):
        of_run = html.escape(snapshot.id) if snapshot else ""
        now = _status(snapshot)
        line, *of_epoch = re.split("(, | in )(?=epoch )", html.escape(now.line), maxsplit=1)
        if of_epoch:
            line += "<span class='epoch'>{}<span>{}</span></span>".format(*of_epoch)
        st.html(f"<span role='status' data-run='{of_run}' data-state='{now.word}'>{line}</span>")
    with st.container(key="progress", width="stretch"):
        problem = _problem(snapshot)
        st.progress(_progress(snapshot), f":material/warning: {problem}" if problem else _progress_line(snapshot, found))


def _problem(snapshot: RunSnapshot | None) -> str:
    """Return why Train, Resume or the address led to no run; empty if one did."""
    active = snapshot is not None and snapshot.is_active
    if (problem := st.session_state.get("train_problem")) and not active and shared.scheduler().is_busy:
        return str(problem)
    of_run, problem = st.session_state.get("resume_problem", (None, ""))
    if snapshot and not active and of_run == snapshot.id:
        return str(problem)
    if snapshot is None and (missing := session.address().get("run")):
        if st.session_state.get("missing_run") != missing:
            session.log_rejected(f"a run in the address that is not in the store: {missing[:120]}")
        st.session_state.missing_run = missing
        return f"There is no run {formatting.escape_markdown(missing[:120])} in the store; it may have been deleted."
    return ""


def _status(snapshot: RunSnapshot | None) -> Status:
    """Return the status of the run, or without one, of the person's sweep."""
    if snapshot:
        return status(snapshot)
    if (sweep := session.own_sweep()) and sweep.is_active:
        return Status("waiting", "waiting") if sweep.is_waiting else Status("running", "running a sweep")
    return READY


def tick_seconds() -> float | None:
    """Return how often the page is redrawn while it shows the person's sweep; None while it does not."""
    shows_sweep = session.watched_run() is None and (sweep := session.own_sweep()) and sweep.is_active
    return pace.scale_by_sessions(pace.TICK_SECONDS_ALL_CORES_TRAIN) if shows_sweep else None


def _progress(snapshot: RunSnapshot | None) -> float:
    shown = networks.shown_run()
    if (step := networks.chosen_step(shown)) is not None:
        return step / _num_steps(shown)
    if not snapshot:
        return 0.0
    if snapshot.state == "done":
        return 1.0
    return min(1.0, snapshot.steps[-1].images_seen / _total_images(snapshot)) if snapshot.steps else 0.0


def _total_images(snapshot: RunSnapshot) -> int:
    return num_images_of_run(snapshot.config, snapshot.num_train_images(shared.num_train_images()))


def _num_steps(snapshot: RunSnapshot) -> int:
    """Return the number of steps of the whole run; one with added data has more than computed from MNIST."""
    steps_per_epoch = snapshot.config.steps_per_epoch(snapshot.num_train_images(shared.num_train_images()))
    return max(steps_per_epoch * snapshot.config.num_epochs, snapshot.last_step)


def _progress_line(snapshot: RunSnapshot | None, found: Diagnosis | None) -> str:
    if not snapshot and (sweep := session.own_sweep()) and sweep.is_active:
        return f"Your sweep is {'waiting' if sweep.is_waiting else 'running'}: see the tab **Sweep**."
    if not snapshot and (step := networks.chosen_step(built_in.run())) is not None:
        return _line_of_chosen_step(built_in.run(), step)
    if not snapshot:
        return "Press :material/play_arrow: Train to watch a network learn to read digits."
    if (step := networks.chosen_step(snapshot)) is not None:
        return _line_of_chosen_step(snapshot, step)
    if (run := session.watched_run()) and (place := session.queue_position(run)):
        return f"{place[0].upper()}{place[1:]}."
    if not snapshot.is_active:
        return f"{_stopped_together(snapshot)}{_line_of_end(snapshot)}"
    if not snapshot.steps:
        return "Getting ready."
    if found:  # the notice below the charts, which may be out of view, says more
        return f":material/troubleshoot: **{notices.NAMES[found.name]}**: see below the charts."
    last = snapshot.steps[-1]
    if snapshot.lesson and snapshot.epochs and snapshot.epochs[-1].epoch == snapshot.config.num_epochs:
        return "Measuring with digits left out of the lesson."
    line = f"Step {snapshot.last_step:,} of {_num_steps(snapshot):,}"
    if snapshot.state == "paused" or not (rate := snapshot.images_per_second):
        return line
    num_left = max(0, _total_images(snapshot) - last.images_seen)
    return f"{line} · {rate:,.0f} images/s · {formatting.duration(num_left / rate)} left"


def _line_of_chosen_step(snapshot: RunSnapshot, step: int) -> str:
    """Return the step that is looked back at, with the values that the curves have there."""
    line = f"Step {step:,} of {_num_steps(snapshot):,}"
    accuracies, losses = (
        [one.y[-1] for one in charts.at_chosen_step(snapshot, charts.series_of(snapshot, what)) if one.name == "train" and one.y]
        for what in ("accuracy", "loss")
    )
    line += "".join(f" · train accuracy {in_percent(accuracy, 2)}" for accuracy in accuracies)
    return line + "".join(f" · loss {loss:,.3f}" for loss in losses)


def _line_of_end(snapshot: RunSnapshot) -> str:
    """Return the last figures of a run that has ended, or is not trained here."""
    if not snapshot.steps:
        return "You left the queue." if _has_left_queue(snapshot) else "It ended before its first step."
    if snapshot.state == "failed":
        what, _, _ = snapshot.message.partition(". ")  # the notice below the charts also has what helps
        return f"{formatting.escape_markdown(what.removesuffix('.'))}."
    line = f"Step {snapshot.last_step:,} of {_num_steps(snapshot):,}"
    if snapshot.state == "interrupted":
        return f"{line}. The program ended during this run; Resume continues from its last saved state."
    if snapshot.end is None or (result := test_result(snapshot.epochs, snapshot.end)) is None:
        return line
    accuracy = f"**{in_percent(result.accuracy, 2)}** after {result.step:,} steps"
    if result.step < snapshot.end.step:
        return f"{line} · test accuracy {accuracy}"
    return f"Test accuracy {accuracy}, {snapshot.end.train_seconds:.1f} s of training"


def _has_left_queue(snapshot: RunSnapshot) -> bool:
    """Return whether the run left the queue before its turn. The engine tests even a run without steps at its end."""
    return snapshot.state == "stopped" and not snapshot.message and test_result((), snapshot.end) is None


def _stopped_together(snapshot: RunSnapshot) -> str:
    """Return the runs that were stopped together with the run, in words: "Stopped both. "."""
    num_others = session.num_stopped_with(snapshot.id)
    return {0: "", 1: "Stopped both. "}.get(num_others, f"Stopped all {num_others + 1}. ")
