"""Sweeps on a real training process: their trials, and what is left after every way in which one can end."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_fc.server.scheduler import JobRejected, Scheduler
from mnist_fc.sweep.space import Interval, Space, SweepConfig, TrialRecord, Values
from mnist_fc.sweep.storage import default_storage
from mnist_fc.sweep.study import trials
from tests.support.jobs import LONG, NEVER, SHORT, Open, end_slice
from tests.support.waiting import finished, wait_for, wait_for_steps, wait_until, wait_until_ended


@pytest.fixture
def short(tmp_path: Path) -> SweepConfig:
    space: Space = {"learning_rate": Interval(1e-4, 1e-2), "hidden_sizes": Values(((16,), (24, 16)))}
    return SweepConfig(SHORT, space, "short", default_storage(tmp_path), num_runs=3)


@pytest.fixture
def long(short: SweepConfig) -> SweepConfig:
    return replace(short, base=LONG, study="long", space={"learning_rate": Interval(1e-4, 1e-3)})


@pytest.mark.slow
def test_records_of_a_sweep_match_the_storage(scheduler: Scheduler, short: SweepConfig) -> None:
    runs = scheduler.store.runs()
    sweep = scheduler.start_sweep(short)
    assert scheduler.sweep is sweep
    wait_until_ended(sweep)
    assert (sweep.problem, sweep.is_active, scheduler.is_busy) == ("", False, False)
    for number in range(3):
        states = [(record.epoch, record.state) for record in sweep.records() if record.number == number]
        assert states == [(0, "running"), (1, "running"), (2, "running"), (2, "done")]
    assert [record for record in sweep.records() if record.state == "done"] == trials(short.storage, "short")
    assert scheduler.store.runs() == runs, "trials leave no run"


@pytest.mark.slow
def test_stopped_sweep_ends_within_its_epoch(scheduler: Scheduler, long: SweepConfig) -> None:
    sweep = scheduler.start_sweep(long)
    wait_for(sweep, lambda: sweep._records)
    scheduler.stop(sweep)
    wait_until_ended(sweep)
    assert sweep.problem == ""
    (trial,) = trials(long.storage, "long")
    assert sweep.records()[-1] == trial
    assert (trial.state, trial.message) == ("failed", "stopped")
    assert trial.epoch < LONG.num_epochs
    following = scheduler.start(SHORT)
    wait_until(following, "done")


@pytest.mark.slow
def test_command_for_an_ended_sweep_does_not_stop_the_next(scheduler: Scheduler, short: SweepConfig, long: SweepConfig) -> None:
    before = scheduler.start_sweep(short)
    wait_until_ended(before)
    sweep = scheduler.start_sweep(long)
    wait_for(sweep, lambda: sweep._records)
    scheduler.stop(before)
    wait_for(sweep, lambda: sweep._records[-1].epoch > 0)
    assert sweep.is_active


def test_second_sweep_is_rejected_and_a_run_waits(scheduler: Scheduler, short: SweepConfig, long: SweepConfig) -> None:
    sweep = scheduler.start_sweep(long)
    with pytest.raises(JobRejected, match="Another sweep is running"):
        scheduler.start_sweep(short)
    run = scheduler.start(SHORT)
    wait_for(sweep, lambda: sweep._records)
    assert scheduler.jobs() == [sweep, run]
    scheduler.stop(sweep)
    wait_until(run, "done")


def test_sweep_queues_behind_a_run(scheduler: Scheduler, short: SweepConfig) -> None:
    run = scheduler.start(LONG)
    sweep = scheduler.start_sweep(short)
    assert sweep.is_waiting
    scheduler.stop(run)
    wait_until_ended(sweep)
    assert len(trials(short.storage, "short")) == short.num_runs


@pytest.mark.slow
def test_killed_process_fails_its_sweep_and_is_replaced(scheduler: Scheduler, short: SweepConfig, long: SweepConfig) -> None:
    sweep = scheduler.start_sweep(long)
    wait_for(sweep, lambda: sweep._records)
    os.kill(scheduler.process_ids[0], signal.SIGKILL)
    wait_until_ended(sweep)
    assert sweep.problem.startswith("The training process was ended by SIGKILL")
    following = scheduler.start_sweep(short)
    wait_until_ended(following)
    assert following.problem == ""
    assert len(trials(short.storage, "short")) == short.num_runs


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("sqlite:////proc/nowhere/sweeps.db", "the storage sqlite:////proc/nowhere/sweeps.db cannot be opened: "),
        ("nosuch://me:secret@host/db", "the storage nosuch://***@host/db "),
    ],
)
def test_unusable_storage_is_reported_without_its_password(
    scheduler: Scheduler, short: SweepConfig, address: str, problem: str
) -> None:
    sweep = scheduler.start_sweep(replace(short, storage=address))
    wait_until_ended(sweep)
    assert sweep.problem.startswith(problem)
    assert "secret" not in sweep.problem
    assert sweep.records() == []


def test_study_of_another_space_is_reported_and_not_changed(scheduler: Scheduler, short: SweepConfig) -> None:
    wait_until_ended(scheduler.start_sweep(short))
    before = trials(short.storage, "short")
    sweep = scheduler.start_sweep(replace(short, space={"dropout": Interval(0.0, 0.5)}))
    wait_until_ended(sweep)
    assert "the study short varies" in sweep.problem
    assert trials(short.storage, "short") == before


@pytest.fixture
def search(tmp_path: Path) -> SweepConfig:
    return SweepConfig(SHORT, {"learning_rate": Interval(1e-4, 1e-2)}, "slices", default_storage(tmp_path), num_runs=4)


@pytest.mark.slow
def test_sweep_yields_and_completes_all_trials(open_scheduler: Open, search: SweepConfig) -> None:
    scheduler = open_scheduler(slice_seconds=0)
    sweep = scheduler.start_sweep(search, "ann")
    wait_for(sweep, lambda: sweep._records)
    run = scheduler.start(SHORT, "ben")
    finished(run)
    wait_until_ended(sweep)
    assert sweep.problem == ""
    ended = [record for record in sweep.records() if record.state == "done"]
    assert [record.number for record in ended] == [0, 1, 2, 3]
    stored: list[TrialRecord] = trials(search.storage, "slices")
    assert stored == ended


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2])
def test_trial_yields_in_the_middle_and_resumes(open_scheduler: Open, search: SweepConfig, slots: int) -> None:
    scheduler = open_scheduler(slice_seconds=0, slots=slots)
    sweep = scheduler.start_sweep(replace(search, base=LONG, num_runs=1), "ann")
    others = [scheduler.start(LONG, "ben")] if slots == 2 else []  # which has the other slot
    wait_for(sweep, lambda: sweep._records)
    run = scheduler.start(SHORT, "cleo")
    assert finished(run).state == "done"
    assert sweep.is_active
    for other in others:
        scheduler.stop(other)
    wait_until_ended(sweep)
    assert [(record.number, record.epoch) for record in sweep.records()] == [
        (0, epoch) for epoch in [*range(LONG.num_epochs + 1), LONG.num_epochs]
    ]
    assert sweep.records()[-1].state == "done"


@pytest.mark.slow
def test_stopped_sweep_leaves_no_parked_trial_running(open_scheduler: Open, search: SweepConfig) -> None:
    scheduler = open_scheduler(slice_seconds=NEVER)
    sweep = scheduler.start_sweep(replace(search, base=LONG), "ann")
    wait_for(sweep, lambda: sweep._records)
    run = scheduler.start(LONG, "ben")
    end_slice(scheduler)
    wait_for_steps(run, 1)
    assert sweep.is_waiting
    scheduler.stop(sweep)
    assert (sweep.is_active, sweep.problem) == (False, "")
    scheduler.stop(run)
    assert finished(run).state == "stopped"
    assert [trial.state for trial in trials(search.storage, "slices")] == ["failed"]


@pytest.mark.slow
def test_minutes_of_a_sweep_count_its_own_slices(open_scheduler: Open, search: SweepConfig) -> None:
    scheduler = open_scheduler(slice_seconds=0)
    sweep = scheduler.start_sweep(replace(search, num_runs=1000, minutes=4 / 60), "ann")
    wait_for(sweep, lambda: sweep._records)
    while sweep.is_active:
        assert finished(scheduler.start(SHORT, "ben")).state == "done"
    assert sweep.problem == ""
    ended = trials(search.storage, "slices")
    assert 1 <= len(ended) < 1000
    assert {trial.state for trial in ended} <= {"done", "pruned", "failed"}
