"""Speed tests on a real training process."""

import pytest

from mnist_fc.server.job import JobEnd, JobState
from mnist_fc.server.scheduler import JobRejected, Scheduler
from mnist_fc.server.task import SpeedTest
from mnist_fc.training.throughput import BATCH_SIZES, SpeedRecord, thread_counts
from tests.support.jobs import LONG, SHORT, Open
from tests.support.processes import children, kill
from tests.support.waiting import finished, wait_for, wait_until, wait_until_ended


def wait_for_record(test: SpeedTest) -> None:
    """Wait until the speed test has measured something."""
    wait_for(test, lambda: test._records)


@pytest.mark.slow
def test_speed_test_covers_every_thread_count_and_batch_size(scheduler: Scheduler) -> None:
    test = scheduler.measure_speed(SHORT)
    assert scheduler.speed_test is test
    assert test.config == SHORT
    wait_for_record(test)
    first = test.records()
    wait_until_ended(test)
    assert (test.is_active, test.problem) == (False, "")
    records = test.records()
    assert first == records[: len(first)]
    assert [(record.threads, record.batch_size) for record in records] == [
        (threads, batch_size) for threads in thread_counts() for batch_size in BATCH_SIZES
    ]
    assert min(record.images_per_second for record in records) > 0
    assert finished(scheduler.start(SHORT)).state == "done"
    assert scheduler.speed_test is test
    assert test.records() == records


def test_stopped_speed_test_keeps_its_records(scheduler: Scheduler) -> None:
    test = scheduler.measure_speed(SHORT)
    wait_for_record(test)
    scheduler.stop(test)
    wait_until_ended(test)
    assert not test.problem
    assert 1 <= len(test.records()) < len(thread_counts()) * len(BATCH_SIZES)
    assert finished(scheduler.start(SHORT)).state == "done"


def test_second_speed_test_is_rejected_and_a_run_waits(scheduler: Scheduler) -> None:
    test = scheduler.measure_speed(SHORT)
    with pytest.raises(JobRejected, match="The speed of this machine is being measured"):
        scheduler.measure_speed(SHORT)
    run = scheduler.start(SHORT)
    wait_for_record(test)
    assert run.state == "waiting"
    assert scheduler.speed_test is test
    scheduler.stop(test)
    assert finished(run).state == "done"


def test_speed_test_queues_behind_a_run_and_can_leave(scheduler: Scheduler) -> None:
    run = scheduler.start(LONG)
    wait_until(run, "running")
    test = scheduler.measure_speed(SHORT)
    assert test.is_waiting
    assert scheduler.jobs() == [run, test]
    scheduler.stop(test)
    assert (test.is_active, test.records(), test.problem) == (False, [], "")
    assert scheduler.jobs() == [run]


def test_commands_for_an_ended_run_leave_speed_test_alone(scheduler: Scheduler) -> None:
    run = scheduler.start(SHORT)
    before = finished(run)
    test = scheduler.measure_speed(SHORT)
    scheduler.stop(run)
    scheduler.pause(run)
    wait_for_record(test)
    assert run.snapshot() == before


@pytest.mark.slow
def test_killed_process_fails_its_speed_test_and_is_replaced(scheduler: Scheduler) -> None:
    test = scheduler.measure_speed(SHORT)
    wait_for_record(test)
    before = test.records()
    killed = scheduler.process_ids[0]
    kill(killed)
    wait_until_ended(test)
    assert "SIGKILL" in test.problem
    records = test.records()
    assert records[: len(before)] == before
    assert len(records) < len(thread_counts()) * len(BATCH_SIZES)
    assert finished(scheduler.start(SHORT)).state == "done"
    assert scheduler.process_ids[0] != killed
    assert killed not in children()
    following = scheduler.measure_speed(SHORT)
    wait_for_record(following)
    assert scheduler.speed_test is following
    assert following.id != test.id
    assert test.records() == records


def test_wait_until_ended_respects_its_timeout() -> None:
    test = SpeedTest(SHORT)
    test.receive(SpeedRecord(1, 32, 1000.0))
    assert not test.wait_until_ended(0.01)
    test.end(JobEnd(JobState.FAILED, "The reason."))
    assert test.wait_until_ended(0.01)
    assert (test.problem, test.records()) == ("The reason.", [SpeedRecord(1, 32, 1000.0)])


@pytest.mark.slow
def test_speed_test_does_not_yield(open_scheduler: Open) -> None:
    scheduler = open_scheduler(slice_seconds=0)
    test, run = scheduler.measure_speed(SHORT, "ann"), scheduler.start(SHORT, "ben")
    assert finished(run).state == "done"
    assert not test.is_active
    figures = [(record.threads, record.batch_size) for record in test.records()]
    assert len(set(figures)) == len(figures) == test.num_records
