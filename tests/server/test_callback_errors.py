"""An error in the server itself, while it handles a reply, fails one job and nothing else."""

import csv
from typing import Any

import pytest

from mnist_fc.records import EndRecord, Record, StepRecord
from mnist_fc.runs.lock import is_locked
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.dispatcher import SERVER_ERROR
from mnist_fc.server.run import Run
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.server.task import SpeedTest
from tests.support.jobs import LONG, SHORT
from tests.support.waiting import finished, wait_until_ended


@pytest.mark.slow
def test_error_in_a_record_handler_fails_the_run_alone(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process_id = scheduler.process_ids[0]
    receive = Run.receive
    broken = scheduler.start(LONG)

    def raise_at_step_5(run: Run, record: Record) -> None:
        if run is broken and isinstance(record, StepRecord) and record.step == 5:
            raise ZeroDivisionError("the record handler")
        receive(run, record)

    monkeypatch.setattr(Run, "receive", raise_at_step_5)
    following = scheduler.start(SHORT)
    snapshot = finished(broken)
    assert snapshot.state == "failed"
    assert snapshot.message.startswith(SERVER_ERROR)
    assert "memory" not in snapshot.message
    assert [step.step for step in snapshot.steps] == [1, 2, 3, 4]
    assert finished(following).state == "done"
    assert scheduler.process_ids[0] == process_id, "the process is kept"
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert broken.id in logged.getMessage()
    assert logged.exc_info
    assert logged.exc_info[0] is ZeroDivisionError
    assert broken.path
    with (broken.path / "metrics.csv").open(newline="") as file:
        assert list(csv.DictReader(file))[-1]["message"] == snapshot.message


@pytest.mark.slow
def test_failed_run_can_be_resumed_on_the_same_process(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Run.receive
    has_raised: list[bool] = []

    def raise_once(run: Run, record: Record) -> None:
        if isinstance(record, StepRecord) and record.step == 5 and not has_raised:
            has_raised.append(True)
            raise ZeroDivisionError("the record handler")
        receive(run, record)

    monkeypatch.setattr(Run, "receive", raise_once)
    run = scheduler.start(SHORT)
    assert finished(run).state == "failed"
    scheduler.resume_stored(run)  # replies of the slice before may still be on their way
    snapshot = finished(run)
    assert snapshot.state == "done"
    steps = [step.step for step in snapshot.steps]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("kind", [StepRecord, EndRecord])
def test_error_in_writer_fails_the_run_and_closes_its_folder(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, kind: type[Record]
) -> None:
    write = RunFolder.write

    def fail(folder: RunFolder, record: Record) -> None:
        if isinstance(record, kind):
            raise ZeroDivisionError("the writer")
        write(folder, record)

    monkeypatch.setattr(RunFolder, "write", fail)
    run = scheduler.start(SHORT)
    snapshot = finished(run)
    assert snapshot.state == "failed"
    assert snapshot.message.startswith(SERVER_ERROR)
    assert run.path
    assert not is_locked(run.path), "others can have the folder"


def test_error_before_the_start_fails_the_run_alone(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError("the start")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "prepare", fail)
        run = scheduler.start(SHORT)
        snapshot = finished(run)
    assert snapshot.state == "failed"
    assert snapshot.message.startswith("It could not start; the server's log says why.")
    assert any(line.startswith("ERROR") and run.id in line and line.endswith("could not start") for line in log)
    assert finished(scheduler.start(SHORT)).state == "done"


def test_run_whose_end_cannot_be_written_ends_all_the_same(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError("the server")

    with monkeypatch.context() as patch:
        for name in ("receive", "write_end"):
            patch.setattr(Run, name, fail)
        run = scheduler.start(SHORT)
        snapshot = finished(run)
    assert snapshot.state == "failed"
    assert snapshot.message.startswith(SERVER_ERROR)
    assert any(line.startswith("ERROR the end of run") and line.endswith("cannot be written") for line in log)
    assert finished(scheduler.start(SHORT)).state == "done"


def test_error_in_a_result_handler_fails_the_speed_test_alone(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError("the result handler")

    process_id = scheduler.process_ids[0]
    with monkeypatch.context() as patch:
        patch.setattr(SpeedTest, "receive", fail)
        test = scheduler.measure_speed(SHORT)
        wait_until_ended(test)
    assert (test.state, test.problem) == ("failed", SERVER_ERROR)
    assert finished(scheduler.start(SHORT)).state == "done"
    assert scheduler.process_ids[0] == process_id
