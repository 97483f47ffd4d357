"""The way of a run to look back on: a slider over the weights that were kept, with a button that plays them."""

import streamlit as st

from mnist_fc.views import session
from mnist_fc.views.component import Component

_timeline = Component("timeline", "<div class='timeline'></div>")


def timeline() -> None:
    """The slider, once there are weights to choose from; all that the page reads and draws is with those of the moment chosen."""
    snapshot = session.watched_snapshot()
    if snapshot is None or snapshot.weights is None:
        return
    newest = snapshot.weights.step
    kept = [step for step in snapshot.kept if step != newest]
    if not kept and not snapshot.is_active:
        return
    with st.container(key="timeline"):
        data = {
            "steps": kept,
            "newest": newest,
            "chosen": session.moment(snapshot),
            "isLive": snapshot.is_active,
            "turn": st.session_state.get("timeline_turn", 0),
        }
        _timeline.show("timeline_slider", data, on_moment_change=_choose)
    of_run, problem = st.session_state.get("moment_problem", (None, ""))
    if problem and of_run == snapshot.id:
        st.warning(problem)


def _choose() -> None:
    """Take over what the browser asks for; a step that was not kept means the newest weights."""
    run = session.watched_run()
    match session.sent("timeline_slider", "moment"):
        case {"step": int(step), "turn": int(turn)} if run:
            st.session_state.timeline_turn = turn
            session.choose_source("run")
            st.session_state.moment_problem = run.id, session.choose_moment(run.snapshot(), step)
