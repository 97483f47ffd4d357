"""What the views share: the server's one trainer, data and shipped network, and which run this session watches."""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from mnist_fc.runs.layout import RunsError, read_metadata
from mnist_fc.server.job import Job
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.task import Sweep
from mnist_fc.views.state import sync
from mnist_fc.views.state.formatting import duration
from mnist_fc.views.state.shared import num_train_images, scheduler

log = logging.getLogger(__name__)


def session_id() -> str:
    """This session's own id."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def heartbeat() -> None:
    """This session is here, and sees the run that it watches, and the sweep that its person started."""
    if run := watched_run():
        scheduler().touch(run, session_id())
    sweep = scheduler().sweep
    if sweep and address().get("sweep") == sweep.id:
        scheduler().touch(sweep, session_id())
    _visits[session_id()] = None


def is_detached() -> bool:
    """Whether what is begun here is to go on when this session is gone."""
    return bool(st.session_state.get("keep_training"))


def set_detached(is_on: bool) -> None:
    """Set whether what is begun here is to go on when this session is gone."""
    st.session_state.keep_training = is_on


def place_of(job: Job) -> str:
    """Where a job stands in the queue, in words; nothing for one that does not wait."""
    place = scheduler().place(job, num_train_images())
    if place is None:
        return ""
    verb, verbs = ("resume", "Resumes") if job.has_begun else ("start", "Starts")
    where = "you're next" if place.number == 1 else f"place {place.number} of {place.of} in the queue"
    return f"{where}, about {duration(place.seconds)} until it {verb}s. {verbs} automatically"


def own_sweep() -> Sweep | None:
    """The newest sweep if it is this person's, as the page's address says after a reload."""
    sweep = scheduler().sweep
    return sweep if sweep and (sweep.session_id == session_id() or sweep.id == address().get("sweep")) else None


def may_stop(sweep: Sweep) -> bool:
    """Whether it is this person's, or nobody is there for it."""
    return sweep is own_sweep() or not scheduler().has_viewers(sweep)


_visits: dict[str, None] = {}
"""The sessions that there have been, by id, the newest last."""


def num_present() -> int:
    """How many sessions have the page open now."""
    is_active = st.runtime.get_instance().is_active_session
    for gone in [visitor for visitor in list(_visits) if not is_active(visitor)]:
        _visits.pop(gone, None)
    return len(_visits)


def refused(what: str) -> None:
    """Say in the log that something of this session was not taken; `what` names it, and holds nothing that a person drew."""
    log.warning("refused session %s: %s", session_id()[:8], what)


Source = Literal["run", "shipped", "file"]
"""Where a network that reads comes from."""


def choose_source(chosen: Source) -> None:
    """Let another network read from now on, whatever the person has chosen before."""
    sync.receive()
    st.session_state.network = chosen


# Networks are shared: each of thirty sessions that watch a run would keep one of its own, of up to 57 MB.


def address() -> dict[str, str]:
    """Return what the page's address says, by name: as it was when the session began, with what the page has changed since.

    The browser sends its address with every message, but over a slow network that is an old one.
    """
    said: dict[str, str] = st.session_state.setdefault("page_address", dict(st.query_params))
    return said


def set_address(name: str, value: str | None) -> None:
    """Let the page's address say `value` under `name`, or nothing."""
    address().pop(name, None)
    if value is not None:
        address()[name] = value
    redraw_panel()


def redraw_panel() -> None:
    """Have the side panel, and the address with it, drawn anew after a change from elsewhere."""
    st.session_state.panel_is_stale = True


def pop_panel_redraw() -> bool:
    """Return whether the side panel is to be drawn anew, once for each time."""
    return bool(st.session_state.pop("panel_is_stale", False))


def watched_run() -> Run | None:
    """The run that this session started, or that the page's address names."""
    return scheduler().run(address().get("run"))


def watched_snapshot() -> RunSnapshot | None:
    """The run that this session watches, as it is now."""
    run = watched_run()
    return run.snapshot() if run else None


def run_name(run: Run) -> str:
    """Return what a run is called: as a person named it, else its id without the date."""
    name = ""
    if run.path:
        with suppress(RunsError):  # the table of runs says what is wrong with it
            name = read_metadata(run.path).name
    return name or re.sub(r"^\d{4}-\d\d-\d\d-\d{6}-", "", run.id)


def watch(run: Run | None) -> None:
    """Show `run` from now on, after a reload too; None for none."""
    set_address("run", run.id if run else None)


def follow(runs: Sequence[Run]) -> None:
    """Show the first of runs that begin in their turn, and each of the others once it has begun."""
    st.session_state.followed = [run.id for run in runs]
    choose_source("run")
    watch(runs[0])


def follow_on() -> None:
    """Go to the next of the runs that are followed, when the one that is watched has ended, unless it was stopped with it."""
    run = watched_run()
    if run is None or run.id not in st.session_state.get("followed", []):
        st.session_state.followed = []  # another is watched by now
    elif not run.is_active and (rest := _followers(run.id)) and (rest[0].is_active or rest[0].has_begun):
        st.session_state.followed = [follower.id for follower in rest]
        watch(rest[0])


def num_stopped_with(run_id: str) -> int:
    """Return how many runs that this session queued to follow the run ended with it, before they began."""
    return sum(not follower.is_active and not follower.has_begun for follower in _followers(run_id))


def num_followed_active() -> int:
    """Return how many of the runs that this session began in turn have not ended."""
    return sum(run.is_active for run_id in st.session_state.get("followed", []) if (run := scheduler().run(run_id)))


def _followers(run_id: str) -> list[Run]:
    """The runs that this session follows after the run of that id."""
    followed: list[str] = st.session_state.get("followed", [])
    later = followed[followed.index(run_id) + 1 :] if run_id in followed else []
    return [run for later_id in later if (run := scheduler().run(later_id))]
