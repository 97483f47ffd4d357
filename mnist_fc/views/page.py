"""The page: its configuration, the session, and the views in their places."""

import logging
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from mnist_fc.config import ConfigError
from mnist_fc.data.mnist import DataError
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.reading.reader import Reading
from mnist_fc.runs.layout import RunsError
from mnist_fc.views import (
    charts,
    controls,
    drawing,
    environment,
    export,
    gradients,
    guide,
    handwriting_test,
    inside,
    look_alikes,
    mistakes,
    notices,
    photo,
    probes,
    rest,
    run_bar,
    runs,
    speed,
    timeline,
    why,
)
from mnist_fc.views.components.component import Component
from mnist_fc.views.state import address, formatting, networks, pace, session, shared, sync

SWEEP, SPEED = "Sweep", "How fast is this machine?"

TABS: dict[str, Callable[[list[Reading], networks.Network], None]] = {
    "Why this digit?": why.panel,
    "Inside": inside.panel,
    "Gradients": lambda readings, network: gradients.panel(network),
    "Mistakes": lambda readings, network: mistakes.panel(network),
    "Look-alikes": look_alikes.panel,
    "Test your handwriting": lambda readings, network: handwriting_test.panel(network),
    "Runs": lambda readings, network: runs.panel(),
    "Export and import": lambda readings, network: export.panel(network),
    SWEEP: lambda readings, network: _sweep_panel(),
    SPEED: lambda readings, network: speed.panel(),
    "Help": lambda readings, network: guide.panel(),
}
"""The tabs by name, and the function that draws each, given how the drawing was just read and the network that read it."""

MUCH_TO_DRAW = ("Inside", "Gradients", "Mistakes", "Look-alikes", "Runs")
"""Tabs that are redrawn less often while a run is active, so that they do not slow it."""

_tab_focus = Component("tab_focus", "<i></i>")

log = logging.getLogger(__name__)


def draw_page() -> None:
    """Draw the whole page. Streamlit calls this in every run of the script."""
    st.set_page_config(page_title="mnist_fc: train, draw, be read", page_icon="✏️", layout="wide")
    st.html(Path(__file__).with_name("style.css"))
    environment.prepare()
    try:
        shared.scheduler()
        shared.mnist()
        shared.shipped_reader()
    except (DataError, CheckpointError, ConfigError, RunsError) as error:
        log.error("the page cannot start: %s", error)
        st.error(f"The page cannot start: {formatting.escape_markdown(str(error))}.", icon=":material/error:")
        st.stop()
    with st.sidebar:
        st.title("mnist_fc")
        st.caption(
            "Train a fully connected network on real handwritten digits, on this computer's processor, and watch it learn."
        )
        address.begin()
        controls.panel()
    seconds, look_seconds = tick_seconds(), rest.look_seconds()
    st.fragment(live, run_every=seconds)(seconds, look_seconds)
    st.fragment(rest.look, run_every=look_seconds)(look_seconds)


def live(seconds: float | None, look_seconds: float | None) -> None:
    """Draw everything beside the side panel, as one fragment: at every tick, stroke and click."""
    sync.receive()
    session.heartbeat()
    session.follow_next()
    if (tick_seconds(), rest.look_seconds()) != (seconds, look_seconds) or session.pop_panel_redraw():
        st.rerun()  # a run has begun or ended, so the page ticks at another pace; or the side panel shows old values
    has_ended = pace.tick_seconds() is None  # asked before the weights are read: a run that ends later has newer ones
    network = networks.network()  # once, so that everything shows the same weights
    with st.container(key="training_bar"):
        run_bar.panel()
    looking_back = st.container(key="looking_back")
    with st.container(key="workspace"):
        left, right = st.columns(2, gap="large")
    with left:
        readings = drawing.panel(network)
        photo.panel(network)
    with right:
        is_complete = charts.panel(probes.panel if probes.pinned() else None)
        notices.panel()
    tabs(readings, network)
    with looking_back:
        timeline.timeline(network)  # last: playback moves to the next step once everything of this one is drawn
    if has_ended:
        handwriting_test.keep_score(network)  # for a run that has just ended, whichever tab is open
    if not is_complete:
        st.rerun()


def tabs(readings: list[Reading], network: networks.Network) -> None:
    """Draw the open tab; the others are not drawn."""
    for tab, panel in zip(st.tabs(list(TABS), key="tabs", on_change="rerun"), TABS.values(), strict=True):
        if tab.open:
            with tab:
                panel(readings, network)
    _tab_focus.show("tab_focus", {})


def _sweep_panel() -> None:
    from mnist_fc.views import sweep  # imported here: Optuna and SQLAlchemy take 20 MB and 0.4 s, and few open this tab

    sweep.panel()


def tick_seconds() -> float | None:
    """Return the seconds from one tick to the next; None if nothing is active.

    `live` contains no fragments: their ids would change with what is drawn before them, and Streamlit (1.67) ignores a click
    that was sent under an old id.
    """
    tab = st.session_state.get("tabs")
    paces = [pace.tick_seconds(much_to_draw=tab in MUCH_TO_DRAW), run_bar.tick_seconds()]
    if tab == SWEEP:
        from mnist_fc.views import sweep

        paces.append(sweep.tick_seconds())
    if tab == SPEED:
        paces.append(speed.tick_seconds())
    return min((seconds for seconds in paces if seconds), default=None)
