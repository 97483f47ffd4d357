"""The trainer with its real process: what a run promises, and what is left after every way in which a process can end."""

import contextlib
import csv
import gc
import os
import pickle
import queue
import select
import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_fc.config import ConfigError, TrainConfig
from mnist_fc.data.mnist import DATA_VARIABLE, load_mnist
from mnist_fc.network import checkpoint
from mnist_fc.records import EndRecord, Record, StepRecord, WeightsRecord
from mnist_fc.runs.layout import STATE_NAME, RunsError, kept_checkpoints
from mnist_fc.runs.store import RunStore
from mnist_fc.server.job import ACTIVE_STATES, State
from mnist_fc.server.process import how_it_died
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.scheduler import JobRejected, Scheduler
from mnist_fc.server.task import SpeedTest
from mnist_fc.server.worker import Outbox, Worker
from mnist_fc.sweep.space import Interval, Space, SweepConfig
from mnist_fc.sweep.storage import default_storage
from mnist_fc.training.engine import train
from mnist_fc.training.throughput import BATCH_SIZES, SpeedRecord, thread_counts
from tests.support.files import files_no_larger_than
from tests.support.settings import OVERFLOWING
from tests.support.waiting import TIMEOUT, finished, wait_for, wait_for_steps, wait_until, wait_until_ended

SHORT = TrainConfig(hidden_sizes=(16,), batch_size=64, num_epochs=2, num_validation=200, threads=1)
LONG = SHORT.replace(hidden_sizes=(256,), batch_size=8, num_epochs=100)
"""Minutes, so that what is done to it comes while it goes on."""


@pytest.fixture(scope="module", autouse=True)
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small data file of noise that every process started here trains on: what is learned does not matter here."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 5200), ("test", 300)):
        arrays[f"x_{part}"] = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"y_{part}"] = generator.integers(0, 10, count, dtype=np.uint8)
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its option allow_pickle
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(DATA_VARIABLE, str(path))
        yield path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk") / "runs"


@pytest.fixture(scope="module")
def shared_trainer(data_file: Path, store: Path) -> Iterator[Scheduler]:
    with contextlib.closing(Scheduler(RunStore(store))) as trainer:
        yield trainer


@pytest.fixture
def trainer(shared_trainer: Scheduler) -> Iterator[Scheduler]:
    """The trainer that the tests share, with no run and no test of speed going on before and after."""
    yield shared_trainer
    for job in reversed(shared_trainer.jobs()):  # those that wait first, or they would begin
        shared_trainer.stop(job)
        wait_until_ended(job)


def wait_for_record(test: SpeedTest) -> None:
    """Wait until the test of speed has measured something."""
    wait_for(test, lambda: test._records)


def losses(snapshot: RunSnapshot) -> list[float]:
    return [step.train_loss for step in snapshot.steps]


def wait_for_end(pidfd: int) -> None:
    """Wait until the process ends that `pidfd` was opened for while it lived."""
    ended, _, _ = select.select([pidfd], [], [], TIMEOUT)
    os.close(pidfd)
    assert ended


def kill(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pidfd)


