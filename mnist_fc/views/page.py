"""The page: its configuration, the session, and the views in their places."""

import logging
from pathlib import Path

import streamlit as st

from mnist_fc.config import ConfigError
from mnist_fc.data.mnist import DataError
from mnist_fc.drawing.strokes import CANVAS_SIZE
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.runs.layout import RunsError
from mnist_fc.views import (
    answer,
    charts,
    controls,
    drawing,
    environment,
    handwriting_test,
    live_network,
    my_digits,
    notices,
    photo,
    preparation,
    probes,
    rest,
    run_bar,
    speed,
    story,
    tabs,
    timeline,
)
from mnist_fc.views.state import address, built_in, formatting, networks, pace, session, shared, sync

ICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><text y=".9em" font-size="90">&#9999;&#65039;</text></svg>'
"""A pencil, as a picture of an emoji. For the emoji itself, Streamlit (1.67) would load a list of all: 5 MB."""

log = logging.getLogger(__name__)


def draw_page() -> None:
    """Draw the whole page. Streamlit calls this in every run of the script."""
    st.set_page_config(page_title=story.TITLE, page_icon=ICON, layout="wide")
    st.html(Path(__file__).with_name("style.css"))
    environment.prepare()
    try:
        shared.scheduler()
        shared.mnist()
        built_in.run()
    except (DataError, CheckpointError, ConfigError, RunsError) as error:
        log.error("the page cannot start: %s", error)
        st.error(f"The page cannot start: {formatting.escape_markdown(str(error))}.", icon=":material/error:")
        st.stop()
    with st.sidebar:
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
    my_digits.keep()  # before anything shows them: what is shown is kept, however soon the page is reloaded
    story.panel()
    diagnosis = notices.diagnosis()
    with st.container(key="training_bar", horizontal=True, vertical_alignment="center", gap="small"):
        run_bar.panel(diagnosis)
        glance = st.container(key="glance", width="content")
    looking_back = st.container(key="looking_back")
    with st.container(key="workspace", horizontal=True, gap="medium"):
        with st.container(key="pad", width=CANVAS_SIZE):
            drawing.pad()
            readings = drawing.read(network)
            answer.probabilities(readings)
            preparation.switch()
        with st.container(key="stage"):
            drawing.choice(network)
            with st.container(key="at_work", horizontal=True, gap="small"):
                live_network.panel(readings, network)
                answer.panel(readings, network)
            charts.panel()
            is_complete = probes.panel()
    with glance:
        answer.glance(readings)
    notices.panel(diagnosis)
    preparation.panel(readings, network)
    photo.panel(network)
    if has_ended:
        handwriting_test.keep_score(network)  # whichever tab is open, and before the table of runs shows it
    tabs.panel(readings, network)
    with looking_back:
        timeline.timeline(network)  # last: playback moves to the next step once everything of this one is drawn
    if not is_complete:
        st.rerun()


def tick_seconds() -> float | None:
    """Return the seconds from one tick to the next; None if nothing is active.

    `live` contains no fragments: their ids would change with what is drawn before them, and Streamlit (1.67) ignores a click
    that was sent under an old id.
    """
    tab = tabs.current()
    paces = [pace.tick_seconds(much_to_draw=tab in tabs.MUCH_TO_DRAW), run_bar.tick_seconds()]
    if tab == tabs.SWEEP:
        from mnist_fc.views import sweep

        paces.append(sweep.tick_seconds())
    if tab == tabs.SPEED:
        paces.append(speed.tick_seconds())
    return min((seconds for seconds in paces if seconds), default=None)
