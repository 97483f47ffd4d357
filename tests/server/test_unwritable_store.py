"""Runs whose folder cannot be created or written train all the same."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_fc.server.scheduler import Scheduler
from tests.support.files import files_no_larger_than
from tests.support.jobs import LONG, SHORT
from tests.support.waiting import finished, wait_for_steps, wait_until


@pytest.fixture
def no_store(store_path: Path) -> Iterator[None]:
    """A regular file where the folder that holds the store was."""
    disk, away = store_path.parent, store_path.parent.with_name("away")
    store_path.mkdir(parents=True, exist_ok=True)
    disk.rename(away)
    disk.write_text("a file")
    yield
    disk.unlink()
    away.rename(disk)


@pytest.mark.slow
@pytest.mark.usefixtures("no_store")
def test_run_without_a_store_finishes_and_reports_it(scheduler: Scheduler, store_path: Path) -> None:
    snapshot = finished(scheduler.start(SHORT))
    assert snapshot.state == "done"
    assert snapshot.end
    assert str(store_path) in snapshot.storage_problem


def test_run_on_a_full_disk_finishes_and_reports_it(scheduler: Scheduler) -> None:
    with files_no_larger_than(100_000):  # a checkpoint of LONG is larger, metrics are not
        snapshot = finished(scheduler.start(LONG.replace(batch_size=500, num_epochs=2)))
    assert snapshot.state == "done"
    assert len(snapshot.epochs) == 2
    assert snapshot.storage_problem


def test_run_whose_folder_vanishes_continues_and_reports_it(scheduler: Scheduler) -> None:
    run = scheduler.start(LONG)
    wait_for_steps(run, 1)
    scheduler.pause(run)
    wait_until(run, "paused")
    folder = run.path
    assert folder
    shutil.rmtree(folder)
    scheduler.resume(run)
    wait_for_steps(run, 1)
    scheduler.stop(run)
    snapshot = finished(run)
    assert snapshot.state == "stopped"
    assert str(folder) in snapshot.storage_problem