def children() -> set[int]:
    """The processes that this one has started and that are not reaped yet."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended while we looked
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(stat.parent.name))
    return found


def num_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class TestRun:
    def test_it_ends_done_with_every_record_the_last_included(self, trainer: Scheduler) -> None:
        run = trainer.start(SHORT)
        snapshot = finished(run)
        num_steps = SHORT.num_epochs * -(-5000 // SHORT.batch_size)
        assert (snapshot.state, snapshot.message, snapshot.storage_problem) == ("done", "", "")
        assert snapshot.end
        assert (snapshot.end.step, snapshot.end.outcome) == (num_steps, "done")
        assert snapshot.end.test_accuracy is not None
        assert [step.step for step in snapshot.steps] == list(range(1, num_steps + 1))
        assert [epoch.epoch for epoch in snapshot.epochs] == list(range(1, SHORT.num_epochs + 1))
        assert snapshot.weights
        assert snapshot.weights.step == num_steps
        assert trainer.run(run.id) is run
        assert not trainer.is_busy

    def test_it_is_on_disk_when_it_has_ended(self, trainer: Scheduler, store: Path) -> None:
        run = trainer.start(SHORT)
        snapshot = finished(run)
        folder = run.path
        assert folder
        assert folder.parent == store
        assert TrainConfig.from_json((folder / "config.json").read_text("utf-8")) == SHORT
        with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(snapshot.steps) + len(snapshot.epochs) + 1
        assert [float(row["train_loss"]) for row in rows if row["gradient_norms"]] == losses(snapshot)
        assert rows[-1]["outcome"] == "done"
        assert snapshot.weights
        for name, tensor in checkpoint.load(folder / "model.ckpt").state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), snapshot.weights.weights[name])

    def test_the_same_config_gives_the_same_losses(self, trainer: Scheduler) -> None:
        first, second = finished(trainer.start(SHORT)), finished(trainer.start(SHORT))
        assert losses(first) == losses(second)
        assert losses(finished(trainer.start(SHORT.replace(seed=1)))) != losses(first)

    def test_a_snapshot_does_not_change(self, trainer: Scheduler) -> None:
        run = trainer.start(SHORT)
        wait_for_steps(run, 1)
        snapshot = run.snapshot()
        before = replace(snapshot)
        finished(run)
        assert snapshot.steps == before.steps
        assert snapshot.state in ACTIVE_STATES

    def test_one_that_diverges_fails_with_the_reason_and_finite_weights(self, trainer: Scheduler) -> None:
        snapshot = finished(trainer.start(SHORT.replace(**OVERFLOWING)))
        assert snapshot.state == "failed"
        assert "loss stopped being a finite number" in snapshot.message
        assert "lower learning rate" in snapshot.message
        assert snapshot.weights
        assert all(np.isfinite(value).all() for value in snapshot.weights.weights.values())
        assert finished(trainer.start(SHORT)).state == "done"


class TestCommands:
    def test_pauses_change_no_loss(self, trainer: Scheduler) -> None:
        config = SHORT.replace(batch_size=8, num_epochs=30)
        unpaused = finished(trainer.start(config))
        run = trainer.start(config)
        for _ in range(5):
            wait_for_steps(run, 5)
            trainer.pause(run)
            wait_until(run, "paused")
            trainer.resume(run)
        paused = finished(run)
        assert paused.state == "done"
        assert losses(paused) == losses(unpaused)

    def test_commands_take_effect_before_the_next_step(self) -> None:
        commands: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        for command in (("pause", ("a",)), ("stop", ("another run",)), ("resume", ("a",)), ("stop", ("a",))):
            commands.put(command)
        reader, writer = os.pipe()
        Worker(commands, Outbox(os.fdopen(writer, "wb")))._run("a", SHORT, None)
        received: list[tuple[str, Any]] = []
        with os.fdopen(reader, "rb") as stream:
            while not (received and isinstance(received[-1][1], EndRecord)):
                received.append(pickle.load(stream))
        assert [name for name, _ in received if name != "record"] == ["running", "paused", "running"]
        assert (received[-1][1].outcome, received[-1][1].step) == ("stopped", 0)

    @pytest.mark.parametrize("state", ["starting", "running", "paused"])
    def test_stop_ends_with_a_test_accuracy_and_a_checkpoint_and_the_next_run_works(
        self, trainer: Scheduler, state: State
    ) -> None:
        run = trainer.start(LONG)
        if state != "starting":
            wait_for_steps(run, 1)
        if state == "paused":
            trainer.pause(run)
            wait_until(run, "paused")
        trainer.stop(run)
        snapshot = finished(run)
        assert snapshot.state == "stopped"
        assert snapshot.end
        assert snapshot.end.test_accuracy is not None
        assert 0 <= snapshot.end.test_accuracy <= 1
        assert snapshot.weights
        assert snapshot.weights.step == snapshot.end.step
        assert run.path
        checkpoint.load(run.path / "model.ckpt")
        assert finished(trainer.start(SHORT)).state == "done"

    def test_commands_for_an_old_run_do_not_touch_the_new_one(self, trainer: Scheduler) -> None:
        old = trainer.start(SHORT)
        before = finished(old)
        new = trainer.start(LONG)
        trainer.stop(old)
        trainer.pause(old)
        trainer.set_learning_rate(old, 0.5)
        trainer.pause(new)  # Commands are obeyed in order: by now the three have been.
        wait_until(new, "paused")
        trainer.resume(new)
        wait_for_steps(new, 1)
        assert {step.learning_rate for step in new.snapshot().steps} == {LONG.learning_rate}
        assert old.snapshot() == before

    def test_a_learning_rate_holds_from_the_very_next_step(self, trainer: Scheduler) -> None:
        run = trainer.start(LONG)
        wait_for_steps(run, 1)
        trainer.pause(run)
        wait_until(run, "paused")
        held = len(run.snapshot().steps)
        trainer.set_learning_rate(run, 0.0005)
        trainer.resume(run)
        wait_for_steps(run, 3)
        trainer.set_learning_rate(run, 0.0002)
        wait_for(run, lambda: run._steps[-1].learning_rate == 0.0002)
        rates = [step.learning_rate for step in run.snapshot().steps]
        assert set(rates[:held]) == {LONG.learning_rate}
        assert rates[held] == 0.0005
        assert rates[held:] == sorted(rates[held:], reverse=True)

    def test_a_learning_rate_out_of_range_is_refused(self, trainer: Scheduler) -> None:
        run = trainer.start(LONG)
        with pytest.raises(ConfigError, match="learning_rate is 5"):
            trainer.set_learning_rate(run, 5.0)

    def test_many_who_start_at_once_have_one_run_that_goes_on_and_the_others_wait(self, trainer: Scheduler) -> None:
        with ThreadPoolExecutor(8) as pool:
            runs = [future.result() for future in [pool.submit(trainer.start, LONG) for _ in range(8)]]
        first, *others = trainer.jobs()
        assert set(runs) == {first, *others}
        wait_until(first, "running")  # type: ignore[arg-type]
        assert [run.snapshot().state for run in runs if run is not first] == ["waiting"] * 7
        places = [trainer.place(job, 60_000) for job in others]
        assert [(place.number, place.of) for place in places if place] == [(number, 7) for number in range(1, 8)]

    def test_many_starts_and_stops_leave_one_process_and_no_descriptor(self, trainer: Scheduler) -> None:
        finished(trainer.start(SHORT))
        before = children(), trainer.process_ids[0], num_descriptors()
        for i in range(20):
            run = trainer.start(LONG)
            if i % 2:
                wait_for_steps(run, 1)
            trainer.stop(run)
            assert finished(run).state == "stopped"
        assert (children(), trainer.process_ids[0], num_descriptors()) == before
        assert trainer.process_ids[0] in children()


class TestStore:
    @pytest.fixture
    def no_store(self, store: Path) -> Iterator[None]:
        """A regular file where the folder that holds the store was."""
        disk, away = store.parent, store.parent.with_name("away")
        store.mkdir(parents=True, exist_ok=True)
        disk.rename(away)
        disk.write_text("a file")
        yield
        disk.unlink()
        away.rename(disk)

    @pytest.mark.usefixtures("no_store")
    def test_a_run_goes_on_without_one_and_says_so(self, trainer: Scheduler, store: Path) -> None:
        snapshot = finished(trainer.start(SHORT))
        assert snapshot.state == "done"
        assert snapshot.end
        assert str(store) in snapshot.storage_problem

    def test_a_run_goes_on_when_the_disk_is_full_and_says_so(self, trainer: Scheduler) -> None:
        with files_no_larger_than(100_000):  # a checkpoint of LONG is larger, metrics are not
            snapshot = finished(trainer.start(LONG.replace(batch_size=500, num_epochs=2)))
        assert snapshot.state == "done"
        assert len(snapshot.epochs) == 2
        assert snapshot.storage_problem

    def test_a_run_goes_on_when_its_folder_vanishes_and_says_so(self, trainer: Scheduler) -> None:
        run = trainer.start(LONG)
        wait_for_steps(run, 1)
        trainer.pause(run)
        wait_until(run, "paused")
        folder = run.path
        assert folder
        shutil.rmtree(folder)
        trainer.resume(run)
        wait_for_steps(run, 1)
        trainer.stop(run)
        snapshot = finished(run)
        assert snapshot.state == "stopped"
        assert str(folder) in snapshot.storage_problem


class TestDeath:
    @pytest.mark.parametrize("state", ["running", "paused"])
    def test_a_run_whose_process_is_killed_fails_with_the_reason_and_the_next_start_works(
        self, trainer: Scheduler, state: State
    ) -> None:
        descriptors = num_descriptors()
        run = trainer.start(LONG)
        wait_for_steps(run, 30)
        if state == "paused":
            trainer.pause(run)
            wait_until(run, "paused")
        before = run.snapshot()
        assert before.state == state
        killed = trainer.process_ids[0]
        kill(killed)
        snapshot = finished(run)
        assert snapshot.state == "failed"
        assert "SIGKILL" in snapshot.message
        assert f"up to step {snapshot.steps[-1].step};" in snapshot.message
        assert snapshot.steps[: len(before.steps)] == before.steps
        trainer.stop(run)  # It has no process any more, and the next one does not care.
        assert finished(trainer.start(SHORT)).state == "done"
        assert trainer.process_ids[0] != killed
        assert killed not in children()
        assert num_descriptors() == descriptors

    def test_a_start_that_sees_the_death_before_the_receiver_does_gets_one_new_process(self, trainer: Scheduler) -> None:
        before = children()
        with trainer._lock:  # The receiver waits for it to say that the process has died.
            kill(trainer.process_ids[0])
            dead = trainer._slots[0].process
            dead._process.wait(TIMEOUT)
            run = trainer.start(SHORT)
        dead.join(TIMEOUT)
        assert finished(run).state == "done"
        assert children() == before - {dead.id} | {trainer.process_ids[0]}

    def test_no_death_before_between_or_at_the_end_of_runs_leaves_anything_waiting(self, tmp_path: Path) -> None:
        before = children(), num_descriptors()
        with contextlib.closing(Scheduler(RunStore(tmp_path))) as trainer:
            run = trainer.start(LONG)
            kill(trainer.process_ids[0])  # It takes seconds to get ready.
            snapshot = finished(run)
            assert snapshot.state == "failed"
            assert "SIGKILL" in snapshot.message
            assert "up to step 0;" in snapshot.message
            assert finished(trainer.start(SHORT)).state == "done"

            os.kill(trainer.process_ids[0], signal.SIGKILL)  # The start may come before anybody can tell that it has died.
            snapshot = finished(trainer.start(SHORT))
            assert snapshot.state == "done" or "SIGKILL" in snapshot.message
        # It was closed while it started the next process.
        assert (children(), num_descriptors()) == before

    def test_an_interrupt_from_the_terminal_leaves_it_to_the_server_to_end_it(self, trainer: Scheduler) -> None:
        run = trainer.start(LONG)
        wait_for_steps(run, 1)
        os.kill(trainer.process_ids[0], signal.SIGINT)
        wait_for_steps(run, 30)
        trainer.pause(run)
        wait_until(run, "paused")

    def test_an_error_in_the_process_fails_the_run_and_the_next_start_works(self, trainer: Scheduler) -> None:
        broken = SHORT.replace()
        object.__setattr__(broken, "activation", "none such")
        snapshot = finished(trainer.start(broken))
        assert snapshot.state == "failed"
        assert "ended with exit code 1" in snapshot.message
        assert finished(trainer.start(SHORT)).state == "done"

    @pytest.mark.parametrize(
        ("code", "text"),
        [(0, "ended with exit code 0."), (-9, "was ended by SIGKILL, which is"), (-35, "was ended by signal 35.")],
    )
    def test_the_message_of_every_death(self, code: int, text: str) -> None:
        assert text in f"{how_it_died(code)}."

    def test_to_close_ends_the_process_for_good_and_once(self, tmp_path: Path) -> None:
        before = children(), num_descriptors()
        trainer = Scheduler(RunStore(tmp_path))
        run = trainer.start(LONG)
        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(trainer.close) for _ in range(4)]:
                future.result(TIMEOUT)
        trainer.close()
        assert run.snapshot().state == "interrupted"
        assert run.snapshot().is_resumable
        assert (children(), num_descriptors()) == before
        trainer.stop(run)
        with pytest.raises(RuntimeError, match="closed"):
            trainer.start(SHORT)
        with pytest.raises(RuntimeError, match="closed"):
            trainer.measure_speed(SHORT)


class TestSpeedTest:
    def test_it_ends_with_a_record_for_every_number_of_threads_and_batch_size(self, trainer: Scheduler) -> None:
        test = trainer.measure_speed(SHORT)
        assert trainer.speed_test is test
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
        assert finished(trainer.start(SHORT)).state == "done"
        assert trainer.speed_test is test
        assert test.records() == records

    def test_one_that_is_stopped_keeps_what_it_measured_and_the_next_works(self, trainer: Scheduler) -> None:
        test = trainer.measure_speed(SHORT)
        wait_for_record(test)
        trainer.stop(test)
        wait_until_ended(test)
        assert not test.problem
        assert 1 <= len(test.records()) < len(thread_counts()) * len(BATCH_SIZES)
        assert finished(trainer.start(SHORT)).state == "done"

    def test_there_is_one_and_what_is_begun_meanwhile_waits_for_its_end(self, trainer: Scheduler) -> None:
        test = trainer.measure_speed(SHORT)
        with pytest.raises(JobRejected, match="The speed of this machine is being measured"):
            trainer.measure_speed(SHORT)
        run = trainer.start(SHORT)
        wait_for_record(test)
        assert run.state == "waiting"
        assert trainer.speed_test is test
        trainer.stop(test)
        assert finished(run).state == "done"

    def test_it_waits_for_the_run_that_goes_on_and_can_leave_the_queue(self, trainer: Scheduler) -> None:
        run = trainer.start(LONG)
        wait_until(run, "running")
        test = trainer.measure_speed(SHORT)
        assert test.is_waiting
        assert trainer.jobs() == [run, test]
        trainer.stop(test)
        assert (test.is_active, test.records(), test.problem) == (False, [], "")
        assert trainer.jobs() == [run]

    def test_commands_for_an_old_run_do_not_touch_it(self, trainer: Scheduler) -> None:
        run = trainer.start(SHORT)
        before = finished(run)
        test = trainer.measure_speed(SHORT)
        trainer.stop(run)
        trainer.pause(run)
        wait_for_record(test)
        assert run.snapshot() == before

    def test_one_whose_process_is_killed_fails_with_the_reason_and_the_next_of_either_kind_works(
        self, trainer: Scheduler
    ) -> None:
        test = trainer.measure_speed(SHORT)
        wait_for_record(test)
        before = test.records()
        killed = trainer.process_ids[0]
        kill(killed)
        wait_until_ended(test)
        assert "SIGKILL" in test.problem
        records = test.records()
        assert records[: len(before)] == before
        assert len(records) < len(thread_counts()) * len(BATCH_SIZES)
        assert finished(trainer.start(SHORT)).state == "done"
        assert trainer.process_ids[0] != killed
        assert killed not in children()
        following = trainer.measure_speed(SHORT)
        wait_for_record(following)
        assert trainer.speed_test is following
        assert following.id != test.id
        assert test.records() == records

    def test_to_wait_for_its_end_takes_no_longer_than_asked(self) -> None:
        test = SpeedTest(SHORT)
        test.receive(SpeedRecord(1, 32, 1000.0))
        assert not test.wait_until_ended(0.01)
        test.end("The reason.")
        assert test.wait_until_ended(0.01)
        assert (test.problem, test.records()) == ("The reason.", [SpeedRecord(1, 32, 1000.0)])


SERVER = """
import signal
import sys
from pathlib import Path
from mnist_fc.config import TrainConfig
from mnist_fc.runs.store import RunStore
from mnist_fc.server.scheduler import Trainer

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background inherit it ignored
trainer = Trainer(RunStore(Path(sys.argv[1])))
if sys.argv[2] != "ends":
    run = trainer.start(TrainConfig(hidden_sizes=(256,), batch_size=8, num_epochs=100, threads=1))
    assert run.wait_for(lambda run: bool(run._steps), 300)
