"""Notices about problems of the run or the store, with remedies; in the same place, the explanation of the curves."""

import time
from functools import lru_cache
from typing import Literal

import streamlit as st

from mnist_fc.analysis.diagnosis import Diagnosis, diagnose
from mnist_fc.config import TrainConfig
from mnist_fc.runs.layout import RunsError
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views import charts, commands, controls
from mnist_fc.views.settings import in_words
from mnist_fc.views.state import formatting, networks, session, shared, sync

ROOM_SECONDS = 3.0
"""The time that the store's plan to make room is kept: with a hundred runs, planning costs as much as reading a drawing."""

NAMES = {"diverges": "Training diverged", "stalls": "Training stalled", "overfits": "The network overfits"}
"""The name of each diagnosis on the page."""


def diagnosis() -> Diagnosis | None:
    """Return what is wrong with the run, at the moment that is looked back at; None for a lesson or without a run."""
    snapshot = session.watched_snapshot()
    if snapshot is None:
        return None
    # A failure is shown whatever moment is looked back at, so its remedy stays too.
    shown = snapshot if snapshot.state == "failed" else networks.at_chosen_step(snapshot)
    # A lesson is judged by its scores: it is too short to stall, and without rehearsal it is meant to forget.
    return None if shown.lesson else diagnose(shown.config, shown.learning_rate, shown.steps, shown.epochs, shown.end)


def panel(found: Diagnosis | None) -> None:
    """Draw what is wrong with the run or the store, otherwise an explanation of the curves.

    The style sheet gives all of this one space of fixed height, so nothing moves when a notice appears.
    """
    snapshot = session.watched_snapshot()
    with st.container(key="notices", gap="small"):
        _diagnosis(snapshot, found)
        if hint := shared.mnist().hint:
            st.caption(f"**Check your data.** {hint}")
        if problem := networks.chosen_step_problem(networks.shown_run()):
            st.warning(problem)
        if sync.has_older_page():
            st.caption(
                "The connection began anew: any pins, loaded file or handwriting-test digits of this page are gone. "
                "Your settings, run and drawing are still here."
            )
        if snapshot and snapshot.storage_problem:
            st.warning(
                f"This run is not kept on disk: {formatting.escape_markdown(snapshot.storage_problem)}. "
                "It stays on the page until the server ends."
            )
        if not (snapshot and snapshot.is_active) and (removed := removed_by(controls.config())):
            st.caption(f"{removed} Pin the runs to keep, in the tab Runs.")
        with st.container(key="explanation"):
            shown = networks.shown_run()
            st.caption(charts.explanation(shown, [one.name for one in charts.series_of(shown, "accuracy")]))


def _diagnosis(snapshot: RunSnapshot | None, found: Diagnosis | None) -> None:
    """Draw what goes wrong with the run, or why it ended, and a button for the setting that helps."""
    with st.container(key="diagnosis", horizontal=True, vertical_alignment="center", gap="small"):
        if snapshot is None:
            return
        if snapshot.state == "failed":
            st.error(formatting.escape_markdown(snapshot.message), icon=":material/error:", width="stretch")
        elif snapshot.state == "stopped" and snapshot.message:
            way_on = "Resume continues it" if snapshot.is_resumable else "Train starts a new run"
            st.info(f"{formatting.escape_markdown(snapshot.message)} {way_on}.", icon=":material/info:", width="stretch")
            return  # no diagnosis is shown, so no setting either
        elif found:
            st.warning(f"**{NAMES[found.name]}.** {found.symptom} {found.cause}", icon=":material/troubleshoot:", width="stretch")
        if found:
            _cure(found, snapshot)


def _cure(found: Diagnosis, snapshot: RunSnapshot) -> None:
    """Draw the button that sets the one setting, or once it is set, the button that trains with it."""
    ((field, value),) = found.change.items()
    if getattr(controls.config(), field) != value:
        st.button(f"Set {in_words(field, value)}", key="cure", on_click=controls.set_one, args=(field, value))
    else:
        # While the run is active, Train is disabled, and this is the only primary action.
        label = "Stop and retrain" if snapshot.is_active else "Retrain"
        look: Literal["primary", "secondary"] = "primary" if snapshot.is_active else "secondary"
        st.button(label, key="retrain", type=look, on_click=commands.retrain, args=(snapshot.id,))


def removed_by(*configs: TrainConfig) -> str:
    """Return a sentence that names the runs to be removed when runs with such settings begin; empty while there is room."""
    return _removed_by(int(time.monotonic() / ROOM_SECONDS), *configs)


@lru_cache(maxsize=64)
def _removed_by(_when: int, *configs: TrainConfig) -> str:
    try:
        to_remove = shared.scheduler().store.plan_eviction(*configs).to_remove
    except RunsError as error:
        return f"The next run will not be kept on disk: {formatting.escape_markdown(str(error))}."
    names = ", ".join(f"**{formatting.escape_markdown(run.metadata.name or run.id)}**" for run in to_remove[:3])
    more = f" and {len(to_remove) - 3} more" if len(to_remove) > 3 else ""
    return f"The store is full: the next run will remove the oldest, {names}{more}." if names else ""
