"""Runs that are read from the store and resumed."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import load_mnist
from mnist_fc.records import StepRecord
from mnist_fc.runs.layout import STATE_NAME, RunsError, kept_checkpoints
from mnist_fc.runs.store import RunStore
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.training.engine import train
from tests.support.jobs import LONG, SHORT, losses
from tests.support.waiting import TIMEOUT, finished, wait_for, wait_for_steps, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("noise_npz")]

RESUMED = SHORT.replace(hidden_sizes=(128,), batch_size=8, num_epochs=100, dropout=0.2, schedule="one_cycle")
"""Many times the second of training after which a state is kept, so that a fast machine is not done before."""


CUT_OFF = """
import sys
from pathlib import Path
from mnist_fc.config import TrainConfig
from mnist_fc.runs.writer import STATE_NAME
from mnist_fc.runs.store import RunStore
from mnist_fc.server.scheduler import Scheduler

scheduler = Scheduler(RunStore(Path(sys.argv[1])))
run = scheduler.start(TrainConfig.from_json(sys.argv[2]))
assert run.wait_for(lambda run: not run.is_active or run.path and (run.path / STATE_NAME).exists(), 300)
assert run.is_active
print(run.id, run._steps[-1].step, flush=True)
sys.stdin.read()
"""


def losses_without_a_break(config: TrainConfig, last_step: int) -> list[float]:
    """The losses of a run up to a step that has a record."""
    records = list(train(config, load_mnist(), lambda training: training.step < last_step))
    return [record.train_loss for record in records if isinstance(record, StepRecord)]


def expect_the_same_losses(run: Run) -> None:
    """Compare a run that was resumed with one that was not."""
    found = finished(run)
    expected = losses_without_a_break(run.config, found.steps[-1].step)
    assert losses(found) == pytest.approx(expected, rel=1e-5)
    assert [step.step for step in found.steps] == sorted({step.step for step in found.steps})


def cut_short(scheduler: Scheduler, run: Run) -> RunSnapshot:
    """Stop a resumed run after some steps, and return it."""
    wait_for_steps(run, 20)
    scheduler.stop(run)
    snapshot = finished(run)
    assert snapshot.state == "stopped"
    return snapshot


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["server", "Ctrl-C"])
def test_run_of_a_killed_server_resumes_to_the_same_losses(tmp_path: Path, killed: str) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", CUT_OFF, str(tmp_path), RESUMED.to_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert server.stdout
    run_id, seen = server.stdout.readline().split()
    server.kill() if killed == "server" else os.killpg(server.pid, signal.SIGINT)
    server.communicate(timeout=TIMEOUT)
    with contextlib.closing(Scheduler(RunStore(tmp_path))) as scheduler:
        run = scheduler.run(run_id)
        assert run
        snapshot = run.snapshot()
        assert (snapshot.state, snapshot.is_resumable, snapshot.end) == ("interrupted", True, None)
        assert snapshot.steps[-1].step >= int(seen)  # all that the page had been shown
        assert losses(snapshot) == losses_without_a_break(RESUMED, snapshot.steps[-1].step)
        assert snapshot.weights
        scheduler.resume_stored(run)
        assert run.is_active
        assert run.snapshot().steps[-1].step > 0, "it resumes from a state"
        after = cut_short(scheduler, run)
        expect_the_same_losses(run)
        assert list(after.kept) == list(kept_checkpoints(tmp_path / run_id))
        assert scheduler.store.run(run_id).end == after.end


@pytest.mark.slow
def test_run_of_a_killed_process_resumes_to_the_same_losses(scheduler: Scheduler) -> None:
    run = scheduler.start(RESUMED)
    wait_for(run, lambda: run.path and (run.path / STATE_NAME).exists())
    os.kill(scheduler.process_ids[0], signal.SIGKILL)
    wait_until(run, "failed")
    assert run.snapshot().is_resumable
    scheduler.resume_stored(run)
    cut_short(scheduler, run)
    expect_the_same_losses(run)


@pytest.mark.slow
def test_stopped_run_resumes_to_its_end(scheduler: Scheduler) -> None:
    run = scheduler.start(RESUMED.replace(num_epochs=22))
    wait_for_steps(run, 1)
    scheduler.stop(run)
    wait_until(run, "stopped")
    assert run.snapshot().is_resumable
    scheduler.resume_stored(run)
    after = finished(run)
    assert (after.state, after.message) == ("done", "")
    expect_the_same_losses(run)
    assert scheduler.store.run(run.id).end == after.end
    assert not after.is_resumable
    with pytest.raises(RunsError, match=run.id):
        scheduler.resume_stored(run)


def test_stored_run_is_read_with_its_whole_curve(scheduler: Scheduler, store_path: Path) -> None:
    before = finished(scheduler.start(SHORT))
    with contextlib.closing(Scheduler(RunStore(store_path))) as another:
        run = another.run(before.id)
        assert run
        assert run is another.run(before.id)
        snapshot = run.snapshot()
        assert (snapshot.state, snapshot.config, snapshot.epochs, snapshot.end) == ("done", SHORT, before.epochs, before.end)
        assert losses(snapshot) == losses(before)
        assert snapshot.kept == before.kept
        assert snapshot.weights
        assert before.weights
        assert snapshot.weights.step == before.weights.step
        assert all(np.array_equal(array, before.weights.weights[name]) for name, array in snapshot.weights.weights.items())
        another.store.delete(before.id)
        another.evict(before.id)
        assert another.run(before.id) is None
        assert another.run("../" + before.id) is None


def test_run_of_another_program_cannot_be_resumed(scheduler: Scheduler, store_path: Path) -> None:
    going = scheduler.start(LONG)
    wait_for_steps(going, 1)
    with contextlib.closing(Scheduler(RunStore(store_path))) as another:
        run = another.run(going.id)
        assert run
        with pytest.raises(RunsError, match="another program"):
            another.resume_stored(run)
        before = len(run.snapshot().steps)
        wait_for_steps(going, 1)
        later = another.run(going.id)
        assert later
        assert len(later.snapshot().steps) > before


@pytest.mark.slow
def test_run_resumed_by_another_program_is_read_again(scheduler: Scheduler, store_path: Path) -> None:
    run = scheduler.start(LONG)
    wait_for_steps(run, 30)
    scheduler.stop(run)
    stopped = finished(run)
    with contextlib.closing(Scheduler(RunStore(store_path))) as another:
        there = another.run(run.id)
        assert there
        another.resume_stored(there)
        wait_for_steps(there, 60)
        here = scheduler.run(run.id)
        assert here
        assert here.snapshot().state == "external"
        assert not here.snapshot().is_resumable
        another.stop(there)
        end = finished(there)
    here = scheduler.run(run.id)
    assert here
    assert losses(here.snapshot()) == losses(end)
    assert len(losses(end)) > len(losses(stopped))
    scheduler.resume_stored(here)
    wait_for_steps(here, 5)
    scheduler.stop(here)
    steps = [step.step for step in finished(here).steps]
    assert steps == [step.step for step in scheduler.store.run(run.id).steps]
    assert steps == sorted(set(steps))
