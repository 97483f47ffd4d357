"""A pause: the page reads with the newest weights while nothing newer can come."""

import contextlib
from pathlib import Path

import pytest

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import DATA_VARIABLE
from mnist_fc.runs.store import RunStore
from mnist_fc.server.scheduler import Scheduler
from tests.support.waiting import wait_for_steps, wait_until

pytestmark = pytest.mark.integration

LONG = TrainConfig(hidden_sizes=(2048, 1024), batch_size=8, num_epochs=100, num_validation=200, threads=1)
"""So large that its live weights are sent a second or more apart."""


def test_pause_sends_the_newest_weights(tmp_path: Path, small_npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(small_npz))
    with contextlib.closing(Scheduler(RunStore(tmp_path))) as scheduler:
        run = scheduler.start(LONG)
        for _ in range(2):
            wait_for_steps(run, 7)  # no step whose weights are kept
            scheduler.pause(run)
            wait_until(run, "paused")
            paused = run.snapshot()
            assert paused.weights
            assert paused.weights.step >= paused.steps[-1].step
            scheduler.resume(run)
            wait_until(run, "running")
        scheduler.stop(run)
