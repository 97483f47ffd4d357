"""The studies of sweeps, as the page reads them from their storage: seldom, and once for all sessions."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import streamlit as st

from mnist_fc.config import TrainConfig, nearest_preset
from mnist_fc.sweep.errors import SweepError
from mnist_fc.sweep.space import Space, TrialRecord
from mnist_fc.sweep.storage import storage_address
from mnist_fc.sweep.study import base_and_space, studies, trials
from mnist_fc.views.settings import in_words
from mnist_fc.views.state import shared, throttle

READ_SECONDS, MAX_WAIT_SECONDS = 2.0, 60.0
"""The shortest and the longest time for which a result is used although the study may have changed."""
LEISURE_AT_REST = 5
"""While nothing trains here, reading takes at most one part in this many of a core's time."""

T = TypeVar("T")


@dataclass(frozen=True)
class Study:
    """A study as it is now."""

    base: TrainConfig
    space: Space
    trials: list[TrialRecord]
    waiting: frozenset[int] = frozenset()
    """The numbers of the unfinished trials of this server's sweep while it waits for its turn."""

    @property
    def rest(self) -> str:
        """The settings that are not varied, in words."""
        preset, differing = nearest_preset(self.base)
        fields = [name for name in differing if name not in {*self.space, "threads"}]
        but = ", ".join(in_words(name, differing[name]) for name in fields)
        return f"The other settings are those of the preset {preset}{f', but {but}' if but else ''}."


def storage() -> str:
    """Return the address of the storage that all sweeps of this server share."""
    return storage_address(shared.scheduler().store.path)


def names() -> list[str]:
    """Return the names of all studies, newest first. Raises SweepError."""
    address, sweep = storage(), shared.scheduler().sweep
    found = throttled(("studies", address, sweep and sweep.id), None, lambda: studies(address)[::-1])
    own = sweep.config.study if sweep and sweep.records() else None
    return [own, *found] if own and own not in found else found


def chosen(names: list[str]) -> str | None:
    """Return the study that this session shows: the newest, unless it has chosen or started another."""
    state = st.session_state
    if state.get("sweep_wanted") in names:
        state.sweep_study = state.pop("sweep_wanted")
    if state.get("sweep_study") not in names:
        state.pop("sweep_study", None)
    return cast("str | None", state.get("sweep_study", names[0] if names else None))


def read(name: str) -> Study:
    """Return a study as stored, with the newest records of this server's own sweep. Raises SweepError."""
    address, sweep = storage(), shared.scheduler().sweep

    def from_storage() -> Study:
        return Study(*base_and_space(address, name), trials(address, name))

    study = throttled(("study", address, name, sweep and (sweep.id, sweep.is_active)), None, from_storage)
    if sweep is None or (sweep.config.study, sweep.config.storage) != (name, address):
        return study
    newest = {trial.number: trial for trial in study.trials}
    own = {trial.number: trial for trial in sweep.records()}
    for trial in own.values():
        if sweep.is_active or trial.state != "running":
            newest[trial.number] = trial
        elif newest.get(trial.number, trial).state == "running":  # its process died, and could not store that
            newest[trial.number] = replace(trial, state="failed", message=sweep.problem)
    unfinished = frozenset(trial.number for trial in own.values() if trial.state == "running")
    return replace(study, trials=list(newest.values()), waiting=unfinished if sweep.is_waiting else frozenset())


def throttled(key: Hashable, version: Hashable, compute: Callable[[], T], *, may_be_old: bool = True) -> T:
    """Return what `compute` gives for this `version` of the study, or gave shortly before for an older one.

    So reading a study that grows takes at most a small part of a core's time, however large the study is and however many
    sessions show it. Without a version, the result is computed again whenever it is old. Raises SweepError as `compute` does:
    an error is a result that is kept like others.
    """

    def outcome() -> T | SweepError:
        try:
            return compute()
        except SweepError as error:
            return error

    value = throttle.results.get(key, version, outcome, _max_age if may_be_old else None).value
    if isinstance(value, SweepError):
        raise SweepError(str(value))
    return value


def _max_age(seconds: float) -> float:
    """Return for how many seconds to use a result that took `seconds` to compute."""
    leisure = throttle.LEISURE if shared.scheduler().is_busy else LEISURE_AT_REST
    return min(max(READ_SECONDS, leisure * seconds), MAX_WAIT_SECONDS)
