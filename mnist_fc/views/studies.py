"""The studies of sweeps as the page reads them from their storage: seldom, for all sessions at once, and never trusted."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import streamlit as st

from mnist_fc.config import TrainConfig, nearest_preset
from mnist_fc.sweep.space import Space, TrialRecord
from mnist_fc.sweep.storage import SweepError, storage_address
from mnist_fc.sweep.study import base_and_space, studies, trials
from mnist_fc.views import controls
from mnist_fc.views.state import shared, throttle

READ_SECONDS, MAX_WAIT_SECONDS = 2.0, 60.0
LEISURE_AT_REST = 5
"""While nothing trains here: what is read takes at most one part in so many of a core's time."""
MAX_KEPT = 32

T = TypeVar("T")


@dataclass(frozen=True)
class Study:
    """A study as it is now."""

    base: TrainConfig
    space: Space
    trials: list[TrialRecord]

    @property
    def rest(self) -> str:
        """What is not varied, in words."""
        preset, differing = nearest_preset(self.base)
        fields = [name for name in differing if name not in {*self.space, "threads"}]
        but = ", ".join(controls.in_words(name, differing[name]) for name in fields)
        return f"All else is as in the preset {preset}{f' but {but}' if but else ''}."


def storage() -> str:
    return storage_address(shared.scheduler().store.path)


def names() -> list[str]:
    """The names of all studies, the newest first. Raises SweepError."""
    address, sweep = storage(), shared.scheduler().sweep
    found = throttled(("studies", address, sweep and sweep.id), None, lambda: studies(address)[::-1])
    own = sweep.config.study if sweep and sweep.records() else None
    return [own, *found] if own and own not in found else found


def chosen(names: list[str]) -> str | None:
    """The study that this session looks at: the newest, unless it has chosen or begun another."""
    state = st.session_state
    if state.get("sweep_wanted") in names:
        state.sweep_study = state.pop("sweep_wanted")
    if state.get("sweep_study") not in names:
        state.pop("sweep_study", None)
    return cast("str | None", state.get("sweep_study", names[0] if names else None))


def read(name: str) -> Study:
    """As the storage has it, with the newest records of the sweep of this server. Raises SweepError."""
    address, sweep = storage(), shared.scheduler().sweep

    def from_storage() -> Study:
        return Study(*base_and_space(address, name), trials(address, name))

    study = throttled(("study", address, name, sweep and (sweep.id, sweep.is_active)), None, from_storage)
    if sweep is None or (sweep.config.study, sweep.config.storage) != (name, address):
        return study
    newest = {trial.number: trial for trial in study.trials}
    for trial in {trial.number: trial for trial in sweep.records()}.values():
        if sweep.is_active or trial.state != "running":
            newest[trial.number] = trial
        elif newest.get(trial.number, trial).state == "running":  # its process died, which the storage does not know
            newest[trial.number] = replace(trial, state="failed", message=sweep.problem)
    return replace(study, trials=list(newest.values()))


@dataclass(frozen=True)
class Kept:
    """What was computed for all sessions."""

    about: Hashable
    result: Any
    at: float
    """When, by the monotonic clock."""
    seconds: float
    """How long it took."""

    def may_wait(self) -> bool:
        """Whether it was computed so shortly before, for the time that it took, that it need not be again."""
        leisure = throttle.LEISURE if shared.scheduler().is_busy else LEISURE_AT_REST
        return time.monotonic() < self.at + min(max(READ_SECONDS, leisure * self.seconds), MAX_WAIT_SECONDS)


_all_kept: dict[Hashable, Kept] = {}
"""Of all sessions."""


def throttled(key: Hashable, about: Hashable, compute: Callable[[], T], *, may_wait: bool = True) -> T:
    """What `compute` gives for `about`, or what it gave last, for anything, if that took so long that it may wait.

    So what is read of a study that grows takes at most a small part of a core's time, however large the study is and however
    many sessions look at it. About None, it is computed again whenever it has waited. Raises SweepError as `compute` does.
    """
    kept = _all_kept
    last, started = kept.get(key), time.monotonic()
    is_same = last is not None and about is not None and last.about == about
    if last is None or not (is_same or (may_wait and last.may_wait())):
        try:
            result: T | SweepError = compute()
        except SweepError as error:
            result = error
        now = time.monotonic()
        kept.pop(key, None)
        kept[key] = last = Kept(about, result, now, now - started)
        for old in list(kept)[:-MAX_KEPT]:
            kept.pop(old, None)
    if isinstance(last.result, SweepError):
        raise SweepError(str(last.result))
    return cast("T", last.result)
