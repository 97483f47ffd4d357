"""Slices: jobs that yield to others and resume without losing anything."""

from pathlib import Path

import pytest

from mnist_fc.data.mnist import Mnist
from mnist_fc.records import StepRecord
from mnist_fc.runs.layout import STATE_NAME
from mnist_fc.server.protocol import Yield
from mnist_fc.server.run import Run
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.training.engine import train
from tests.support.jobs import LONG, MOMENT, NEVER, SHORT, Open, end_slice, losses
from tests.support.waiting import finished, wait_for, wait_for_steps, wait_until

YIELDING = SHORT.replace(hidden_sizes=(128,), batch_size=8, num_epochs=24, dropout=0.2, schedule="one_cycle")
"""Many moments on the fastest machine, so that slices of a moment end within it."""


@pytest.fixture(scope="module")
def uninterrupted(small: Mnist) -> list[float]:
    return [record.train_loss for record in train(YIELDING, small) if isinstance(record, StepRecord)]


def slices(log: list[str], *runs: Run) -> list[Run]:
    """Return the runs that had a slice, in order."""
    return [run for line in log if line.endswith(("begins", "resumes")) for run in runs if run.id in line]


def paused_run(scheduler: Scheduler, session_id: str) -> Run:
    """Return a run that was paused while it trained."""
    run = scheduler.start(LONG, session_id)
    wait_for_steps(run, 5)
    scheduler.pause(run)
    wait_until(run, "paused")
    return run


@pytest.mark.slow
def test_runs_yield_and_resume_to_the_same_losses(open_scheduler: Open, uninterrupted: list[float], log: list[str]) -> None:
    scheduler = open_scheduler(slice_seconds=MOMENT)
    runs = [scheduler.start(YIELDING, session_id) for session_id in ("ann", "ben")]
    for run in runs:
        assert finished(run).state == "done"
        assert losses(run) == pytest.approx(uninterrupted, rel=1e-5)
        assert [step.step for step in scheduler.store.run(run.id).steps] == [step.step for step in run.snapshot().steps]
    assert slices(log, *runs)[:4] == [*runs, *runs]


@pytest.mark.slow
def test_run_without_folder_yields_and_resumes_to_equal_losses(
    open_scheduler: Open, tmp_path: Path, uninterrupted: list[float]
) -> None:
    (tmp_path / "runs").write_text("a file where the store should be")
    scheduler = open_scheduler(slice_seconds=MOMENT)
    first, second = scheduler.start(YIELDING, "ann"), scheduler.start(SHORT, "ben")
    assert finished(second).state == "done"
    assert first.is_active
    assert finished(first).state == "done"
    assert first.snapshot().storage_problem
    assert losses(first) == pytest.approx(uninterrupted, rel=1e-5)


@pytest.mark.slow
def test_run_keeps_its_slot_while_nobody_else_waits(open_scheduler: Open) -> None:
    scheduler = open_scheduler(slice_seconds=0)
    run, own = scheduler.start_in_turn(LONG, SHORT, session_id="ann")
    wait_for_steps(run, 50)
    with scheduler._lock:
        scheduler._board.request_yields()
    wait_for_steps(run, 50)
    assert (run.state, own.state) == ("running", "waiting")


@pytest.mark.slow
def test_run_that_is_almost_done_does_not_yield(open_scheduler: Open, log: list[str]) -> None:
    scheduler = open_scheduler(slice_seconds=0)
    run = scheduler.start(LONG, "ann")
    num_steps = LONG.steps_per_epoch(2000) * LONG.num_epochs
    wait_for(run, lambda: run._steps and run._steps[-1].step > 0.97 * num_steps)
    other = scheduler.start(SHORT, "ben")
    assert finished(other).state == "done"
    assert run.state == "done"
    assert not any("yields its slot" in line for line in log)


