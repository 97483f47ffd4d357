"""Trials that yield between two steps and resume from their training state, in whatever process."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.sweep.search import discard, sweep
from mnist_fc.sweep.space import Interval, ParkedTrial, Space, SweepConfig, TrialRecord
from mnist_fc.sweep.storage import default_storage
from mnist_fc.sweep.study import trials

pytestmark = pytest.mark.integration

BASE = TrainConfig(hidden_sizes=(16,), batch_size=100, num_epochs=3, num_validation=500, threads=1, dropout=0.2)
SPACE: Space = {"learning_rate": Interval(1e-4, 1e-2)}
STEPS_PER_EPOCH = 15


def config_for(folder: Path, **options: int) -> SweepConfig:
    return SweepConfig(BASE, SPACE, "parked", default_storage(folder), num_runs=options.get("num_runs", 2))


def after(num_steps: int) -> Callable[[], bool]:
    """Return a question that becomes true after `num_steps` steps."""
    asked = itertools.count(-1)  # once before the first trial
    return lambda: next(asked) >= num_steps


def run_slice(
    config: SweepConfig, data: Mnist, parked: ParkedTrial | None, should_yield: Callable[[], bool]
) -> tuple[list[TrialRecord], ParkedTrial | None]:
    records: list[TrialRecord] = []
    generator = sweep(config, data, parked=parked, should_yield=should_yield)
    while True:
        try:
            records.append(next(generator))
        except StopIteration as stopped:
            return records, stopped.value


def accuracies(records: list[TrialRecord]) -> list[tuple[int, int, str, float | None]]:
    return [(record.number, record.epoch, record.state, record.val_accuracy) for record in records]


@pytest.mark.parametrize("num_steps", [0, 1, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 7])
def test_yields_change_no_accuracy(small: Mnist, tmp_path: Path, num_steps: int) -> None:
    expected = list(sweep(config_for(tmp_path / "whole"), small))
    config = config_for(tmp_path / "sliced")
    records, parked = run_slice(config, small, None, after(num_steps))
    assert parked
    assert trials(config.storage, "parked")[0].state == "running"
    later, parked = run_slice(config, small, parked, lambda: False)
    assert parked is None
    assert accuracies([*records, *later]) == accuracies(expected)
    assert accuracies(trials(config.storage, "parked")) == accuracies([r for r in expected if r.state == "done"])


@pytest.mark.slow
def test_sweep_yields_between_trials_without_a_parked_trial(small: Mnist, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    records, parked = run_slice(
        config, small, None, lambda: any(trial.state == "done" for trial in trials(config.storage, "parked"))
    )
    assert (records[-1].state, parked) == ("done", None)
    assert [trial.state for trial in trials(config.storage, "parked")] == ["done"]


def test_time_limit_of_a_slice_stops_a_parked_trial(small: Mnist, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    config = replace(config, base=BASE.replace(num_epochs=100, hidden_sizes=(512, 512)))
    _, parked = run_slice(config, small, None, after(5))
    records, parked = run_slice(replace(config, minutes=0.001), small, parked, lambda: False)
    assert parked is None
    assert (records[-1].number, records[-1].message) == (0, "stopped: the time was up")


def test_trial_that_another_sweep_gave_up_is_not_resumed(small: Mnist, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    _, parked = run_slice(config, small, None, after(5))
    assert parked
    discard(config, parked, "stopped")
    records, still_parked = run_slice(config, small, parked, lambda: False)
    assert still_parked is None
    assert [(record.number, record.state) for record in records if record.state != "running"] == [(0, "failed"), (1, "done")]


def test_discarded_trial_is_marked_failed(small: Mnist, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    _, parked = run_slice(config, small, None, after(5))
    assert parked
    for _ in range(2):  # the second time changes nothing
        discard(config, parked, "stopped")
        (trial,) = trials(config.storage, "parked")
        assert (trial.state, trial.message) == ("failed", "stopped")
