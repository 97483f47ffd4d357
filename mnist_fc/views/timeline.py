"""The run that the page shows: its name and settings, and a slider to look back at it, with a button that plays it."""

import streamlit as st

from mnist_fc.views import charts, controls
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.state import built_in, networks, session

_timeline = Component("timeline", "<div class='timeline'></div>")


def timeline(network: networks.Network) -> None:
    """Draw the name and settings of the run that is shown, and the slider.

    The whole page reads and draws with the weights of the moment chosen; `network` has them. While a run trains, newer ones may
    have come since: the slider names the step of those that the rest of the page shows.
    """
    run, snapshot = session.watched_run(), networks.shown_run()
    newest = snapshot.weights.step if snapshot.weights else 0
    if network.run and network.run.id == snapshot.id and network.is_newest:
        newest = network.step
    data = {
        "run": run.id if run else None,
        "name": session.run_name(run) if run else "Built-in network",
        "settings": f"{'-'.join(map(str, snapshot.config.layer_sizes))}, {snapshot.in_words}",
        "settingsMark": None if snapshot.lesson else controls.settings_mark(snapshot.settings.latest),
        "steps": [step for step in snapshot.kept if step < newest],
        "newest": newest,
        "chosen": networks.chosen_step(snapshot),
        "end": charts.step_domain(snapshot)[1],
        "isDone": snapshot.state == "done",
        "turn": st.session_state.get("timeline_turn", 0),
    }
    with st.container(key="timeline"):
        _timeline.show("timeline_slider", data, on_moment_change=_choose, on_use_change=_use)


def _use() -> None:
    """Copy the run's settings to the side panel."""
    if (run := session.watched_run()) and browser_value("timeline_slider", "use") == run.id:
        controls.set_all(run.snapshot().settings.latest)


def _choose() -> None:
    """Look at the step that the browser asks for; a step that was not kept means the newest weights."""
    match browser_value("timeline_slider", "moment"):
        case {"step": int(step), "turn": int(turn)}:
            st.session_state.timeline_turn = turn
            run = networks.shown_run()
            session.choose_source("shipped" if run.id == built_in.ID else "run")
            st.session_state.chosen_step_problem = run.id, networks.choose_step(run, step)