print(trainer.process_ids[0], flush=True)
sys.stdin.read()
"""


def test_the_process_ends_when_its_server_does_in_whatever_way(tmp_path: Path) -> None:
    def start(ending: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", SERVER, str(tmp_path / ending), ending]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    servers = {ending: start(ending) for ending in ("ends", "Ctrl-C", "kill -9")}  # They start side by side.
    try:
        for ending, server in servers.items():
            assert server.stdout
            pidfd = os.pidfd_open(int(server.stdout.readline()))
            match ending:
                case "Ctrl-C":
                    os.killpg(server.pid, signal.SIGINT)
                case "kill -9":
                    server.kill()
            _, errors = server.communicate(timeout=TIMEOUT)  # It closes standard input, which is how the first ends.
            wait_for_end(pidfd)
            assert errors.count("Traceback") == (ending == "Ctrl-C"), errors  # The server's own; the process is silent.
            assert "Fatal" not in errors
            assert (server.returncode == 0) == (ending == "ends")
    finally:
        for server in servers.values():
            with contextlib.suppress(ProcessLookupError):  # as it should be
                os.killpg(server.pid, signal.SIGKILL)
            server.communicate()


def test_what_is_printed_in_the_process_does_not_get_among_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def print_on_open(event, args):\n"
        "    if event == 'open' and str(args[0]).endswith(('.npz', 'engine.py', 'engine.cpython-311.pyc')):\n"
        "        os.write(1, b'noise of ' + os.fsencode(os.path.basename(args[0])))\n"
        "os.write(1, b'noise from the start')\n"
        "sys.addaudithook(print_on_open)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with contextlib.closing(Scheduler(RunStore(tmp_path / "runs"))) as trainer:
        assert finished(trainer.start(SHORT)).state == "done"
    output, errors = capfd.readouterr()
    assert "noise of small.npz" in errors
    assert not output


def test_a_run_sweep_or_test_of_speed_without_the_data_file_fails_and_one_with_it_works(
    tmp_path: Path, data_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = tmp_path / "absent.npz"
    monkeypatch.setenv(DATA_VARIABLE, str(absent))
    with contextlib.closing(Scheduler(RunStore(tmp_path / "runs"))) as trainer:
        snapshot = finished(trainer.start(SHORT))
        assert snapshot.state == "failed"
        assert str(absent) in snapshot.message
        assert "does not exist" in snapshot.message
        test = trainer.measure_speed(SHORT)
        wait_until_ended(test)
        assert test.problem == snapshot.message
        assert test.records() == []
        space: Space = {"learning_rate": Interval(1e-4, 1e-2)}
        sweep = trainer.start_sweep(SweepConfig(SHORT, space, "no data", default_storage(tmp_path), num_runs=1))
        wait_until_ended(sweep)
        assert sweep.problem == snapshot.message
        process_id = trainer.process_ids[0]
        shutil.copyfile(data_file, absent)
        assert finished(trainer.start(SHORT)).state == "done"
        wait_for_record(trainer.measure_speed(SHORT))
        assert trainer.process_ids[0] == process_id


class TestOutbox:
    @staticmethod
    def step(number: int) -> StepRecord:
        return StepRecord(number, 1, number, 0.0, 1.0, 0.5, 0.001, (1.0, 1.0))

    def test_a_reader_that_does_not_read_slows_nothing_and_costs_the_newest_weights_alone(self) -> None:
        reader, writer = os.pipe()
        outbox = Outbox(os.fdopen(writer, "wb"))
        weights: list[weakref.ref[np.ndarray]] = []
        for number in range(5000):  # Were one of them to wait for the reader, this would never end.
            outbox.put("record", self.step(number))
            if number % 10 == 0:
                array = np.full(100_000, number, dtype=np.float32)
                weights.append(weakref.ref(array))
                outbox.put("record", WeightsRecord(number, 1, {"fc1.weight": array}))
                del array
        gc.collect()
        kept = [i for i, reference in enumerate(weights) if reference() is not None]
        assert kept[-1] == len(weights) - 1
        assert len(kept) <= 2  # The other is on its way through the pipe.
        outbox.put("last")

        received: list[Record] = []
        with os.fdopen(reader, "rb") as stream:
            while (message := pickle.load(stream))[0] == "record":
                received.append(message[1])
        assert message == ("last", None)
        assert [record.step for record in received if isinstance(record, StepRecord)] == list(range(5000))
        newest = [record for record in received if isinstance(record, WeightsRecord)][-1]
        assert newest.step == 4990
        assert (newest.weights["fc1.weight"] == 4990).all()
        assert [record.step for record in received] == sorted(record.step for record in received)

    def test_weights_to_keep_all_arrive_in_their_order(self) -> None:
        reader, writer = os.pipe()
        outbox = Outbox(os.fdopen(writer, "wb"))
        array = np.zeros(100_000, np.float32)
        for number in range(200):
            outbox.put("record", WeightsRecord(number, 1, {"fc1.weight": array}, is_kept=number % 10 == 0))
        outbox.put("last")
        received: list[WeightsRecord] = []
        with os.fdopen(reader, "rb") as stream:
            while (message := pickle.load(stream))[0] == "record":
                received.append(message[1])
        assert [record.step for record in received if record.is_kept] == list(range(0, 200, 10))
        assert received[-1].step == 199
        assert len(received) <= 24


def test_the_weights_that_a_run_keeps_are_read_back_from_disk_while_it_goes_on(trainer: Scheduler) -> None:
    run = trainer.start(LONG)
    wait_for(run, lambda: 50 in run._kept)
    kept = run.snapshot().kept
    assert list(kept)[:5] == [0, 5, 10, 20, 50]
    first, later = (checkpoint.load(kept[step]).state_dict()["fc1.weight"] for step in (0, 50))
    assert not torch.equal(first, later)
    trainer.stop(run)
    snapshot = finished(run)
    assert snapshot.end
    assert list(snapshot.kept) == sorted(snapshot.kept)
    assert snapshot.weights
    last = checkpoint.load(snapshot.kept[snapshot.end.step]).state_dict()["fc1.weight"]
    assert torch.equal(last, torch.from_numpy(snapshot.weights.weights["fc1.weight"]))


def test_a_run_whose_process_dies_ends_in_the_store_as_it_does_on_the_page(trainer: Scheduler) -> None:
    run = trainer.start(LONG)
    wait_for(run, lambda: run._weights is not None)
    folder = run.path
    assert folder
    os.kill(trainer.process_ids[0], signal.SIGKILL)
    wait_until(run, "failed")
    with (folder / "metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["outcome"] == "failed"
    assert last["message"] == run.snapshot().message
    checkpoint.load(folder / "model.ckpt")


# Runs that come back from the store, and go on


RESUMED = SHORT.replace(hidden_sizes=(128,), batch_size=8, num_epochs=100, dropout=0.2, schedule="one_cycle")
"""Many times the second of training after which a state is kept, so that a fast machine is not done before."""

CUT_OFF = """
import sys
from pathlib import Path
from mnist_fc.config import TrainConfig
from mnist_fc.runs.writer import STATE_NAME
from mnist_fc.runs.store import RunStore
from mnist_fc.server.scheduler import Trainer

