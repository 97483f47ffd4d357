"""Commands to a run: pause, resume, stop and a new learning rate."""

import os
import pickle
import queue
from concurrent.futures import ThreadPoolExecutor

import pytest

from mnist_fc.config import ConfigError
from mnist_fc.network import checkpoint
from mnist_fc.records import EndRecord
from mnist_fc.server.outbox import Outbox
from mnist_fc.server.protocol import Command, Pause, Paused, Reply, Resume, Running, RunRecord, StartRun, Stop
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.server.worker import Worker
from tests.support.jobs import LONG, SHORT, losses
from tests.support.processes import children, num_descriptors
from tests.support.waiting import finished, wait_for, wait_for_steps, wait_until


@pytest.mark.slow
def test_pauses_change_no_loss(scheduler: Scheduler) -> None:
    config = SHORT.replace(batch_size=8, num_epochs=15)
    unpaused = finished(scheduler.start(config))
    run = scheduler.start(config)
    for _ in range(5):
        wait_for_steps(run, 5)
        scheduler.pause(run)
        wait_until(run, "paused")
        scheduler.resume(run)
    paused = finished(run)
    assert paused.state == "done"
    assert losses(paused) == losses(unpaused)


@pytest.mark.usefixtures("noise_npz")
def test_commands_take_effect_before_the_next_step() -> None:
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    for command in (Pause("a"), Stop("another run"), Resume("a"), Stop("a")):
        commands.put(command)
    reader, writer = os.pipe()
    Worker(commands, Outbox(os.fdopen(writer, "wb"))).do(StartRun("a", SHORT, None))
    replies: list[Reply] = []
    end: EndRecord | None = None
    with os.fdopen(reader, "rb") as stream:
        while end is None:
            match pickle.load(stream):
                case RunRecord(record=record):
                    end = record if isinstance(record, EndRecord) else None
                case reply:
                    replies.append(reply)
    assert replies == [Running("a"), Paused("a"), Running("a")]
    assert (end.outcome, end.step) == ("stopped", 0)


@pytest.mark.parametrize("state", ["starting", "running", "paused"])
def test_stopped_run_has_a_test_accuracy_and_a_checkpoint(scheduler: Scheduler, state: str) -> None:
    run = scheduler.start(LONG)
    if state != "starting":
        wait_for_steps(run, 1)
    if state == "paused":
        scheduler.pause(run)
        wait_until(run, "paused")
    scheduler.stop(run)
    snapshot = finished(run)
    assert snapshot.state == "stopped"
    assert snapshot.end
    assert snapshot.end.test_accuracy is not None
    assert 0 <= snapshot.end.test_accuracy <= 1
    assert snapshot.weights
    assert snapshot.weights.step == snapshot.end.step
    assert run.path
    checkpoint.load(run.path / "model.ckpt")
    assert finished(scheduler.start(SHORT)).state == "done"


def test_commands_for_an_ended_run_do_not_affect_the_next(scheduler: Scheduler) -> None:
    old = scheduler.start(SHORT)
    before = finished(old)
    new = scheduler.start(LONG)
    scheduler.stop(old)
    scheduler.pause(old)
    scheduler.set_learning_rate(old, 0.5)
    scheduler.pause(new)  # commands are carried out in order, so the three come before
    wait_until(new, "paused")
    scheduler.resume(new)
    wait_for_steps(new, 1)
    assert {step.learning_rate for step in new.snapshot().steps} == {LONG.learning_rate}
    assert old.snapshot() == before


def test_learning_rate_holds_from_the_next_step(scheduler: Scheduler) -> None:
    run = scheduler.start(LONG)
    wait_for_steps(run, 1)
    scheduler.pause(run)
    wait_until(run, "paused")
    held = len(run.snapshot().steps)
    scheduler.set_learning_rate(run, 0.0005)
    scheduler.resume(run)
    wait_for_steps(run, 3)
    scheduler.set_learning_rate(run, 0.0002)
    wait_for(run, lambda: run._steps[-1].learning_rate == 0.0002)
    rates = [step.learning_rate for step in run.snapshot().steps]
    assert set(rates[:held]) == {LONG.learning_rate}
    assert rates[held] == 0.0005
    assert rates[held:] == sorted(rates[held:], reverse=True)


def test_learning_rate_out_of_range_is_rejected(scheduler: Scheduler) -> None:
    run = scheduler.start(LONG)
    with pytest.raises(ConfigError, match="learning_rate is 5"):
        scheduler.set_learning_rate(run, 5.0)


def test_of_simultaneous_starts_one_runs_and_the_others_wait(scheduler: Scheduler) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = [future.result() for future in [pool.submit(scheduler.start, LONG) for _ in range(8)]]
    first, *others = scheduler.jobs()
    assert set(runs) == {first, *others}
    wait_until(first, "running")  # type: ignore[arg-type]
    assert [run.snapshot().state for run in runs if run is not first] == ["waiting"] * 7
    places = [scheduler.place(job, 60_000) for job in others]
    assert [(place.number, place.of) for place in places if place] == [(number, 7) for number in range(1, 8)]


@pytest.mark.slow
def test_starts_and_stops_leave_one_process_and_no_descriptor(scheduler: Scheduler) -> None:
    finished(scheduler.start(SHORT))
    before = children(), scheduler.process_ids[0], num_descriptors()
    for i in range(20):
        run = scheduler.start(LONG)
        if i % 2:
            wait_for_steps(run, 1)
        scheduler.stop(run)
        assert finished(run).state == "stopped"
    assert (children(), scheduler.process_ids[0], num_descriptors()) == before
    assert scheduler.process_ids[0] in children()
