"""Who this session is, which run it shows, and what it has started."""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import streamlit as st

from mnist_fc.runs.layout import RunsError, read_metadata
from mnist_fc.server.job import Job
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.task import Sweep
from mnist_fc.views.state import streamlit_patches, sync
from mnist_fc.views.state.formatting import duration
from mnist_fc.views.state.shared import num_train_images, scheduler

log = logging.getLogger(__name__)


def session_id() -> str:
    """Return this session's own id."""
    return streamlit_patches.session_id()


def heartbeat() -> None:
    """Tell the scheduler that this session is present and shows its run, and the sweep that its person started."""
    if run := watched_run():
        scheduler().touch(run, session_id())
    sweep = scheduler().sweep
    if sweep and address().get("sweep") == sweep.id:
        scheduler().touch(sweep, session_id())
    _visits[session_id()] = None


def is_detached() -> bool:
    """Return whether the runs and sweeps of this session keep training after its page is closed."""
    return bool(st.session_state.get("keep_training"))


def set_detached(is_on: bool) -> None:
    """Set whether the runs and sweeps of this session keep training after its page is closed."""
    st.session_state.keep_training = is_on


def queue_position(job: Job) -> str:
    """Return a job's position in the queue in words; empty if it is not waiting."""
    place = scheduler().place(job, num_train_images())
    if place is None:
        return ""
    verb, verbs = ("resume", "Resumes") if job.has_begun else ("start", "Starts")
    where = f"place {place.number} of {place.of} in the queue"
    if place.number == 1:
        where = "next unless others join" if place.can_be_overtaken else "you're next"
    return f"{where}, about {duration(place.seconds)} until it {verb}s. {verbs} automatically"


def own_sweep() -> Sweep | None:
    """Return the newest sweep if this person started it, which the page's address tells after a reload."""
    sweep = scheduler().sweep
    return sweep if sweep and (sweep.session_id == session_id() or sweep.id == address().get("sweep")) else None


def can_stop(sweep: Sweep) -> bool:
    """Return whether this session may stop a sweep: it is this person's, or no session is viewing it."""
    return sweep is own_sweep() or not scheduler().has_viewers(sweep)


_visits: dict[str, None] = {}
"""The ids of the sessions that have opened the page, the newest last."""


def num_present() -> int:
    """Return how many sessions have the page open now."""
    is_present = streamlit_patches.presence_check()
    for gone in [visitor for visitor in list(_visits) if not is_present(visitor)]:
        _visits.pop(gone, None)
    return len(_visits)


def log_rejected(what: str) -> None:
    """Log that something from this session was rejected; `what` names it, and contains nothing that a person drew."""
    log.warning("rejected from session %s: %s", session_id()[:8], what)


Source = Literal["run", "shipped", "file"]
"""Where the network that reads comes from."""


def choose_source(chosen: Source) -> None:
    """Let another network read from now on, whatever the person chose before."""
    sync.receive()
    st.session_state.network = chosen


def address() -> dict[str, str]:
    """Return the parameters of the page's address by name: those the session began with, and what the page has set since.

    The browser sends its address with every message, but over a slow network that is an old one.
    """
    parameters: dict[str, str] = st.session_state.setdefault("page_address", dict(st.query_params))
    return parameters


def set_address(name: str, value: str | None) -> None:
    """Set a parameter of the page's address; None removes it."""
    address().pop(name, None)
    if value is not None:
        address()[name] = value
    redraw_panel()


def redraw_panel() -> None:
    """Let the side panel and the address be drawn again, after a change made elsewhere on the page."""
    st.session_state.panel_is_stale = True


def pop_panel_redraw() -> bool:
    """Return whether `redraw_panel` was called since the last time, and reset that."""
    return bool(st.session_state.pop("panel_is_stale", False))


def watched_run() -> Run | None:
    """Return the run that the page's address names: the one this session started or opened."""
    return scheduler().run(address().get("run"))


def watched_snapshot() -> RunSnapshot | None:
    """Return the run that this session shows, as it is now."""
    run = watched_run()
    return run.snapshot() if run else None


def run_name(run: Run) -> str:
    """Return the name that a person gave a run, else its id without the date."""
    name = ""
    if run.path:
        with suppress(RunsError):  # the table of runs shows what is wrong with it
            name = read_metadata(run.path).name
    return name or re.sub(r"^\d{4}-\d\d-\d\d-\d{6}-", "", run.id)


def watch(run: Run | None) -> None:
    """Show `run` from now on, also after a reload; None shows no run."""
    set_address("run", run.id if run else None)


def follow(runs: Sequence[Run]) -> None:
    """Show the first of several queued runs, and each of the others once it has begun; see `follow_next`."""
    st.session_state.followed = [run.id for run in runs]
    choose_source("run")
    watch(runs[0])


def follow_next() -> None:
    """Show the next of the followed runs once the one that is shown has ended and the next has begun."""
    run = watched_run()
    if run is None or run.id not in st.session_state.get("followed", []):
        st.session_state.followed = []  # the person has opened another run
    elif not run.is_active and (rest := _followers(run.id)) and (rest[0].is_active or rest[0].has_begun):
        st.session_state.followed = [follower.id for follower in rest]
        watch(rest[0])


def num_stopped_with(run_id: str) -> int:
    """Return how many of the runs that were queued after this one were cancelled with it."""
    return sum(not follower.is_active and not follower.has_begun for follower in _followers(run_id))


def num_followed_active() -> int:
    """Return how many of the runs that this session began in turn have not ended."""
    return sum(run.is_active for run_id in st.session_state.get("followed", []) if (run := scheduler().run(run_id)))


def _followers(run_id: str) -> list[Run]:
    """Return the runs that this session shows after the run with this id."""
    followed: list[str] = st.session_state.get("followed", [])
    later = followed[followed.index(run_id) + 1 :] if run_id in followed else []
    return [run for later_id in later if (run := scheduler().run(later_id))]