trainer = Trainer(RunStore(Path(sys.argv[1])))
run = trainer.start(TrainConfig.from_json(sys.argv[2]))
assert run.wait_for(lambda run: not run.is_active or (run.path / STATE_NAME).exists(), 300)
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


def cut_short(trainer: Scheduler, run: Run) -> RunSnapshot:
    """Let a run go on for a while after it was resumed, and stop it."""
    wait_for_steps(run, 20)
    trainer.stop(run)
    snapshot = finished(run)
    assert snapshot.state == "stopped"
    return snapshot


@pytest.mark.parametrize("killed", ["server", "Ctrl-C"])
def test_a_run_whose_server_is_killed_goes_on_in_the_next_to_the_same_losses(tmp_path: Path, killed: str) -> None:
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
    with contextlib.closing(Scheduler(RunStore(tmp_path))) as trainer:
        run = trainer.run(run_id)
        assert run
        snapshot = run.snapshot()
        assert (snapshot.state, snapshot.is_resumable, snapshot.end) == ("interrupted", True, None)
        assert snapshot.steps[-1].step >= int(seen)  # all that the page had been shown
        assert losses(snapshot) == losses_without_a_break(RESUMED, snapshot.steps[-1].step)
        assert snapshot.weights
        trainer.resume_stored(run)
        assert run.is_active
        assert run.snapshot().steps[-1].step > 0, "it goes on from a state"
        after = cut_short(trainer, run)
        expect_the_same_losses(run)
        assert list(after.kept) == list(kept_checkpoints(tmp_path / run_id))
        assert trainer.store.run(run_id).end == after.end


