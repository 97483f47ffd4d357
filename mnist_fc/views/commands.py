"""The actions of the buttons on a run: begin it, pause it, resume it, stop it and take it off the page."""

import streamlit as st

from mnist_fc.runs.layout import RunsError
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.scheduler import JobRejected
from mnist_fc.views import controls
from mnist_fc.views.state import formatting, session, shared, sync
from mnist_fc.views.state.presses import Buttons

COMMAND_SECONDS = 0.4
"""The time that a click waits for the training process to carry out the request, which takes a step."""


def buttons() -> Buttons:
    """Return the buttons whose meanings follow the state of the run."""
    return sync.buttons("run_bar", ["pause", "stop"])


def meanings(snapshot: RunSnapshot | None) -> dict[str, str]:
    """Return what each of `buttons` means for a run in this state, by key: what it does, and to which run."""
    if snapshot is None:
        return {}
    can_resume = snapshot.state == "paused" or snapshot.is_resumable
    return {
        "pause": f"{'resume' if can_resume else 'pause'} {snapshot.id}",
        "stop": f"{'leave' if snapshot.state == 'waiting' else 'stop'} {snapshot.id}",
    }


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


def pause_or_resume() -> None:
    """Pause or resume the run that is shown, whichever the button said when it was pressed."""
    sync.receive()
    verb, _, run_id = buttons().meaning("pause").partition(" ")
    if (run := session.watched_run()) and run.id == run_id:
        if verb == "pause":
            _pause(run)
        elif verb == "resume":
            _resume(run)


def _pause(run: Run) -> None:
    """Pause a run, unless another page has done so since this one was drawn."""
    if run.is_active:
        shared.scheduler().pause(run)
        run.wait_until_state("paused", "done", "stopped", "failed", timeout=COMMAND_SECONDS)


def _resume(run: Run) -> None:
    """Resume a run, unless another page has done so since this one was drawn."""
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


def stop_or_leave() -> None:
    """Stop the run that is shown, or take it out of the queue if that is what the button said and it still waits there."""
    sync.receive()
    verb, _, run_id = buttons().meaning("stop").partition(" ")
    run = session.watched_run()
    if verb == "stop" or (verb == "leave" and run and run.id == run_id and run.is_waiting):
        _stop()


def _stop() -> None:
    """Stop the run and those that were to begin after it; if it has just ended, the one that has begun in its place."""
    session.follow_next()
    if run := session.watched_run():
        shared.scheduler().stop_in_turn(run)
        run.wait_for(lambda run: not run.is_active, COMMAND_SECONDS)


def close() -> None:
    """Stop the run and take it off the page."""
    _stop()
    session.watch(None)
