"""The page: page config, session, and the views in their places."""

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
    handwriting_test,
    inside,
    look_alikes,
    mistakes,
    notices,
    probes,
    rest,
    run_bar,
    runs,
    speed,
    sweep,
    timeline,
    why,
)
from mnist_fc.views.state import formatting, networks, pace, session, shared, sync

ABOUT = """
- **Train** teaches a new network with the settings of the side panel; **Pause** holds it, **Stop** ends it and keeps what it
  learned, **Close run** ends it, too, and takes it off the page; it stays under Runs. Training runs beside the page on this
  computer's processor, and the page's address leads back to the run after a reload.
- **One at a time.** While others train, yours waits: the page shows its place in the queue, **Leave queue** gives that up,
  and it starts automatically. A long run lets others have their turn and goes on later. A run whose page is closed for a
  minute stops, unless **Keep training after I close the page** is set in the side panel; **Resume** continues it.
- **The slider** under the buttons lies on the charts' own axis and looks back: the drawing is read, everything below is drawn,
  and all figures are shown as they were after so many steps. ▶ plays the run from there, at its end from the first step.
- **The curves** show the loss (how wrong the answers are) and the accuracy (the share of right answers) over the steps; a step
  is one batch of images. Point at or tap a curve for its values.
- **Draw** a digit with the mouse, a pen or a finger. The number under the digit read says how sure the network is, and what it
  would say next; the bars give all ten probabilities in percent. **Test digit** shows it a picture from MNIST instead, and
  **Undo** brings your drawing back.
- **Pin** keeps a drawing, up to five: while a network learns, a chart shows how probable the right digit becomes for each.
- It says **?** when it sees no digit at all, whatever is drawn; and it reads **several digits** side by side as a number.
- **What the network sees** is your drawing cropped, brought to MNIST's stroke, scaled and centred as MNIST's digits were:
  28 by 28 pixels, and its only input. While a run goes on, its newest weights read, so the answer changes as the network learns.
- The tabs: **Why this digit?** shows what each pixel adds to the answer, **Inside** every unit at work, **Gradients** how
  strongly the loss pulls at each layer, **Mistakes** what the network misreads, **Look-alikes** the training digits most like
  yours, and **Test your hand** asks you for 0 to 9 and keeps the score of every network. While a run goes on, what takes long
  is drawn anew every few seconds, and says of which step.
- **Runs** are kept on disk: compare them there, name, pin, delete and repeat them, and train the blog's two programs. A run that
  was cut off or stopped goes on with **Resume**. The address of the page says the run and all settings: reload it, share it,
  or add `hide=learning_rate,seed` to take controls off the page.
- **Sweep** searches for better settings. **Take it away** has the network as a checkpoint, ONNX and script, and reads with one of
  yours; every chart has SVG and PNG in its corner.
"""

YOUR_HAND, SWEEP, SPEED = "Test your hand", "Sweep", "How fast is this machine?"

TABS: dict[str, Callable[[list[Reading], networks.Network], None]] = {
    "Why this digit?": why.panel,
    "Inside": inside.panel,
    "Gradients": lambda readings, network: gradients.panel(network),
    "Mistakes": lambda readings, network: mistakes.panel(network),
    "Look-alikes": look_alikes.panel,
    YOUR_HAND: lambda readings, network: handwriting_test.panel(network),
    "Runs": lambda readings, network: runs.panel(),
    "Take it away": lambda readings, network: export.panel(network),
    SWEEP: lambda readings, network: sweep.panel(),
    SPEED: lambda readings, network: speed.panel(),
    "What is on this page": lambda readings, network: about(),
}
"""The tabs by name, and what draws each, for the drawing as it was just read and the network that read it."""

MUCH_TO_DRAW = ("Inside", "Gradients", "Mistakes", "Look-alikes", "Runs")
"""Tabs that are drawn anew more seldom while a run goes on, so that they do not slow it."""

log = logging.getLogger(__name__)


def draw_page() -> None:
    """Draw all of the page; called at every run of the script."""
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
        controls.panel()
    seconds, look_seconds = tick_seconds(), rest.look_seconds()
    st.fragment(live, run_every=seconds)(seconds, look_seconds)
    st.fragment(rest.look, run_every=look_seconds)(look_seconds)


def live(seconds: float | None, look_seconds: float | None) -> None:
    """All of the page beside the side panel, drawn anew as one at every tick, stroke and click."""
    sync.receive()
    session.heartbeat()
    session.follow_on()
    if (tick_seconds(), rest.look_seconds()) != (seconds, look_seconds) or session.pop_panel_redraw():
        st.rerun()  # a run has begun or ended, and the page begins to tick, or rests; or the side panel shows old values
    has_ended = pace.tick_seconds() is None  # before the weights are taken: those of a run that ends later are not its last
    network = networks.network()  # once: all that is drawn is of the same weights
    with st.container(key="training_bar"):
        run_bar.panel()
    looking_back = st.container(key="looking_back")
    with st.container(key="workspace"):
        left, right = st.columns(2, gap="large")
    with left:
        readings = drawing.panel(network)
    with right:
        is_complete = charts.panel(probes.panel if probes.pinned() else None)
        notices.panel()
    tabs(readings, network)
    with looking_back:
        timeline.timeline()  # last: what it plays goes on to the next moment when all of this one is drawn
    if has_ended:
        handwriting_test.keep_score(network)  # of a run that has just ended, whatever tab is open
    if not is_complete:
        st.rerun()


def about() -> None:
    """Everything on the page in words."""
    with st.container(key="help"):
        st.markdown(ABOUT)


def tabs(readings: list[Reading], network: networks.Network) -> None:
    """What the page has besides; a tab that is not open is not drawn."""
    for tab, panel in zip(st.tabs(list(TABS), key="tabs", on_change="rerun"), TABS.values(), strict=True):
        if tab.open:
            with tab:
                panel(readings, network)


def tick_seconds() -> float | None:
    """Seconds from tick to tick; None while nothing goes on.

    `live` has no fragments within it: their names would change with what stands before them, and a click that was sent under
    the old name is passed over (Streamlit 1.67).
    """
    tab = st.session_state.get("tabs")
    paces = [pace.tick_seconds(much_to_draw=tab in MUCH_TO_DRAW), run_bar.tick_seconds()]
    if tab == SWEEP:
        paces.append(sweep.tick_seconds())
    if tab == SPEED:
        paces.append(speed.tick_seconds())
    return min((seconds for seconds in paces if seconds), default=None)
