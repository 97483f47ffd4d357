"""The actions of the buttons on a run: begin it, pause it, resume it, stop it and take it off the page."""

import streamlit as st

from mnist_fc.runs.layout import RunsError
from mnist_fc.server.run import Run
from mnist_fc.server.scheduler import JobRejected
from mnist_fc.views import controls
from mnist_fc.views.state import formatting, session, shared

COMMAND_SECONDS = 0.4
"""The time that a click waits for the training process to carry out the request, which takes a step."""


def train() -> None:
    """Begin a run, unless this page has begun one since it was drawn, as with a double click."""
    if not ((run := session.watched_run()) and run.is_active):
        start()


def start() -> None:
    """Begin a run with the settings of the side panel, and show it."""
    st.session_state.train_problem = None
    try:
        run = shared.scheduler().start(controls.config(), session.session_id())
    except JobRejected as busy:
        st.session_state.train_problem = f"{busy}. Press Train again when one of them has ended."
    else:
        session.watch(run)
        _has_begun(run)


def _has_begun(run: Run) -> None:
    """Let `run` read from now on, and wait a moment for it to start."""
    run.detached = session.is_detached()
    session.choose_source("run")
    run.wait_until_state("running", "done", "failed", "waiting", timeout=COMMAND_SECONDS)


def retrain(run_id: str) -> None:
    """Stop the run that was shown and begin another. A second click finds the other run and does nothing."""
    if (run := session.watched_run()) and run.id == run_id:
        shared.scheduler().stop_in_turn(run)
        start()


def pause() -> None:
    """Pause the run that is shown."""
    if (run := session.watched_run()) and run.is_active:
        shared.scheduler().pause(run)
        run.wait_until_state("paused", "done", "stopped", "failed", timeout=COMMAND_SECONDS)


def resume() -> None:
    """Resume the run that is shown, unless another page has done so since this one was drawn."""
    if not (run := session.watched_run()):
        return
    snapshot = run.snapshot()
    if snapshot.is_resumable:
        _resume_stored(run)
    elif snapshot.state == "paused":
        shared.scheduler().resume(run)
        run.wait_until_state("running", "waiting", timeout=COMMAND_SECONDS)


def _resume_stored(run: Run) -> None:
    """Resume a run that was interrupted or stopped from its last state."""
    st.session_state.train_problem = None
    try:
        shared.scheduler().resume_stored(run, session.session_id())
    except JobRejected as busy:
        st.session_state.train_problem = f"{busy}. Press Resume again when one of them has ended."
    except RunsError as error:
        session.log_rejected(f"to resume a run: {error}")
        st.session_state.resume_problem = run.id, f"This run cannot be resumed: {formatting.escape_markdown(str(error))}."
    else:
        _has_begun(run)


def stop() -> None:
    """Stop the run and those that were to begin after it; if it has just ended, the one that has begun in its place."""
    session.follow_next()
    if run := session.watched_run():
        shared.scheduler().stop_in_turn(run)
        run.wait_for(lambda run: not run.is_active, COMMAND_SECONDS)


def close() -> None:
    """Stop the run and take it off the page."""
    stop()
    session.watch(None)
