"""A page without an active run is not redrawn. It checks whether its run has been resumed or deleted on another page."""

import streamlit as st

from mnist_fc.views.state import pace, session

LOOK_SECONDS = 3.0
"""The checks of four pages cost the server less than the noise of its idle load."""


def look_seconds() -> float | None:
    """Return the seconds between two checks; None if no page can change the run, or if the page is redrawn anyway."""
    run = session.watched_run()
    if run is None or run.is_active or run.may_change_externally or not run.snapshot().is_resumable:
        return None
    return pace.scale_by_sessions(LOOK_SECONDS)


def look(seconds: float | None) -> None:
    """Redraw the page if its run trains again or is gone. This runs in a fragment of its own, which draws nothing.

    `seconds` is what `look_seconds` gave when the page was drawn.
    """
    if seconds is None:
        return
    run = session.watched_run()
    if run is None or run.is_active:
        st.rerun()