def test_a_run_whose_process_died_goes_on(trainer: Scheduler) -> None:
    run = trainer.start(RESUMED)
    wait_for(run, lambda: run.path and (run.path / STATE_NAME).exists())
    os.kill(trainer.process_ids[0], signal.SIGKILL)
    wait_until(run, "failed")
    assert run.snapshot().is_resumable
    trainer.resume_stored(run)
    cut_short(trainer, run)
    expect_the_same_losses(run)


def test_a_run_that_was_stopped_goes_on_to_its_end(trainer: Scheduler) -> None:
    run = trainer.start(RESUMED.replace(num_epochs=22))
    wait_for_steps(run, 1)
    trainer.stop(run)
    wait_until(run, "stopped")
    assert run.snapshot().is_resumable
    trainer.resume_stored(run)
    after = finished(run)
    assert (after.state, after.message) == ("done", "")
    expect_the_same_losses(run)
    assert trainer.store.run(run.id).end == after.end
    assert not after.is_resumable
    with pytest.raises(RunsError, match="is done or has diverged"):
        trainer.resume_stored(run)


def test_a_run_in_the_store_is_read_with_its_whole_curve(trainer: Scheduler, store: Path) -> None:
    before = finished(trainer.start(SHORT))
    with contextlib.closing(Scheduler(RunStore(store))) as another:
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


