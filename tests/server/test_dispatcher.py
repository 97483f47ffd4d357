"""Training processes that cannot be started: nothing is left of the others, and later jobs try again."""

import contextlib
import sys
from pathlib import Path

import pytest

from mnist_fc.runs.store import RunStore
from mnist_fc.server.process import OnExit, Receive, TrainingProcess
from mnist_fc.server.scheduler import Scheduler
from tests.support.jobs import SHORT
from tests.support.processes import children, kill
from tests.support.waiting import TIMEOUT, finished

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("noise_npz")]


def test_no_process_is_left_if_a_later_one_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()

    def start_one(receive: Receive, on_exit: OnExit) -> TrainingProcess:
        process = TrainingProcess(receive, on_exit)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
        return process

    with pytest.raises(FileNotFoundError, match="no python"):
        Scheduler(RunStore(tmp_path), 2, start_process=start_one)
    assert children() == before


@pytest.mark.slow
def test_jobs_fail_with_the_reason_until_a_process_can_be_started(tmp_path: Path) -> None:
    with contextlib.closing(Scheduler(RunStore(tmp_path), slice_seconds=0.1)) as scheduler:
        process = scheduler._board.slots[0].process
        assert process
        kill(process.id)
        process.join(TIMEOUT)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", str(tmp_path / "no python"))
            for run in [scheduler.start(SHORT), scheduler.start(SHORT)]:
                snapshot = finished(run)
                assert snapshot.state == "failed"
                assert snapshot.message.startswith("It could not start: [Errno 2] No such file or directory: ")
            assert scheduler.process_ids == []
        assert finished(scheduler.start(SHORT)).state == "done"
