"""Runs to give to a scheduler, and what is asked of them afterwards."""

import threading
from collections.abc import Callable

from mnist_fc.config import TrainConfig
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.scheduler import Scheduler
from tests.support.waiting import TIMEOUT

Open = Callable[..., Scheduler]

SHORT = TrainConfig(hidden_sizes=(16,), batch_size=64, num_epochs=2, num_validation=200, threads=1)
LONG = SHORT.replace(hidden_sizes=(256,), batch_size=8, num_epochs=100)
"""Seconds on the fastest machine, so that commands reach it while it trains."""
MOMENT = 0.1
NEVER = 3600.0


def losses(run: Run | RunSnapshot) -> list[float]:
    """Return the training loss of each step record."""
    snapshot = run.snapshot() if isinstance(run, Run) else run
    return [step.train_loss for step in snapshot.steps]


def wait_until_handed_over(scheduler: Scheduler) -> None:
    """Wait until the jobs that have a slot are with their processes."""
    done = threading.Event()
    scheduler._dispatcher.background.submit(done.set)
    assert done.wait(TIMEOUT)


def end_slice(scheduler: Scheduler) -> None:
    """Ask the jobs that hold a slot to yield it now, and no job after them."""
    board = scheduler._board
    with board.lock:
        board.slice_seconds = 0
        board.request_yields()
        board.slice_seconds = NEVER