def test_a_run_that_goes_on_elsewhere_does_not_go_on_here(trainer: Scheduler, store: Path) -> None:
    going = trainer.start(LONG)
    wait_for_steps(going, 1)
    with contextlib.closing(Scheduler(RunStore(store))) as another:
        run = another.run(going.id)
        assert run
        with pytest.raises(RunsError, match="is running in another program"):
            another.resume_stored(run)
        before = len(run.snapshot().steps)
        wait_for_steps(going, 1)
        later = another.run(going.id)
        assert later
        assert len(later.snapshot().steps) > before


def test_a_run_gone_on_with_elsewhere_is_shown_as_it_is_there_and_goes_on_without_a_gap(trainer: Scheduler, store: Path) -> None:
    run = trainer.start(LONG)
    wait_for_steps(run, 30)
    trainer.stop(run)
    stopped = finished(run)
    with contextlib.closing(Scheduler(RunStore(store))) as another:
        there = another.run(run.id)
        assert there
        another.resume_stored(there)
        wait_for_steps(there, 60)
        here = trainer.run(run.id)
        assert here
        assert here.snapshot().state == "elsewhere"
        assert not here.snapshot().is_resumable
        another.stop(there)
        end = finished(there)
    here = trainer.run(run.id)
    assert here
    assert losses(here.snapshot()) == losses(end)
    assert len(losses(end)) > len(losses(stopped))
    trainer.resume_stored(here)
    wait_for_steps(here, 5)
    trainer.stop(here)
    steps = [step.step for step in finished(here).steps]
    assert steps == [step.step for step in trainer.store.run(run.id).steps]
    assert steps == sorted(set(steps))