def test_paused_run_yields_at_once_and_waits_for_its_owner(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    paused = paused_run(scheduler, "ann")
    assert finished(scheduler.start(SHORT, "ben")).state == "done"
    assert paused.state == "paused"
    assert scheduler.jobs() == [paused]
    steps = len(paused._steps)
    scheduler.resume(paused)
    wait_until(paused, "running")
    wait_for_steps(paused, 5)
    numbers = [step.step for step in paused.snapshot().steps]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > steps


def test_paused_run_yields_to_its_own_session_too(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    paused = paused_run(scheduler, "ann")
    assert finished(scheduler.start(SHORT, "ann")).state == "done"
    assert paused.state == "paused"


def test_everyones_first_run_starts_before_anyones_second(open_scheduler: Open, log: list[str]) -> None:
    scheduler = open_scheduler(slice_seconds=MOMENT)
    with scheduler._lock:  # meanwhile no slice ends
        first, second, third = (scheduler.start(LONG, "ann") for _ in range(3))
        other = scheduler.start(LONG, "ben")
        places = [scheduler.place(run, 2000) for run in (second, third, other)]
    assert [place.number for place in places if place] == [2, 3, 1]
    wait_until(third, "running")
    assert slices(log, first, second, third, other)[:5] == [first, other, second, other, third]


@pytest.mark.slow
def test_blocked_runs_do_not_delay_other_sessions(open_scheduler: Open, log: list[str]) -> None:
    scheduler = open_scheduler(slice_seconds=MOMENT)
    with scheduler._lock:
        first, second = scheduler.start_in_turn(LONG, LONG, session_id="ann")
        others = [scheduler.start(LONG, session_id) for session_id in ("ben", "cleo")]
        places = [scheduler.place(run, 2000) for run in (*others, second)]
    assert [place.number for place in places if place] == [1, 2, 3]
    wait_until(others[1], "running")
    wait_until(first, "running")
    assert slices(log, first, second, *others)[:4] == [first, *others, first]


def test_run_stopped_between_slices_can_be_resumed(open_scheduler: Open) -> None:
    scheduler = open_scheduler(slice_seconds=NEVER)
    first = scheduler.start(LONG, "ann")
    wait_for_steps(first, 1)
    second = scheduler.start(LONG, "ben")
    end_slice(scheduler)
    wait_until(second, "running")
    scheduler.stop(first)
    stopped = finished(first)
    assert (stopped.state, stopped.is_resumable) == ("stopped", True)
    assert stopped.steps
    scheduler.stop(second)
    scheduler.resume_stored(first)
    wait_for(first, lambda: len(first._steps) > len(stopped.steps))
    before = [step.train_loss for step in stopped.steps]
    assert losses(first)[: len(before)] == before


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2])
def test_stopped_run_resumes_repeatedly_in_any_slot(open_scheduler: Open, slots: int) -> None:
    scheduler = open_scheduler(slots=slots)
    run, other = scheduler.start(LONG, "ann"), scheduler.start(LONG, "ben")
    for going, resting in [(run, other), (other, run)] * 2:
        scheduler.stop(going)
        wait_until(going, "stopped")
        wait_until(resting, "running")
        scheduler.resume_stored(going)
        if slots == 1:
            scheduler.stop(resting)
            wait_until(resting, "stopped")
            scheduler.resume_stored(resting)
        wait_until(going, "running")
    assert set(scheduler.jobs()) == {run, other}


@pytest.mark.slow
def test_job_does_not_yield_to_a_blocked_run(open_scheduler: Open, log: list[str]) -> None:
    scheduler = open_scheduler(slice_seconds=0)
    first, second = scheduler.start_in_turn(LONG, SHORT, session_id="ann")
    wait_for_steps(first, 1)
    scheduler.pause(first)
    wait_until(first, "paused")
    other = scheduler.start(YIELDING, "ben")
    assert finished(other).state == "done"
    assert (first.state, second.state) == ("paused", "waiting")
    assert not any(other.id in line and "yields its slot" in line for line in log)
    scheduler.resume(first)
    scheduler.stop(first)
    assert finished(second).state == "done"


def test_run_whose_state_is_gone_fails_with_the_reason(open_scheduler: Open) -> None:
    scheduler = open_scheduler(slice_seconds=NEVER)
    run = scheduler.start(LONG, "ann")
    wait_for_steps(run, 1)
    other = scheduler.start(LONG, "ben")
    end_slice(scheduler)
    wait_for_steps(other, 1)
    assert run.state == "waiting"
    assert run.path
    (run.path / STATE_NAME).unlink()
    steps = losses(run)
    end_slice(scheduler)
    snapshot = finished(run)
    assert snapshot.state == "failed"
    assert "is gone" in snapshot.message
    assert losses(run) == steps
    scheduler.stop(other)
    assert finished(scheduler.start(SHORT, "ann")).state == "done"


@pytest.mark.slow
def test_pause_that_crosses_a_yield_holds(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    run = scheduler.start(LONG, "ann")
    wait_for_steps(run, 1)
    with scheduler._lock:
        other = scheduler.start(SHORT, "ben")
        scheduler._board.send(run, Yield(run.id))
        scheduler.pause(run)  # reaches the process when it no longer works on the run
    assert finished(other).state == "done"
    wait_until(run, "paused")
    scheduler.resume(run)
    wait_for_steps(run, 5)
