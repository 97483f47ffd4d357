"""Waiting for jobs of the scheduler. A wait that can no longer succeed fails at once: as soon as the job has ended."""

from collections.abc import Callable

from mnist_fc.server.job import Job
from mnist_fc.server.run import Run, RunSnapshot

TIMEOUT = 300.0
"""Seconds; an upper bound for a busy machine."""


def wait_for(job: Job, condition: Callable[[], object]) -> None:
    """Wait until the condition holds; fail as soon as the job ends without it."""
    with job._changed:
        job._changed.wait_for(lambda: condition() or not job.is_active, TIMEOUT)
        assert condition(), f"the condition did not become true; the job is {_state_of(job)}"


def wait_until(run: Run, *states: str) -> None:
    """Wait until the run is in one of the states; fail at once if it ends in another."""
    wait_for(run, lambda: run.state in states)


def wait_until_ended(job: Job) -> None:
    """Wait until the job has ended, however it ends."""
    wait_for(job, lambda: not job.is_active)


def wait_for_steps(run: Run, count: int) -> None:
    """Wait for `count` more step records."""
    target = len(run._steps) + count
    wait_for(run, lambda: len(run._steps) >= target)


def finished(run: Run) -> RunSnapshot:
    """Wait for the end of the run and return its last snapshot."""
    wait_until_ended(run)
    return run.snapshot()


def _state_of(job: Job) -> str:
    message = job.snapshot().message if isinstance(job, Run) else getattr(job, "problem", "")
    return f"{job.state}: {message}"