def test_what_is_set_while_a_run_waits_holds_when_it_begins(trainer: Scheduler) -> None:
    first, second = trainer.start_in_turn(LONG, SHORT)
    trainer.set_learning_rate(second, 0.05)
    wait_for_steps(first, 1)
    trainer.stop(first)
    after = finished(second)
    assert after.learning_rate == 0.05
    assert {step.learning_rate for step in after.steps[1:]} == {0.05}


def test_runs_begin_in_their_turn(trainer: Scheduler) -> None:
    first, second, third = trainer.start_in_turn(LONG, LONG.replace(seed=1), SHORT)
    wait_for_steps(first, 1)
    assert [run.snapshot().state for run in (second, third)] == ["waiting", "waiting"]
    trainer.stop(second)
    assert second.snapshot().state == "stopped"
    assert third.snapshot().state == "waiting"
    trainer.stop(first)
    assert finished(third).state == "done"
    assert first.snapshot().state == "stopped"
    assert not trainer.is_busy


def test_the_next_in_turn_begins_when_the_process_dies(trainer: Scheduler) -> None:
    first, second = trainer.start_in_turn(LONG, SHORT)
    wait_for_steps(first, 1)
    os.kill(trainer.process_ids[0], signal.SIGKILL)
    wait_until(first, "failed")
    assert finished(second).state == "done"
