"""Sweeps through the trainer's real process: what comes of them, and what is left after every way in which one can end."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import DATA_VARIABLE
from mnist_fc.runs.store import RunStore
from mnist_fc.server.scheduler import JobRejected, Scheduler
from mnist_fc.sweep.space import Interval, Space, SweepConfig, Values
from mnist_fc.sweep.storage import default_storage
from mnist_fc.sweep.study import trials
from tests.support.waiting import wait_for, wait_until, wait_until_ended

SHORT = TrainConfig(hidden_sizes=(16,), batch_size=64, num_epochs=2, num_validation=200, threads=1)
LONG = SHORT.replace(hidden_sizes=(256,), batch_size=8, num_epochs=100)
"""Ten seconds or more, so that what is done to it comes while it goes on."""


@pytest.fixture(scope="module")
def shared_trainer(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_VARIABLE, str(small_npz))
        with contextlib.closing(Scheduler(RunStore(tmp_path_factory.mktemp("store")))) as trainer:
            yield trainer


@pytest.fixture
def trainer(shared_trainer: Scheduler) -> Iterator[Scheduler]:
    """The trainer that the tests share, with nothing going on before and after."""
    yield shared_trainer
    for job in reversed(shared_trainer.jobs()):  # those that wait first, or they would begin
        shared_trainer.stop(job)
        wait_until_ended(job)


@pytest.fixture
def short(tmp_path: Path) -> SweepConfig:
    space: Space = {"learning_rate": Interval(1e-4, 1e-2), "hidden_sizes": Values(((16,), (24, 16)))}
    return SweepConfig(SHORT, space, "short", default_storage(tmp_path), num_runs=3)


@pytest.fixture
def long(short: SweepConfig) -> SweepConfig:
    return replace(short, base=LONG, study="long", space={"learning_rate": Interval(1e-4, 1e-3)})


def test_each_trial_begins_does_its_epochs_and_ends_as_the_storage_says(trainer: Scheduler, short: SweepConfig) -> None:
    runs = trainer.store.runs()
    sweep = trainer.start_sweep(short)
    assert trainer.sweep is sweep
    wait_until_ended(sweep)
    assert (sweep.problem, sweep.is_active, trainer.is_busy) == ("", False, False)
    for number in range(3):
        states = [(record.epoch, record.state) for record in sweep.records() if record.number == number]
        assert states == [(0, "running"), (1, "running"), (2, "running"), (2, "done")]
    assert [record for record in sweep.records() if record.state == "done"] == trials(short.storage, "short")
    assert trainer.store.runs() == runs, "trials leave no run"


def test_one_that_is_stopped_ends_within_its_epoch_and_leaves_no_trial_running(trainer: Scheduler, long: SweepConfig) -> None:
    sweep = trainer.start_sweep(long)
    wait_for(sweep, lambda: sweep._records)
    trainer.stop(sweep)
    wait_until_ended(sweep)
    assert sweep.problem == ""
    (trial,) = trials(long.storage, "long")
    assert sweep.records()[-1] == trial
    assert (trial.state, trial.message) == ("failed", "stopped")
    assert trial.epoch < LONG.num_epochs
    following = trainer.start(SHORT)
    wait_until(following, "done")


def test_a_command_for_what_does_not_go_on_does_not_stop_it(trainer: Scheduler, short: SweepConfig, long: SweepConfig) -> None:
    before = trainer.start_sweep(short)
    wait_until_ended(before)
    sweep = trainer.start_sweep(long)
    wait_for(sweep, lambda: sweep._records)
    trainer.stop(before)
    wait_for(sweep, lambda: sweep._records[-1].epoch > 0)
    assert sweep.is_active


def test_there_is_one_and_a_run_that_is_begun_meanwhile_waits(trainer: Scheduler, short: SweepConfig, long: SweepConfig) -> None:
    sweep = trainer.start_sweep(long)
    with pytest.raises(JobRejected, match="A sweep goes on"):
        trainer.start_sweep(short)
    run = trainer.start(SHORT)
    wait_for(sweep, lambda: sweep._records)
    assert trainer.jobs() == [sweep, run]
    trainer.stop(sweep)
    wait_until(run, "done")


def test_it_waits_for_the_run_that_goes_on(trainer: Scheduler, short: SweepConfig) -> None:
    run = trainer.start(LONG)
    sweep = trainer.start_sweep(short)
    assert sweep.is_waiting
    trainer.stop(run)
    wait_until_ended(sweep)
    assert len(trials(short.storage, "short")) == short.num_runs


def test_one_whose_process_is_killed_says_so_and_the_next_works(
    trainer: Scheduler, short: SweepConfig, long: SweepConfig
) -> None:
    sweep = trainer.start_sweep(long)
    wait_for(sweep, lambda: sweep._records)
    os.kill(trainer.process_ids[0], signal.SIGKILL)
    wait_until_ended(sweep)
    assert sweep.problem.startswith("The training process was ended by SIGKILL")
    following = trainer.start_sweep(short)
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
def test_a_storage_that_cannot_be_used_is_said_without_its_password(
    trainer: Scheduler, short: SweepConfig, address: str, problem: str
) -> None:
    sweep = trainer.start_sweep(replace(short, storage=address))
    wait_until_ended(sweep)
    assert sweep.problem.startswith(problem)
    assert "secret" not in sweep.problem
    assert sweep.records() == []


def test_a_study_of_another_space_is_said_and_not_touched(trainer: Scheduler, short: SweepConfig) -> None:
    wait_until_ended(trainer.start_sweep(short))
    before = trials(short.storage, "short")
    sweep = trainer.start_sweep(replace(short, space={"dropout": Interval(0.0, 0.5)}))
    wait_until_ended(sweep)
    assert "the study short varies" in sweep.problem
    assert trials(short.storage, "short") == before
