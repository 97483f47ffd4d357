"""The table of runs: waiting ones, those of the store, and those deleted since a run last began; and its buttons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from mnist_fc.analysis.results import test_result, training_time
from mnist_fc.config import FIELDS, TrainConfig
from mnist_fc.data.lesson import Lesson
from mnist_fc.percentages import in_percent
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.runs.layout import MAX_NAME, RunsError
from mnist_fc.runs.lessons import read_lesson
from mnist_fc.runs.reader import StoredRun
from mnist_fc.runs.settings import RunSettings
from mnist_fc.runs.store import RunStore
from mnist_fc.server.job import ACTIVE_STATES
from mnist_fc.server.run import Run
from mnist_fc.server.scheduler import JobRejected, Scheduler
from mnist_fc.server.status import status_word, stored_status_word
from mnist_fc.views import commands, controls, handwriting_test, teaching
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.settings import field_in_words, value_in_words
from mnist_fc.views.state import formatting, session, shared

_table = Component("runs_table", "<div class='runs' role='region' aria-label='Table of runs' tabindex='0'></div>")


@dataclass(frozen=True)
class ListedRun:
    """A run as the table shows it."""

    id: str
    name: str
    """The name that a person gave it; otherwise its id."""
    settings: RunSettings
    word: str
    """Its status in one word; see status.py."""
    steps: Sequence[StepRecord]
    """All of its steps, or only the last."""
    epochs: Sequence[EpochRecord]
    end: EndRecord | None
    stored: StoredRun | None = None
    """As it is on disk; None for one that waits for its first turn, or that could not be written."""
    is_deleted: bool = False
    """Whether it was deleted, and can be brought back."""

    @property
    def state(self) -> str:
        """The word, and how many epochs are done unless all are or the run waits for its first turn."""
        num_done, num_epochs = len(self.epochs), self.settings.config.num_epochs
        is_plain = num_done == num_epochs or (self.word == "waiting" and not self.steps)
        return self.word if is_plain else f"{self.word}, {num_done} of {num_epochs} epochs done"


def listed_runs(scheduler: Scheduler) -> list[ListedRun]:
    """Return the runs of the table, the newest first; those that are not in the store yet come before all others."""
    store = scheduler.store
    stored, deleted = store.runs(), store.deleted()
    known = {run.id for run in stored}
    queued = [job for job in scheduler.jobs() if isinstance(job, Run) and job.id not in known]
    on_disk = [(run, False) for run in stored] + [(run, True) for run in deleted if run.id not in known]
    on_disk.sort(key=lambda each: (each[0].metadata.number, each[0].id), reverse=True)
    return [
        *(_listed_job(run) for run in reversed(queued)),
        *(_listed_stored(scheduler, run, is_deleted=is_deleted) for run, is_deleted in on_disk),
    ]


def _listed_job(run: Run) -> ListedRun:
    now = run.snapshot()
    return ListedRun(run.id, run.id, now.settings, status_word(now), now.steps, now.epochs, now.end)


def _listed_stored(scheduler: Scheduler, run: StoredRun, *, is_deleted: bool) -> ListedRun:
    word = "deleted" if is_deleted else stored_status_word(run, scheduler.active_run(run.id))
    name = run.metadata.name or run.id
    return ListedRun(run.id, name, run.settings, word, run.steps, run.epochs, run.end, run, is_deleted)


def show(runs: Sequence[ListedRun], colors: Mapping[str, str]) -> None:
    """Draw the table; `colors` are those of the curves that are shown, by the runs' ids."""
    hands = {run.id: handwriting_test.num_right(run.id) for run in runs}
    with_hands = any(right is not None for right in hands.values())
    differing = [field for field in FIELDS if len({_setting(run.settings, field) for run in runs}) > 1]
    watched = session.watched_run()
    rows = []
    for run in runs:
        right = hands[run.id]
        rows.append(
            {
                "id": run.id,
                "name": run.name,
                "isPinned": run.stored is not None and run.stored.metadata.is_pinned,
                "state": run.word,
                "isActive": run.word in (*ACTIVE_STATES, "running elsewhere"),
                "isStored": run.stored is not None,
                "isDeleted": run.is_deleted,
                "isWatched": watched is not None and watched.id == run.id,
                "color": colors.get(run.id),
                "cells": [
                    *_figures(run),
                    *([f"{right} of 10" if right is not None else ""] if with_hands else []),
                    run.settings.in_words,
                    *(_setting(run.settings, field) for field in differing),
                ],
            }
        )
    columns = ["state", "validation", "test", "time", "images/s", *(["your hand"] if with_hands else []), "settings"]
    columns += [field_in_words(field) for field in differing]
    turn = st.session_state.get("runs_turn", 0)
    data = {"columns": columns, "rows": rows, "turn": turn, "maxName": MAX_NAME}
    _table.show("runs_table", data, on_act_change=_act)


