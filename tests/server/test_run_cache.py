"""The runs in memory are bounded, and what is evicted is read again."""

import pytest

from mnist_fc.records import StepRecord
from mnist_fc.server.job import JobEnd, JobState
from mnist_fc.server.run import BYTES_OF_STEP, Run
from mnist_fc.server.run_cache import RunCache
from tests.support.jobs import LONG, NEVER, SHORT, Open, end_slice, losses
from tests.support.waiting import finished, wait_for, wait_for_steps, wait_until


@pytest.mark.slow
def test_waiting_runs_release_their_weights_and_get_them_back(open_scheduler: Open) -> None:
    scheduler = open_scheduler(slice_seconds=NEVER, cache=RunCache(max_bytes=0))
    run = scheduler.start(LONG, "ann")
    wait_for_steps(run, 1)
    other = scheduler.start(LONG, "ben")
    end_slice(scheduler)
    wait_until(other, "running")
    waiting = run.snapshot()
    assert (waiting.state, waiting.weights) == ("waiting", None)
    scheduler.stop(other)
    wait_for(run, lambda: run._weights)
    assert run.snapshot().weights


@pytest.mark.slow
def test_runs_on_disk_are_evicted_before_others(open_scheduler: Open) -> None:
    scheduler = open_scheduler(cache=RunCache(max_runs=2))
    only_here = scheduler.start(SHORT)
    only_here.storage_problem = "there is no room"
    runs = [only_here, *(scheduler.start(SHORT) for _ in range(4))]
    for run in runs:
        assert finished(run).state == "done"
    scheduler.start(SHORT)
    assert scheduler.run(only_here.id) is only_here
    assert len(scheduler._library._cache) <= 4
    again = scheduler.run(runs[1].id)
    assert again
    assert again is not runs[1]
    assert losses(again) == losses(runs[1])


def ended_run(run_id: str, num_steps: int = 0) -> Run:
    run = Run(run_id, SHORT)
    for step in range(1, num_steps + 1):
        run.receive(StepRecord(step, 1, step, 0.0, 1.0, 0.5, 0.001, (1.0, 1.0)))
    run.end(JobEnd(JobState.FAILED))
    return run


def test_least_recently_used_runs_are_evicted_first() -> None:
    cache = RunCache(max_runs=2)
    for run_id in "abcd":
        cache.add(ended_run(run_id))
    cache.use("a")
    assert cache.evict(lambda run: run.id == "b") == []
    assert [run.id for run in cache] == ["b", "d", "a"], "b is in use and does not count"


def test_runs_beyond_the_bytes_are_evicted() -> None:
    cache = RunCache(max_bytes=25 * BYTES_OF_STEP)
    for run_id in "abc":
        cache.add(ended_run(run_id, num_steps=10))
    cache.evict(lambda run: False)
    assert [run.id for run in cache] == ["b", "c"]


def test_active_runs_are_never_evicted() -> None:
    cache = RunCache(max_runs=0, max_bytes=0)
    cache.add(Run("a", SHORT))
    assert cache.evict(lambda run: False) == []
    assert cache.peek("a")
    assert "a" in cache
