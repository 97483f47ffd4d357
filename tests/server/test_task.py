"""Sweeps and speed tests without processes: what is left of them, how long it takes, and an end that cannot be stored."""

from dataclasses import replace
from pathlib import Path

import pytest

from mnist_fc.server.job import JobEnd, JobState
from mnist_fc.server.task import SpeedTest, Sweep
from mnist_fc.sweep.space import MINUTES, Interval, ParkedTrial, State, SweepConfig, TrialRecord
from mnist_fc.sweep.storage import default_storage
from mnist_fc.training.throughput import BATCH_SIZES, SpeedRecord
from tests.support.jobs import SHORT

SECONDS_PER_TRIAL = 2.2e-11 * (784 * 16 + 16 + 16 * 10 + 10) * 2 * (5200 - 200)
"""For SHORT on 5200 images, of which 200 are for validation: two epochs, and 2.2e-11 s for each image and parameter."""


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    return SweepConfig(SHORT, {"learning_rate": Interval(1e-4, 1e-2)}, "study", default_storage(tmp_path), num_runs=3)


def trial(number: int, state: State) -> TrialRecord:
    return TrialRecord(number, state, {"learning_rate": 1e-3}, 1, 2, 0.5, 1.0)


def test_trials_that_have_ended_are_not_repeated(config: SweepConfig) -> None:
    sweep = Sweep(config)
    for record in (trial(0, "running"), trial(0, "done"), trial(1, "pruned"), trial(2, "running")):
        sweep.receive(record)
    assert sweep.remaining() == replace(config, num_runs=1)
    assert sweep.seconds_left(5200, pace=10) == pytest.approx(10 * SECONDS_PER_TRIAL)
    sweep.receive(trial(2, "failed"))
    assert sweep.remaining() is None
    assert sweep.seconds_left(5200, pace=10) == 0


def test_a_sweep_takes_no_longer_than_its_minutes(config: SweepConfig) -> None:
    sweep = Sweep(replace(config, minutes=2))
    assert sweep.seconds_left(5200, pace=1) == pytest.approx(3 * SECONDS_PER_TRIAL)
    assert sweep.seconds_left(5200, pace=1e9) == 120


def test_a_sweep_ends_with_less_time_than_one_may_be_given(config: SweepConfig) -> None:
    sweep = Sweep(replace(config, minutes=MINUTES.low))
    assert sweep.has_work_left
    sweep.begin_slice()
    sweep.confirm_running()
    sweep.end_slice(None)
    assert not sweep.has_work_left


def test_a_sweep_ends_although_its_parked_trial_cannot_be_marked(config: SweepConfig, log: list[str]) -> None:
    sweep = Sweep(replace(config, storage="sqlite:////proc/nowhere/sweeps.db"))
    sweep.begin_slice()
    sweep.confirm_running()
    sweep.end_slice(ParkedTrial(1, {}))
    assert sweep.write_end(JobState.STOPPED, "") == JobEnd(JobState.STOPPED)
    assert log == ["ERROR trial 1 of study 'study' cannot be marked as stopped"]
    assert sweep.take_parked() is None


def test_a_speed_test_takes_half_a_second_for_each_record_to_come() -> None:
    test = SpeedTest(SHORT, threads=1)
    assert test.seconds_left(60_000, pace=3) == 0.5 * len(BATCH_SIZES)
    test.receive(SpeedRecord(1, BATCH_SIZES[0], 1000.0))
    assert test.seconds_left(60_000, pace=3) == 0.5 * (len(BATCH_SIZES) - 1)