def _setting(settings: RunSettings, field: str) -> str:
    if field == "learning_rate":
        return settings.learning_rate_in_words
    return value_in_words(getattr(settings.config, field))


def _figures(run: ListedRun) -> list[str]:
    """Return state, validation and test accuracy, seconds of training, and images per second of that time."""
    result = test_result(run.epochs, run.end)
    accuracies = (run.epochs[-1].val_accuracy if run.epochs else None, result.accuracy if result else None)
    trained = training_time(run.settings.config.batch_size, run.steps, run.end)
    rate = trained.images_per_second
    return [
        run.state,
        *("" if accuracy is None else in_percent(accuracy, 2) for accuracy in accuracies),
        f"{trained.seconds:.1f} s" if rate else "",
        f"{rate:,.0f}" if rate else "",
    ]


# Actions of the buttons


def _act() -> None:
    """Carry out the action pressed in the table. The browser is not trusted: the store knows which runs exist.

    A message names the run and its new state, so that a repeated message changes nothing. "again" has no such state: it
    carries the table's turn, and each turn begins at most one run.
    """
    match browser_value("runs_table", "act"):
        case {"what": str(what), "run": str(run_id), "value": value}:
            pass
        case _:
            return
    try:
        if what in ("use", "again", "open"):
            _act_on_page(what, run_id, value)
        else:
            _act_on_store(what, run_id, value)
    except RunsError as error:
        session.log_rejected(f"an action on a run: {error}")
        st.session_state.runs_problem = formatting.sentence(str(error))


def _act_on_page(what: str, run_id: str, value: object) -> None:
    """Show a run, copy its settings, or train again with them; a lesson is taught again. Raises RunsError if that fails."""
    scheduler = shared.scheduler()
    turn: int = st.session_state.get("runs_turn", 0)
    active = scheduler.active_run(run_id)
    settings = (active.snapshot() if active else scheduler.store.run(run_id)).settings
    match what:
        case "open":
            session.watch(scheduler.run(run_id))
            session.choose_source("run")
        case "use":
            controls.set_all(settings.latest)
        case "again" if value == turn:
            st.session_state.runs_turn = turn + 1
            lesson = active.lesson if active else read_lesson(scheduler.store.folder(run_id), settings.config.layer_sizes)
            if lesson:
                _teach_again(settings.latest, lesson)
            else:
                controls.set_all(settings.latest)
                commands.start()


def _teach_again(config: TrainConfig, lesson: Lesson) -> None:
    try:
        teaching.start(config, lesson)
    except JobRejected as busy:
        raise RunsError(f"{busy}; press Rerun again when one of them has ended") from None


def _act_on_store(what: str, run_id: str, value: object) -> None:
    """Show, keep, name, delete or restore a run. Raises RunsError for an action that is not possible."""
    state, store = st.session_state, shared.scheduler().store
    if what != "undelete":
        store.folder(run_id)
    match what, value:
        case "show", bool():
            others = [one for one in state.get("compared", []) if one != run_id]
            state.compared = [*others, run_id] if value else others
        case "pin", bool():
            store.pin(run_id, value)
        case "rename", str():
            store.rename(run_id, "" if value == run_id else value)
        case "delete", _:
            _delete(run_id)
        case "undelete", _:
            _undelete(store, run_id)


def _delete(run_id: str) -> None:
    scheduler = shared.scheduler()
    if scheduler.active_run(run_id):  # perhaps without its folder, when that could not be written any more
        raise RunsError(f"the run {run_id} is running or waiting; stop it first")
    scheduler.store.delete(run_id)
    scheduler.evict(run_id)
    if session.address().get("run") == run_id:
        st.session_state.deleted_watched = run_id
        session.watch(None)


def _undelete(store: RunStore, run_id: str) -> None:
    store.restore(run_id)
    if run_id == st.session_state.get("deleted_watched") and session.watched_run() is None:
        session.choose_source("run")
        session.watch(shared.scheduler().run(run_id))
